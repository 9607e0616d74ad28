"""`hf-dsd demo`: the whole method on drawn scenes, in minutes, without a download.

An LSTM captioner is trained dense, sparse, dense, and by the equal-budget dense control: the same epochs and learning
rates without a mask. Both share the first dense phase, so what differs at the end is what the sparse phase did.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import set_seed

from .data import CaptionCollator, CaptionEvaluationSet, CaptionTrainingSet, SceneSet, make_scenes
from .demo_figure import draw_captioned_scenes
from .metrics import caption_metrics
from .models import (
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
    build_caption_tokenizer,
    encode_caption,
)
from .trainer import DSDSeq2SeqTrainer
from .training_args import DSDSeq2SeqTrainingArguments

# Small enough that the first dense phase converges and begins to overfit: the state the paper's method starts from.
SPLIT_SIZES = {"train": 1000, "validation": 250, "test": 250}
DROPOUT = 0.2
BATCH_SIZE = 100
SHOWN = 6
BLEU_NAMES = ("bleu1", "bleu2", "bleu3", "bleu4")


@dataclass
class PhaseResult:
    """What one model of the demo reached on the test scenes.

    Attributes:
        label: How the table calls it.
        metrics: BLEU-1..4 and the loss.
        epochs: Epochs trained in all, the shared dense phase included.
        seconds: Training time in all, likewise.
        captions: One caption per test scene.
    """

    label: str
    metrics: dict[str, float]
    epochs: float
    seconds: float
    captions: list[str]


class CaptioningDemo:
    """Data, model and recipe of the demo.

    Args:
        output_dir: Folder of the runs; one subfolder per arm.
        phase_epochs: Epochs of the dense, sparse and re-dense phase.
        sparsity: Fraction pruned in the sparse phase, [0, 1).
        seed: Of the model, the order of the data and dropout.
        scenes: The data; drawn if None.
    """

    def __init__(
        self,
        output_dir: str | Path,
        phase_epochs: tuple[float, float, float] = (6, 3, 3),
        sparsity: float = 0.5,
        seed: int = 0,
        scenes: SceneSet | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.phase_epochs = list(phase_epochs)
        self.sparsity = sparsity
        self.seed = seed
        self.scenes = make_scenes(SPLIT_SIZES) if scenes is None else scenes
        data = self.scenes.data
        captions = (caption for image in data.split("train").captions for caption in image)
        self.tokenizer = build_caption_tokenizer(captions, min_count=2)
        encode = partial(encode_caption, self.tokenizer)
        self.train_set = CaptionTrainingSet(data, encode)
        self.validation_set = CaptionEvaluationSet(data, encode, split="validation")
        self.test_set = CaptionEvaluationSet(data, encode, split="test")

    def run(self) -> list[PhaseResult]:
        """Trains both arms and scores the control, the sparse and the DSD model on the test scenes."""
        # Each arm is scored before the next is built: transformers keeps one accelerator state per process.
        trainer = self._trainer("dsd", save_strategy="steps", save_steps=self._dense_steps())
        trainer.train()
        sparse = self._score(trainer, 1, f"sparse phase ({self.sparsity:.0%} pruned)")
        dsd = self._score(trainer, 2, "DSD")
        trainer = self._trainer("dense-control", dsd_control=True)
        trainer.train(resume_from_checkpoint=str(self.output_dir / "dsd" / f"checkpoint-{self._dense_steps()}"))
        return [self._score(trainer, 2, "dense control (same budget)"), sparse, dsd]

    def _dense_steps(self) -> int:
        return round(self.phase_epochs[0] * -(-len(self.train_set) // BATCH_SIZE))

    def _arguments(self, arm: str, **options: Any) -> DSDSeq2SeqTrainingArguments:
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
        return DSDSeq2SeqTrainingArguments(str(self.output_dir / arm), **(defaults | options))

    def _trainer(self, arm: str, **options: Any) -> DSDSeq2SeqTrainer:
        set_seed(self.seed)
        config = NeuralTalkConfig(
            vocab_size=len(self.tokenizer),
            image_feature_size=self.scenes.data.dims,
            encoder_dropout=DROPOUT,
            decoder_dropout=DROPOUT,
        )
        return DSDSeq2SeqTrainer(
            NeuralTalkForConditionalGeneration(config),
            self._arguments(arm, **options),
            data_collator=CaptionCollator(),
            train_dataset=self.train_set,
            eval_dataset=self.validation_set,
            processing_class=NeuralTalkProcessor(tokenizer=self.tokenizer),
            compute_metrics=caption_metrics(self.tokenizer, self.validation_set.references),
        )

    def _score(self, trainer: DSDSeq2SeqTrainer, phase_index: int, label: str) -> PhaseResult:
        records = trainer.summary.phases[: phase_index + 1]
        trainer.load_phase(records[-1]["name"])
        trainer.compute_metrics = caption_metrics(self.tokenizer, self.test_set.references)
        prediction = trainer.predict(self.test_set, metric_key_prefix=f"test_{records[-1]['name']}")
        ids = prediction.predictions
        ids[ids < 0] = self.tokenizer.pad_token_id
        return PhaseResult(
            label,
            {name: prediction.metrics[f"test_{records[-1]['name']}_{name}"] for name in (*BLEU_NAMES, "loss")},
            epochs=sum(self.phase_epochs[: phase_index + 1]),
            seconds=sum(record["seconds"] for record in records),
            captions=self.tokenizer.batch_decode(ids, skip_special_tokens=True),
        )


def run_demo(output_dir: str | Path, console: Console | None = None) -> None:
    """Runs the demo and prints its table, some captions, and where the files are."""
    console = console or Console()
    demo = CaptioningDemo(output_dir)
    results = demo.run()
    console.print(results_table(results))
    shown = {}
    for row in range(0, len(demo.test_set), len(demo.test_set) // SHOWN)[:SHOWN]:
        lines = [f"{result.label}: {result.captions[row]}" for result in results]
        shown[demo.test_set.images[row]] = [f"a person: {demo.test_set.references[row][0]}", *lines]
    for name, lines in shown.items():
        console.print(f"\n[bold]{name}[/bold]", *lines, sep="\n  ")
    images = [demo.scenes.image(name) for name in shown]
    figure = draw_captioned_scenes(images, list(shown.values()), demo.output_dir / "captions.png")
    console.print(f"\nThe run is in {demo.output_dir}, the captioned pictures in {figure}.")


def results_table(results: list[PhaseResult]) -> Table:
    """The honest table: one row per model, BLEU on the test scenes, loss, epochs and seconds of training."""
    table = Table(title="Test scenes: 250 pictures, 5 references each, one seed")
    table.add_column("model")
    for name in (*(name.upper().replace("U", "U-") for name in BLEU_NAMES), "loss", "epochs", "seconds"):
        table.add_column(name, justify="right")
    for result in results:
        scores = [f"{result.metrics[name]:.1f}" for name in BLEU_NAMES]
        cells = [*scores, f"{result.metrics['loss']:.3f}", f"{result.epochs:g}", f"{result.seconds:.0f}"]
        table.add_row(result.label, *cells)
    return table
