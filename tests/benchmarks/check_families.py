"""What DSD does with every architecture of `families.py`, as a table.

    python tests/benchmarks/check_families.py [Bert ViT ...]

A line per architecture: exact zeros in the sparse phase; `load_phase` equals `from_pretrained`; a resume in each phase
equals the unbroken run to the bit; a step in four parts equals the whole step. Names choose those that contain one.
"""

import contextlib
import gc
import io
import logging
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import transformers
from families import OTHERS, TESTED, Family, check


def cells(family: Family) -> list[str]:
    """What was found, in the order of the table."""
    try:
        family.build()  # imports what it needs
        gc.freeze()
        # The Trainer prints its logs.
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            return ["yes" if held else "NO" for held in check(family, Path(folder)).values()]
    except Exception as error:  # the table goes on: a family that fails is what it looks for
        return [f"{type(error).__name__}: {str(error)[:90]}", "", "", ""]


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    wanted = sys.argv[1:] or [""]
    print("| family | zeros | load_phase | resume | accumulation |\n|---|---|---|---|---|", flush=True)
    for family in TESTED + OTHERS:
        if any(part in family.name for part in wanted):
            row = cells(family)
            print(
                "|", " | ".join([family.name + (" (batch loss)" if family.batch_loss else ""), *row]), "|", flush=True
            )


if __name__ == "__main__":
    main()
