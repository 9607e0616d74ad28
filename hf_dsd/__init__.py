"""Dense-Sparse-Dense training (Han et al., ICLR 2017) for the Hugging Face Trainer."""

from importlib.metadata import version

from .engine import DSD
from .models import NeuralTalkConfig, NeuralTalkForConditionalGeneration, NeuralTalkProcessor
from .schedule import Phase, PhaseKind, Schedule
from .trainer import DSDMixin, DSDSeq2SeqTrainer, DSDTrainer
from .training_args import DSDArgumentsMixin, DSDSeq2SeqTrainingArguments, DSDTrainingArguments

__version__ = version("hf-dsd")

__all__ = [
    "DSD",
    "DSDArgumentsMixin",
    "DSDMixin",
    "DSDSeq2SeqTrainer",
    "DSDSeq2SeqTrainingArguments",
    "DSDTrainer",
    "DSDTrainingArguments",
    "NeuralTalkConfig",
    "NeuralTalkForConditionalGeneration",
    "NeuralTalkProcessor",
    "Phase",
    "PhaseKind",
    "Schedule",
]
