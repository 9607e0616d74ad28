import pickle
import re

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hf_dsd.models import build_caption_tokenizer, encode_caption

CAPTIONS = ["A dog runs .", "a dog's bone", "The cat, the T-shirt!", "a cat\nruns\tfast"]


@pytest.fixture
def tokenizer():
    return build_caption_tokenizer(CAPTIONS, min_count=1)


def test_ids_go_by_falling_count_then_alphabet(tokenizer):
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    assert words[:4] == ["<unk>", "<pad>", "<s>", "</s>"]
    assert words[4:] == ["a", "cat", "runs", "the", "bone", "dog", "dogs", "fast", "tshirt"]
    assert type(tokenizer) is PreTrainedTokenizerFast


def test_order_of_the_captions_does_not_matter(tokenizer):
    assert build_caption_tokenizer(reversed(CAPTIONS), min_count=1).get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize(("min_count", "size"), [(1, 13), (2, 8), (3, 5)])
def test_rare_words_get_no_id(min_count, size):
    assert len(build_caption_tokenizer(CAPTIONS, min_count=min_count)) == size


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog runs .", ["a", "dog", "runs", "</s>"]),
        ("The purple cat", ["the", "cat", "</s>"]),
        ("T-SHIRT: dog's", ["tshirt", "dogs", "</s>"]),
        ("<unk> a </s> <pad> dog <s>", ["a", "dog", "</s>"]),
        ("", ["</s>"]),
    ],
    ids=["plain", "unknown word dropped", "punctuation removed", "special tokens dropped", "empty"],
)
def test_training_targets_are_known_words_and_the_end(tokenizer, caption, words):
    assert tokenizer.convert_ids_to_tokens(encode_caption(tokenizer, caption)) == words


def test_a_text_is_a_prompt(tokenizer):
    assert tokenizer("a dog")["input_ids"] == [2, 4, 9]
    assert tokenizer("")["input_ids"] == [2]


@pytest.mark.parametrize("caption", CAPTIONS)
def test_decoding_gives_the_normalised_text(tokenizer, caption):
    expected = " ".join(re.sub("[^a-z0-9 ]", "", re.sub(r"\s", " ", caption.lower())).split())
    assert tokenizer.decode(encode_caption(tokenizer, caption), skip_special_tokens=True) == expected
    padded = [2, *encode_caption(tokenizer, caption), 1, 1]
    assert tokenizer.batch_decode([padded], skip_special_tokens=True) == [expected]


@pytest.mark.parametrize("way", ["files", "pickle"])
def test_round_trip(tokenizer, tmp_path, way):
    if way == "files":
        tokenizer.save_pretrained(tmp_path)
        loaded = AutoTokenizer.from_pretrained(tmp_path)
    else:
        loaded = pickle.loads(pickle.dumps(tokenizer))
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.special_tokens_map == tokenizer.special_tokens_map
    for caption in CAPTIONS:
        assert loaded(caption)["input_ids"] == tokenizer(caption)["input_ids"]
        assert encode_caption(loaded, caption) == encode_caption(tokenizer, caption)


@pytest.mark.parametrize(
    ("min_count", "message"),
    [
        (0, r"^min_count must be >= 1, got 0; 1 keeps every word$"),
        (9, r"^min_count must leave at least one word, got 9 with 9 distinct words; lower it, and put"),
    ],
)
def test_bad_min_count_is_refused_by_name(min_count, message):
    with pytest.raises(ValueError, match=message):
        build_caption_tokenizer(CAPTIONS, min_count=min_count)
