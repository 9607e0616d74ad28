"""What a sparse phase costs: ratios in one process, contenders in turn.

    python tests/benchmarks/bench_step.py [--device cuda] [--pairs 10] [--sizes 1e5 1e7 1e8] [--step lstm gpt2 cnn]

The first table has one row per number of weights, dtype and number of tensors: CPU nanoseconds a weight (wall on a GPU)
of the mask pass, of the check of the zeros and of a phase's start, and how often that is the limit: for the mask pass
a `mul_` by a mask of the weights' own dtype, which takes 4 times the memory in fp32, for the others one read of the
weights (`sum`). `--sizes` alone leaves the table out.

With `--step` a training step, too, of a captioner's LSTM, a GPT-2 of 54 million parameters or a small CNN: the sparse
step over the dense step, the mask pass alone over the whole step, mask bytes per weight, and the same step with masks
as `torch.nn.utils.prune` applies them in every forward (it cannot prune an LSTM, whose own weights stay dense there).
CPU seconds on a CPU.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import prune
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from hf_dsd import DSD, Schedule


class Captioner(nn.Module):
    """Words into an LSTM of 512 units, and its states into words: 6 million weights, half of them the LSTM's."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2_000, 512)
        self.lstm = nn.LSTM(512, 512, batch_first=True)
        self.head = nn.Linear(512, 2_000)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        logits = self.head(self.lstm(self.embedding(words))[0])
        return nn.functional.cross_entropy(logits.flatten(0, 1), words.flatten())


class Classifier(nn.Sequential):
    """Three convolutions and a head for images of 32 x 32: 0.1 million weights, which are read at every place."""

    def __init__(self) -> None:
        widths = (3, 32, 64, 128)
        layers = [nn.Conv2d(i, o, 3, padding=1, stride=2) for i, o in zip(widths, widths[1:], strict=False)]
        super().__init__(*[part for layer in layers for part in (layer, nn.ReLU())], nn.Flatten(), nn.Linear(2048, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).square().mean()


def build(name: str, device: str) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """A model and the arguments of its forward, which gives the loss."""
    torch.manual_seed(0)
    if name == "lstm":
        return Captioner().to(device), {"words": torch.randint(2_000, (8, 20), device=device)}
    if name == "cnn":
        return Classifier().to(device), {"images": torch.randn(32, 3, 32, 32, device=device)}
    config = GPT2Config(vocab_size=32_000, n_embd=512, n_layer=12, n_head=8, n_positions=128)
    config.bos_token_id = config.eos_token_id = 0
    ids = torch.randint(32_000, (4, 128), device=device)
    return GPT2LMHeadModel(config).to(device).train(), {"input_ids": ids, "labels": ids}


def seconds(step: Callable[[], object], device: str, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call; wall seconds on a GPU, whatever the clock."""
    if device == "cuda":
        torch.cuda.synchronize()
        clock = time.perf_counter
    start = clock()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def measure_passes(n: int, tensors: int, dtype: torch.dtype, device: str, repeats: int) -> str:
    """One row of the first table."""
    model = nn.ParameterList(
        [nn.Parameter(torch.randn(n // tensors // 64, 64, device=device).to(dtype)) for _ in range(tensors)]
    )
    dsd = DSD(model, torch.optim.SGD(model.parameters(), lr=0.1), Schedule.from_steps([0, 10**9, 1], sparsity=0.5))
    dsd.begin_step(0)
    floats = [(weight.detach(), mask.to(dtype)) for weight, mask in zip(model, dsd.masks.values(), strict=True)]

    def multiply() -> None:
        for weight, mask in floats:
            weight.mul_(mask)

    runs = {
        "mask pass": (dsd.optimizer_step, multiply),
        "zeros": (dsd.revived_weights, lambda: [weight.sum() for weight, _ in floats]),
        "start": (lambda: dsd._begin_sparse(dsd.schedule.phases[1]), lambda: [weight.sum() for weight, _ in floats]),
    }
    cells = []
    for name, pair in runs.items():
        times = [[seconds(run, device, time.process_time) for run in pair] for _ in range(repeats + 1)][1:]
        ours, limit = (min(column) for column in zip(*times, strict=True))
        cells.append(f"{name} {ours / n * 1e9:6.2f} ns, {ours / limit:5.2f} x limit")
    return f"{n:9.0e} weights in {tensors:4} of {str(dtype):15} | " + " | ".join(cells)


def train_step(
    model: nn.Module, inputs: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer, after: Callable[[], None]
) -> None:
    found = model(**inputs)
    getattr(found, "loss", found).backward()
    optimizer.step()
    after()
    optimizer.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--sizes", type=float, nargs="*", default=[1e5, 1e7, 1e8])
    parser.add_argument("--step", choices=("lstm", "gpt2", "cnn"), nargs="*", default=[])
    options = parser.parse_args()

    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {options.device}, one thread, the least of {options.pairs}")
    for size in map(int, options.sizes):
        for dtype in (torch.float32, torch.bfloat16):
            for tensors in (1, 1000) if size >= 10**7 else (1, 10):
                print(measure_passes(size, tensors, dtype, options.device, options.pairs), flush=True)
    for name in options.step:
        measure_step(name, options)


def measure_step(name: str, options: argparse.Namespace) -> None:
    """Prints the second table."""
    model, inputs = build(name, options.device)
    forward_masked = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    dsd = DSD(model, optimizer, Schedule.from_steps([0, 10**9, 1], sparsity=0.5))
    start = time.perf_counter()
    dsd.begin_step(0)
    building = time.perf_counter() - start
    for module in forward_masked.modules():
        if isinstance(module, Conv1D | nn.Linear | nn.Conv2d) and module is not getattr(
            forward_masked, "lm_head", None
        ):
            prune.l1_unstructured(module, "weight", amount=0.5)
    peer_optimizer = torch.optim.AdamW(forward_masked.parameters(), lr=1e-4, fused=True)

    steps = {
        "dense": lambda: train_step(model, inputs, optimizer, lambda: None),
        "dense again": lambda: train_step(model, inputs, optimizer, lambda: None),
        "sparse (hf_dsd)": lambda: train_step(model, inputs, optimizer, dsd.optimizer_step),
        "sparse (torch.nn.utils.prune)": lambda: train_step(forward_masked, inputs, peer_optimizer, lambda: None),
        "mask pass alone": dsd.optimizer_step,
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(options.pairs + 1):
        for case, step in steps.items():
            elapsed = seconds(step, options.device, time.process_time)
            if round_:  # the first round warms up
                times[case].append(elapsed)

    parameters = sum(p.numel() for p in model.parameters())
    masked = sum(mask.numel() for mask in dsd.masks.values())
    mask_bytes = sum(mask.numel() * mask.element_size() for mask in dsd.masks.values())
    print(
        f"{name}: {parameters / 1e6:.1f} M parameters, {masked / 1e6:.1f} M masked, {options.device}, "
        f"{options.pairs} rounds"
    )
    print(f"dense step {statistics.median(times['dense']):.3f} s; masks built in {building:.3f} s")
    for case in list(steps)[1:]:
        ratios = [a / b for a, b in zip(times[case], times["dense"], strict=True)]
        print(f"{case:32s} / dense step: median {statistics.median(ratios):.4f}  {min(ratios):.4f}..{max(ratios):.4f}")
    print(f"mask bytes per masked weight: {mask_bytes / masked:.3f}")


if __name__ == "__main__":
    main()
