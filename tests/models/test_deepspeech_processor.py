import copy
import json
import re

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, AutoTokenizer, Wav2Vec2CTCTokenizer, pipeline

from hf_dsd.models import (
    DeepSpeech2Config,
    DeepSpeech2ForCTC,
    DeepSpeechConfig,
    DeepSpeechFeatureExtractor,
    DeepSpeechForCTC,
    DeepSpeechProcessor,
    build_character_tokenizer,
    encode_transcript,
    find_characters,
    unknown_characters,
)
from hf_dsd.models.deepspeech.tokenization_deepspeech import ALPHABET


@pytest.fixture
def tokenizer():
    return build_character_tokenizer()


@pytest.fixture
def processor(tokenizer):
    return DeepSpeechProcessor(DeepSpeechFeatureExtractor(), tokenizer)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32) * 0.1


def logits_of(tokenizer: Wav2Vec2CTCTokenizer, path: str) -> torch.Tensor:
    """Scores `(T, 29)` whose best path is `path`, with "_" for the blank and "|" between words."""
    ids = [0 if symbol == "_" else tokenizer.get_vocab()[symbol] for symbol in path]
    return 30.0 * torch.nn.functional.one_hot(torch.tensor(ids), 29)


# The tokenizer


def test_the_tokenizer_has_29_symbols_and_the_blank_first(tokenizer):
    assert type(tokenizer) is Wav2Vec2CTCTokenizer
    assert len(tokenizer) == DeepSpeechConfig().vocab_size == DeepSpeech2Config().vocab_size == 29
    assert (tokenizer.pad_token_id, tokenizer.word_delimiter_token_id) == (0, 1)
    assert "".join(sorted(tokenizer.get_vocab())[2:]) == "abcdefghijklmnopqrstuvwxyz|"


@pytest.mark.parametrize(
    ("text", "symbols"),
    [("it's", "it's"), ("Hello  World\n", "hello|world"), ("", ""), (" a ", "a"), ("A B", "a|b")],
)
def test_transcripts_become_labels_and_come_back(tokenizer, text, symbols):
    ids = encode_transcript(tokenizer, text)
    assert "".join(tokenizer.convert_ids_to_tokens(ids)) == symbols
    assert tokenizer.decode(ids, group_tokens=False) == symbols.replace("|", " ")
    assert tokenizer(symbols.replace("|", " "))["input_ids"] == ids


@pytest.mark.parametrize(
    ("text", "unknown"), [("route 66", "['6']"), ("café <pad>", "['<', '>', 'é']"), ("a|b-", "['-', '|']")]
)
def test_unknown_characters_are_refused_by_name(tokenizer, text, unknown):
    message = f"transcript must use the tokenizer's characters only, got {unknown} in {text!r}; spell them out"
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        encode_transcript(tokenizer, text)


def test_other_characters(tokenizer):
    german = build_character_tokenizer("abcäöü")
    assert encode_transcript(german, "AÄ b") == [2, 5, 1, 3]
    assert len(german) == 8


@pytest.mark.parametrize(
    ("letters", "ids"), [("ab", [2, 3, 1, 2]), ("AB", [2, 3, 1, 2]), ("aAbB", [3, 4, 1, 2])], ids=["low", "up", "both"]
)
def test_transcripts_take_the_vocabularys_case(letters, ids, tmp_path):
    file = tmp_path / "vocab.json"
    file.write_text(json.dumps({symbol: index for index, symbol in enumerate(["<pad>", "|", *letters])}))
    options = {"bos_token": None, "eos_token": None, "unk_token": "<pad>"}
    assert encode_transcript(Wav2Vec2CTCTokenizer(str(file), **options), "Ab a") == ids


@pytest.mark.parametrize(("characters", "bad"), [("aba", "a"), ("a b", " "), ("a|", "|")])
def test_bad_characters_are_refused_by_name(characters, bad):
    message = f"characters must be distinct and neither space nor '|', got {bad!r}; drop it"
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        build_character_tokenizer(characters)


@pytest.mark.parametrize(
    ("transcripts", "characters"),
    [
        pytest.param(["hello", "world"], ALPHABET, id="of-the-alphabet"),
        pytest.param([], ALPHABET, id="none"),
        pytest.param(["HI", "it"], "HIit", id="capitals"),
        pytest.param(["f\u00fcr 2", "a|b"], "2abfr\u00fc", id="umlaut-digit-bar"),
        pytest.param(["\u0451\u0436", "e\u0301"], "e\u0301\u0436\u0451", id="cyrillic-accent"),
    ],
)
def test_the_characters_of_transcripts(transcripts, characters):
    assert find_characters(transcripts) == characters


@pytest.mark.parametrize("text", ["\u0451\u0436 \u0438 f\u00fcr e\u0301", "Ab aB", "\u0e01\u0e33 \u0928\u093f"])
def test_any_script_comes_back_from_its_labels(text, tmp_path):
    tokenizer = build_character_tokenizer(find_characters([text]))
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.decode(encode_transcript(loaded, text), group_tokens=False) == text


def test_unknown_characters_are_each_named_once(tokenizer):
    assert unknown_characters(tokenizer, "Caf\u00e9 \u00e9 66|") == ["6", "|", "\u00e9"]
    assert unknown_characters(tokenizer, "It's fine") == []


def test_no_character_at_all_is_refused():
    with pytest.raises(ValueError, match="characters must not be empty"):
        build_character_tokenizer("")


def test_tokenizer_round_trip(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert type(loaded) is Wav2Vec2CTCTokenizer
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.decode([10, 10, 7, 14, 0, 14, 17, 1, 1, 22]) == "hello t"


# The processor


def test_audio_and_text_make_a_batch_the_model_takes(processor):
    batch = processor([noise(3200), noise(8000)], ["No", "yes sir"], sampling_rate=16_000, return_tensors="pt")
    assert batch["input_features"].shape == (2, 50, 161)
    assert batch["attention_mask"].sum(1).tolist() == [20, 50]
    assert batch["labels"].tolist() == [[16, 17, -100, -100, -100, -100, -100], [27, 7, 21, 1, 21, 11, 20]]
    model = DeepSpeechForCTC(DeepSpeechConfig(hidden_size=8))
    assert model(**batch).loss.isfinite()
    assert set(processor.model_input_names) == {*batch, "input_lengths", "targets"}


def test_a_training_row_is_the_batchs_row():
    processor = DeepSpeechProcessor.build("ab", hop_length=80)
    batch = processor([noise(800), noise(1600, seed=1)], ["a", "Ab"], sampling_rate=16_000, return_tensors="pt")
    assert torch.equal(processor.extract(noise(1600, seed=1), 16_000), batch["input_features"][1])
    assert processor.encode("Ab") == batch["labels"][1].tolist() == [2, 3]
    assert len(DeepSpeechProcessor.build().tokenizer) == 29


def test_audio_or_text_alone(processor):
    assert set(processor(noise(800))) == {"input_features", "attention_mask"}
    assert processor(text="no") == {"labels": [[16, 17]]}
    with pytest.raises(ValueError, match=r"^audio or text must be given, got neither; pass at least one of them$"):
        processor()
    with pytest.raises(ValueError, match=r"^sampling_rate must be 16000, got 8000; resample first"):
        processor(noise(800), sampling_rate=8000)


def test_processor_round_trip(processor, tmp_path):
    DeepSpeechConfig().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is DeepSpeechProcessor
    assert loaded.feature_extractor.to_dict() == processor.feature_extractor.to_dict()
    assert loaded.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert np.array_equal(loaded(noise(800))["input_features"][0], processor(noise(800))["input_features"][0])


def test_parts_of_the_wrong_kind_are_refused(processor):
    with pytest.raises(TypeError, match="feature_extractor"):
        DeepSpeechProcessor(processor.tokenizer, processor.tokenizer)
    with pytest.raises(TypeError, match="tokenizer"):
        DeepSpeechProcessor(processor.feature_extractor)


# From scores to text


def test_greedy_transcripts(processor, tokenizer):
    paths = ["__hhe_ll_lo||_|wo_rld_", "|a____________________"]
    logits = torch.stack([logits_of(tokenizer, path) for path in paths])
    assert processor.transcribe(logits) == ["hello world", "a"]
    assert processor.transcribe(logits, beam_width=4) == ["hello world", "a"]


# The pipeline

MODELS = {
    "deepspeech": lambda: DeepSpeechForCTC(DeepSpeechConfig(hidden_size=24)),
    "deepspeech2": lambda: DeepSpeech2ForCTC(
        DeepSpeech2Config(conv_channels=[3, 3], hidden_size=12, num_hidden_layers=2, rnn_type="gru")
    ),
}


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_speech_recognition_pipeline(build, processor, tmp_path):
    torch.manual_seed(1)
    model = build().eval()
    model.ctc_head.weight.data *= 8  # so that a random model says something
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    recognise = pipeline("automatic-speech-recognition", model=str(tmp_path))
    assert recognise.type == "ctc"
    long, short = noise(16_000), noise(6_000, seed=1)
    expected = []
    for audio in (long, short):
        logits = model(**processor(audio, sampling_rate=16_000, return_tensors="pt")).logits
        expected.append(processor.tokenizer.decode(logits[0].argmax(-1)))
    assert len(expected[0]) > len(expected[1]) > 3
    assert recognise(long)["text"] == expected[0]
    assert recognise({"array": short, "sampling_rate": 16_000})["text"] == expected[1]
    assert [row["text"] for row in recognise([long, short], batch_size=2)] == expected


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_pipeline_timestamps_and_chunks(build, processor, tmp_path):
    torch.manual_seed(1)
    model = build().eval()
    model.ctc_head.weight.data *= 8
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    recognise = pipeline("automatic-speech-recognition", model=str(tmp_path))
    audio = noise(24_000)
    whole = recognise(audio.copy(), return_timestamps="char")
    assert "".join(chunk["text"] for chunk in whole["chunks"]).strip() == whole["text"]
    seconds = model.config.inputs_to_logits_ratio / 16_000
    path = model(**processor(audio, return_tensors="pt")).logits[0].argmax(-1).tolist()
    first = next(t for t, symbol in enumerate(path) if symbol)
    assert whole["chunks"][0]["timestamp"][0] == pytest.approx(first * seconds)
    assert whole["chunks"][-1]["timestamp"][1] <= 1.5 + 2 * seconds
    words = recognise(audio.copy(), return_timestamps="word")
    assert " ".join(chunk["text"] for chunk in words["chunks"]).split() == words["text"].split()
    assert recognise(audio.copy(), chunk_length_s=3.0)["text"] == whole["text"]


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_pipeline_chunks_are_cut_at_their_strides(build, processor, tmp_path):
    torch.manual_seed(1)
    model = build().eval()
    model.ctc_head.weight.data *= 8
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    recognise = pipeline("automatic-speech-recognition", model=str(tmp_path))
    audio, ratio = noise(24_000), model.config.inputs_to_logits_ratio
    length, stride = 8000, 2 * ratio
    ids: list[int] = []
    for start in range(0, 24_000, length - 2 * stride):
        piece = audio[start : start + length]
        best = model(**processor(piece, return_tensors="pt")).logits[0].argmax(-1).tolist()
        is_last = start + length >= 24_000
        ids += best[2 * (start > 0) : len(best) - 2 * (not is_last)]
        if is_last:
            break
    assert len(ids) == 24_000 // ratio
    chunked = recognise(audio.copy(), chunk_length_s=length / 16_000, stride_length_s=stride / 16_000)
    assert chunked["text"] == processor.tokenizer.decode(ids)


def test_processors_can_be_copied(processor):
    assert copy.deepcopy(processor).tokenizer.get_vocab() == processor.tokenizer.get_vocab()
