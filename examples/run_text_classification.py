"""Fine-tunes a sentence classifier dense, sparse, dense, and scores every phase by its error and F1.

Without data or model of your own, a small BERT of random weights learns which of some drawn reviews are kind:

    python examples/run_text_classification.py --output_dir runs/reviews --phase_epochs 10 5 5 --sparsity 0.5

With files, `data/train.jsonl` (or .csv), `data/validation.jsonl` and `data/test.jsonl` of a sentence and a label a row,
and a pretrained model:

    accelerate launch examples/run_text_classification.py --data_dir sst2 --text_column sentence \
        --model_name_or_path sentence-transformers/all-MiniLM-L6-v2 --output_dir runs/sst2 \
        --phase_epochs 3 2 2 --phase_learning_rates 5e-5 5e-5 2e-5 --sparsity 0.5

or with a dataset of the Hub: `--dataset_name imdb --text_column text`.
`--dsd_control true` trains the equal-budget dense control: the same epochs and learning rates, no masks.
"""

from dataclasses import dataclass, field
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    set_seed,
)

from hf_dsd import DSDTrainer, DSDTrainingArguments
from hf_dsd.command_error import run_script
from hf_dsd.data import (
    OPINIONS,
    SplitArguments,
    chosen_source,
    draw_rows,
    load_files,
    load_splits,
    make_reviews,
    with_validation,
)
from hf_dsd.metrics import label_metrics, label_scorer, ranked_labels
from hf_dsd.sensitivity import measure_run_sensitivity
from hf_dsd.trainer.scoring import score_phases
from hf_dsd.trainer.script_arguments import parse_arguments

END, PAD = "<|endoftext|>", "<|pad|>"


@dataclass
class ModelArguments:
    """The model; without a name, a BERT of random weights that trains on a CPU."""

    model_name_or_path: str | None = field(default=None, metadata={"help": "Start from this trained model."})
    config_name: str | None = field(default=None, metadata={"help": "Random weights of this configuration."})
    tokenizer_name: str | None = field(default=None, metadata={"help": "Default: the model's, or one of the text."})
    max_length: int = field(default=128, metadata={"help": "Tokens of a sentence; longer ones are cut."})


@dataclass
class DataArguments(SplitArguments):
    """The sentences; without any, drawn reviews."""

    data_dir: str | None = field(default=None, metadata={"help": "train, validation and test .jsonl, .json or .csv."})
    dataset_name: str | None = field(default=None, metadata={"help": "A dataset of the Hub."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration."})
    text_column: str = field(default="sentence", metadata={"help": "The column of sentences."})
    label_column: str = field(default="label", metadata={"help": "The column of classes, as names or numbers."})
    train_size: int | None = field(
        default=None,
        metadata={"help": "Sentences to train on: drawn from the data's, or so many reviews. Default: all."},
    )
    train_size_seed: int = field(default=0, metadata={"help": "Which ones; a smaller set is a part of a larger one."})


@dataclass
class TrainingArguments(DSDTrainingArguments):
    """DSD's arguments with the defaults of this task."""

    learning_rate: float = 1e-3
    per_device_train_batch_size: int = 16
    per_device_eval_batch_size: int = 64
    do_train: bool = field(default=True, metadata={"help": "False only scores the phases in output_dir."})
    sensitivity: str | None = field(
        default=None,
        metadata={"help": "Train nothing, measure what pruning alone costs; options as JSON, see hf-dsd sensitivity."},
    )
    do_predict: bool = field(default=True, metadata={"help": "Score the test split; false while you tune."})
    eval_strategy: str = "epoch"
    logging_steps: float = 50


def load_sentences(arguments: DataArguments) -> DatasetDict:
    """The splits "train" and "validation", and "test" where there is one, with the columns "text" and "label"."""
    source = chosen_source(arguments, {"dataset_config_name": "dataset_name"})
    size, seed = arguments.train_size, arguments.train_size_seed
    if source is None:
        drawn = make_reviews({"train": 600 if size is None else size, "validation": 200, "test": 200})
        features = Features({"text": Value("string"), "label": ClassLabel(names=list(OPINIONS))})
        rows = {name: {"text": split.sentences, "label": split.labels} for name, split in drawn.items()}
        return DatasetDict({name: Dataset.from_dict(columns, features) for name, columns in rows.items()})
    loaded = _read(arguments) if source == "data_dir" else _download(arguments)
    columns = {arguments.text_column: "text", arguments.label_column: "label"}
    for split, rows in loaded.items():
        missing = columns.keys() - set(rows.column_names)
        if missing:
            raise ValueError(f"{split} has no column {sorted(missing)[0]!r}, only {rows.column_names}: name it by flag")
    splits = loaded.select_columns(list(columns)).rename_columns({a: b for a, b in columns.items() if a != b})
    if not isinstance(splits["train"].features["label"], ClassLabel):
        splits = splits.cast_column("label", _classes(splits["train"]["label"]))
    splits = with_validation(splits, 0.1, "label")
    if size is not None:
        splits["train"] = splits["train"].select(draw_rows(size, len(splits["train"]), seed))
    return splits


def _read(arguments: DataArguments) -> DatasetDict:
    paths = [
        path for path in sorted(Path(arguments.data_dir).glob("*.*")) if path.suffix in (".jsonl", ".json", ".csv")
    ]
    if not paths:
        raise FileNotFoundError(
            f"{arguments.data_dir} must hold train.jsonl, train.json or train.csv: check --data_dir"
        )
    kinds = {"csv" if path.suffix == ".csv" else "json" for path in paths}
    names = [path.stem for path in paths]
    if len(kinds) > 1 or len({*names}) < len(names):
        raise ValueError(
            f"data_dir must hold one file per split, all of one kind, got {[path.name for path in paths]}; remove some"
        )
    files = {path.stem: str(path) for path in paths}
    return load_files(kinds.pop(), files, arguments.split_names, f"the folder {arguments.data_dir!r}")


def _download(arguments: DataArguments) -> DatasetDict:
    return DatasetDict(load_splits(arguments.dataset_name, arguments.dataset_config_name, arguments.split_names, {}))


def _classes(labels: list[str | int]) -> ClassLabel:
    """Names as they are; numbers 0, 1, 2, ... as themselves."""
    found = sorted(set(labels))
    if isinstance(found[0], int) and found != list(range(len(found))):
        raise ValueError(f"label must count its classes 0, 1, 2, ..., got {found[:5]}: write them so, or as names")
    return ClassLabel(names=[str(label) for label in found])


def load_tokenizer(arguments: ModelArguments, texts: Dataset) -> PreTrainedTokenizerBase:
    name = arguments.tokenizer_name or arguments.model_name_or_path or arguments.config_name
    if name is not None:
        return AutoTokenizer.from_pretrained(name)
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts["text"], 1000, special_tokens=[PAD, END])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, pad_token=PAD, eos_token=END)


def build_model(arguments: ModelArguments, names: list[str], tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    labels = {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
    }
    if arguments.model_name_or_path is not None:
        return AutoModelForSequenceClassification.from_pretrained(arguments.model_name_or_path, **labels)
    if arguments.config_name is not None:
        config = AutoConfig.from_pretrained(arguments.config_name, **labels)
    else:
        sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
        config = BertConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **sizes, **labels)
    return AutoModelForSequenceClassification.from_config(config)


def main() -> None:
    model_arguments, data_arguments, training_arguments = parse_arguments(
        ModelArguments, DataArguments, TrainingArguments
    )
    set_seed(training_arguments.seed)

    with training_arguments.main_process_first(desc="reading the sentences"):
        texts = load_sentences(data_arguments)
        tokenizer = load_tokenizer(model_arguments, texts["train"])
        encode = {"truncation": True, "max_length": model_arguments.max_length}
        rows = texts.map(lambda batch: tokenizer(batch["text"], **encode), batched=True, remove_columns="text")
    names = texts["train"].features["label"].names
    split = "test" if "test" in texts else "validation"
    ids = [f"{split}/{row}" for row in range(len(texts[split]))]
    scorer = label_scorer(names, ids, texts[split]["label"], with_f1=True)  # hidden labels: refused before the training
    trainer = DSDTrainer(
        build_model(model_arguments, names, tokenizer),
        training_arguments,
        data_collator=DataCollatorWithPadding(tokenizer),
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        processing_class=tokenizer,
        compute_metrics=label_metrics,
        preprocess_logits_for_metrics=ranked_labels,
    )
    if training_arguments.sensitivity is not None:
        measure_run_sensitivity(trainer, rows["validation"], training_arguments.sensitivity)
        return
    if training_arguments.do_train:
        trainer.train(resume_from_checkpoint=training_arguments.resume_from_checkpoint)
        trainer.save_model()
        trainer.save_state()  # the losses and metrics over time, for `hf-dsd report`
    if not training_arguments.do_predict:
        return
    for result in score_phases(trainer, rows[split], scorer, split):
        low, high = result.scores["error_ci"]
        print(f"{result.phase}: {split} error {result.value:.2%} [{low:.2%}, {high:.2%}], F1 {result.scores['f1']:.3f}")


if __name__ == "__main__":
    run_script(main)
