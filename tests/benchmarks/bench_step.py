"""What a sparse phase costs per optimizer step: ratios in one process, steps of each kind in turn.

    python tests/benchmarks/bench_step.py [--device cuda] [--pairs 10]

Prints, for a GPT-2 of 54 million parameters: the sparse step over the dense step, the mask pass alone over the whole
step, mask bytes per weight, and the same step with masks as `torch.nn.utils.prune` applies them (in every forward).
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


def build(device: str) -> tuple[GPT2LMHeadModel, torch.Tensor]:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=32_000, n_embd=512, n_layer=12, n_head=8, n_positions=128)
    config.bos_token_id = config.eos_token_id = 0
    return GPT2LMHeadModel(config).to(device).train(), torch.randint(32_000, (4, 128), device=device)


def seconds(step: Callable[[], None], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def train_step(
    model: nn.Module, ids: torch.Tensor, optimizer: torch.optim.Optimizer, after: Callable[[], None]
) -> None:
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    after()
    optimizer.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=10)
    options = parser.parse_args()

    model, ids = build(options.device)
    forward_masked = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    dsd = DSD(model, optimizer, Schedule.from_steps([0, 10**9, 1], sparsity=0.5))
    start = time.perf_counter()
    dsd.begin_step(0)
    building = time.perf_counter() - start
    for module in forward_masked.modules():
        if isinstance(module, Conv1D):
            prune.l1_unstructured(module, "weight", amount=0.5)
    peer_optimizer = torch.optim.AdamW(forward_masked.parameters(), lr=1e-4, fused=True)

    steps = {
        "dense": lambda: train_step(model, ids, optimizer, lambda: None),
        "dense again": lambda: train_step(model, ids, optimizer, lambda: None),
        "sparse (hf_dsd)": lambda: train_step(model, ids, optimizer, dsd.optimizer_step),
        "sparse (torch.nn.utils.prune)": lambda: train_step(forward_masked, ids, peer_optimizer, lambda: None),
        "mask pass alone": dsd.optimizer_step,
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(options.pairs + 1):
        for name, step in steps.items():
            elapsed = seconds(step, options.device)
            if round_:  # the first round warms up
                times[name].append(elapsed)

    parameters = sum(p.numel() for p in model.parameters())
    masked = sum(mask.numel() for mask in dsd.masks.values())
    mask_bytes = sum(mask.numel() * mask.element_size() for mask in dsd.masks.values())
    print(f"{parameters / 1e6:.1f} M parameters, {masked / 1e6:.1f} M masked, {options.device}, {options.pairs} rounds")
    print(f"dense step {statistics.median(times['dense']):.3f} s; masks built in {building:.3f} s")
    for name in list(steps)[1:]:
        ratios = [a / b for a, b in zip(times[name], times["dense"], strict=True)]
        print(f"{name:32s} / dense step: median {statistics.median(ratios):.4f}  {min(ratios):.4f}..{max(ratios):.4f}")
    print(f"mask bytes per masked weight: {mask_bytes / masked:.3f}")


if __name__ == "__main__":
    main()
