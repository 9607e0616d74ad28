import math

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import EvalPrediction, PreTrainedTokenizerFast

from hf_dsd.metrics import caption_metrics, normalize_caption, tokenizer_normalizer

WORDS = ["<pad>", "<end>", "a", "dog", "runs", "tricolored", "cat"]
PAD, END, A, DOG, RUNS, TRICOLORED, CAT = range(len(WORDS))


def make_tokenizer(normalizer: normalizers.Normalizer | None = None) -> PreTrainedTokenizerFast:
    """A word-level tokenizer over `WORDS`."""
    backend = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<pad>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if normalizer is not None:
        backend.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<end>")


def predict(rows: list[list[int]]) -> EvalPrediction:
    """What a Trainer hands over: predictions as a padded array; labels play no part."""
    return EvalPrediction(predictions=np.array(rows), label_ids=np.zeros((len(rows), 1)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("A Tri-colored DOG .", "a tricolored dog", id="hyphen-and-full-stop"),
        pytest.param(" two\tdogs\n run ", "two dogs run", id="white-space"),
        pytest.param("it 's 3 o'clock", "it s 3 oclock", id="digits-and-apostrophes"),
        pytest.param("caf\u00e9 CAFE\u0301 - !", "caf\u00e9 caf\u00e9", id="accents-kept-and-composed"),
        pytest.param("M\u00e4dchen l\u00e4uft", "m\u00e4dchen l\u00e4uft", id="german"),
        pytest.param("\u0939\u093f\u0902\u0926\u0940 \u0964", "\u0939\u093f\u0902\u0926\u0940", id="hindi"),
        pytest.param("a \u2764\ufe0f dog", "a dog", id="emoji-with-its-selector"),
        pytest.param("...", "", id="nothing-left"),
    ],
)
def test_normalize_caption(text, expected):
    assert normalize_caption(text) == expected


def test_scores_generated_ids_against_all_references():
    compute_metrics = caption_metrics(make_tokenizer(), [["A dog runs!", "The cat."], ["A tri-colored cat ."]])
    result = compute_metrics(predict([[A, DOG, RUNS, END, PAD], [A, DOG, END, -100, -100]]))
    penalty = math.exp(1 - 6 / 5)  # 5 words, closest references 3 + 3
    assert result == pytest.approx(
        {
            "bleu1": 100 * penalty * 4 / 5,
            "bleu2": 100 * penalty * math.sqrt(4 / 5 * 2 / 3),
            "bleu3": 100 * penalty * (4 / 5 * 2 / 3) ** (1 / 3),
            "bleu4": 0.0,
            "brevity_penalty": penalty,
            "caption_length": 2.5,
        }
    )
    assert all(type(value) is float for value in result.values())  # a Trainer's log takes nothing else


def test_trainer_padding_does_not_change_the_score():
    compute_metrics = caption_metrics(make_tokenizer(), [["a dog runs"]])
    short, padded = predict([[A, DOG, END]]), predict([[A, DOG, END, -100, -100, -100]])
    assert compute_metrics(short) == compute_metrics(padded)


def test_predictions_in_a_tuple_are_the_first_entry():
    compute_metrics = caption_metrics(make_tokenizer(), [["a dog"]])
    ids = np.array([[A, DOG, END]])
    result = compute_metrics(EvalPrediction(predictions=(ids, np.zeros((1, 7))), label_ids=None))
    assert result["bleu2"] == 100.0


def test_the_tokenizers_own_normalizer_wins():
    keeps_hyphens = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(Regex(r"[^a-z0-9\- ]"), "")])
    assert tokenizer_normalizer(make_tokenizer(keeps_hyphens))("A Tri-colored dog.") == "a tri-colored dog"
    assert tokenizer_normalizer(make_tokenizer())("A Tri-colored dog.") == "a tricolored dog"


def test_references_left_empty_are_dropped():
    compute_metrics = caption_metrics(make_tokenizer(), [["...", "a dog"]])
    assert compute_metrics(predict([[A, DOG]]))["brevity_penalty"] == 1.0


def test_prediction_and_reference_counts_must_agree():
    compute_metrics = caption_metrics(make_tokenizer(), [["a dog"], ["a cat"]])
    with pytest.raises(ValueError, match="got 1 predictions and 2 reference lists; build caption_metrics"):
        compute_metrics(predict([[A, DOG]]))


@pytest.mark.parametrize(
    ("references", "error", "message"),
    [
        pytest.param(["a dog"], TypeError, r"references\[0\] must be a list of str, got 'a dog'", id="flat"),
        pytest.param([["a"], ["?!"]], ValueError, r"references\[1\] must hold a caption with at least one", id="empty"),
        pytest.param([["a"], []], ValueError, r"references\[1\] must hold a caption with at least one", id="none"),
    ],
)
def test_unusable_references_are_refused_when_built(references, error, message):
    with pytest.raises(error, match=message):
        caption_metrics(make_tokenizer(), references)


@pytest.mark.parametrize(
    "predictions",
    [pytest.param(np.zeros((1, 3, 7)), id="logits"), pytest.param(np.zeros((1, 3)), id="floats")],
)
def test_anything_but_token_ids_is_refused(predictions):
    compute_metrics = caption_metrics(make_tokenizer(), [["a dog"]])
    with pytest.raises(ValueError, match="got shape .*; set predict_with_generate=True"):
        compute_metrics(EvalPrediction(predictions=predictions, label_ids=None))


def test_a_tokenizer_without_padding_is_refused():
    tokenizer = make_tokenizer()
    tokenizer.pad_token = None
    compute_metrics = caption_metrics(tokenizer, [["a dog"]])
    with pytest.raises(ValueError, match=r"tokenizer\.pad_token must be set .* got None"):
        compute_metrics(predict([[A, DOG]]))
