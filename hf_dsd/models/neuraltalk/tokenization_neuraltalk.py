"""A word-level caption tokenizer as a plain `PreTrainedTokenizerFast`: whoever loads it needs transformers only."""

from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

UNK_TOKEN, PAD_TOKEN, BOS_TOKEN, EOS_TOKEN = "<unk>", "<pad>", "<s>", "</s>"
# <pad> must not be 0: transformers' beam search writes `pad_token_id or eos_token_id` after the end of a row.
SPECIAL_TOKENS = (UNK_TOKEN, PAD_TOKEN, BOS_TOKEN, EOS_TOKEN)


def build_caption_tokenizer(captions: Iterable[str], min_count: int = 5) -> PreTrainedTokenizerFast:
    """Builds the tokenizer of the words seen at least `min_count` times.

    Text is lower-cased, characters outside `[a-z0-9 ]` are removed (so "t-shirt" is the word "tshirt") and words are
    split at spaces. Ids are deterministic: the special tokens `<unk> <pad> <s> </s>`, then words by falling count,
    equal counts in alphabetical order. On Flickr-8K's 30,000 training captions that is 2,537 words; NeuralTalk's 2,538
    counts the end token too.

    Args:
        captions: Training captions, raw text.
        min_count: Occurrences a word needs to get an id, >= 1.

    Returns:
        A tokenizer that puts `<s>` before a text (a prompt for `generate()`); `encode_caption` makes training targets.

    Raises:
        ValueError: If `min_count` is below 1 or no word reaches it.
    """
    if min_count < 1:
        raise ValueError(f"min_count must be >= 1, got {min_count}; 1 keeps every word")
    normalizer = _caption_normalizer()
    counts = Counter(word for caption in captions for word in normalizer.normalize_str(caption).split())
    words = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
    if not words:
        raise ValueError(
            f"min_count must leave at least one word, got {min_count} with {len(counts)} distinct words; lower it"
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
    """Encodes a caption as training targets: its known words, then `</s>`.

    Unknown words are dropped, as NeuralTalk drops them: a target `<unk>` would teach the model to write it, and the
    sentence without its rare word is usually still a sentence. There is no `<s>`: the model adds it to its inputs.

    Args:
        tokenizer: From `build_caption_tokenizer`, or one loaded from its files.
        caption: Raw text.

    Returns:
        Token ids, at least the end token.
    """
    special = set(tokenizer.all_special_ids)
    ids = tokenizer(caption, add_special_tokens=False)["input_ids"]
    return [*(index for index in ids if index not in special), tokenizer.eos_token_id]


def _caption_normalizer() -> normalizers.Normalizer:
    """Lower-cases, and leaves nothing but letters a-z, digits and spaces."""
    return normalizers.Sequence(
        [
            normalizers.Lowercase(),
            # Line breaks and tabs separate words; the next rule would glue the words together.
            normalizers.Replace(Regex(r"\s"), " "),
            normalizers.Replace(Regex("[^a-z0-9 ]"), ""),
        ]
    )


__all__ = ["build_caption_tokenizer", "encode_caption"]
