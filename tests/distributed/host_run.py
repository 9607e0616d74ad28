"""What one process does in `test_two_hosts`: host_run.py FOLDER.

Trains, resumes the run from a checkpoint of its sparse phase, and lets the replicas drift apart. All ranks train on the
same batches (each stands in the data once per rank), so the mean of their gradients is one rank's exactly.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[1]))
from ranks import error_of
from tiny import TinyLSTM, arguments, build, classification_rows

from hf_dsd import DSD, DSDTrainer, Schedule

BATCH = 4


def train(folder: Path, seed: int, resume_from: Path | None = None) -> DSDTrainer:
    """A run of 3 dense, 4 sparse and 5 dense steps with a checkpoint after each."""
    options = {"save_strategy": "steps", "save_steps": 1, "train_sampling_strategy": "sequential"}
    rows, copies = classification_rows(24), int(os.environ.get("WORLD_SIZE", "1"))
    order = torch.arange(len(rows)).view(-1, BATCH).repeat_interleave(copies, dim=0).flatten().tolist()
    trainer = DSDTrainer(build(TinyLSTM, seed), arguments(folder, **options), train_dataset=[rows[i] for i in order])
    trainer.train(resume_from_checkpoint=resume_from and str(resume_from))
    return trainer


def drift_apart(rank: int) -> str:
    """The error of building masks where rank 1 has changed a weight."""
    model = build(TinyLSTM)
    if rank == 1:
        model.head.weight.data[0, 0] = 9.0
    dsd = DSD(model, torch.optim.SGD(model.parameters(), lr=0.1), Schedule.from_steps([0, 2, 2], sparsity=0.5))
    dsd.replicas = dist.group.WORLD
    return error_of(lambda: dsd.begin_step(0))


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(os.environ.get("RANK", "0"))
    whole = train(folder / "whole", seed=0)
    resumed = train(folder / "resumed", seed=9, resume_from=folder / "whole" / "checkpoint-5")
    found: dict[str, Any] = {
        "network": os.readlink("/proc/self/ns/net"),
        "world_size": whole.args.world_size,
        "replicas": None if whole.dsd.replicas is None else dist.get_world_size(whole.dsd.replicas),
        "weights": {name: weight.detach() for name, weight in whole.model.named_parameters()},
        "resumed": {name: weight.detach() for name, weight in resumed.model.named_parameters()},
        "drift": drift_apart(rank) if dist.is_initialized() else "",
    }
    torch.save(found, folder / f"rank-{rank}.pt")
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
