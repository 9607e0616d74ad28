"""Causal language models on a text file.

Layer: transformers.
"""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from .evaluation import Evaluation, batches, device, spread_evenly

_LONGEST_BLOCK = 256
_BATCH_SIZE = 16


def load_language_model(name: str, data: str | None, examples: int) -> Evaluation:
    """Loads a language model and blocks of text; see `load_evaluation`.

    Texts are joined with the end token between them and cut into blocks as long as the model reads, 256 tokens at the
    most; an example is a block.

    Raises:
        ValueError: If no file is given, or its text is too short.
    """
    if data is None:
        raise ValueError("--data must be a text file, one validation text per line: a language model has no own set")
    model = AutoModelForCausalLM.from_pretrained(name).to(device())
    size = min(getattr(model.config, "max_position_embeddings", None) or _LONGEST_BLOCK, _LONGEST_BLOCK)
    blocks = read_blocks(Path(data), AutoTokenizer.from_pretrained(name), size)
    chosen = spread_evenly(len(blocks), examples)
    inputs = batches([blocks[row] for row in chosen], _BATCH_SIZE, lambda rows: {"input_ids": torch.tensor(rows)})

    def evaluate() -> Mapping[str, Any]:
        losses = token_losses(model, inputs)
        return {"loss": losses, "perplexity": torch.exp(losses.mean())}

    text = f"{data}: {len(chosen)} of {len(blocks)} blocks of {size} tokens"
    return Evaluation(model, evaluate, text, {"loss": False, "perplexity": False})


def read_blocks(path: Path, tokenizer: PreTrainedTokenizerBase, size: int) -> list[list[int]]:
    """Cuts a text file into blocks of `size` token ids; the rest is dropped.

    Raises:
        ValueError: If the text is shorter than two blocks.
    """
    texts = path.read_text(encoding="utf-8").splitlines()
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    ids = list(chain.from_iterable([*tokenizer(text)["input_ids"], *end] for text in texts if text))
    if len(ids) < 2 * size:
        raise ValueError(f"{path} must hold at least two blocks of {size} tokens, got {len(ids)} tokens: add text")
    return [ids[start : start + size] for start in range(0, len(ids) - size + 1, size)]


@torch.no_grad()
def token_losses(model: PreTrainedModel, inputs: list[dict[str, Tensor]]) -> Tensor:
    """Mean loss per predicted token of each block (blocks,)."""
    losses = []
    for batch in inputs:
        logits = model(**batch).logits[:, :-1].float()  # (blocks, size - 1, vocabulary)
        targets = batch["input_ids"][:, 1:]
        losses.append(cross_entropy(logits.transpose(1, 2), targets, reduction="none").mean(dim=1))
    return torch.cat(losses).double()
