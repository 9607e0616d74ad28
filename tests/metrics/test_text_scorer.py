"""Scorers of a whole split: texts from a Trainer's predictions, scored as BLEU and WER score them."""

import json

import numpy as np
import pytest
from transformers import Wav2Vec2CTCTokenizer

from hf_dsd.metrics import caption_scorer, score_captions, transcript_scorer
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
    assert (scorer.metric, scorer.greater_is_better) == ("wer", False)
