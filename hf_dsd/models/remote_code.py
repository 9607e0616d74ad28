"""Saving a model together with its code, so that it loads where hf_dsd is not installed.

transformers copies a class's file and the files that it imports
relatively, and names them in the `auto_map` of the saved configurations, but only for classes registered for good in
the whole process, after which every checkpoint of a training would carry code. Here the registration lasts one save.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from hf_dsd.models.deepspeech import (
    DeepSpeech2Config,
    DeepSpeech2ForCTC,
    DeepSpeechConfig,
    DeepSpeechFeatureExtractor,
    DeepSpeechForCTC,
    DeepSpeechProcessor,
)
from hf_dsd.models.lstm import LstmConfig, LstmForCausalLM
from hf_dsd.models.neuraltalk import NeuralTalkConfig, NeuralTalkForConditionalGeneration, NeuralTalkProcessor

MODELS: dict[type[PreTrainedModel], str] = {
    DeepSpeechForCTC: "AutoModelForCTC",
    DeepSpeech2ForCTC: "AutoModelForCTC",
    LstmForCausalLM: "AutoModelForCausalLM",
    NeuralTalkForConditionalGeneration: "AutoModelForImageTextToText",
}
"""The models whose code is published, and the Auto class that loads each."""

_CONFIGS: dict[type, str] = dict.fromkeys(
    (DeepSpeechConfig, DeepSpeech2Config, LstmConfig, NeuralTalkConfig), "AutoConfig"
)
_PREPROCESSING: dict[type, str] = {
    DeepSpeechFeatureExtractor: "AutoFeatureExtractor",
    DeepSpeechProcessor: "AutoProcessor",
    NeuralTalkProcessor: "AutoProcessor",
}


def save_with_code(model: PreTrainedModel, processor: Any, folder: str | Path, **options: Any) -> None:
    """Saves weights, configurations and processor into a folder, with the Python files that load them.

    `AutoModel*.from_pretrained(folder, trust_remote_code=True)` then needs torch and transformers only; where hf_dsd is
    imported, its own classes load the folder and `trust_remote_code` is not asked for. The process is left as it was: a
    later `save_pretrained` saves no code.

    Args:
        model: A NeuralTalk, DeepSpeech, DeepSpeech 2 or LSTM; any other model is saved plainly, without code.
        processor: What belongs to the model: a processor, a tokenizer, or None.
        folder: Made if it does not exist; files of the same names are replaced.
        options: Given to `save_pretrained`; `state_dict={}` saves no weights.
    """
    auto_classes = _PREPROCESSING | (MODELS | _CONFIGS if type(model) in MODELS else {})
    processor = copy.deepcopy(processor)  # transformers writes auto_map into whatever it saves with code
    auto_map = model.config.__dict__.get("auto_map")
    with _registered(auto_classes.items()):
        try:
            model.save_pretrained(folder, **options)
            if processor is not None:
                processor.save_pretrained(folder)
        finally:
            if auto_map is None:
                model.config.__dict__.pop("auto_map", None)
            else:
                model.config.auto_map = auto_map


@contextmanager
def _registered(auto_classes: Iterable[tuple[Any, str]]) -> Iterator[None]:
    """Registers classes with their Auto classes, as `register_for_auto_class` does, until the end of the block."""
    before = [(cls, cls._auto_class) for cls, _ in auto_classes]
    for cls, auto_class in auto_classes:
        cls._auto_class = auto_class
    try:
        yield
    finally:
        for cls, auto_class in before:
            cls._auto_class = auto_class
