"""What masks cost where weights are sharded: bytes, seconds and steps, as ratios.

    python tests/benchmarks/bench_mask_building.py [--repeats 5] [--ranks 1 2]

Every rank is a gloo process of one thread on this machine, so the network is as fast as memory: what a real one adds
is in the bytes. Each repeat runs the contenders one after the other, and the table shows medians of their ratios.

* `build`: the mask of one fp32 matrix sharded by `fully_shard`, by histograms summed over the ranks (ours);
* `gather`: `full_tensor()` on every rank, then the single-process selection of it;
* `step`: a training step of a sharded MLP with masks re-applied, over the same step without.

`bytes` is what one rank hands to the collectives: for ours 3 histograms (2,048 + 2,048 + 512 bins of 8 bytes) and 2
counts, whatever the matrix's size. On two cores both contenders mostly compute, and ours by torch what numpy does
faster; on a GPU torch is the only one, and the network counts.

On paper, for 70 billion fp32 weights in 560 matrices on 512 ranks: 37 KB a matrix make 21 MB a rank for the whole
model, 42 MB on the wire of a ring, in 6 messages a matrix (the engine counts the zeros too), 3,360 in all: at 0.1 to
0.5 ms a message 0.3 to 1.7 s, once a sparse phase. A rank reads its own 137 million weights some four times. To gather
the weights instead would bring 280 GB to every rank, over 6,000 times as much: 6 s at 50 GB/s, and the memory of the
largest matrix. A rank keeps 137 MB of masks. A checkpoint gathers them as bits: 8.75 GB pass through each rank, and the
file is as large. Under HSDP each build adds two messages of 32 bytes, the check that replicas agree.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "distributed"))

from ranks import run_on_ranks

from hf_dsd import DSD, Schedule
from hf_dsd.engine.masks import build_mask
from hf_dsd.engine.selection import select_smallest

SHAPES = [(320, 320), (3200, 3200), (10_000, 10_000)]
SPARSITY = 0.5


class CountedBytes:
    """Counts the bytes that this rank hands to `all_reduce` and `all_gather`, and their calls."""

    def __init__(self) -> None:
        self.bytes, self.calls = 0, 0
        self._all_reduce, self._all_gather = dist.all_reduce, dist.all_gather

    def __enter__(self) -> "CountedBytes":
        dist.all_reduce, dist.all_gather = self.all_reduce, self.all_gather
        return self

    def __exit__(self, *exception: object) -> None:
        dist.all_reduce, dist.all_gather = self._all_reduce, self._all_gather

    def all_reduce(self, tensor: Tensor, **kwargs: Any) -> Any:
        self._count(tensor)
        return self._all_reduce(tensor, **kwargs)

    def all_gather(self, gathered: list[Tensor], tensor: Tensor, **kwargs: Any) -> Any:
        self._count(tensor)
        return self._all_gather(gathered, tensor, **kwargs)

    def _count(self, tensor: Tensor) -> None:
        self.bytes += tensor.numel() * tensor.element_size()
        self.calls += 1


def seconds(run: Callable[[], object]) -> float:
    """Wall seconds until the slowest rank is done."""
    dist.barrier()
    start = time.perf_counter()
    run()
    dist.barrier()
    return time.perf_counter() - start


def measure_building(shape: tuple[int, int], mesh: Any, repeats: int) -> dict[str, float]:
    """Seconds of building by histograms and by gathering, and the bytes of the former."""
    module = nn.Module()
    module.weight = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    fully_shard(module, mesh=mesh)
    weight, k = module.weight.detach(), round(SPARSITY * module.weight.numel())
    runs = {"build": lambda: build_mask(weight, SPARSITY), "gather": lambda: select_smallest(weight.full_tensor(), k)}
    with CountedBytes() as counted:
        runs["build"]()
    times = [{name: seconds(run) for name, run in runs.items()} for _ in range(repeats + 1)][1:]
    medians = {name: statistics.median(t[name] for t in times) for name in runs}
    ratio = statistics.median(t["build"] / t["gather"] for t in times)
    return {**medians, "ratio": ratio, "bytes": counted.bytes, "calls": counted.calls}


def measure_step(mesh: Any, repeats: int) -> float:
    """A sparse step over a dense step of an MLP of 6 million weights, AdamW, batch 32."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 10))
    for layer in (*net, net):
        fully_shard(layer, mesh=mesh)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    dsd = DSD(net, optimizer, Schedule.from_steps([0, 10**9, 1], sparsity=SPARSITY))
    dsd.begin_step(0)
    x = torch.randn(32, 1024)

    def step(after: Callable[[], None]) -> None:
        net(x).square().mean().backward()
        optimizer.step()
        after()
        optimizer.zero_grad()

    ratios = []
    for _ in range(4 * repeats + 1):
        dense, sparse = seconds(lambda: step(lambda: None)), seconds(lambda: step(dsd.optimizer_step))
        ratios.append(sparse / dense)
    return statistics.median(ratios[1:])


def measure(rank: int, world_size: int, repeats: int) -> dict[str, Any]:
    """All measurements on one rank."""
    mesh = init_device_mesh("cpu", (world_size,))
    return {
        "building": {shape: measure_building(shape, mesh, repeats) for shape in SHAPES},
        "step": measure_step(mesh, repeats),
    }


def main() -> None:
    """Prints one row per number of ranks and matrix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    print(f"torch {torch.__version__}, gloo on CPU, sparsity {SPARSITY}, median of {options.repeats}")
    print("ranks  matrix         build ms  / gather   messages    bytes  / gathered bytes")
    for world_size in options.ranks:
        with tempfile.TemporaryDirectory() as folder:
            found = run_on_ranks(world_size, measure, Path(folder), world_size, options.repeats)[0]
        for shape, row in found["building"].items():
            gathered = 4 * shape[0] * shape[1]
            print(
                f"{world_size:5}  {shape[0]} x {shape[1]:<6}  {1e3 * row['build']:8.1f}  {row['ratio']:8.2f}  "
                f"{row['calls']:9}  {row['bytes']:7}  {row['bytes'] / gathered:16.5f}"
            )
        print(f"{world_size:5}  sparse step / dense step: {found['step']:.3f}", flush=True)


if __name__ == "__main__":
    main()
