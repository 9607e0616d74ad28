"""Trains an image classifier dense, sparse, dense, and scores every phase by its top-1 and top-5 error.

Without data or model of your own, a small ResNet learns which shape is drawn:

    python examples/run_image_classification.py --output_dir runs/shapes --phase_epochs 20 10 10 --sparsity 0.5

The paper's networks are there by name, from torchvision (`pip install 'hf-dsd[vision]'`), with its recipes in
`examples/recipes/`; ImageNet is yours to bring:

    python examples/run_image_classification.py examples/recipes/vgg16.yaml --data_dir imagenet --output_dir runs/vgg16

`--model_name` is any classifier of torchvision or timm. The paper began with published networks: a file of them is the
first dense phase, whose length then is 0, and a head of other classes is drawn anew:

    --model_name resnet18 --pretrained_weights resnet18-f37072fd.pth --phase_epochs 0 15 15

`--data_dir` may hold the four IDX files of MNIST or Fashion-MNIST, zipped or not, instead.

With folders of pictures, `data/train/CLASS/*.jpg` and `data/validation/CLASS/*.jpg` (and `data/test`), and a trained
model as the first dense phase (its length is 0):

    accelerate launch examples/run_image_classification.py --data_dir data --model_name_or_path microsoft/resnet-18 \
        --output_dir runs/resnet --phase_epochs 0 15 15 --phase_learning_rates 1e-2 1e-2 1e-3 --optim sgd --bf16 true

or with a dataset of the Hub: `--dataset_name cifar10 --image_column img`.
`--dsd_control true` trains the equal-budget dense control: the same epochs and learning rates, no masks.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    PreTrainedConfig,
    PreTrainedModel,
    ResNetConfig,
    default_data_collator,
    set_seed,
)

from hf_dsd import DSDTrainer, DSDTrainingArguments
from hf_dsd.command_error import run_script
from hf_dsd.data import (
    SHAPES,
    PictureSet,
    SplitArguments,
    chosen_source,
    draw_rows,
    holds_idx,
    load_files,
    load_idx_pictures,
    load_splits,
    make_shape_pictures,
    with_validation,
)
from hf_dsd.metrics import TextScorer, label_metrics, label_scorer, ranked_labels
from hf_dsd.models import build_image_processor, build_named_classifier, load_pretrained_weights
from hf_dsd.runs.scores import PhaseScores
from hf_dsd.sensitivity import measure_run_sensitivity
from hf_dsd.trainer.scoring import score_phases
from hf_dsd.trainer.script_arguments import parse_arguments


@dataclass
class ModelArguments:
    """The model; without a name, a ResNet of random weights that trains on a CPU."""

    model_name_or_path: str | None = field(default=None, metadata={"help": "Start from this trained model."})
    config_name: str | None = field(default=None, metadata={"help": "Random weights of this configuration."})
    model_name: str | None = field(
        default=None, metadata={"help": "Random weights of this network of torchvision or timm, such as vgg16."}
    )
    pretrained_weights: str | None = field(
        default=None,
        metadata={"help": "With --model_name: a file of its library's own weights, .pth or .safetensors; see above."},
    )
    image_size: int = field(default=64, metadata={"help": "Height and width; a model's own processor knows better."})
    resize_size: int | None = field(
        default=None,
        metadata={"help": "With --model_name: the shorter side before the middle is cut out; 256 for ImageNet."},
    )


@dataclass
class DataArguments(SplitArguments):
    """The pictures; without any, one kind of shape is drawn in each."""

    data_dir: str | None = field(default=None, metadata={"help": "Folders SPLIT/CLASS/*.jpg or *.png; or IDX files."})
    class_names: list[str] | None = field(default=None, metadata={"help": "Of IDX files, which hold none, by label."})
    dataset_name: str | None = field(default=None, metadata={"help": "A dataset of the Hub."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration."})
    image_column: str = field(default="image", metadata={"help": "The dataset's column of pictures."})
    label_column: str = field(default="label", metadata={"help": "The dataset's column of classes."})
    train_size: int | None = field(
        default=None,
        metadata={"help": "Pictures to train on: drawn from the data's, or so many shapes. Default: all, 1500."},
    )
    train_size_seed: int = field(default=0, metadata={"help": "Which ones; a smaller set is a part of a larger one."})
    precompute: bool = field(default=False, metadata={"help": "Keep all model inputs in memory; for small pictures."})
    augment: str = field(
        default="none", metadata={"help": "none; crop and resized_crop also mirror, see hf_dsd/data/images."}
    )


@dataclass
class TrainingArguments(DSDTrainingArguments):
    """DSD's arguments with the defaults of this task."""

    learning_rate: float = 3e-3
    per_device_train_batch_size: int = 32
    per_device_eval_batch_size: int = 100
    do_train: bool = field(default=True, metadata={"help": "False only scores the phases in output_dir."})
    do_predict: bool = field(default=True, metadata={"help": "Score the test split; false while you tune."})
    sensitivity: str | None = field(
        default=None,
        metadata={"help": "Train nothing, measure what pruning alone costs; options as JSON, see hf-dsd sensitivity."},
    )
    eval_strategy: str = "epoch"
    logging_steps: float = 50
    remove_unused_columns: bool = False  # the pictures become pixels when they are read


def load_pictures(arguments: DataArguments) -> DatasetDict:
    """The splits "train" and "validation", and "test" where there is one, with the columns "image" and "label"."""
    of_hub = ("dataset_config_name", "image_column", "label_column")
    source = chosen_source(arguments, dict.fromkeys(of_hub, "dataset_name") | {"class_names": "data_dir"})
    size, seed = arguments.train_size, arguments.train_size_seed
    if source is None:
        size = 1500 if size is None else size
        sizes = {"train": size, **dict.fromkeys(("validation", "test"), max(size // 5, 1))}
        features = Features({"image": Image(), "label": ClassLabel(names=list(SHAPES))})
        drawn = make_shape_pictures(sizes)
        return DatasetDict(
            {name: Dataset.from_dict({"image": s.images, "label": s.labels}, features) for name, s in drawn.items()}
        )
    found = _read(arguments) if source == "data_dir" else _download(arguments)
    pictures = with_validation(found, 0.1, "label")
    if size is not None and "validation" not in found:  # whoever has few pictures has few to validate on, too
        held = min(size, len(pictures["validation"]))
        pictures["validation"] = pictures["validation"].select(range(held))
    if size is not None:
        pictures["train"] = pictures["train"].select(draw_rows(size, len(pictures["train"]), seed))
    if "test" in pictures and max(pictures["test"]["label"]) < 0:
        print("The test split hides its labels (all are negative): left out, the validation split is scored instead")
        del pictures["test"]
    return pictures


def _read(arguments: DataArguments) -> DatasetDict:
    names = arguments.split_names
    if holds_idx(arguments.data_dir):
        if any(names.values()):
            raise ValueError(f"IDX files are the splits train and test, got names for others: {names}; leave them out")
        return load_idx_pictures(arguments.data_dir, arguments.class_names)
    if not any(names.values()):  # found by `datasets`, wherever they lie
        return DatasetDict(load_splits("imagefolder", None, names, {"data_dir": arguments.data_dir}))
    folders = {path.name: f"{path}/**" for path in Path(arguments.data_dir).iterdir() if path.is_dir()}
    return load_files("imagefolder", folders, names, f"the folder {arguments.data_dir!r}")


def _download(arguments: DataArguments) -> DatasetDict:
    splits = load_splits(arguments.dataset_name, arguments.dataset_config_name, arguments.split_names, {})
    columns = {arguments.image_column: "image", arguments.label_column: "label"}
    return (
        DatasetDict(splits)
        .select_columns(list(columns))
        .rename_columns({old: new for old, new in columns.items() if old != new})
    )


def build_model(arguments: ModelArguments, class_names: list[str]) -> PreTrainedModel:
    names, beside = ("model_name_or_path", "config_name", "model_name"), ("resize_size", "pretrained_weights")
    given = [name for name in (*names, *beside) if getattr(arguments, name) is not None]
    if len({*given} & {*names}) > 1 or ({*given} & {*beside} and "model_name" not in given):
        raise ValueError(
            f"one of {', '.join(names)} names the model, {' and '.join(beside)} go with model_name; got {given}"
        )
    labels = {
        "num_labels": len(class_names),
        "id2label": dict(enumerate(class_names)),
        "label2id": {name: index for index, name in enumerate(class_names)},
    }
    if arguments.model_name_or_path is not None:
        return AutoModelForImageClassification.from_pretrained(
            arguments.model_name_or_path, **labels, ignore_mismatched_sizes=True
        )
    if arguments.model_name is not None:
        model = build_named_classifier(arguments.model_name, class_names)
        if arguments.pretrained_weights is not None:
            drawn = load_pretrained_weights(model, arguments.pretrained_weights)
            print(
                f"{arguments.pretrained_weights} is read; drawn anew for {len(class_names)} classes: {drawn or 'none'}"
            )
        return model
    if arguments.config_name is not None:
        config = AutoConfig.from_pretrained(arguments.config_name, **labels)
    else:
        sizes = {"embedding_size": 16, "hidden_sizes": [16, 32, 64], "depths": [1, 1, 1], "layer_type": "basic"}
        config = ResNetConfig(**sizes, **labels)
    return AutoModelForImageClassification.from_config(config)


def build_processor(arguments: ModelArguments, config: PreTrainedConfig) -> Any:
    if arguments.model_name_or_path is not None:  # with Pillow's resize, also where torchvision is installed
        return AutoImageProcessor.from_pretrained(arguments.model_name_or_path, backend="pil")
    return build_image_processor(config, arguments.image_size, arguments.resize_size)


def build_scorer(class_names: list[str], split: str, labels: list[int]) -> TextScorer:
    """Refuses hidden labels by name, in any split: before the training, not after it."""
    try:
        return label_scorer(class_names, [f"{split}/{index}" for index in range(len(labels))], labels)
    except ValueError as error:
        raise ValueError(f"split {split!r}: {error}") from error


def told_rate(result: PhaseScores, key: str) -> str:
    low, high = result.scores[f"{key}_ci"]
    return f"{result.scores[key]:.2%} [{low:.2%}, {high:.2%}]"


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
    model = build_model(model_arguments, class_names)
    processor = build_processor(model_arguments, model.config)
    augment = {"train": data_arguments.augment}
    pictures = {
        split: PictureSet(
            rows, processor, augment.get(split, "none"), training_arguments.seed, keep=data_arguments.precompute
        )
        for split, rows in splits.items()
    }
    trainer = DSDTrainer(
        model,
        training_arguments,
        data_collator=default_data_collator,
        train_dataset=pictures["train"],
        eval_dataset=pictures["validation"],
        processing_class=processor,
        compute_metrics=label_metrics,
        preprocess_logits_for_metrics=ranked_labels,
    )
    if training_arguments.sensitivity is not None:
        measure_run_sensitivity(trainer, pictures["validation"], training_arguments.sensitivity)
        return
    if training_arguments.do_train:
        trainer.train(resume_from_checkpoint=training_arguments.resume_from_checkpoint)
        trainer.save_model()
        trainer.save_state()  # the losses and metrics over time, for `hf-dsd report`
    if not training_arguments.do_predict:
        return
    for result in score_phases(trainer, pictures[split], scorers[split], split):
        errors = {"top-1": "error", "top-5": "error_top5"}  # the latter of five classes and more
        told = [f"{top} error {told_rate(result, key)}" for top, key in errors.items() if key in result.scores]
        print(f"{result.phase}: {split} {', '.join(told)}")


if __name__ == "__main__":
    run_script(main)
