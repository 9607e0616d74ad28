"""A training script of a tiny LSTM: all that `hf-dsd compare` asks of one; SECONDS_PER_STEP leaves time to kill it."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import HfArgumentParser, TrainerCallback, set_seed

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny import TinyLSTM, build, classification_rows

from hf_dsd import DSDTrainer, DSDTrainingArguments


class Slow(TrainerCallback):
    """Sleeps after every step."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        time.sleep(float(os.environ.get("SECONDS_PER_STEP", "0")))


def trainer_of(arguments: DSDTrainingArguments) -> DSDTrainer:
    """The trainer that the script's arguments ask for."""
    rows = classification_rows(24)
    model = build(TinyLSTM, seed=arguments.seed, dropout=0.3)
    return DSDTrainer(model, arguments, train_dataset=rows, eval_dataset=rows[:8], callbacks=[Slow()])


if __name__ == "__main__":
    torch.set_num_threads(1)
    (found,) = HfArgumentParser(DSDTrainingArguments).parse_args_into_dataclasses()
    set_seed(found.seed)
    trainer_of(found).train(resume_from_checkpoint=found.resume_from_checkpoint)
