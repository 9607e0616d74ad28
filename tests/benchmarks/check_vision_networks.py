"""The paper's eight image classifiers under DSD, each for six steps at 64 x 64, and what VGG-16's masks cost.

    python tests/benchmarks/check_vision_networks.py [vgg16 resnet152 ...]

Before the table, for VGG-16 of 1,000 classes: seconds and memory to build the masks at 30 % and to apply them, on one
thread. A line per network: parameters with 1,000 classes; weights that are pruned and the layers they are in; of a run
of three classes the checks of `check_families.py`, and whether `pipeline` takes each of its phases; CPU seconds. Needs
torchvision, 6 GB of memory and 20 GB of disk.
"""

import contextlib
import gc
import io
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "vision"))

import torch
import transformers
from families import check
from networks import PARAMETERS, classifies, family

from hf_dsd.engine.dsd import DSD
from hf_dsd.engine.schedule import Schedule
from hf_dsd.inspection import inspect_model
from hf_dsd.models import build_named_classifier

COLUMNS = ("network", "parameters", "in pruned layers", "layers", "zeros", "load_phase", "resume", "accumulation")
COLUMNS += ("pipeline", "CPU s")
CLASSES = [str(number) for number in range(1000)]


def trained(name: str) -> list[str]:
    """What was found of a run, in the order of the table."""
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            found = check(family(name), Path(folder))
            found["pipeline"] = classifies(Path(folder) / "whole")
        return ["yes" if held else "NO" for held in found.values()]
    except Exception as error:  # the table goes on: a network that fails is what it looks for
        return [f"{type(error).__name__}: {str(error)[:90]}", "", "", "", ""]


def line(name: str) -> str:
    """A network's row."""
    before = time.process_time()
    inspection = inspect_model(build_named_classifier(name, CLASSES))
    main = sum(target.numel for target in inspection.targets if ".aux" not in target.name)
    pruned = [target for target in inspection.targets if target.is_pruned]
    size = f"{main:,}{'' if main == PARAMETERS[name] else ' (NOT the published)'}"
    cells = [name, size, f"{inspection.target_weights:,}", str(len(pruned)), *trained(name)]
    return f"| {' | '.join(cells)} | {time.process_time() - before:.0f} |"


def mask_cost() -> str:
    """CPU seconds and memory of VGG-16's masks; the memory is the peak above what the process has at the time."""
    model = build_named_classifier("vgg16", CLASSES)
    dsd = DSD(model, torch.optim.SGD(model.parameters(), lr=0.0), Schedule.from_steps([1, 8, 1], 0.3))
    dsd.begin_step(0)
    built = costs(lambda: dsd.begin_step(1))
    applied = costs(dsd.optimizer_step)
    return (
        f"VGG-16, {sum(layer.numel for layer in dsd.targets if layer.is_pruned):,} weights at 30 %: masks are built in "
        f"{built[0]:.2f} CPU s with {built[1]:.0f} MB at the peak, and applied in {applied[0]:.3f} CPU s a step with "
        f"{applied[1]:.0f} MB; torch {torch.__version__}, one thread"
    )


def costs(action: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of an action and the MB by which it raises the process' memory at its peak (Linux)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = memory("VmRSS"), time.process_time()
    action()
    return time.process_time() - start, memory("VmHWM") - before


def memory(what: str) -> float:
    """MB of this process: `VmRSS` now, `VmHWM` at the peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) / 1024


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    wanted = sys.argv[1:] or list(PARAMETERS)
    cost = mask_cost() if "vgg16" in wanted else ""  # first, while the peak is nobody else's
    print(f"{cost}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for name in wanted:
        print(line(name), flush=True)


if __name__ == "__main__":
    main()
