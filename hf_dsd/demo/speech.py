"""The speech demo: DeepSpeech 2 in small hears strings of digits that the code speaks itself."""

from difflib import SequenceMatcher
from typing import Any

import torch

from hf_dsd.data import LengthGroupedSampler, SpeechCollator, SpeechData, SpeechDataset, make_spoken_digits
from hf_dsd.metrics import argmax_logits, ctc_metrics, transcript_scorer
from hf_dsd.models import DeepSpeech2Config, DeepSpeech2ForCTC, DeepSpeechProcessor
from hf_dsd.trainer.trainer import DSDTrainer
from hf_dsd.trainer.training_args import DSDTrainingArguments

from .task import DemoTask

SIZES = {"train": 1200, "validation": 80, "test": 80}
SNR = (10.0, 30.0)
"""In dB: a quiet room, in which so small a network hears most strings right."""

RECIPE: dict[str, Any] = {
    "phase_epochs": [8, 3, 2],
    "phase_learning_rates": [3e-3, 1.5e-3, 3e-4],
    "warmup_steps": 0.05,
    "sparsity": 0.5,
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 40,
    "eval_strategy": "epoch",
    "logging_steps": 50,
    "disable_tqdm": True,
    "save_strategy": "no",
    "report_to": [],
}


class _LengthGroupedTrainer(DSDTrainer):
    """Batches recordings of like length."""

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        rows = self.train_dataset if train_dataset is None else train_dataset
        return LengthGroupedSampler(rows, self.args.train_batch_size, seed=self.args.seed)


def speech_task(sizes: dict[str, int] | None = None, **recipe: Any) -> DemoTask:
    """Spoken digits, DeepSpeech 2 with two GRU layers of 128, and word error rates.

    Args:
        sizes: Number of recordings by split; None takes `SIZES`.
        recipe: Training arguments in place of those of `RECIPE`.
    """
    digits = make_spoken_digits(sizes or SIZES, snr=SNR)
    processor = DeepSpeechProcessor.build()
    config = DeepSpeech2Config(
        vocab_size=len(processor.tokenizer),
        conv_channels=[16, 16],
        conv_kernel_sizes=[[21, 7], [11, 5]],
        conv_strides=[[4, 2], [2, 2]],
        hidden_size=128,
        num_hidden_layers=2,
        rnn_type="gru",
        hidden_dropout=0.0,
    )
    sets = {
        split: _read(digits.data, processor, config.time_stride, split) for split in ("train", "validation", "test")
    }
    pins_memory = torch.cuda.is_available()

    def make_trainer(arm_options: dict[str, Any], output_dir: str, seed: int) -> DSDTrainer:
        options = {"dataloader_pin_memory": pins_memory, **RECIPE, **recipe, **arm_options}
        return _LengthGroupedTrainer(
            DeepSpeech2ForCTC(config),
            DSDTrainingArguments(output_dir, seed=seed, **options),
            data_collator=SpeechCollator.for_processor(processor),
            train_dataset=sets["train"],
            eval_dataset=sets["validation"],
            processing_class=processor,
            compute_metrics=ctc_metrics(processor),
            preprocess_logits_for_metrics=argmax_logits,
        )

    utterances = sets["test"].utterances
    names, transcripts = [row.name for row in utterances], [row.transcript for row in utterances]
    return DemoTask(
        make_trainer,
        sets["test"],
        transcript_scorer(processor.tokenizer, names, transcripts),
        lambda example, text: mark_transcript(text, example.references[0]),
        "hf-dsd compare --arms dense early dsd --out runs/mine -- examples/run_speech_recognition_ctc.py "
        "--data_dir RECORDINGS --phase_epochs 8 3 2 --sparsity 0.5",
    )


def mark_transcript(text: str, spoken: str) -> list[tuple[str, bool]]:
    """The words of a transcript and whether each is wrong; a word that is missing is a wrong `...`."""
    words, marked = text.split(), list[tuple[str, bool]]()
    for kind, _, _, start, end in SequenceMatcher(None, spoken.split(), words, autojunk=False).get_opcodes():
        marked += [(word, kind != "equal") for word in words[start:end]] or [("...", True)]
    return marked


def _read(data: SpeechData, processor: DeepSpeechProcessor, time_stride: int, split: str) -> SpeechDataset:
    def count_frames(samples: int) -> int:
        frames: int = processor.feature_extractor.count_frames(samples)
        return -(-frames // time_stride)

    return SpeechDataset(
        data, processor.encode, processor.extract, output_length=count_frames, split=split, precompute=True
    )
