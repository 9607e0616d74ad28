"""A hand-written DeepSpeed loop on this rank, compared with the plain engine on one: zero_loop.py FOLDER.

Writes for every ZeRO stage and step the largest difference of a weight, and whether masks and zeros are exact.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import deepspeed
import torch
from tiny import TinyGPT2, build, language_rows
from torch.utils.data import default_collate
from zero_end import end_process

from hf_dsd import DSD, Schedule
from hf_dsd.engine.zero_weights import whole_weight

SCHEDULE = Schedule.from_steps([3, 4, 5], sparsity=0.5)
BATCHES = [default_collate(language_rows(8, seed)) for seed in range(12)]
RATE = 1e-2


def plain_steps() -> list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
    """Weights and masks after every step of the plain engine."""
    model = build(TinyGPT2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    dsd, steps = DSD(model, optimizer, SCHEDULE), []
    for n in range(12):
        dsd.begin_step(n)
        model(**BATCHES[n])["loss"].backward()
        optimizer.step()
        dsd.optimizer_step()
        optimizer.zero_grad()
        steps.append(({name: p.detach().clone() for name, p in model.named_parameters()}, dsd.masks))
    return steps


def zero_steps(stage: int, persistence: int, expected: list[Any]) -> list[dict[str, Any]]:
    """The same steps under ZeRO; every rank sees every batch, so the averaged gradients are the plain ones."""
    model = build(TinyGPT2)
    config = {
        "train_micro_batch_size_per_gpu": 8,
        "zero_optimization": {"stage": stage, "stage3_param_persistence_threshold": persistence},
        "zero_allow_untested_optimizer": True,
    }
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    engine, optimizer, _, _ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    dsd, found = DSD(engine, optimizer, SCHEDULE), []
    for n, (weights, masks) in enumerate(expected):
        dsd.begin_step(n)
        engine.backward(engine(**BATCHES[n])["loss"])
        engine.step()
        dsd.optimizer_step()
        with torch.no_grad():
            ours = {name: whole_weight(p) for name, p in model.named_parameters()}
            found.append(
                {
                    "difference": max(float((ours[name] - weights[name]).abs().max()) for name in weights),
                    "same_masks": dsd.masks.keys() == masks.keys()
                    and all(torch.equal(dsd.masks[name], mask) for name, mask in masks.items()),
                    "revived": sum(dsd.revived_weights().values()),
                    "sparsity": dsd.sparsity,
                }
            )
    return found


if __name__ == "__main__":
    deepspeed.init_distributed(dist_backend="gloo")
    expected = plain_steps()
    runs = {f"{stage}-{persistence}": zero_steps(stage, persistence, expected) for stage, persistence in
            ((1, 0), (2, 0), (3, 0), (3, 100_000))}  # fmt: skip
    rank = int(os.environ["RANK"])
    (Path(sys.argv[1]) / f"rank-{rank}.json").write_text(json.dumps(runs))
    end_process()
