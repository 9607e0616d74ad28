"""What `hf-dsd sensitivity` can evaluate by itself: a model, its validation examples, and how they are scored.

Layer: transformers, and one module next door for each kind of model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForCTC

from hf_dsd.models.read_config import read_config


@dataclass(frozen=True)
class Evaluation:
    """A model and how it is scored.

    Attributes:
        model: The model, on its device.
        evaluate: Scores by name; the loss by example, so that its mean is the loss.
        data: The examples, in words.
        metrics: Name -> whether greater is better, of all scores; the loss first.
    """

    model: nn.Module
    evaluate: Callable[[], Mapping[str, Any]]
    data: str
    metrics: Mapping[str, bool]


def load_evaluation(
    name: str, data: str | None, examples: int, *, bleu: bool = False, feature_columns: str | None = None
) -> Evaluation:
    """Loads a model and validation examples that fit it.

    Args:
        name: A folder or a name on the Hub: NeuralTalk, a CTC model with its processor, or a causal language model with
            its tokenizer.
        data: Of NeuralTalk a folder as `load_captions` reads it, of a CTC model one as `load_speech` does, of a
            language model a text file, one text per line. None takes the embedded scenes or digits.
        examples: How many validation examples to take at the most, spread evenly over the split.
        bleu: Also let a captioner write captions, and score them.
        feature_columns: Of the image vectors, see `load_captions`.

    Raises:
        ValueError: If the model is of no known kind, or the data does not fit it.
        OSError: If there is no such model or data.
    """
    if examples < 2:
        raise ValueError(f"examples must be at least 2, got {examples}")
    config = read_config(name)
    if config.model_type == "neuraltalk":
        from .caption_evaluation import load_captioner

        return load_captioner(name, data, examples, bleu=bleu, feature_columns=feature_columns)
    for auto_class, load in ((AutoModelForCTC, _load_ctc), (AutoModelForCausalLM, _load_language_model)):
        known = auto_class._model_mapping
        if type(config) in known and known[type(config)].__name__ in (config.architectures or ()):
            return load(name, data, examples)
    raise ValueError(
        f"{name} is a {' or '.join(config.architectures or [config.model_type])}: hf-dsd sensitivity evaluates "
        "NeuralTalk, CTC models and causal language models; for others call hf_dsd.sensitivity.measure_sensitivity"
    )


def _load_ctc(name: str, data: str | None, examples: int) -> Evaluation:
    from .speech_evaluation import load_recognizer

    return load_recognizer(name, data, examples)


def _load_language_model(name: str, data: str | None, examples: int) -> Evaluation:
    from .text_evaluation import load_language_model

    return load_language_model(name, data, examples)


def spread_evenly(total: int, examples: int) -> list[int]:
    """Indices of at most `examples` of `total` rows, evenly spread: neighbours in a file are often alike."""
    count = min(total, examples)
    return [row * total // count for row in range(count)]


def device() -> torch.device:
    """Where to evaluate."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def batches(
    rows: Sequence[Any], size: int, collate: Callable[[Sequence[Any]], Mapping[str, Tensor]]
) -> list[dict[str, Tensor]]:
    """Collates rows once for all evaluations."""
    return [
        {key: value.to(device()) for key, value in collate(rows[start : start + size]).items()}
        for start in range(0, len(rows), size)
    ]
