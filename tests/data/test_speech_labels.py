import pytest
import torch
from recordings import letter_tokenizer, speech

from hf_dsd.data import required_frames, transcript_characters, transcript_encoder


def test_characters_are_those_of_the_normalised_transcripts():
    data = speech("ONE two", "it's")
    assert transcript_characters(data) == sorted(" ENO'istow")
    assert transcript_characters(data, str.lower) == sorted(" 'einostw")


def test_ids_of_a_transcript(tmp_path):
    encode = transcript_encoder(letter_tokenizer(tmp_path, "abc"), str.lower)
    assert encode("AB c") == [3, 4, 2, 5]


@pytest.mark.parametrize(
    ("transcript", "lacking"), [("abx", r"\['x'\]"), ("\u00e9 a-b", r"\['-', '\u00e9'\]")], ids=["one", "two"]
)
def test_characters_outside_the_vocabulary_are_listed(tmp_path, transcript, lacking):
    encode = transcript_encoder(letter_tokenizer(tmp_path, "ab"))
    with pytest.raises(ValueError, match=f"vocabulary, got {lacking} in .* extend the vocabulary to transcript_charac"):
        encode(transcript)


def test_a_vocabulary_without_unknown_token_is_checked_too(tmp_path):
    tokenizer = letter_tokenizer(tmp_path, "ab")
    del tokenizer.encoder["<unk>"]
    with pytest.raises(ValueError, match=r"vocabulary, got \['x'\]"):
        transcript_encoder(tokenizer)("ax")


@pytest.mark.parametrize(
    ("labels", "frames"), [([5], 1), ([5, 6, 5], 3), ([5, 5], 3), ([5, 5, 5, 6, 6], 8)], ids=lambda value: str(value)
)
def test_required_frames_are_where_the_ctc_loss_becomes_finite(labels, frames):
    assert required_frames(labels) == frames
    log_probs = torch.zeros(frames, 1, 8).log_softmax(-1)
    for length, finite in ((frames, True), (frames - 1, False)):
        loss = torch.nn.functional.ctc_loss(log_probs, torch.tensor([labels]), [length], [len(labels)])
        assert bool(loss.isfinite()) == finite
