# ruff: noqa: E402, I001 (an older transformers is named before what it lacks is imported: this file travels alone)
"""The recurrent language model's configuration: sizes, dropout and token ids, each checked when the object is made."""

from typing import Any

from transformers.utils.versions import require_version

require_version("transformers>=5.20", "the LSTM needs it: pip install -U 'transformers>=5.20,<6'")

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class LstmConfig(PreTrainedConfig):
    """Describes a :class:`LstmForCausalLM`; a ValueError names a field that is out of range.

    The defaults are char-rnn's two layers of 128, for the 256 bytes and a token between texts. Weights cannot be tied.

    Args:
        vocab_size: Number of token ids, > 0. Set it to `len(tokenizer)`.
        embedding_size: Width of the token embeddings, > 0.
        hidden_size: Width of every layer, > 0.
        num_hidden_layers: Layers, one upon the other, > 0.
        hidden_dropout: Dropout probability on the embeddings, between layers and before the head, in [0, 1); the step
            from one token to the next has none.
        bos_token_id: Id of the token that texts begin with, in [0, vocab_size), or None.
        eos_token_id: Id of the token that texts end with, likewise.
        **kwargs: Fields common to every `PreTrainedConfig`.

    References:
        Karpathy, *The Unreasonable Effectiveness of Recurrent Neural Networks*, 2015, and its char-rnn, for the sizes;
        Zaremba, Sutskever and Vinyals, *Recurrent Neural Network Regularization*, 2014, section 3, for the dropout.
    """

    model_type = "lstm"

    vocab_size: int = 257
    embedding_size: int = 128
    hidden_size: int = 128
    num_hidden_layers: int = 2
    hidden_dropout: float | int = 0.0
    bos_token_id: int | None = 0
    eos_token_id: int | None = 0
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Checks every field in order, then lets `PreTrainedConfig` read the common ones."""
        for name in ("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers"):
            if not (value := getattr(self, name)) > 0:
                raise ValueError(f"{name} must be > 0, got {value!r}; leave it out for char-rnn's own value")
        if not 0 <= self.hidden_dropout < 1:
            raise ValueError(f"hidden_dropout must be in [0, 1), got {self.hidden_dropout!r}; 0 switches dropout off")
        for name in ("bos_token_id", "eos_token_id"):
            if (token_id := getattr(self, name)) is not None and not 0 <= token_id < self.vocab_size:
                raise ValueError(
                    f"{name} must be in [0, vocab_size={self.vocab_size}), got {token_id}; "
                    "take the ids and len(tokenizer) from one tokenizer"
                )
        if self.tie_word_embeddings:
            raise ValueError(
                "tie_word_embeddings must be False, got True; leave it out: embedding and head are two matrices"
            )
        super().__post_init__(**kwargs)
