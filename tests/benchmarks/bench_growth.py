"""How the engine's cost grows: with the number of tensors, of phases, and to a model of 7 billion weights.

    python tests/benchmarks/bench_growth.py [--weights 1e7] [--repeats 5]

CPU seconds of one thread, the least of the repeats, contenders in turn; the machine is named in the first line.

* tensors: the same weights in 1 to 10,000 tensors. The mask pass and the same by a mask of the weights' own dtype,
  `_foreach_mul_`; the check of the zeros; the start of a sparse phase;
* phases: a schedule of 3 to 200 phases. What `begin_step` and `optimizer_step` cost beside a training step's work, and
  the state's size and time in a checkpoint;
* 7 billion: a Llama of the usual shape on the meta device. The bytes of its masks are its shapes'; the seconds are
  those of bfloat16 in one large tensor, by weight, on one thread: a phase's start divides by the threads.
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from hf_dsd import DSD, Schedule


def least(runs: list[Callable[[], object]], repeats: int) -> list[float]:
    """The least CPU seconds of each of the runs, which take turns; a first turn warms up."""
    times = []
    for _ in range(repeats + 1):
        row = []
        for run in runs:
            start = time.process_time()
            run()
            row.append(time.process_time() - start)
        times.append(row)
    return [min(column) for column in zip(*times[1:], strict=True)]


def build(weights: int, tensors: int, schedule: Schedule, dtype: torch.dtype = torch.float32) -> DSD:
    """An engine in the sparse phase of a model of so many weights in so many tensors."""
    size = weights // tensors
    model = nn.ParameterList([nn.Parameter(torch.randn(size // 50, 50).to(dtype)) for _ in range(tensors)])
    dsd = DSD(model, torch.optim.SGD(model.parameters(), lr=0.1), schedule)
    dsd.begin_step(0)
    return dsd


def measure_tensors(weights: int, tensors: int, dtype: torch.dtype, repeats: int) -> dict[str, float]:
    """Nanoseconds a weight of each of the engine's passes, and of the product by masks of the weights' dtype."""
    dsd = build(weights, tensors, Schedule.from_steps([0, 10**9], sparsity=0.5), dtype)
    parts = [weight.parameter.detach() for weight in dsd.weights]
    floats = [mask.to(dtype) for mask in dsd.masks.values()]
    runs = [
        dsd.optimizer_step,
        lambda: torch._foreach_mul_(parts, floats),
        dsd.revived_weights,
        lambda: dsd._begin_sparse(dsd.schedule.phases[1]),
    ]
    names = ("mask pass", "limit", "zeros", "start")
    return dict(zip(names, (1e9 * one / weights for one in least(runs, repeats)), strict=True))


def measure_phases(count: int, repeats: int) -> tuple[float, float, int]:
    """Microseconds of a step's calls, milliseconds of a checkpoint's state, and its bytes."""
    dsd = build(10_000, 10, Schedule.from_steps([0, 10_000, *[1] * (count - 2)], sparsity=0.5))
    steps = iter(range(10_000))

    def step() -> None:
        for _ in range(100):
            dsd.begin_step(next(steps))
            dsd.optimizer_step()

    with tempfile.TemporaryDirectory() as folder:
        step_seconds, save_seconds = least([step, lambda: dsd.save(folder)], repeats)
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    return 1e4 * step_seconds, 1e3 * save_seconds, size


def llama_masks() -> tuple[int, int, int]:
    """Number of weights of a Llama of 7 billion, of those that sparse phases prune, and the bytes of their masks."""
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig())
    pruned = [p for name, p in model.named_parameters() if p.dim() > 1 and "embed" not in name]
    masks = [torch.empty_like(parameter, dtype=torch.bool) for parameter in pruned]
    total = sum(parameter.numel() for parameter in model.parameters())
    return total, sum(p.numel() for p in pruned), sum(mask.numel() * mask.element_size() for mask in masks)


def processor() -> str:
    """The processor's name, as Linux says it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    """Prints the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=float, default=1e7)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {processor()}, one thread, the least of {options.repeats}")
    weights = int(options.weights)
    for dtype in (torch.float32, torch.bfloat16):
        for tensors in (1, 100, 1_000, 10_000):
            found = measure_tensors(weights, tensors, dtype, options.repeats)
            cells = "  ".join(f"{name} {value:6.2f} ns" for name, value in found.items() if name != "limit")
            ratio = found["mask pass"] / found["limit"]
            print(f"{weights:.0e} of {str(dtype):15} in {tensors:6,} tensors | {cells} | pass {ratio:.2f} x limit")
            if (dtype, tensors) == (torch.bfloat16, 1):
                bfloat16 = found
    for count in (3, 20, 200):
        step, save, size = measure_phases(count, options.repeats)
        print(f"{count:3} phases | a step's calls {step:5.1f} us | state: {save:5.1f} ms, {size:6,} bytes")
    total, pruned, mask_bytes = llama_masks()
    seconds = {name: 1e-9 * pruned * value for name, value in bfloat16.items()}
    print(
        f"Llama of {total / 1e9:.2f} billion weights in bfloat16, {pruned / 1e9:.2f} masked | masks "
        f"{mask_bytes / 1e9:.2f} GB, in a checkpoint {mask_bytes / 8e9:.2f} | mask pass "
        f"{seconds['mask pass']:.1f} s, start {seconds['start']:.0f} s, zeros {seconds['zeros']:.1f} s, on one thread"
    )


if __name__ == "__main__":
    main()
