"""How long our exact selection takes, as a ratio to other ways to find the k-th smallest magnitude.

    python tests/benchmarks/bench_selection.py [--device cuda] [--repeats 5] [--threads 1]

Every repeat runs all contenders one after the other in this process on the same tensor of normal random weights (and
of `misleading` ones, which our sample sees wrongly, so that all is partitioned after all), and the table shows the
median over the repeats of `ours / theirs`: below 1.00 ours is the faster. `mask` is the whole of `select_smallest`
(magnitudes, finite check, threshold, keep mask with exact ties), `threshold` its search for the k-th magnitude alone.
The others only find the threshold, from magnitudes that they are given. CPU seconds on a CPU (other jobs may share the
machine), wall seconds elsewhere.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from hf_dsd.engine.selection import _SAMPLE_SIZE, kth_smallest, radix_select, select_smallest

MILLION = 1 << 20
CASES = [
    (MILLION // 10, torch.float32, "normal"),
    (10 * MILLION, torch.float32, "normal"),
    (100 * MILLION, torch.float32, "normal"),
    (4 * MILLION, torch.bfloat16, "normal"),
    (4 * MILLION, torch.float32, "misleading"),
]
SPARSITIES = (0.3, 0.5, 0.8)
INTEGERS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}


def make_weight(n: int, kind: str) -> Tensor:
    """`n` random fp32 weights."""
    weight = torch.randn(n, generator=torch.Generator().manual_seed(0))
    if kind == "misleading":
        weight[:: n // _SAMPLE_SIZE | 1] *= 1e-6  # all that the sample sees
    return weight


def contenders(weight: Tensor, k: int) -> dict[str, Callable[[], object]]:
    """Name -> a function that finds the k-th smallest magnitude of `weight`; ours first."""
    magnitudes = weight.abs()
    bits = magnitudes.view(INTEGERS[weight.dtype])
    on_cpu = weight.device.type == "cpu"
    infinity = int(torch.tensor(torch.inf, dtype=weight.dtype).view(bits.dtype))
    unsigned = bits.cpu().numpy().view(f"u{weight.element_size()}")

    def partition() -> object:  # numpy has no bfloat16, but its bits order alike; on a GPU the copy to the host counts
        host = bits.cpu() if weight.dtype is torch.bfloat16 else magnitudes.cpu()
        return np.partition(host.numpy(), k - 1)[k - 1]

    return {
        "mask": lambda: select_smallest(weight, k),
        "threshold": (lambda: kth_smallest(unsigned, k, infinity)) if on_cpu else (lambda: radix_select(bits, k)),
        "numpy.partition": partition,
        "torch.kthvalue": lambda: torch.kthvalue(magnitudes, k).values,
        "torch.topk": lambda: torch.topk(magnitudes, k, largest=False).values[-1],
        "torch.sort": lambda: torch.sort(magnitudes).values[k - 1],
    }


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """CPU seconds of one run on a CPU, wall seconds elsewhere."""
    if device.type == "cpu":
        start = time.process_time()
        run()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main() -> None:
    """Prints one row per tensor and sparsity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, numpy {np.__version__}, {options.device}, median of {options.repeats}")
    print(f"{'weights':28}  sparsity  ours ms |  mask / partition kthvalue  topk  sort |  threshold / partition")
    for n, dtype, kind in CASES:
        weight = make_weight(n, kind).to(options.device, dtype)
        for sparsity in SPARSITIES:
            runs = contenders(weight, round(sparsity * n))
            for run in runs.values():
                run()  # warm-up: allocator, GPU kernels
            times = [{name: seconds(run, options.device) for name, run in runs.items()} for _ in range(options.repeats)]
            others = list(runs)[2:]
            ratios = [statistics.median(t["mask"] / t[other] for t in times) for other in others]
            threshold = statistics.median(t["threshold"] / t["numpy.partition"] for t in times)
            milliseconds = 1e3 * statistics.median(t["mask"] for t in times)
            row = " ".join(f"{ratio:{width}.2f}" for ratio, width in zip(ratios, (16, 9, 5, 5), strict=True))
            name = f"{n / MILLION:5g} M {str(dtype).removeprefix('torch.')} {kind}"
            print(f"{name:28}  {sparsity:8}  {milliseconds:7.1f} | {row} | {threshold:10.2f}", flush=True)


if __name__ == "__main__":
    main()
