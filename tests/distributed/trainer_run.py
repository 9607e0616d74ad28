"""`DSDTrainer` runs that are the same on one process, on DDP ranks and on shards; a script for `accelerate launch`.

    trainer_run.py FOLDER ONE

ONE holds the runs of a single process. Every rank trains on the same batches, so that the mean of the ranks' gradients
is one rank's exactly: each batch stands in the data once per rank. Writes what each rank found as `FOLDER/rank-R.pt`.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from loops import weights_of
from ranks import error_of
from tiny import KeywordLSTM, TinyGPT2, TinyLSTM, arguments, build, rows_for
from torch import nn
from transformers import TrainerCallback
from transformers.distributed import DistributedConfig

from hf_dsd import DSDTrainer

BATCH, ROWS = 4, 24
RESUMED_STEP = 5  # in the sparse phase, steps 4 to 7


class Watch(TrainerCallback):
    """Counts the zeros of every whole weight after every step, evaluation of the step before included."""

    def __init__(self) -> None:
        self.zeros: dict[int, dict[str, int]] = {}

    def on_step_end(self, args, state, control, model, **kwargs):
        self.zeros[state.global_step] = {name: int((w == 0).sum()) for name, w in weights_of(model).items()}


class Drift(TrainerCallback):
    """Changes one weight on rank 1 only, as a callback with a bug would."""

    def on_step_end(self, args, state, control, model, **kwargs):
        if args.process_index == 1:
            with torch.no_grad():
                model.head.weight[0, 0] += 1.0


def make_trainer(folder: Path, model: nn.Module, **kwargs: Any) -> DSDTrainer:
    """A trainer of 3 dense, 4 sparse and 5 dense steps that evaluates after each."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    settings = {"train_sampling_strategy": "sequential", "eval_strategy": "steps", "eval_steps": 1, **kwargs}
    args = arguments(folder, per_device_train_batch_size=BATCH, **settings)
    order = torch.arange(ROWS).view(-1, BATCH).repeat_interleave(world_size, dim=0).flatten().tolist()
    rows = rows_for(TinyLSTM if isinstance(model, TinyLSTM) else TinyGPT2, ROWS)
    return DSDTrainer(model, args, train_dataset=[rows[i] for i in order], eval_dataset=rows[:8])


def train_lstm(folder: Path, resume_from: Path | None = None) -> dict[str, Any]:
    """One run under DDP, or on one process; saves every step."""
    trainer = make_trainer(folder, build(TinyLSTM), save_strategy="steps", save_steps=1)
    return {**_train(trainer, resume_from), "replicas": trainer.dsd.replicas is not None}


def train_gpt2(folder: Path, resume_from: Path | None = None) -> dict[str, Any]:
    """One run of a model that transformers shards as it loads it where there are several ranks.

    Its weights are not tied: transformers 5.23 unties those that it shards, and trains another model then. Nor does its
    Trainer save the optimizer of such a model, so only one process writes checkpoints.
    """
    saving = {"save_strategy": "steps", "save_steps": 1} if "RANK" not in os.environ else {}
    saved = folder.with_name("initial")
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        gpt2_config = build(TinyGPT2).config
        gpt2_config.tie_word_embeddings = False
        build(TinyGPT2, config=gpt2_config).save_pretrained(saved)
        config = None
    else:
        saved = Path(sys.argv[2]) / "initial"
        config = DistributedConfig(fsdp_size=world_size, fsdp_plan={"transformer.h.*": "free_full_weight"})
    trainer = make_trainer(
        folder, TinyGPT2.from_pretrained(saved, distributed_config=config), max_grad_norm=0.0, **saving
    )
    found = _train(trainer, resume_from)
    trainer.load_phase("phase-1-sparse")
    blocks = {name: parameter.shape for name, parameter in trainer.model.named_parameters()}
    return {**found, "loaded": weights_of(trainer.model), "shapes": blocks, "class": type(trainer.model).__name__}


def _train(trainer: DSDTrainer, resume_from: Path | None) -> dict[str, Any]:
    watch = Watch()
    trainer.add_callback(watch)
    trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
    return {"weights": weights_of(trainer.model), "zeros": watch.zeros}


def keyword_losses(folder: Path) -> list[float]:
    """The losses in training and evaluation of a model that drops `num_items_in_batch`."""
    trainer = make_trainer(folder, build(KeywordLSTM), phase_steps=[1, 1, 1])
    alone = trainer.evaluate()["eval_loss"]
    trainer.train()
    return [alone, *(line[key] for line in trainer.state.log_history for key in ("loss", "eval_loss") if key in line)]


def drift(folder: Path) -> str:
    trainer = make_trainer(folder, build(TinyLSTM))
    trainer.add_callback(Drift())
    return error_of(trainer.train)


def ask_for_fsdp(folder: Path, **config: Any) -> str:
    return error_of(lambda: make_trainer(folder, build(TinyLSTM), fsdp=True, fsdp_config=config).train())


def main() -> None:
    folder, one = Path(sys.argv[1]), Path(sys.argv[2])
    found = {
        "lstm": train_lstm(folder / "lstm"),
        "lstm resumed": train_lstm(folder / "lstm-resumed", one / f"lstm/checkpoint-{RESUMED_STEP}"),
        "gpt2": train_gpt2(folder / "gpt2"),
        "gpt2 resumed": train_gpt2(folder / "gpt2-resumed", one / f"gpt2/checkpoint-{RESUMED_STEP}"),
        "keyword losses": keyword_losses(folder / "keywords"),
        "drift": drift(folder / "drift"),
        "fsdp": ask_for_fsdp(folder / "fsdp"),
    }
    torch.save(found, folder / f"rank-{os.environ['RANK']}.pt")


if __name__ == "__main__":
    main()
