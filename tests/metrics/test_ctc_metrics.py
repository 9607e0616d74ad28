import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import EvalPrediction, Trainer, TrainingArguments, Wav2Vec2CTCTokenizer

from hf_dsd.metrics import argmax_logits, ctc_metrics

VOCABULARY = ["h", "e", "l", "o", "|", "<pad>", "<unk>", "w", "r", "d"]  # the blank is not id 0 on purpose
SHORT = {"_": "<pad>", "?": "<unk>"}


def ids(text: str) -> list[int]:
    """Ids of a string: `_` is the blank, `|` the space, `?` the unknown token, `.` the Trainer's padding."""
    return [-100 if char == "." else VOCABULARY.index(SHORT.get(char, char)) for char in text]


def evaluation(frames: list[str], labels: list[str]) -> EvalPrediction:
    """What a Trainer hands over, both padded to one length."""
    return EvalPrediction(predictions=np.array([*map(ids, frames)]), label_ids=np.array([*map(ids, labels)]))


@pytest.fixture
def tokenizer(tmp_path):
    vocabulary = tmp_path / "vocab.json"
    vocabulary.write_text(json.dumps({letter: index for index, letter in enumerate(VOCABULARY)}))
    return Wav2Vec2CTCTokenizer(str(vocabulary), bos_token=None, eos_token=None)


def test_repeats_merge_but_not_across_a_blank(tokenizer):
    result = ctc_metrics(tokenizer)(evaluation(["hhell_loo_"], ["hello"]))
    assert result == {"wer": 0.0, "cer": 0.0, "substitutions": 0.0, "insertions": 0.0, "deletions": 0.0, "words": 1.0}
    assert all(type(value) is float for value in result.values())  # a Trainer's log takes nothing else


def test_labels_keep_their_double_letters(tokenizer):
    # Without the blank the frames say "helo": one of five letters is missing.
    result = ctc_metrics(tokenizer)(evaluation(["hello"], ["hello"]))
    assert (result["wer"], result["cer"]) == (1.0, 1 / 5)


def test_words_are_counted_at_the_delimiter(tokenizer):
    result = ctc_metrics(tokenizer)(evaluation(["ho||lo_", "lo_____"], ["ho|le", "lo..."]))
    assert (result["wer"], result["substitutions"], result["words"]) == (1 / 3, 1.0, 3.0)


def test_trainer_padding_is_blank_in_predictions_and_nothing_in_labels(tokenizer):
    compute_metrics = ctc_metrics(tokenizer)
    assert compute_metrics(evaluation(["hol.."], ["hol."])) == compute_metrics(evaluation(["hol"], ["hol"]))
    assert compute_metrics(evaluation(["hol.."], ["hol."]))["wer"] == 0.0


def test_only_blanks_are_deletions(tokenizer):
    result = ctc_metrics(tokenizer)(evaluation(["____"], ["ho|lo"]))
    assert (result["wer"], result["deletions"]) == (1.0, 2.0)


def test_an_unknown_letter_in_the_labels_is_an_error(tokenizer):
    assert ctc_metrics(tokenizer)(evaluation(["ho"], ["h?"]))["wer"] == 1.0


def test_a_processor_lends_its_tokenizer(tokenizer):
    assert ctc_metrics(SimpleNamespace(tokenizer=tokenizer))(evaluation(["ho"], ["ho"]))["wer"] == 0.0


def test_predictions_in_a_tuple_are_the_first_entry(tokenizer):
    frames = np.array([ids("ho")])
    result = ctc_metrics(tokenizer)(EvalPrediction(predictions=(frames, np.zeros(3)), label_ids=frames))
    assert result["wer"] == 0.0


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        pytest.param(
            np.zeros((1, 3, 7)), np.zeros((1, 2), int), "predictions must be .* got shape .*argmax_logits", id="logits"
        ),
        pytest.param(np.zeros((1, 3)), np.zeros((1, 2), int), "predictions must be .* of float64", id="floats"),
        pytest.param(np.zeros((1, 3), int), None, "label_ids must be .* give every evaluation row labels", id="none"),
    ],
)
def test_anything_but_ids_is_refused(tokenizer, predictions, labels, message):
    with pytest.raises(ValueError, match=message):
        ctc_metrics(tokenizer)(EvalPrediction(predictions=predictions, label_ids=labels))


def test_a_tokenizer_without_blank_is_refused(tokenizer):
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match=r"tokenizer\.pad_token must be set, it is the CTC blank, got None"):
        ctc_metrics(tokenizer)


def test_argmax_is_one_integer_per_frame():
    logits = torch.tensor([[[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]], [[-1.0, -3.0, -0.5], [-100.0, -100.0, -99.0]]])
    best = argmax_logits(logits, torch.zeros(2, 1))
    assert best.tolist() == [[1, 0], [2, 2]]
    assert best.dtype == torch.int64
    assert argmax_logits((logits, torch.zeros(4)), None).tolist() == best.tolist()  # hidden states come after


def test_frames_added_between_processes_stay_padding():
    # The Trainer pads the logits themselves with -100; symbol 0 need not be the blank.
    logits = torch.nn.functional.pad(torch.ones(1, 2, 3).bfloat16(), (0, 0, 0, 2), value=-100.0)
    assert argmax_logits(logits)[0, 2:].tolist() == [-100, -100]


def test_only_frame_logits_have_a_best_symbol_per_frame():
    with pytest.raises(ValueError, match=r"logits must be \(batch, frames, symbols\), got shape \(2, 3\)"):
        argmax_logits(torch.zeros(2, 3))


class Echo(nn.Module):
    """Says what it is given: the input features are its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, input_features, labels):
        return {"loss": self.scale * 0.0, "logits": self.scale * input_features}


def collate(rows):
    """Pads frames with sure blanks and labels with -100."""
    features = pad_sequence([row["input_features"] for row in rows], batch_first=True)
    features[features.sum(dim=-1) == 0] = torch.eye(len(VOCABULARY))[VOCABULARY.index("<pad>")]
    return {
        "input_features": features,
        "labels": pad_sequence([row["labels"] for row in rows], batch_first=True, padding_value=-100),
    }


def test_inside_a_trainer_batches_of_different_length_do_not_change_the_score(tokenizer, tmp_path):
    texts = [("ho", "ho"), ("hel_lo", "hello"), ("lo|ho", "lo|le"), ("world", "word")]
    one_hot = torch.eye(len(VOCABULARY))
    trainer = Trainer(
        Echo(),
        TrainingArguments(str(tmp_path), per_device_eval_batch_size=2, use_cpu=True, report_to="none"),
        data_collator=collate,
        eval_dataset=[
            {"input_features": one_hot[ids(said)], "labels": torch.tensor(ids(text))} for said, text in texts
        ],
        compute_metrics=ctc_metrics(tokenizer),
        preprocess_logits_for_metrics=argmax_logits,
    )
    # "ho" for "le" and "world" for "word": 2 of 5 words, 2 + 1 of 2 + 5 + 5 + 4 characters.
    result = trainer.evaluate()
    assert (result["eval_wer"], result["eval_cer"]) == (2 / 5, 3 / 16)
