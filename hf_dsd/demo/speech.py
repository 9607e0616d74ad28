"""The speech demo: DeepSpeech 2 in small hears strings of digits that the code speaks itself."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from hf_dsd.data import (
    DigitSet,
    LengthGroupedSampler,
    SpeechCollator,
    SpeechDataset,
    make_spoken_digits,
)
from hf_dsd.metrics import TextScorer, argmax_logits, ctc_metrics, transcript_scorer
from hf_dsd.models import (
    DeepSpeech2Config,
    DeepSpeech2ForCTC,
    DeepSpeechProcessor,
)
from hf_dsd.trainer.trainer import DSDTrainer
from hf_dsd.trainer.training_args import DSDTrainingArguments

from .two_arms import TwoArmDemo

BATCH_SIZE = 16


class _LengthGroupedTrainer(DSDTrainer):
    """Batches recordings of like length."""

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        rows = self.train_dataset if train_dataset is None else train_dataset
        return LengthGroupedSampler(rows, BATCH_SIZE, seed=self.args.seed)


class SpeechDemo(TwoArmDemo):
    """Spoken digits, DeepSpeech 2 with two GRU layers of 128, and word error rates.

    Args:
        output_dir: As at `TwoArmDemo`, like the next three.
        phase_epochs: Epochs of the dense, sparse and re-dense phase.
        sparsity: Fraction pruned in the sparse phase, [0, 1).
        seed: Of the model, the order of the data and dropout.
        digits: The data; synthesised if None.
    """

    columns = {"wer": ("WER", ".1%"), "cer": ("CER", ".1%")}

    def __init__(
        self,
        output_dir: str | Path,
        phase_epochs: tuple[float, float, float] = (12, 5, 4),
        sparsity: float = 0.5,
        seed: int = 0,
        digits: DigitSet | None = None,
    ) -> None:
        super().__init__(output_dir, phase_epochs, sparsity, seed)
        self.digits = make_spoken_digits() if digits is None else digits
        self.processor = DeepSpeechProcessor.build()
        self.train_set = self._read("train")
        self.validation_set = self._read("validation")

    @property
    def title(self) -> str:
        """The table's title."""
        return f"Spoken digits: {len(self.test_set)} test recordings of other speakers, greedy decoding, one seed"

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return -(-len(self.train_set) // BATCH_SIZE)

    @cached_property
    def test_set(self) -> SpeechDataset:
        """The test recordings."""
        return self._read("test")

    @property
    def scorer(self) -> TextScorer:
        """Word error rate."""
        utterances = self.test_set.utterances
        return transcript_scorer(
            self.processor.tokenizer, [row.name for row in utterances], [row.transcript for row in utterances]
        )

    def build_trainer(self, arm: str, **options: Any) -> DSDTrainer:
        """A trainer of a new DeepSpeech 2."""
        defaults: dict[str, Any] = {
            "phase_epochs": self.phase_epochs,
            "phase_learning_rates": [4e-3, 2e-3, 4e-4],
            "warmup_steps": 0.05,
            "sparsity": self.sparsity,
            "per_device_train_batch_size": BATCH_SIZE,
            "per_device_eval_batch_size": 40,
            "logging_steps": 50,
            "save_strategy": "no",
            "report_to": [],
            "dataloader_pin_memory": torch.cuda.is_available(),
            "seed": self.seed,
        }
        return _LengthGroupedTrainer(
            DeepSpeech2ForCTC(self._config()),
            DSDTrainingArguments(str(self.output_dir / arm), **(defaults | options)),
            data_collator=SpeechCollator.for_processor(self.processor),
            train_dataset=self.train_set,
            eval_dataset=self.validation_set,
            processing_class=self.processor,
            compute_metrics=ctc_metrics(self.processor),
            preprocess_logits_for_metrics=argmax_logits,
        )

    def _config(self) -> DeepSpeech2Config:
        return DeepSpeech2Config(
            vocab_size=len(self.processor.tokenizer),
            conv_channels=[16, 16],
            conv_kernel_sizes=[[21, 11], [11, 11]],
            conv_strides=[[2, 2], [2, 2]],
            hidden_size=128,
            num_hidden_layers=2,
            rnn_type="gru",
            hidden_dropout=0.2,
        )

    def _read(self, split: str) -> SpeechDataset:
        extractor = self.processor.feature_extractor
        stride = self._config().time_stride
        return SpeechDataset(
            self.digits.data,
            self.processor.encode,
            self.processor.extract,
            output_length=lambda samples: -(-extractor.count_frames(samples) // stride),
            split=split,
            precompute=True,
        )
