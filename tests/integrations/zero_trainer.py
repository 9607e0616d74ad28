"""DSDTrainer under ZeRO: zero_trainer.py FOLDER STAGE [CHECKPOINT]; DeepSpeed by `args.deepspeed`, or by accelerate."""

import os
import sys
from pathlib import Path

import torch
from tiny import TinyGPT2, arguments, build, language_rows
from zero_end import end_process

from hf_dsd import DSDTrainer
from hf_dsd.engine.zero_weights import whole_weight

if __name__ == "__main__":
    folder, stage, *checkpoint = sys.argv[1:]
    zero = {"stage": int(stage), "stage3_param_persistence_threshold": 0}
    zero["stage3_gather_16bit_weights_on_model_save"] = True
    auto = dict.fromkeys(["train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"], "auto")
    by_accelerate = "ACCELERATE_USE_DEEPSPEED" in os.environ
    options = {"ddp_backend": "gloo"} if by_accelerate else {"deepspeed": {**auto, "zero_optimization": zero}}
    model = build(TinyGPT2, seed=5 if checkpoint else 0)
    args = arguments(folder, use_cpu=False, optim="adamw_torch", save_strategy="steps", save_steps=1, **options)
    rows = language_rows(96)
    trainer = DSDTrainer(model, args, train_dataset=rows, eval_dataset=rows[:8])
    trainer.train(resume_from_checkpoint=checkpoint[0] if checkpoint else None)
    final = {name: whole_weight(p).detach().clone() for name, p in model.named_parameters()}
    if args.process_index == 0:
        torch.save({"weights": final, "ranks": args.world_size}, Path(folder) / "final.pt")
    end_process()
