"""The captioning demo: NeuralTalk describes scenes that the code draws itself."""

from functools import partial
from typing import Any

import torch

from hf_dsd.data import CaptionCollator, CaptionEvaluationSet, CaptionTrainingSet, make_scenes
from hf_dsd.metrics import caption_metrics, caption_scorer
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
SPLIT_SIZES = {"train": 300, "validation": 250, "test": 250}
RECIPE: dict[str, Any] = {
    "phase_epochs": [20, 12, 8],
    "phase_learning_rates": [3e-3, 1e-3, 3e-4],
    "sparsity": 0.8,
    "per_device_train_batch_size": 100,
    "per_device_eval_batch_size": 250,
    "predict_with_generate": True,
    "generation_num_beams": 5,
    "logging_steps": 15,
    "save_strategy": "no",
    "report_to": [],
}


def captioning_task(sizes: dict[str, int] | None = None, **recipe: Any) -> DemoTask:
    """Drawn scenes, an LSTM captioner, and BLEU.

    Args:
        sizes: Number of scenes by split; None takes `SPLIT_SIZES`.
        recipe: Training arguments in place of those of `RECIPE`.
    """
    scenes = make_scenes(SPLIT_SIZES if sizes is None else sizes)
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
            vocab_size=len(tokenizer), image_feature_size=data.dims, encoder_dropout=0.0, decoder_dropout=0.0
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
            compute_metrics=caption_metrics(tokenizer, validation_set.references),
        )

    scorer = caption_scorer(tokenizer, test_set.images, test_set.references)
    return DemoTask(make_trainer, test_set, scorer, scenes.image)
