"""Scorers of a whole split: texts from a Trainer's predictions, scored as BLEU and WER score them."""

import json

import numpy as np
import pytest
from transformers import EvalPrediction, Wav2Vec2CTCTokenizer

from hf_dsd.metrics import caption_metrics, caption_scorer, label_scorer, score_captions, transcript_scorer
from hf_dsd.models import build_caption_tokenizer


def test_captions(tmp_path):
    tokenizer = build_caption_tokenizer(["a red dog runs home", "a red dog sits there"], min_count=1)
    references = [["A red dog runs home .", "A dog"], ["A red dog sits there !", "He sits there"]]
    scorer = caption_scorer(tokenizer, ["1.jpg", "2.jpg"], references)
    ids = [tokenizer("a red dog runs home", add_special_tokens=False)["input_ids"]]
    ids += [tokenizer("a dog", add_special_tokens=False)["input_ids"]]
    padded = np.array([row + [-100] * (6 - len(row)) for row in ids])
    texts = scorer.decode(padded)
    assert texts == ["a red dog runs home", "a dog"]
    assert scorer.references == [["a red dog runs home", "a dog"], ["a red dog sits there", "he sits there"]]
    scores = scorer.score(texts)
    assert scores["bleu4"] == score_captions(texts, scorer.references)["bleu4"]
    without = score_captions(texts, scorer.references, with_brevity_penalty=False)["bleu4"]
    assert scores["bleu4_without_penalty"] == without > scores["bleu4"] > 0
    assert scores["signature"].startswith("nrefs:2|bs:1000|seed:0|case:lc")
    assert (scorer.metric, scorer.greater_is_better) == ("bleu4", True)


def test_training_and_scoring_see_the_same_captions():
    """References without a word, outputs beside the ids: the two ways to a score agree."""
    tokenizer = build_caption_tokenizer(["a red dog runs home"], min_count=1)
    references = [["...", "A red dog runs"], ["a dog runs home!", "?"]]
    ids = np.array([tokenizer("a red dog runs", add_special_tokens=False)["input_ids"]] * 2)
    predictions = (ids, np.zeros((2, 7)))
    scorer = caption_scorer(tokenizer, ["1", "2"], references)
    assert scorer.references == [["a red dog runs"], ["a dog runs home"]]
    found = scorer.score(scorer.decode(predictions))
    trained = caption_metrics(tokenizer, references)(EvalPrediction(predictions=predictions, label_ids=None))
    assert {name: found[name] for name in ("bleu1", "bleu2", "bleu3", "bleu4", "brevity_penalty")} == {
        name: value for name, value in trained.items() if name != "caption_length"
    }
    assert found["signature"].startswith("nrefs:1|")


@pytest.mark.parametrize(
    "build", [lambda t, r: caption_scorer(t, ["1"], r), caption_metrics], ids=["scorer", "metrics"]
)
def test_a_caption_is_never_read_letter_by_letter(build):
    tokenizer = build_caption_tokenizer(["a dog"], min_count=1)
    with pytest.raises(TypeError, match=r"references\[0\] must be a list of str, got 'a dog'"):
        build(tokenizer, ["a dog"])
    with pytest.raises(ValueError, match=r"references\[0\] must hold a caption with at least one word"):
        build(tokenizer, [["..."]])


@pytest.mark.parametrize("label", [-1, -100, 2])
def test_a_hidden_label_is_refused(label):
    with pytest.raises(ValueError, match=f"labels must be at least 0 and below 2, got {label} in row 1 .* leave the"):
        label_scorer(["cat", "dog"], ["0", "1", "2"], [0, label, 1])


def test_an_id_for_every_example():
    with pytest.raises(ValueError, match="ids and references must be one per example, got 1 and 2"):
        label_scorer(["cat", "dog"], ["0"], [0, 1])


def test_transcripts(tmp_path):
    file = tmp_path / "vocab.json"
    file.write_text(json.dumps({symbol: index for index, symbol in enumerate(["<pad>", "|", *"abc"])}))
    options = {"bos_token": None, "eos_token": None, "unk_token": "<pad>", "pad_token": "<pad>"}
    tokenizer = Wav2Vec2CTCTokenizer(str(file), **options)
    scorer = transcript_scorer(tokenizer, ["u1", "u2"], ["AB, c", "A"])
    frames = np.array([[2, 2, 3, 0, 1, 4], [2, 0, 2, -100, -100, -100]])
    texts = scorer.decode((frames, None))
    assert texts == ["ab c", "aa"]
    assert scorer.references == [["ab c"], ["a"]]
    scores = scorer.score(texts)
    assert (scores["wer"], scores["words"]) == (pytest.approx(1 / 3), 3)
    assert "decoding:greedy" in scores["signature"]
    shrunk = transcript_scorer(tokenizer, ["u1", "u2"], ["AB, c", "A"], skipped=4)
    assert "|skipped:4|" in shrunk.score(texts)["signature"]
    spoken = transcript_scorer(tokenizer, ["u1", "u2"], ["AB, c", "A"], speakers=["x", "y"])
    assert "|drawn:speakers|" in spoken.score(texts)["signature"]
    assert spoken.clusters == ["x", "y"]
    assert (scorer.metric, scorer.greater_is_better) == ("wer", False)
