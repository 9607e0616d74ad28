"""The losses are the models' own, on validation examples."""

import math
from functools import partial
from itertools import chain

import pytest
import soundfile
import torch
from checkpoints import (
    save_captioner,
    save_deepspeech2,
    save_gpt2,
    write_captions,
    write_speech,
    write_text,
)
from tiny import save_wav2vec2
from transformers import AutoProcessor, AutoTokenizer, BertConfig, BertModel

from hf_dsd.data import CaptionCollator, CaptionEvaluationSet, SpeechCollator, load_captions, load_speech
from hf_dsd.metrics import score_transcripts
from hf_dsd.models import NeuralTalkProcessor, encode_caption, encode_transcript
from hf_dsd.sensitivity.evaluation import load_evaluation, spread_evenly
from hf_dsd.sensitivity.speech_evaluation import recognize


def test_examples_are_spread_evenly():
    assert spread_evenly(10, 4) == [0, 2, 5, 7]
    assert spread_evenly(3, 128) == [0, 1, 2]


def test_a_captioner(tmp_path):
    """Fewer images than there are, in a batch of their own."""
    data = load_captions(write_captions(tmp_path / "data"))
    model = save_captioner(tmp_path / "model", list(chain(*data.split("train").captions)))
    evaluation = load_evaluation(str(tmp_path / "model"), str(tmp_path / "data"), 3, bleu=True)
    evaluation.model.eval()
    scores = evaluation.evaluate()
    encode = partial(encode_caption, NeuralTalkProcessor.from_pretrained(tmp_path / "model").tokenizer)
    rows = CaptionEvaluationSet(data, encode, split="validation")
    with torch.no_grad():
        expected = float(model(**CaptionCollator()([rows[i] for i in (0, 1, 3)])).loss)
    assert float(scores["loss"].mean()) == pytest.approx(expected, rel=1e-6)
    assert len(scores["loss"]) == 3
    assert 0 <= scores["bleu4"] < 100
    assert evaluation.data.endswith("data: 3 of 5 images")
    assert evaluation.metrics == {"loss": False, "bleu4": True}


def test_a_captioner_of_other_image_vectors_is_refused(tmp_path):
    write_captions(tmp_path / "data")
    save_captioner(tmp_path / "model", ["one red square"], features=3)
    with pytest.raises(ValueError, match="image vectors must have 3 columns as the model was trained, got 6; give "):
        load_evaluation(str(tmp_path / "model"), str(tmp_path / "data"), 3)
    evaluation = load_evaluation(str(tmp_path / "model"), str(tmp_path / "data"), 3, feature_columns="0:3")
    assert evaluation.metrics == {"loss": False}


@pytest.mark.parametrize(("save", "reads"), [(save_deepspeech2, "input_features"), (save_wav2vec2, "input_values")])
def test_a_ctc_model(save, reads, tmp_path):
    """In one batch its own loss, wherever it is summed or averaged; in several the same, by symbols."""
    write_speech(tmp_path / "data")
    model = save(tmp_path / "model")
    evaluation = load_evaluation(str(tmp_path / "model"), str(tmp_path / "data"), 5)
    evaluation.model.eval()
    scores = evaluation.evaluate()
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    data = load_speech(tmp_path / "data").split("validation")
    rows = [
        {
            reads: processor.feature_extractor(
                soundfile.read(utterance.audio)[0], sampling_rate=16_000, return_tensors="pt"
            )[reads][0],
            "labels": encode_transcript(processor.tokenizer, utterance.transcript),
        }
        for utterance in data
    ]
    batch = SpeechCollator(return_attention_mask=reads == "input_features")(rows)
    symbols = int((batch["labels"] >= 0).sum())
    assert symbols == sum(2 + 2 * row for row in range(5))
    with torch.no_grad():
        loss = float(model(**batch).loss)
    expected = loss / symbols if model.config.ctc_loss_reduction == "sum" else loss
    assert float(scores["loss"].mean()) == pytest.approx(expected, rel=1e-5)
    assert len(scores["loss"]) == 5
    in_pairs = [{key: value[start : start + 2] for key, value in batch.items()} for start in range(0, 5, 2)]
    losses, texts = recognize(model, in_pairs, processor.tokenizer)
    assert float(losses.mean()) == pytest.approx(expected, rel=1e-5)
    assert scores["wer"] == score_transcripts(texts, [utterance.transcript for utterance in data])["wer"]
    assert evaluation.data == f"validation split of {tmp_path / 'data'}: 5 of 5 utterances"


def test_a_language_model(tmp_path):
    """Blocks of 16 tokens, as many as the model has positions, with the end token between texts."""
    text = write_text(tmp_path / "validation.txt")
    model = save_gpt2(tmp_path / "model", text)
    evaluation = load_evaluation(str(tmp_path / "model"), str(text), 4)
    evaluation.model.eval()
    scores = evaluation.evaluate()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    lines = [line for line in text.read_text().splitlines() if line]
    ids = list(chain.from_iterable([*tokenizer(line)["input_ids"], tokenizer.eos_token_id] for line in lines))
    count = len(ids) // 16
    blocks = torch.tensor([ids[16 * block : 16 * block + 16] for block in (row * count // 4 for row in range(4))])
    with torch.no_grad():
        expected = float(model(input_ids=blocks, labels=blocks).loss)
    assert float(scores["loss"].mean()) == pytest.approx(expected, rel=1e-6)
    assert float(scores["perplexity"]) == pytest.approx(math.exp(expected), rel=1e-6)
    assert evaluation.data == f"{text}: 4 of {count} blocks of 16 tokens"


def test_what_cannot_be_evaluated_is_refused(tmp_path):
    text = write_text(tmp_path / "short.txt")
    save_gpt2(tmp_path / "gpt2", text)
    BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=9)).save_pretrained(
        tmp_path / "bert"
    )
    text.write_text("one")
    with pytest.raises(ValueError, match=r"short\.txt must hold at least two blocks of 16 tokens, got \d tokens"):
        load_evaluation(str(tmp_path / "gpt2"), str(text), 4)
    with pytest.raises(ValueError, match="^--data must be a text file, one validation text per line"):
        load_evaluation(str(tmp_path / "gpt2"), None, 4)
    with pytest.raises(ValueError, match="is a BertModel: hf-dsd sensitivity evaluates NeuralTalk, CTC models and "):
        load_evaluation(str(tmp_path / "bert"), None, 4)
    with pytest.raises(ValueError, match="^examples must be at least 2, got 1$"):
        load_evaluation(str(tmp_path / "gpt2"), str(text), 1)
    with pytest.raises(OSError, match="nowhere"):
        load_evaluation(str(tmp_path / "nowhere"), None, 4)


def test_the_embedded_digits(tmp_path):
    save_deepspeech2(tmp_path / "model")
    evaluation = load_evaluation(str(tmp_path / "model"), None, 4)
    assert evaluation.data == "validation split of spoken digits: 4 of 80 utterances"
    assert len(evaluation.evaluate()["loss"]) == 4
