import itertools
import re

import pytest
import torch
from neuraltalk_reference import beam_search, greedy_search, neuraltalk_beam_search, score_words

from hf_dsd.models import NeuralTalkForConditionalGeneration

STEPS = 8


def words_of(row: torch.Tensor) -> list[int]:
    """A generated row without `<s>`, up to and including its first end token."""
    words = row.tolist()[1:]
    return words[: words.index(3) + 1] if 3 in words else words


@pytest.fixture
def features():
    return 2 * torch.randn(6, 6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "uncached"])
def test_greedy_equals_an_argmax_loop(make_captioner, features, seed, cached):
    model = make_captioner(seed)
    rows = model.generate(image_features=features, num_beams=1, max_length=1 + STEPS, use_cache=cached)
    expected = [greedy_search(model, f, STEPS) for f in features]
    assert [words_of(row) for row in rows] == expected
    assert len({len(words) for words in expected}) > 1  # finished rows and running ones side by side


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("beams", [2, 3, 5])
def test_beam_search_equals_brute_force(make_captioner, features, beams, seed):
    model = make_captioner(seed)
    output = model.generate(
        image_features=features,
        num_beams=beams,
        max_length=1 + STEPS,
        return_dict_in_generate=True,
        output_scores=True,
    )
    expected = [beam_search(model, f, STEPS, beams) for f in features]
    assert [words_of(row) for row in output.sequences] == [words for _, words in expected]
    scores = torch.tensor([score for score, _ in expected])
    torch.testing.assert_close(output.sequences_scores, scores, atol=1e-4, rtol=0)


def test_beam_search_is_neuraltalks_or_better(make_captioner, features):
    equal = 0
    for seed in range(4):
        model = make_captioner(seed)
        for image in features:
            score, words = beam_search(model, image, STEPS, 5)
            its_score, its_words = neuraltalk_beam_search(model, image, STEPS, 5)
            assert score >= its_score - 1e-5
            equal += words == its_words
    # The rest: NeuralTalk's code lets unfinished captions push out a finished one that beats all they lead to.
    assert 18 <= equal < 24


def test_the_cases_above_are_not_trivial(make_captioner, features):
    lengths = set()
    for seed in range(3):
        model = make_captioner(seed)
        best = [beam_search(model, f, STEPS, 3)[1] for f in features]
        assert best != [greedy_search(model, f, STEPS) for f in features]
        lengths |= {len(words) for words in best}
    assert len(lengths) >= 4


def test_wide_beam_finds_the_best_of_all_captions(make_captioner, features):
    model = make_captioner(vocab_size=6)
    steps, end = 3, 3
    captions = {
        words[: words.index(end) + 1] if end in words else words for words in itertools.product(range(6), repeat=steps)
    }
    output = model.generate(
        image_features=features[:2],
        num_beams=36,
        max_length=1 + steps,
        return_dict_in_generate=True,
        output_scores=True,
    )
    for row, score, image in zip(output.sequences, output.sequences_scores, features, strict=False):
        totals = {}
        for words in captions:
            scores = score_words(model, image, [2, *words[:-1]]).log_softmax(-1)
            totals[words] = scores[range(len(words)), list(words)].sum().item()
        best = max(totals, key=totals.__getitem__)
        assert tuple(words_of(row)) == best
        assert score.item() == pytest.approx(totals[best], abs=1e-4)


@pytest.mark.parametrize("beams", [1, 2, 5])
def test_cached_search_equals_uncached_and_reads_one_word_a_step(make_captioner, features, beams):
    model = make_captioner()
    read: list[int] = []
    model.word_embedding.register_forward_hook(lambda module, args, output: read.append(args[0].shape[1]))
    options = {"image_features": features, "num_beams": beams, "return_dict_in_generate": True, "output_scores": True}
    cached = model.generate(**options)
    assert set(read) == {1}  # the state did come back as an input
    uncached = model.generate(**options, use_cache=False)
    assert len(set(read)) > 5
    assert torch.equal(cached.sequences, uncached.sequences)
    if beams > 1:
        torch.testing.assert_close(cached.sequences_scores, uncached.sequences_scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize("beams", [1, 5])
@pytest.mark.parametrize("lost", ["_update_model_kwargs_for_generation", "_reorder_cache"])
def test_a_state_that_transformers_loses_or_leaves_in_the_old_order_changes_no_caption(
    make_captioner, features, beams, lost
):
    class Forgetful(NeuralTalkForConditionalGeneration):
        """As under a transformers that carries, or reorders, outputs of other names only."""

        def _update_model_kwargs_for_generation(self, outputs, model_kwargs, *args, **kwargs):
            updated = super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **kwargs)
            return updated | {"state": None} if lost == "_update_model_kwargs_for_generation" else updated

        def _reorder_cache(self, state, beam_idx):
            return state if lost == "_reorder_cache" or state is None else super()._reorder_cache(state, beam_idx)

    model = make_captioner()
    forgetful = Forgetful(model.config).eval()
    forgetful.load_state_dict(model.state_dict())
    options = {"image_features": features, "num_beams": beams}
    assert torch.equal(forgetful.generate(**options), model.generate(**options))


@pytest.mark.parametrize("beams", [1, 3], ids=["greedy", "beam"])
def test_batched_equals_one_by_one(make_captioner, features, beams):
    model = make_captioner()
    together = model.generate(image_features=features, num_beams=beams)
    alone = [model.generate(image_features=features[i : i + 1], num_beams=beams)[0] for i in range(len(features))]
    assert [words_of(row) for row in together] == [words_of(row) for row in alone]


def test_sampling_is_reproducible_and_follows_the_seed(make_captioner, features):
    model = make_captioner()

    def sample(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return model.generate(image_features=features, do_sample=True, num_beams=1, max_length=1 + STEPS)

    assert torch.equal(sample(1), sample(1))
    assert not torch.equal(sample(1), sample(2))


def test_sampling_follows_the_models_probabilities(make_captioner, features):
    model = make_captioner()
    torch.manual_seed(0)
    draws = model.generate(
        image_features=features[:1].expand(4000, -1), do_sample=True, num_beams=1, max_length=2, top_k=0
    )[:, 1]
    expected = score_words(model, features[0], [2])[0].softmax(0)
    torch.testing.assert_close(draws.bincount(minlength=11) / 4000, expected, atol=0.03, rtol=0)


def test_defaults_are_neuraltalks_search(make_captioner, features):
    model = make_captioner()
    settings = model.generation_config
    assert (settings.num_beams, settings.length_penalty, settings.early_stopping) == (5, 0.0, "never")
    assert model.generate(image_features=features).shape[1] <= settings.max_length == 21
    assert (settings.bos_token_id, settings.eos_token_id, settings.pad_token_id) == (2, 3, 1)


@pytest.mark.parametrize("beams", [1, 3], ids=["greedy", "beam"])
def test_rows_start_with_bos_and_end_in_padding(make_captioner, features, beams):
    rows = make_captioner().generate(image_features=features, num_beams=beams)
    assert set(rows[:, 0].tolist()) == {2}
    finished = [row.tolist() for row in rows if 3 in row[:-1]]
    assert finished
    for row in finished:
        assert set(row[row.index(3) + 1 :]) <= {1}


def test_prompt_is_continued(make_captioner, features):
    model = make_captioner()
    prompt = torch.tensor([[2, 5, 6]]).expand(6, -1)
    rows = model.generate(input_ids=prompt, image_features=features, num_beams=1, max_length=4)
    expected = [int(score_words(model, f, [2, 5, 6])[-1].argmax()) for f in features]
    assert rows[:, :3].tolist() == prompt.tolist()
    assert rows[:, 3].tolist() == expected


def test_a_whole_evaluation_batch_can_be_passed(make_captioner, features):
    model = make_captioner()
    labels = torch.full((18, 4), 3)
    batch = {"labels": labels, "image_index": torch.arange(6).repeat_interleave(3), "image_features": features}
    assert torch.equal(model.generate(**batch), model.generate(image_features=features))


def test_padded_prompts_are_refused(make_captioner, features):
    mask = torch.ones(6, 2, dtype=torch.long)
    prompt = torch.full((6, 2), 2)
    model = make_captioner()
    model.generate(input_ids=prompt, attention_mask=mask, image_features=features, max_length=3)
    mask[0, 0] = 0
    with pytest.raises(ValueError, match=r"^attention_mask must be all ones, got zeros: .* one by one$"):
        model.generate(input_ids=prompt, attention_mask=mask, image_features=features)


def test_generate_needs_an_image(make_captioner):
    message = "image_features or pixel_values must be given, got neither"
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        make_captioner().generate()


def test_misspelt_option_is_refused(make_captioner, features):
    with pytest.raises(ValueError, match="image_featurez"):
        make_captioner().generate(image_features=features, image_featurez=features)


def test_several_captions_per_image(make_captioner, features):
    model = make_captioner()
    output = model.generate(
        image_features=features,
        num_beams=3,
        num_return_sequences=3,
        return_dict_in_generate=True,
        output_scores=True,
    )
    scores = output.sequences_scores.view(6, 3)
    assert output.sequences.shape[0] == 18
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    best = model.generate(image_features=features, num_beams=3)
    assert [words_of(row) for row in output.sequences[::3]] == [words_of(row) for row in best]
