"""`DSDTrainer` under accelerate's FSDP2, a script for `accelerate launch` on CUDA devices: fsdp2_run.py FOLDER.

Trains, resumes from a checkpoint of the sparse phase, and loads a phase again, with both kinds of FSDP checkpoint.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from loops import weights_of
from tiny import TinyGPT2, build
from torch.distributed.tensor import DTensor
from trainer_run import RESUMED_STEP, Watch, make_trainer

STATE_DICTS = ("FULL_STATE_DICT", "SHARDED_STATE_DICT")


def train(folder: Path, state_dicts: str, resume_from: Path | None = None) -> dict[str, Any]:
    config = {"version": 2, "transformer_layer_cls_to_wrap": ["GPT2Block"], "state_dict_type": state_dicts}
    saving = {"save_strategy": "steps", "save_steps": 1}
    trainer = make_trainer(folder, build(TinyGPT2), use_cpu=False, fsdp=True, fsdp_config=config, **saving)
    watch = Watch()
    trainer.add_callback(watch)
    trainer.train(resume_from_checkpoint=resume_from and str(resume_from))
    found = {"zeros": watch.zeros, "weights": weights_of(trainer.model)}
    trainer.load_phase("phase-1-sparse")
    sharded = isinstance(trainer.optimizer.param_groups[0]["params"][0], DTensor)
    return {**found, "loaded": weights_of(trainer.model), "sharded": sharded}


def main() -> None:
    folder, found = Path(sys.argv[1]), {}
    for state_dicts in STATE_DICTS:
        unbroken = folder / state_dicts
        found[state_dicts] = train(unbroken, state_dicts)
        resumed = train(folder / f"{state_dicts}-resumed", state_dicts, unbroken / f"checkpoint-{RESUMED_STEP}")
        found[f"{state_dicts} resumed"] = resumed
    torch.save(found, folder / f"rank-{os.environ['RANK']}.pt")


if __name__ == "__main__":
    main()
