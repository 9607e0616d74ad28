"""The captioning demo: NeuralTalk describes scenes that the code draws itself."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from hf_dsd.data import CaptionCollator, CaptionEvaluationSet, CaptionTrainingSet, SceneSet, make_scenes
from hf_dsd.metrics import TextScorer, caption_metrics, caption_scorer
from hf_dsd.models import (
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
    build_caption_tokenizer,
    encode_caption,
)
from hf_dsd.trainer.trainer import DSDSeq2SeqTrainer
from hf_dsd.trainer.training_args import DSDSeq2SeqTrainingArguments

from .two_arms import TwoArmDemo

# Small enough that the first dense phase converges and begins to overfit: the state the paper's method starts from.
SPLIT_SIZES = {"train": 1000, "validation": 250, "test": 250}
DROPOUT = 0.2
BATCH_SIZE = 100


class CaptioningDemo(TwoArmDemo):
    """Drawn scenes, an LSTM captioner, and BLEU.

    Args:
        output_dir: As at `TwoArmDemo`, like the next three.
        phase_epochs: Epochs of the dense, sparse and re-dense phase.
        sparsity: Fraction pruned in the sparse phase, [0, 1).
        seed: Of the model, the order of the data and dropout.
        scenes: The data; drawn if None.
    """

    columns = {f"bleu{order}": (f"BLEU-{order}", ".1f") for order in (1, 2, 3, 4)}

    def __init__(
        self,
        output_dir: str | Path,
        phase_epochs: tuple[float, float, float] = (6, 3, 3),
        sparsity: float = 0.5,
        seed: int = 0,
        scenes: SceneSet | None = None,
    ) -> None:
        super().__init__(output_dir, phase_epochs, sparsity, seed)
        self.scenes = make_scenes(SPLIT_SIZES) if scenes is None else scenes
        data = self.scenes.data
        captions = (caption for image in data.split("train").captions for caption in image)
        self.tokenizer = build_caption_tokenizer(captions, min_count=2)
        encode = partial(encode_caption, self.tokenizer)
        self.train_set = CaptionTrainingSet(data, encode)
        self.validation_set = CaptionEvaluationSet(data, encode, split="validation")
        self._test_set = CaptionEvaluationSet(data, encode, split="test")

    @property
    def title(self) -> str:
        """The table's title."""
        return f"Test scenes: {len(self._test_set)} pictures, 5 references each, one seed"

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return -(-len(self.train_set) // BATCH_SIZE)

    @property
    def test_set(self) -> CaptionEvaluationSet:
        """The test scenes."""
        return self._test_set

    @property
    def scorer(self) -> TextScorer:
        """BLEU against all captions of a scene."""
        return caption_scorer(self.tokenizer, self._test_set.images, self._test_set.references)

    def build_trainer(self, arm: str, **options: Any) -> DSDSeq2SeqTrainer:
        """A trainer of a new NeuralTalk."""
        defaults: dict[str, Any] = {
            "phase_epochs": self.phase_epochs,
            "phase_learning_rates": [3e-3, 1e-3, 3e-4],
            "sparsity": self.sparsity,
            "per_device_train_batch_size": BATCH_SIZE,
            "per_device_eval_batch_size": 250,
            "predict_with_generate": True,
            "generation_num_beams": 5,
            "logging_steps": 50,
            "save_strategy": "no",
            "report_to": [],
            "dataloader_pin_memory": torch.cuda.is_available(),
            "seed": self.seed,
        }
        config = NeuralTalkConfig(
            vocab_size=len(self.tokenizer),
            image_feature_size=self.scenes.data.dims,
            encoder_dropout=DROPOUT,
            decoder_dropout=DROPOUT,
        )
        return DSDSeq2SeqTrainer(
            NeuralTalkForConditionalGeneration(config),
            DSDSeq2SeqTrainingArguments(str(self.output_dir / arm), **(defaults | options)),
            data_collator=CaptionCollator(),
            train_dataset=self.train_set,
            eval_dataset=self.validation_set,
            processing_class=NeuralTalkProcessor(tokenizer=self.tokenizer),
            compute_metrics=caption_metrics(self.tokenizer, self.validation_set.references),
        )
