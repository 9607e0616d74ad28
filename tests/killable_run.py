"""A run of `tiny.make_trainer` as a process of its own: killable_run.py FOLDER SECONDS_PER_STEP [resume]."""

import sys
import time

import torch
from tiny import TinyLSTM, build, make_trainer
from transformers import TrainerCallback


class Slow(TrainerCallback):
    """Leaves time to be killed."""

    def on_step_end(self, args, state, control, **kwargs):
        time.sleep(float(sys.argv[2]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    trainer = make_trainer(sys.argv[1], build(TinyLSTM, dropout=0.3), save_strategy="steps", save_steps=1)
    trainer.add_callback(Slow())
    trainer.train(resume_from_checkpoint="resume" in sys.argv)
