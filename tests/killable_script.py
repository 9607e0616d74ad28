"""A training script as users have them, of a tiny GPT-2 whose models are scored: for `compare` and `sensitivity`.

With KILL=NAME:EVENT or NAME:EVENT:RANK in the environment, that rank of the run whose folder has that name dies at that
file event.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from killed_runs import kill_at
from tiny import language_rows
from transformers import GPT2Config, GPT2LMHeadModel, HfArgumentParser, set_seed

from hf_dsd import DSDTrainer, DSDTrainingArguments
from hf_dsd.metrics import score_transcripts
from hf_dsd.sensitivity import measure_run_sensitivity
from hf_dsd.trainer.scoring import score_phases

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
LINE = """--phase_steps 2 2 2 --sparsity 0.5 --learning_rate 1e-2 --per_device_train_batch_size 4 --logging_steps 1
--save_strategy steps --save_steps 1 --eval_strategy steps --eval_steps 1 --report_to none --disable_tqdm true
--use_cpu true"""
OPTIONS = LINE.split()


@dataclass
class ScriptArguments:
    """What the script takes besides the Trainer's arguments."""

    sensitivity: str | None = field(default=None, metadata={"help": "Measure instead of training."})
    width: int = field(default=8, metadata={"help": "Of the model."})


class WordScorer:
    """Reads the likeliest next token of every place as a word."""

    metric, greater_is_better = "wer", False

    def __init__(self, rows: Sequence[dict[str, torch.Tensor]]) -> None:
        self.ids = [str(index) for index in range(len(rows))]
        self.references = [[" ".join(WORDS[token] for token in row["labels"])] for row in rows]

    def decode(self, predictions: Any) -> list[str]:
        return [" ".join(WORDS[token] for token in row) for row in predictions.argmax(-1)]

    def score(self, texts: Sequence[str]) -> dict[str, Any]:
        return score_transcripts(texts, [reference for (reference,) in self.references], n_bootstrap=50)


def parse(words: Sequence[str]) -> tuple[ScriptArguments, DSDTrainingArguments]:
    """The command line's arguments."""
    script, args = HfArgumentParser((ScriptArguments, DSDTrainingArguments)).parse_args_into_dataclasses(list(words))
    return script, args


def make_trainer(args: DSDTrainingArguments, width: int = 8) -> DSDTrainer:
    """The trainer of the script; the model is the same for the same seed."""
    set_seed(args.seed)
    fixed: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0}
    # After an evaluation a resumed run draws other dropout than the unbroken one, as with the plain Trainer.
    fixed |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_positions=8, n_embd=width, n_layer=1, n_head=2, **fixed))
    rows = language_rows(8)
    return DSDTrainer(model, args, train_dataset=rows, eval_dataset=rows[:4])


def main(words: Sequence[str]) -> None:
    """Trains and scores, or measures the sensitivity."""
    torch.set_num_threads(1)
    script, args = parse(words)
    name, event, rank = (os.environ.get("KILL", "::") + ":0").split(":")[:3]
    if name == Path(args.output_dir).name and rank == os.environ.get("RANK", "0"):
        kill_at(Path(args.output_dir), int(event))
    trainer = make_trainer(args, script.width)
    if script.sensitivity is not None:
        measure_run_sensitivity(trainer, trainer.eval_dataset, script.sensitivity)
        return
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_state()
    score_phases(trainer, trainer.eval_dataset, WordScorer(trainer.eval_dataset))


if __name__ == "__main__":
    main(sys.argv[1:])
