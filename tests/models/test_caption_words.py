"""What a word of a caption is: the tokenizer's files and the metrics' Python say the same, for every character."""

import logging
import sys
import unicodedata

import pytest

from hf_dsd.metrics import normalize_caption, tokenizer_normalizer
from hf_dsd.models import build_caption_tokenizer, encode_caption


def test_tokenizer_and_metrics_agree_on_every_character():
    normalize = tokenizer_normalizer(build_caption_tokenizer(["a"], min_count=1))
    old = unicodedata.ucd_3_2_0  # characters that every version of Unicode knows alike
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if old.category(char) in ("Cn", "Cs") or old.category(char)[0] != unicodedata.category(char)[0]:
            continue
        text = f"X{char}y {char} {char}\u0301Z -{char}"
        assert normalize(text) == normalize_caption(text), hex(code)


@pytest.mark.parametrize(
    "text",
    [
        "\u039f\u0394\u039f\u03a3 \u03a3\u0391\u03a3. \u03a3",
        "\u0130stanbul",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937 \u0939\u093f\u0902\u0926\u0940",
        "a \u2764\ufe0f dog 1\ufe0f\u20e3",
        "tri-colored caf\u00e9 CAFE\u0301\u2028\u00a0b\x1cc",
    ],
)
def test_tokenizer_and_metrics_agree_on_words(text):
    assert tokenizer_normalizer(build_caption_tokenizer(["a"], min_count=1))(text) == normalize_caption(text)


def test_words_of_other_languages_are_kept():
    captions = [
        "Ein M\u00e4dchen l\u00e4uft .",
        "\u0414\u0435\u0432\u043e\u0447\u043a\u0430 \u0431\u0435\u0436\u0438\u0442",
    ]
    tokenizer = build_caption_tokenizer(captions, min_count=1)
    words = tokenizer.convert_ids_to_tokens(encode_caption(tokenizer, captions[0]))
    assert words == ["ein", "m\u00e4dchen", "l\u00e4uft", "</s>"]
    assert (
        tokenizer.convert_ids_to_tokens(encode_caption(tokenizer, captions[1]))[1] == "\u0431\u0435\u0436\u0438\u0442"
    )


def test_what_is_left_out_is_counted(caplog):
    with caplog.at_level(logging.WARNING):
        build_caption_tokenizer(["a dog \U0001f415 \U0001f415.", "5 \u20ac, a t-shirt"], min_count=1)
    (record,) = caplog.records
    assert record.getMessage() == (
        "left 3 symbol(s) out of the captions that no word can hold: '\U0001f415' 2 times, '\u20ac' 1 times"
    )
    caplog.clear()
    build_caption_tokenizer(["A dog, a t-shirt!"], min_count=1)
    assert caplog.records == []


def test_text_without_spaces_says_what_to_do():
    with pytest.raises(ValueError, match="got 2 with 1 distinct words; lower it, and put spaces between words in"):
        build_caption_tokenizer(["\u4e00\u53ea\u72d7"], min_count=2)
