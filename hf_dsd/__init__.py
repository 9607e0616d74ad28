"""Dense-Sparse-Dense training (Han et al., ICLR 2017) for the Hugging Face Trainer."""

from importlib.metadata import version as _version

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
