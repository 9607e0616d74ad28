"""Dense-Sparse-Dense training (Han et al., ICLR 2017) for the Hugging Face Trainer.

Names are loaded when they are first used: `from hf_dsd import DSD` needs torch alone.
"""

import typing as _typing
from importlib import import_module as _import_module
from importlib.metadata import version as _version

from .registration import register_models as _register_models

if _typing.TYPE_CHECKING:
    from .engine.dsd import DSD
    from .engine.schedule import Phase, PhaseKind, Schedule
    from .models import (
        DeepSpeech2Config,
        DeepSpeech2ForCTC,
        DeepSpeechConfig,
        DeepSpeechForCTC,
        DeepSpeechProcessor,
        NeuralTalkConfig,
        NeuralTalkForConditionalGeneration,
        NeuralTalkProcessor,
    )
    from .trainer.trainer import DSDMixin, DSDSeq2SeqTrainer, DSDTrainer
    from .trainer.training_args import DSDArgumentsMixin, DSDSeq2SeqTrainingArguments, DSDTrainingArguments

__version__ = _version("hf-dsd")

__all__ = [
    "DSD",
    "DSDArgumentsMixin",
    "DSDMixin",
    "DSDSeq2SeqTrainer",
    "DSDSeq2SeqTrainingArguments",
    "DSDTrainer",
    "DSDTrainingArguments",
    "DeepSpeech2Config",
    "DeepSpeech2ForCTC",
    "DeepSpeechConfig",
    "DeepSpeechForCTC",
    "DeepSpeechProcessor",
    "NeuralTalkConfig",
    "NeuralTalkForConditionalGeneration",
    "NeuralTalkProcessor",
    "Phase",
    "PhaseKind",
    "Schedule",
]

_HOMES = {
    "engine.dsd": ("DSD",),
    "engine.schedule": ("Phase", "PhaseKind", "Schedule"),
    "trainer.trainer": ("DSDMixin", "DSDSeq2SeqTrainer", "DSDTrainer"),
    "trainer.training_args": ("DSDArgumentsMixin", "DSDSeq2SeqTrainingArguments", "DSDTrainingArguments"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}
_ROOMS = ("compare", "data", "demo", "engine", "hub", "metrics", "models", "report", "runs", "sensitivity", "trainer")


def __getattr__(name: str) -> _typing.Any:
    if name in _ROOMS:
        return _import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _import_module(f"{__name__}.{_MODULES.get(name, 'models')}")
    if module.__name__ == "hf_dsd.trainer.trainer":
        module.DSDMixin.publish_run = _publish_run
    globals()[name] = value = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})


def _publish_run(trainer: "DSDMixin", **options: _typing.Any) -> _typing.Any:
    """Publishing lies above the trainer, so the package hands it in; late, because it needs the report and the card."""
    from .hub import publish_trainer

    return publish_trainer(trainer, **options)


_register_models()
