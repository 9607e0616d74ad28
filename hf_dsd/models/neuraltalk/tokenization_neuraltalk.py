"""A word-level caption tokenizer as a plain `PreTrainedTokenizerFast`: whoever loads it needs transformers only."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

logger = logging.getLogger(__name__)

UNK_TOKEN, PAD_TOKEN, BOS_TOKEN, EOS_TOKEN = "<unk>", "<pad>", "<s>", "</s>"
# <pad> must not be 0: transformers' beam search writes `pad_token_id or eos_token_id` after the end of a row.
SPECIAL_TOKENS = (UNK_TOKEN, PAD_TOKEN, BOS_TOKEN, EOS_TOKEN)


def build_caption_tokenizer(captions: Iterable[str], min_count: int = 5) -> PreTrainedTokenizerFast:
    """Builds the tokenizer of the words seen at least `min_count` times in raw training captions.

    Text is lower-cased, letters of any script with their marks and digits are kept, other characters removed (so
    "t-shirt" is the word "tshirt") and words are split at spaces; removed symbols that are no punctuation are counted
    in one log line. Languages written without spaces must be split into words before. Ids are deterministic: the
    special tokens `<unk> <pad> <s> </s>`, then words by falling count, equal counts in alphabetical order. On
    Flickr-8K's 30,000 training captions that is 2,537 words; NeuralTalk's 2,538 counts the end token too.

    The tokenizer puts `<s>` before a text (a prompt for `generate()`); `encode_caption` makes training targets.

    Raises:
        ValueError: If `min_count` is below 1 or no word reaches it.
    """
    if min_count < 1:
        raise ValueError(f"min_count must be >= 1, got {min_count}; 1 keeps every word")
    normalizer = _caption_normalizer()
    characters: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for caption in captions:
        characters.update(caption)
        counts.update(normalizer.normalize_str(caption).split())
    _report_removed(characters)
    words = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
    if not words:
        raise ValueError(
            f"min_count must leave at least one word, got {min_count} with {len(counts)} distinct words; lower it, and "
            "put spaces between words in languages written without"
        )
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *words])}
    backend = Tokenizer(WordLevel(vocabulary, unk_token=UNK_TOKEN))
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS_TOKEN} $A", special_tokens=[(BOS_TOKEN, vocabulary[BOS_TOKEN])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token=UNK_TOKEN,
        pad_token=PAD_TOKEN,
        bos_token=BOS_TOKEN,
        eos_token=EOS_TOKEN,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def encode_caption(tokenizer: PreTrainedTokenizerFast, caption: str) -> list[int]:
    """Encodes a raw caption as training targets: its known words, then `</s>`, which is always there.

    Unknown words are dropped, as NeuralTalk drops them: a target `<unk>` would teach the model to write it, and the
    sentence without its rare word is usually still a sentence. There is no `<s>`: the model adds it to its inputs.
    """
    special = set(tokenizer.all_special_ids)
    ids = tokenizer(caption, add_special_tokens=False)["input_ids"]
    return [*(index for index in ids if index not in special), tokenizer.eos_token_id]


def _report_removed(characters: Counter[str]) -> None:
    """Counts the symbols that the tokenizer leaves out of captions, other than punctuation and white space."""
    removed = Counter({char: n for char, n in characters.items() if unicodedata.category(char) in _REPORTED})
    if removed:
        common = ", ".join(f"{char!r} {count} times" for char, count in removed.most_common(10))
        logger.warning("left %d symbol(s) out of the captions that no word can hold: %s", removed.total(), common)


_REPORTED = {"Sc", "Sk", "Sm", "So", "Cc", "Co", "Cn", "Cs"}  # symbols and what is no character


def _caption_normalizer() -> normalizers.Normalizer:
    """Lower-cases, and leaves letters with their marks, digits and spaces: the rule of `metrics.normalize_caption`.

    It is made of the tokenizers library's own parts, so that `tokenizer.json` holds it and needs no code of ours.
    """
    return normalizers.Sequence(
        [
            normalizers.Lowercase(),
            # Joiners, soft hyphens and variation selectors stand inside words and have no shape of their own.
            normalizers.Replace(
                Regex(r"[\p{Cf}\x{34F}\x{180B}-\x{180D}\x{180F}\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]"), ""
            ),
            normalizers.NFC(),
            normalizers.Replace(Regex(r"(?<=\p{L})\x{3C3}(?![\p{L}\p{M}\p{N}_])"), "\u03c2"),
            # Line breaks and tabs separate words; the next rule would glue the words together.
            normalizers.Replace(Regex(r"[\s\x1c-\x1f]"), " "),
            # Marks belong to the letter before them; after a symbol or a space they were part of a symbol.
            normalizers.Replace(Regex(r"[^\p{L}\p{M}\p{N} ]+\p{M}*|(?<![^ ])\p{M}+"), ""),
        ]
    )
