"""Trains an image classifier dense, sparse, dense, and scores every phase by its top-1 error.

Without data or model of your own, a small ResNet learns which shape is drawn:

    python examples/run_image_classification.py --output_dir runs/shapes --phase_epochs 20 10 10 --sparsity 0.5

With folders of pictures, `data/train/CLASS/*.jpg` and `data/validation/CLASS/*.jpg` (and `data/test`), and a trained
model as the first dense phase (its length is 0):

    accelerate launch examples/run_image_classification.py --data_dir data --model_name_or_path microsoft/resnet-18 \
        --output_dir runs/resnet --phase_epochs 0 15 15 --phase_learning_rates 1e-2 1e-2 1e-3 --optim sgd --bf16 true

or with a dataset of the Hub: `--dataset_name cifar10 --image_column img`. Augmentation is yours to add, in `Pictures`.
`--dsd_control true` trains the equal-budget dense control: the same epochs and learning rates, no masks.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, load_dataset
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    PreTrainedModel,
    ResNetConfig,
    ViTImageProcessorPil,
    default_data_collator,
    set_seed,
)

from hf_dsd import DSDTrainer, DSDTrainingArguments
from hf_dsd.command_error import run_script
from hf_dsd.data import SHAPES, chosen_source, make_shape_pictures
from hf_dsd.metrics import TextScorer, argmax_labels, label_metrics, label_scorer
from hf_dsd.sensitivity import measure_run_sensitivity
from hf_dsd.trainer.scoring import score_phases
from hf_dsd.trainer.script_arguments import parse_arguments


@dataclass
class ModelArguments:
    """The model; without a name, a ResNet of random weights that trains on a CPU."""

    model_name_or_path: str | None = field(default=None, metadata={"help": "Start from this trained model."})
    config_name: str | None = field(default=None, metadata={"help": "Random weights of this configuration."})
    image_size: int = field(default=64, metadata={"help": "Height and width; a model's own processor knows better."})


@dataclass
class DataArguments:
    """The pictures; without any, one kind of shape is drawn in each."""

    data_dir: str | None = field(default=None, metadata={"help": "Folders SPLIT/CLASS/*.jpg or *.png."})
    dataset_name: str | None = field(default=None, metadata={"help": "A dataset of the Hub."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration."})
    image_column: str = field(default="image", metadata={"help": "The dataset's column of pictures."})
    label_column: str = field(default="label", metadata={"help": "The dataset's column of classes."})
    shapes: int = field(default=1500, metadata={"help": "Drawn training pictures."})


@dataclass
class TrainingArguments(DSDTrainingArguments):
    """DSD's arguments with the defaults of this task."""

    learning_rate: float = 3e-3
    per_device_train_batch_size: int = 32
    per_device_eval_batch_size: int = 100
    do_train: bool = field(default=True, metadata={"help": "False only scores the phases in output_dir."})
    sensitivity: str | None = field(
        default=None,
        metadata={"help": "Train nothing, measure what pruning alone costs; options as JSON, see hf-dsd sensitivity."},
    )
    eval_strategy: str = "epoch"
    logging_steps: float = 50
    remove_unused_columns: bool = False  # the pictures become pixels when they are read


@dataclass(frozen=True)
class Pictures(torch.utils.data.Dataset):
    """One split as the model takes it."""

    rows: Dataset
    processor: Any

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        row = self.rows[index]
        pixels = self.processor(row["image"].convert("RGB"), return_tensors="pt")["pixel_values"][0]
        return {"pixel_values": pixels, "labels": row["label"]}


def load_pictures(arguments: DataArguments) -> DatasetDict:
    """The splits "train" and "validation", and "test" where there is one, with the columns "image" and "label"."""
    of_hub = ("dataset_config_name", "image_column", "label_column")
    source = chosen_source(arguments, dict.fromkeys(of_hub, "dataset_name") | {"shapes": None})
    if source is None:
        sizes = {"train": arguments.shapes, **dict.fromkeys(("validation", "test"), max(arguments.shapes // 5, 1))}
        features = Features({"image": Image(), "label": ClassLabel(names=list(SHAPES))})
        drawn = make_shape_pictures(sizes)
        return DatasetDict(
            {name: Dataset.from_dict({"image": s.images, "label": s.labels}, features) for name, s in drawn.items()}
        )
    if source == "data_dir":
        pictures = load_dataset("imagefolder", data_dir=arguments.data_dir)
    else:
        pictures = load_dataset(arguments.dataset_name, arguments.dataset_config_name)
        columns = {arguments.image_column: "image", arguments.label_column: "label"}
        pictures = pictures.select_columns(list(columns)).rename_columns(
            {old: new for old, new in columns.items() if old != new}
        )
    if "validation" not in pictures:
        parts = pictures["train"].train_test_split(test_size=0.1, seed=0, stratify_by_column="label")
        pictures |= {"train": parts["train"], "validation": parts["test"]}
    if "test" in pictures and max(pictures["test"]["label"]) < 0:
        print("The test split hides its labels (all are negative): left out, the validation split is scored instead")
        del pictures["test"]
    return DatasetDict(pictures)


def build_model(arguments: ModelArguments, class_names: list[str]) -> PreTrainedModel:
    labels = {
        "num_labels": len(class_names),
        "id2label": dict(enumerate(class_names)),
        "label2id": {name: index for index, name in enumerate(class_names)},
    }
    if arguments.model_name_or_path is not None:
        return AutoModelForImageClassification.from_pretrained(
            arguments.model_name_or_path, **labels, ignore_mismatched_sizes=True
        )
    if arguments.config_name is not None:
        config = AutoConfig.from_pretrained(arguments.config_name, **labels)
    else:
        sizes = {"embedding_size": 16, "hidden_sizes": [16, 32, 64], "depths": [1, 1, 1], "layer_type": "basic"}
        config = ResNetConfig(**sizes, **labels)
    return AutoModelForImageClassification.from_config(config)


def build_processor(arguments: ModelArguments) -> Any:
    if arguments.model_name_or_path is not None:
        return AutoImageProcessor.from_pretrained(arguments.model_name_or_path)
    size = {"height": arguments.image_size, "width": arguments.image_size}
    return ViTImageProcessorPil(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def build_scorer(class_names: list[str], split: str, labels: list[int]) -> TextScorer:
    """Refuses hidden labels by name, in any split: before the training, not after it."""
    try:
        return label_scorer(class_names, [f"{split}/{index}" for index in range(len(labels))], labels)
    except ValueError as error:
        raise ValueError(f"split {split!r}: {error}") from error


def main() -> None:
    model_arguments, data_arguments, training_arguments = parse_arguments(
        ModelArguments, DataArguments, TrainingArguments
    )
    set_seed(training_arguments.seed)

    with training_arguments.main_process_first(desc="reading the pictures"):
        splits = load_pictures(data_arguments)
    class_names = splits["train"].features["label"].names
    scorers = {split: build_scorer(class_names, split, rows["label"]) for split, rows in splits.items()}
    split = "test" if "test" in splits else "validation"
    processor = build_processor(model_arguments)
    pictures = {split: Pictures(rows, processor) for split, rows in splits.items()}
    trainer = DSDTrainer(
        build_model(model_arguments, class_names),
        training_arguments,
        data_collator=default_data_collator,
        train_dataset=pictures["train"],
        eval_dataset=pictures["validation"],
        processing_class=processor,
        compute_metrics=label_metrics,
        preprocess_logits_for_metrics=argmax_labels,
    )
    if training_arguments.sensitivity is not None:
        measure_run_sensitivity(trainer, pictures["validation"], training_arguments.sensitivity)
        return
    if training_arguments.do_train:
        trainer.train(resume_from_checkpoint=training_arguments.resume_from_checkpoint)
        trainer.save_model()
        trainer.save_state()  # the losses and metrics over time, for `hf-dsd report`
    for result in score_phases(trainer, pictures[split], scorers[split], split):
        low, high = result.scores["error_ci"]
        print(f"{result.phase}: {split} top-1 error {result.value:.2%} [{low:.2%}, {high:.2%}]")


if __name__ == "__main__":
    run_script(main)
