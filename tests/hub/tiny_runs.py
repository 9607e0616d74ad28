"""Finished DSD runs of the three models, as small as they can be: a real optimizer step or two per phase."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    ProcessorMixin,
    TrainerCallback,
    default_data_collator,
)

from hf_dsd import (
    DeepSpeech2Config,
    DeepSpeech2ForCTC,
    DeepSpeechConfig,
    DeepSpeechForCTC,
    DeepSpeechProcessor,
    DSDTrainer,
    DSDTrainingArguments,
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
)
from hf_dsd.models import DeepSpeechFeatureExtractor, build_caption_tokenizer, build_character_tokenizer

AUTO_CLASSES = {
    "neuraltalk": "AutoModelForImageTextToText",
    "deepspeech": "AutoModelForCTC",
    "deepspeech2": "AutoModelForCTC",
}


def build_neuraltalk(image_feature_size: int = 6) -> tuple[PreTrainedModel, ProcessorMixin]:
    """A captioner of image vectors, with the tokenizer of one sentence."""
    tokenizer = build_caption_tokenizer(["a dog runs on green grass"], min_count=1)
    sizes = {"hidden_size": 7, "word_embedding_size": 5, "encoder_dropout": 0.0}
    config = NeuralTalkConfig(
        vocab_size=len(tokenizer), decoder_dropout=0.1, image_feature_size=image_feature_size, **sizes
    )
    return NeuralTalkForConditionalGeneration(config), NeuralTalkProcessor(tokenizer=tokenizer)


def build_deepspeech() -> tuple[PreTrainedModel, ProcessorMixin]:
    """DeepSpeech of 7 units."""
    processor = DeepSpeechProcessor(DeepSpeechFeatureExtractor(), build_character_tokenizer())
    return DeepSpeechForCTC(DeepSpeechConfig(context_frames=2, hidden_size=7)), processor


def build_deepspeech2() -> tuple[PreTrainedModel, ProcessorMixin]:
    """DeepSpeech 2 of two layers of 7 units."""
    processor = DeepSpeechProcessor(DeepSpeechFeatureExtractor(), build_character_tokenizer())
    config = DeepSpeech2Config(conv_channels=[3, 2], hidden_size=7, num_hidden_layers=2)
    return DeepSpeech2ForCTC(config), processor


BUILDERS: dict[str, Callable[[], tuple[PreTrainedModel, ProcessorMixin]]] = {
    "neuraltalk": build_neuraltalk,
    "deepspeech": build_deepspeech,
    "deepspeech2": build_deepspeech2,
}


def build_with_part(kind: str, part: str) -> tuple[PreTrainedModel, Any]:
    """A model of a kind with one part of its processor, as a user may give it to the Trainer."""
    model, processor = BUILDERS[kind]()
    return model, getattr(processor, part)


def build_gpt2() -> tuple[PreTrainedModel, None]:
    """A model of transformers' own, without a tokenizer."""
    return GPT2LMHeadModel(GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2)), None


_VARIANTS: dict[str, Callable[[], tuple[PreTrainedModel, Any]]] = {
    "gpt2": build_gpt2,
    "neuraltalk-lite0": partial(build_neuraltalk, 1280),
    "neuraltalk-tokenizer": partial(build_with_part, "neuraltalk", "tokenizer"),
    "deepspeech-feature_extractor": partial(build_with_part, "deepspeech", "feature_extractor"),
}


def rows_for(model: PreTrainedModel) -> list[dict[str, Any]]:
    """Random examples that the model takes."""
    generator = torch.Generator().manual_seed(0)
    if model.main_input_name == "input_features":
        size, labels = model.config.feature_size, torch.tensor([3, 4, 5])
        return [
            {
                "input_features": torch.randn(30, size, generator=generator),
                "attention_mask": torch.ones(30, dtype=torch.long),
                "labels": labels,
            }
            for _ in range(8)
        ]
    labels = torch.tensor([4, 5, 6, 3])
    if model.main_input_name == "input_ids" and not hasattr(model.config, "image_feature_size"):
        return [{"input_ids": labels, "labels": labels}] * 8
    return [
        {"image_features": torch.randn(model.config.image_feature_size, generator=generator), "labels": labels}
        for _ in range(8)
    ]


class StopAt(TrainerCallback):
    """Ends a run before its schedule does."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop |= state.global_step == self._step


def make_trainer(kind: str, folder: Path, *, stop_at: int | None = None, **options: Any) -> DSDTrainer:
    """A trainer of one of the three models; two steps per phase unless `options` say otherwise."""
    torch.manual_seed(0)
    model, processor = (BUILDERS | _VARIANTS)[kind]()
    defaults: dict[str, Any] = {
        "phase_steps": [2, 2, 2],
        "sparsity": 0.5,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 4,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
    args = DSDTrainingArguments(str(folder), **(defaults | options))
    callbacks = [] if stop_at is None else [StopAt(stop_at)]
    return DSDTrainer(
        model,
        args,
        data_collator=default_data_collator,  # a tokenizer alone would bring one that pads its inputs
        train_dataset=rows_for(model),
        eval_dataset=rows_for(model) if args.eval_strategy != "no" else None,
        processing_class=processor,
        callbacks=callbacks,
    )
