"""Trains a causal language model dense, sparse, dense, and scores every phase by validation perplexity.

Without data or model of your own, a small GPT-2 learns to write the captions of drawn scenes:

    python examples/run_clm.py --output_dir runs/clm --phase_epochs 6 3 3 --sparsity 0.5

With text files, one text per line, and a trained model as the first dense phase (its length is 0):

    accelerate launch --config_file examples/accelerate_configs/fsdp2.yaml examples/run_clm.py \
        --model_name_or_path gpt2 --train_file train.txt --validation_file validation.txt \
        --output_dir runs/gpt2 --phase_epochs 0 2 2 --learning_rate 5e-5 --bf16 true

or with a dataset of the Hub: `--dataset_name wikitext --dataset_config_name wikitext-2-raw-v1`. A recurrent character
model, of 256 bytes and the end of text that every line ends with; the test file is what its phases are scored on:

    python examples/run_clm.py --model_type lstm --vocab_size 257 --config_overrides '{"hidden_dropout": 0.2}' \
        --train_file train.txt --validation_file validation.txt --test_file test.txt \
        --output_dir runs/characters --phase_epochs 6 3 3 --sparsity 0.5

`--dsd_control true` trains the equal-budget dense control: the same epochs and learning rates, no masks.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, load_dataset
from tokenizers import ByteLevelBPETokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    default_data_collator,
    set_seed,
)

from hf_dsd import DSDTrainer, DSDTrainingArguments
from hf_dsd.command_error import run_script
from hf_dsd.data import (
    DEFAULT_SPLIT_SIZES,
    SPLIT_OPTIONS,
    SPLITS,
    SplitArguments,
    chosen_source,
    draw_rows,
    load_splits,
    make_scenes,
    with_validation,
)
from hf_dsd.metrics.bootstrap import percentile_interval
from hf_dsd.models.read_config import read_config
from hf_dsd.runs.run import finished_models
from hf_dsd.runs.scores import PhaseScores
from hf_dsd.sensitivity import measure_run_sensitivity
from hf_dsd.trainer.script_arguments import parse_arguments, read_overrides

END_OF_TEXT = "<|endoftext|>"
SMALL: dict[str, dict[str, Any]] = {"gpt2": {"n_layer": 2, "n_embd": 128, "n_head": 4}, "lstm": {}}  # two of 128, too
BYTES = 257  # of a text's tokens: every byte, so that no text is unknown, and its end


@dataclass
class ModelArguments:
    """The model; without a name, one of random weights that trains on a CPU."""

    model_name_or_path: str | None = field(default=None, metadata={"help": "Start from this trained model."})
    config_name: str | None = field(default=None, metadata={"help": "Random weights of this configuration."})
    model_type: str = field(
        default="gpt2",
        metadata={"choices": list(SMALL), "help": "A model of our size, where none is named: half a million weights."},
    )
    config_overrides: str = field(
        default="{}",
        metadata={"help": "Fields as JSON: '{\"n_layer\": 4}' of gpt2, '{\"hidden_dropout\": 0.2}' of lstm."},
    )
    tokenizer_name: str | None = field(default=None, metadata={"help": "Default: the model's, or one of the text."})
    vocab_size: int = field(
        default=1000,
        metadata={
            "help": f"Of the tokenizer that is trained on the text, at least {BYTES}: 256 bytes and the end of text, "
            "which stands for the end of every line; with just these it is a model of characters."
        },
    )

    def __post_init__(self) -> None:
        """Refuses what would be ignored, and sizes that no tokenizer has."""
        model = self.model_name_or_path or self.config_name
        for option, of in (
            ("config_name", self.model_name_or_path),
            ("model_type", model),
            ("vocab_size", self.tokenizer_name or model),
        ):
            value = getattr(self, option)
            if of is not None and value != getattr(ModelArguments, option):
                raise ValueError(f"{option} belongs to what is new here, got {value!r} with {of}; leave one out")
        if self.vocab_size < BYTES:
            raise ValueError(
                f"vocab_size must be at least {BYTES}, 256 bytes and the end of text, got {self.vocab_size}"
            )


@dataclass
class DataArguments(SplitArguments):
    """The text; without any, the captions of drawn scenes, five each."""

    dataset_name: str | None = field(default=None, metadata={"help": "A dataset of the Hub."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration."})
    train_file: str | None = field(default=None, metadata={"help": "One text per line."})
    validation_file: str | None = field(default=None, metadata={"help": "Needed with train_file."})
    test_file: str | None = field(
        default=None, metadata={"help": "Of train_file's kind; the phases are then scored on it."}
    )
    text_column: str = field(default="text", metadata={"help": "The dataset's column of texts."})
    train_size: int | None = field(
        default=None,
        metadata={"help": "Texts to train on: drawn from the data's, or so many scenes. Default: all, 1500."},
    )
    train_size_seed: int = field(default=0, metadata={"help": "Which ones; a smaller set is a part of a larger one."})
    block_size: int = field(default=64, metadata={"help": "Tokens per training example."})


@dataclass
class TrainingArguments(DSDTrainingArguments):
    """DSD's arguments with the defaults of this task."""

    learning_rate: float = 1e-3
    per_device_train_batch_size: int = 16
    per_device_eval_batch_size: int = 32
    do_train: bool = field(default=True, metadata={"help": "False only scores the phases in output_dir."})
    sensitivity: str | None = field(
        default=None,
        metadata={"help": "Train nothing, measure what pruning alone costs; options as JSON, see hf-dsd sensitivity."},
    )
    eval_strategy: str = "epoch"
    logging_steps: float = 50


def load_texts(arguments: DataArguments) -> DatasetDict:
    """The splits "train" and "validation", and "test" if it is named, with one column, "text"."""
    of_hub = ("dataset_config_name", "text_column", *SPLIT_OPTIONS)
    of_files = dict.fromkeys(("validation_file", "test_file"), "train_file")
    source = chosen_source(arguments, dict.fromkeys(of_hub, "dataset_name") | of_files)
    size, seed = arguments.train_size, arguments.train_size_seed
    if source is None:
        size = DEFAULT_SPLIT_SIZES["train"] if size is None else size
        scenes = make_scenes({"train": size, "validation": max(size // 6, 1)}).data
        captions = {split: list(chain(*scenes.split(split).captions)) for split in ("train", "validation")}
        return DatasetDict({split: Dataset.from_dict({"text": texts}) for split, texts in captions.items()})
    if source == "train_file":
        if arguments.validation_file is None:
            raise SystemExit("--train_file needs a --validation_file: a perplexity on training text says nothing")
        files = {split: getattr(arguments, f"{split}_file") for split in SPLITS}
        texts = load_dataset("text", data_files={split: file for split, file in files.items() if file is not None})
    else:
        names = arguments.split_names
        if names["test"] is None:  # the validation split is scored
            del names["test"]
        found = load_splits(arguments.dataset_name, arguments.dataset_config_name, names, {})
        texts = with_validation(found, 0.05).select_columns(arguments.text_column)
        texts = texts.rename_columns({arguments.text_column: "text"} if arguments.text_column != "text" else {})
    if size is not None:
        texts["train"] = texts["train"].select(draw_rows(size, len(texts["train"]), seed))
    return texts


def load_tokenizer(arguments: ModelArguments, texts: Dataset) -> PreTrainedTokenizerBase:
    name = arguments.tokenizer_name or arguments.model_name_or_path or arguments.config_name
    if name is not None:
        return AutoTokenizer.from_pretrained(name)
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts["text"], arguments.vocab_size, special_tokens=[END_OF_TEXT])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, eos_token=END_OF_TEXT)


def build_model(arguments: ModelArguments, tokenizer: PreTrainedTokenizerBase, block_size: int) -> PreTrainedModel:
    name = arguments.model_name_or_path or arguments.config_name
    known = AutoConfig.for_model(arguments.model_type) if name is None else read_config(name)
    overrides = read_overrides(arguments.config_overrides, known)
    if arguments.model_name_or_path is not None:
        return AutoModelForCausalLM.from_pretrained(arguments.model_name_or_path, **overrides)
    sizes = {"vocab_size": len(tokenizer)}
    if name is not None:
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(name, **sizes | overrides))
    sizes |= SMALL[arguments.model_type] | dict.fromkeys(("bos_token_id", "eos_token_id"), tokenizer.eos_token_id)
    if arguments.model_type == "gpt2":
        sizes["n_positions"] = block_size
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(arguments.model_type, **sizes | overrides))


def group_into_blocks(texts: Dataset, tokenizer: PreTrainedTokenizerBase, block_size: int) -> Dataset:
    """Joins all texts, each with the end-of-text token behind it, and cuts them into blocks; the rest is dropped."""

    def blocks(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        ids = chain.from_iterable([*ids, tokenizer.eos_token_id] for ids in tokenizer(batch["text"])["input_ids"])
        cut = list(_blocks(list(ids), block_size))
        return {"input_ids": cut, "labels": cut}

    grouped = texts.map(blocks, batched=True, remove_columns="text", desc=f"blocks of {block_size} tokens")
    if not len(grouped):
        raise SystemExit(f"the text has fewer than {block_size} tokens: lower --block_size or bring more text")
    return grouped


def _blocks(ids: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(ids) - size + 1, size):
        yield ids[start : start + size]


def block_losses(logits: Any, labels: Tensor) -> Tensor:
    """Mean loss of each block (blocks,): all that a perplexity needs of the logits (blocks, time, vocabulary)."""
    logits = logits[0] if isinstance(logits, tuple) else logits
    losses = cross_entropy(logits[:, :-1].transpose(1, 2).float(), labels[:, 1:], reduction="none")
    return losses.mean(dim=1)


def perplexity(evaluation: EvalPrediction) -> dict[str, float]:
    """Perplexity per token, with the 95 % interval of blocks drawn with replacement."""
    losses = np.asarray(evaluation.predictions, dtype=np.float64)
    generator = np.random.default_rng(0)
    means = [losses[generator.integers(len(losses), size=len(losses))].mean() for _ in range(1000)]
    low, high = np.exp(percentile_interval(np.array(means)))
    return {"perplexity": math.exp(losses.mean()), "perplexity_low": float(low), "perplexity_high": float(high)}


def score_phase(trainer: DSDTrainer, phase: str, split: str, blocks: Dataset, signature: str) -> PhaseScores:
    """Scores the model of one phase on the text of a split, as `SPLIT_PHASE.json` in the run's folder."""
    trainer.load_phase(phase)
    prefix = f"{split}_{phase}"
    metrics = trainer.evaluate(blocks, metric_key_prefix=prefix)
    value, *interval = (metrics[f"{prefix}_perplexity{end}"] for end in ("", "_low", "_high"))
    scores = {"perplexity": value, "perplexity_ci": interval, "signature": signature}
    result = PhaseScores(phase, split, "perplexity", False, scores, metrics[f"{prefix}_loss"], [])
    if trainer.is_world_process_zero():
        result.write(trainer.run_folder, trainer.summary.run)
    return result


def main() -> None:
    model_arguments, data_arguments, training_arguments = parse_arguments(
        ModelArguments, DataArguments, TrainingArguments
    )
    set_seed(training_arguments.seed)

    with training_arguments.main_process_first(desc="reading the text"):
        texts = load_texts(data_arguments)
        tokenizer = load_tokenizer(model_arguments, texts["train"])
        blocks = {split: group_into_blocks(rows, tokenizer, data_arguments.block_size) for split, rows in texts.items()}
    trainer = DSDTrainer(
        build_model(model_arguments, tokenizer, data_arguments.block_size),
        training_arguments,
        data_collator=default_data_collator,
        train_dataset=blocks["train"],
        eval_dataset=blocks["validation"],
        processing_class=tokenizer,
        compute_metrics=perplexity,
        preprocess_logits_for_metrics=block_losses,
    )
    if training_arguments.sensitivity is not None:
        measure_run_sensitivity(trainer, blocks["validation"], training_arguments.sensitivity)
        return
    if training_arguments.do_train:
        trainer.train(resume_from_checkpoint=training_arguments.resume_from_checkpoint)
        trainer.save_model()
        trainer.save_state()  # the losses and metrics over time, for `hf-dsd report`
    split = "test" if "test" in blocks else "validation"
    signature = f"block:{data_arguments.block_size}|tokens:{len(tokenizer)}|blocks:{len(blocks[split])}"
    for phase in finished_models(training_arguments.output_dir):
        result = score_phase(trainer, phase, split, blocks[split], signature)
        low, high = result.scores["perplexity_ci"]
        if trainer.is_world_process_zero():
            print(f"{phase}: perplexity {result.value:.2f} [{low:.2f}, {high:.2f}] {signature}")


if __name__ == "__main__":
    run_script(main)
