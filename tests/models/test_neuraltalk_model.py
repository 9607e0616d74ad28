import re

import pytest
import torch
from neuraltalk_reference import score_words
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoModelForImageTextToText

from hf_dsd.models import NeuralTalkConfig, NeuralTalkForConditionalGeneration

LABELS = torch.tensor([[4, 5, 6, 3], [7, 3, -100, -100], [3, -100, -100, -100]])


@pytest.fixture
def features():
    return torch.randn(3, 6)


def test_logits_equal_a_hand_written_cell(make_model, features):
    model = make_model()
    words = torch.tensor([[2, 4, 5, 6, 9], [2, 8, 8, 0, 1], [2, 10, 4, 7, 7]])
    logits = model(input_ids=words, image_features=features).logits
    expected = torch.stack([score_words(model, f, w.tolist()) for f, w in zip(features, words, strict=True)])
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def test_labels_are_read_shifted_and_scored_in_place(make_model, features):
    model = make_model()
    output = model(image_features=features, labels=LABELS)
    words = torch.tensor([[2, 4, 5, 6], [2, 7, 3, 1], [2, 3, 1, 1]])
    logits = model(input_ids=words, image_features=features).logits
    kept = LABELS != -100
    torch.testing.assert_close(output.logits[kept], logits[kept], atol=1e-6, rtol=0)
    expected = -logits.log_softmax(-1)[kept].gather(1, LABELS[kept].unsqueeze(1)).mean()
    torch.testing.assert_close(output.loss, expected, atol=1e-6, rtol=0)
    assert output.state is None
    assert set(output) == {"loss", "logits"}


def test_cpu_shortcut_equals_scoring_every_position(make_model, features):
    model = make_model()
    shortcut = model(image_features=features, labels=LABELS)
    shortcut.loss.backward()
    gradient = model.lstm.weight_hh_l0.grad.clone()
    model.zero_grad()
    # Compiled, the model takes the accelerator's way.
    whole = torch.compile(model, backend="eager")(image_features=features, labels=LABELS)
    whole.loss.backward()
    torch.testing.assert_close(shortcut.loss, whole.loss, atol=1e-6, rtol=0)
    torch.testing.assert_close(gradient, model.lstm.weight_hh_l0.grad, atol=1e-6, rtol=0)
    ignored = LABELS == -100
    torch.testing.assert_close(shortcut.logits[~ignored], whole.logits[~ignored], atol=1e-6, rtol=0)
    assert shortcut.logits[ignored].abs().max() == 0
    assert whole.logits[ignored].abs().min() > 0


def test_padding_changes_nothing(make_model, features):
    model = make_model()
    alone = [model(image_features=features[i : i + 1], labels=LABELS[i : i + 1, :n]).loss for i, n in [(0, 4), (1, 2)]]
    together = model(image_features=features[:2], labels=F.pad(LABELS[:2], (0, 9), value=-100)).loss
    torch.testing.assert_close(together, (4 * alone[0] + 2 * alone[1]) / 6, atol=1e-6, rtol=0)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_image_index_equals_repeated_images(make_model, features, training):
    model = make_model().train(training)
    index = torch.tensor([0, 0, 2, 1, 1])
    labels = LABELS[[0, 1, 2, 1, 0]]
    torch.manual_seed(1)
    indexed = model(image_features=features, labels=labels, image_index=index).loss
    torch.manual_seed(1)
    repeated = model(image_features=features[index], labels=labels).loss
    torch.testing.assert_close(indexed, repeated, atol=1e-6, rtol=0)


def test_image_index_is_read_only_with_labels(make_model, features):
    model = make_model()
    words = torch.full((3, 1), 2)
    with_index = model(input_ids=words, image_features=features, image_index=torch.tensor([0, 0, 0])).logits
    assert torch.equal(with_index, model(input_ids=words, image_features=features).logits)


def test_num_items_in_batch_divides_the_sum(make_model, features):
    model = make_model()
    mean = model(image_features=features, labels=LABELS).loss
    halves = [model(image_features=features[s], labels=LABELS[s], num_items_in_batch=7).loss for s in ([0], [1, 2])]
    torch.testing.assert_close(sum(halves), mean, atol=1e-6, rtol=0)
    as_tensor = model(image_features=features, labels=LABELS, num_items_in_batch=torch.tensor(14)).loss
    torch.testing.assert_close(as_tensor, mean / 2, atol=1e-6, rtol=0)


def test_gradient_reaches_every_weight_and_unused_words_stay_still(make_model, features):
    model = make_model()
    model(image_features=features, labels=LABELS).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    # <s> and the words of LABELS are read; <pad> is read too, but after the last target, where nothing is scored.
    read = model.word_embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist()
    assert read == [2, 4, 5, 6, 7]


def test_dropout_acts_on_both_sides(make_model, features):
    model = make_model(encoder_dropout=0.0, decoder_dropout=0.0).train()
    losses = {model(image_features=features, labels=LABELS).loss.item() for _ in range(3)}
    assert len(losses) == 1
    for side in ("encoder_dropout", "decoder_dropout"):
        model = make_model(**{"encoder_dropout": 0.0, "decoder_dropout": 0.0, side: 0.5}).train()
        assert len({model(image_features=features, labels=LABELS).loss.item() for _ in range(3)}) == 3


def test_state_continues_a_caption(make_model, features):
    model = make_model()
    words = torch.tensor([[2, 4, 5, 6], [2, 8, 8, 0], [2, 10, 4, 7]])
    whole = model(input_ids=words, image_features=features)
    start = model(input_ids=words[:, :2], image_features=features)
    rest = model(input_ids=words[:, 2:], image_features=features, state=start.state)
    torch.testing.assert_close(rest.logits, whole.logits[:, 2:], atol=1e-6, rtol=0)
    torch.testing.assert_close(rest.state, whole.state, atol=1e-6, rtol=0)


def test_tuple_output_and_no_cache(make_model, features):
    model = make_model()
    loss, logits = model(image_features=features, labels=LABELS, return_dict=False)
    assert (loss.shape, logits.shape) == ((), (3, 4, 11))
    words = torch.full((3, 1), 2)
    assert set(model(input_ids=words, image_features=features, use_cache=False)) == {"logits"}
    assert set(model(input_ids=words, image_features=features)) == {"logits", "state"}


def test_half_precision_features_are_accepted(make_model, features):
    model = make_model()
    half = model(image_features=features.half(), labels=LABELS).loss
    torch.testing.assert_close(half, model(image_features=features.half().float(), labels=LABELS).loss, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"labels": LABELS}, "image_features or pixel_values must be given, got neither; every caption needs an image"),
        ({"image_features": torch.ones(3, 6)}, "input_ids or labels must be given, got neither; pass labels, or call"),
        (
            {"image_features": torch.ones(3, 5), "labels": LABELS},
            "image_features must have shape (images, image_feature_size=6), got (3, 5); set image_feature_size",
        ),
        (
            {"image_features": torch.ones(2, 6), "labels": LABELS},
            "image_features must have one row per caption row (3), got 2; image_index says which image",
        ),
        (
            {"image_features": torch.ones(2, 6), "labels": LABELS, "image_index": torch.tensor([0, 1])},
            "image_index must have one row per caption row (3), got 2; image_index says which image",
        ),
        (
            {"image_features": torch.ones(3, 6), "labels": LABELS, "input_ids": LABELS[:, :2]},
            "input_ids must have the shape of labels (3, 4), got (3, 2); leave input_ids out",
        ),
        (
            {"image_features": torch.ones(3, 6), "pixel_values": torch.ones(3, 3, 8, 8), "labels": LABELS},
            "only one of image_features and pixel_values can be given, got both; drop one",
        ),
        (
            {"pixel_values": torch.ones(3, 3, 8, 8), "labels": LABELS},
            "pixel_values needs config.encoder_config, got None; pass image_features",
        ),
    ],
    ids=["no image", "no words", "width", "rows", "index rows", "two word inputs", "two images", "no encoder"],
)
def test_bad_input_is_refused_by_name(make_model, inputs, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        make_model()(**inputs)


def test_fresh_weights_are_small_uniform_with_open_forget_gates():
    model = NeuralTalkForConditionalGeneration(NeuralTalkConfig(image_feature_size=512))
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            assert parameter.abs().max() <= 0.1, name
            assert abs(parameter.std().item() - 0.1 / 3**0.5) < 0.001, name
    forget = torch.cat([torch.zeros(256), torch.ones(256), torch.zeros(512)])
    assert torch.equal(model.lstm.bias_ih_l0, forget)
    zeros = [model.lstm.bias_hh_l0, model.decoder.bias, model.image_encoder.bias]
    assert all(bias.abs().max() == 0 for bias in zeros)


def test_parameter_count_at_the_papers_size():
    model = NeuralTalkForConditionalGeneration(NeuralTalkConfig())
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in model.named_children()}
    assert counts["image_encoder"] == 4096 * 256 + 256
    assert counts["word_embedding"] == 2541 * 256
    assert counts["lstm"] == 4 * 256 * (256 + 256) + 2 * 4 * 256
    assert counts["decoder"] == 256 * 2541 + 2541


def test_dense_modules_are_the_word_embedding_and_the_encoder(make_model):
    from transformers import ResNetConfig

    encoder = ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], layer_type="basic")
    model = make_model(encoder_config=encoder, image_feature_size=4)
    dense = {
        name
        for name, parameter in model.named_parameters()
        if any(re.search(pattern, name) for pattern in model.dsd_dense_modules)
    }
    assert "word_embedding.weight" in dense
    pruned = {name for name, p in model.named_parameters() if name not in dense and p.dim() > 1}
    assert pruned == {"image_encoder.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "decoder.weight"}


def test_saved_model_comes_back_equal(make_model, features, tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert type(loaded) is NeuralTalkForConditionalGeneration
    assert loaded.training is False
    weights, expected = loaded.state_dict(), model.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert loaded.generation_config.to_dict() == model.generation_config.to_dict()
    assert torch.equal(loaded.generate(image_features=features), model.generate(image_features=features))


def test_missing_weights_are_initialised_and_present_ones_kept(make_model, tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["lstm.bias_ih_l0"], weights["decoder.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = NeuralTalkForConditionalGeneration.from_pretrained(tmp_path)
    assert torch.equal(loaded.lstm.bias_ih_l0, torch.cat([torch.zeros(7), torch.ones(7), torch.zeros(14)]))
    assert 0 < loaded.decoder.weight.abs().max() <= 0.1
    assert torch.equal(loaded.lstm.weight_hh_l0, model.lstm.weight_hh_l0)
    assert torch.equal(loaded.lstm.bias_hh_l0, model.lstm.bias_hh_l0)


def test_vocabulary_can_be_resized(make_model, features):
    model = make_model()
    before = model(image_features=features, labels=LABELS).logits
    model.resize_token_embeddings(13)
    after = model(image_features=features, labels=LABELS).logits
    assert (model.config.vocab_size, after.shape[-1]) == (13, 13)
    torch.testing.assert_close(after[..., :11], before, atol=1e-6, rtol=0)


def test_it_learns_captions_by_heart():
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "image_feature_size": 8, "hidden_size": 32, "word_embedding_size": 16}
    config = NeuralTalkConfig(**sizes, encoder_dropout=0.0, decoder_dropout=0.0)
    model = NeuralTalkForConditionalGeneration(config)
    features = torch.randn(8, 8)
    labels = torch.cat([torch.randint(4, 20, (8, 5)), torch.full((8, 1), 3)], dim=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    for _ in range(120):
        loss = model(image_features=features, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.01
    assert torch.equal(model.eval().generate(image_features=features)[:, 1:], labels)


def test_standardised_features_are_the_raw_ones_scaled(make_model, features, tmp_path):
    """Constant dimensions are only centred; the statistics travel with the weights."""
    training = torch.tensor([[1.0, 10, 5, 0, -1, 2], [3.0, 30, 5, 4, 1, 2], [5.0, 20, 5, 8, 3, 2]])
    plain, standardised = make_model(), make_model()
    standardised.standardize_features(training)
    by_hand = (features - torch.tensor([3.0, 20, 5, 4, 1, 2])) / torch.tensor([2.0, 10, 1, 4, 2, 1])
    expected = plain(image_features=by_hand, labels=LABELS).logits
    torch.testing.assert_close(standardised(image_features=features, labels=LABELS).logits, expected)
    standardised.save_pretrained(tmp_path)
    loaded = NeuralTalkForConditionalGeneration.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded(image_features=features, labels=LABELS).logits, expected)
    assert loaded.generate(image_features=features).tolist() == plain.generate(image_features=by_hand).tolist()


def test_a_checkpoint_without_statistics_reads_raw_features(make_model, features, tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["feature_mean"], weights["feature_scale"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = NeuralTalkForConditionalGeneration.from_pretrained(tmp_path)
    torch.testing.assert_close(
        loaded(image_features=features, labels=LABELS).logits, model(image_features=features, labels=LABELS).logits
    )


@pytest.mark.parametrize("shape", [(1, 6), (3, 5), (6,)])
def test_statistics_need_vectors_of_the_models_width(make_model, shape):
    with pytest.raises(ValueError, match=r"^features must be \(at least 2 images, image_feature_size=6\), got \("):
        make_model().standardize_features(torch.randn(*shape))
