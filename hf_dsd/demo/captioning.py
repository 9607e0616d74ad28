"""The captioning demo: NeuralTalk describes scenes that the code draws itself."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from hf_dsd.data import CaptionCollator, CaptionEvaluationSet, CaptionTrainingSet, make_scenes
from hf_dsd.data.toys.scene_captions import mark_caption
from hf_dsd.metrics import caption_scorer
from hf_dsd.models import (
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
    build_caption_tokenizer,
    encode_caption,
)
from hf_dsd.trainer.trainer import DSDSeq2SeqTrainer
from hf_dsd.trainer.training_args import DSDSeq2SeqTrainingArguments

from .task import DemoTask

# Few enough that the first dense phase converges and overfits: the state that the paper starts from.
SPLIT_SIZES = {"train": 300, "validation": 100, "test": 120}
SEEDS = (0, 1, 2, 3, 4)
# Of three the best for DSD on the validation split, over five other seeds: tests/benchmarks/choose_demo_recipe.py gave
# 49.55 BLEU-4 (its control 43.13), at 50 % 44.34, and at 1.5 times the first rate 43.71 (its control 39.06).
RECIPE: dict[str, Any] = {
    "phase_epochs": [12, 8, 6],
    "phase_learning_rates": [4e-3, 2e-3, 4e-4],
    "sparsity": 0.8,
    "per_device_train_batch_size": 25,
    "per_device_eval_batch_size": 250,
    "eval_strategy": "epoch",
    "generation_num_beams": 3,
    "logging_steps": 60,
    "disable_tqdm": True,
    "save_strategy": "no",
    "report_to": [],
}


def captioning_task(sizes: dict[str, int] | None = None, seeds: Sequence[int] = SEEDS, **recipe: Any) -> DemoTask:
    """Drawn scenes, an LSTM captioner, and BLEU.

    Args:
        sizes: Number of scenes by split; None takes `SPLIT_SIZES`.
        seeds: Of the runs.
        recipe: Training arguments in place of those of `RECIPE`.
    """
    scenes = make_scenes(SPLIT_SIZES if sizes is None else sizes, most_groups=1)
    data = scenes.data
    captions = (caption for image in data.split("train").captions for caption in image)
    tokenizer = build_caption_tokenizer(captions, min_count=2)
    encode = partial(encode_caption, tokenizer)
    train_set = CaptionTrainingSet(data, encode)
    validation_set = CaptionEvaluationSet(data, encode, split="validation")
    test_set = CaptionEvaluationSet(data, encode, split="test")
    pins_memory = torch.cuda.is_available()

    def make_trainer(arm_options: dict[str, Any], output_dir: str, seed: int) -> DSDSeq2SeqTrainer:
        config = NeuralTalkConfig(
            vocab_size=len(tokenizer),
            image_feature_size=data.dims,
            hidden_size=128,
            word_embedding_size=128,
            encoder_dropout=0.0,
            decoder_dropout=0.0,
        )
        model = NeuralTalkForConditionalGeneration(config)
        model.standardize_features(data.features[data.split("train").feature_rows])
        options = {"dataloader_pin_memory": pins_memory, **RECIPE, **recipe, **arm_options}
        return DSDSeq2SeqTrainer(
            model,
            DSDSeq2SeqTrainingArguments(output_dir, seed=seed, **options),
            data_collator=CaptionCollator(),
            train_dataset=train_set,
            eval_dataset=validation_set,
            processing_class=NeuralTalkProcessor(tokenizer=tokenizer),
        )

    scorer = caption_scorer(tokenizer, test_set.images, test_set.references)
    return DemoTask(
        make_trainer,
        test_set,
        scorer,
        lambda example, text: mark_caption(text, scenes.scenes[example.id]),
        "hf-dsd compare --arms dense early dsd --out runs/mine -- examples/run_captioning.py --image_dir PICTURES "
        "--captions FILE --phase_epochs 20 12 8 --sparsity 0.8",
        seeds,
        scenes.image,
    )
