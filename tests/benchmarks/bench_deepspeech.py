"""What the speech models' recurrent layers cost, forward and backward, as ratios in one process.

    python tests/benchmarks/bench_deepspeech.py [--device cuda] [--sizes 192 256] [--batch 16] [--frames 150]

Each row is one kind of unit at one width; every round runs the contenders one after the other on the same inputs. The
table shows the median over the rounds of `contender / fused`, where `fused` is torch's bidirectional module of the same
width with an input matrix per direction: below 1.00 the contender is the faster.

    shared   the default: one input projection for both directions, the loop over time with its own way back
    padded   `fused` on packed sequences, the usual way to keep padding out; the others need none of it
    autograd the same loop over time as `shared`, left to autograd

`model` is a whole training step of a two-layer DeepSpeech 2 with a shared projection over one without. CPU seconds on a
CPU (other jobs may share the machine), wall seconds elsewhere.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

sys.path.insert(0, str(Path(__file__).parents[2]))

from hf_dsd.models import DeepSpeech2Config, DeepSpeech2ForCTC
from hf_dsd.models.deepspeech.recurrence import GATES, BidirectionalRecurrence, orthogonal_like

MODULES: dict[str, Callable[..., nn.Module]] = {
    "rnn": lambda size: nn.RNN(size, size, nonlinearity="relu", bidirectional=True, bias=False),
    "gru": lambda size: nn.GRU(size, size, bidirectional=True, bias=False),
    "lstm": lambda size: nn.LSTM(size, size, bidirectional=True, bias=False),
}


def autograd_loop(kind: str, projected: Tensor, weight: Tensor) -> Tensor:
    """The same recurrence without a backward pass of its own; `weight` is `(2, H, G * H)`."""
    inputs = torch.stack([projected, projected.flip(0)], dim=1)
    state = cell = inputs.new_zeros(2, inputs.shape[2], weight.shape[1])
    states = []
    for x in inputs:
        if kind == "rnn":
            state = torch.baddbmm(x, state, weight).clamp(0, 20)
        elif kind == "gru":
            (xr, xz, xn), (hr, hz, hn) = x.chunk(3, dim=-1), torch.bmm(state, weight).chunk(3, dim=-1)
            new = torch.tanh(xn + torch.sigmoid(xr + hr) * hn)
            state = torch.lerp(new, state, torch.sigmoid(xz + hz))
        else:
            i, f, o, g = torch.baddbmm(x, state, weight).chunk(4, dim=-1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(cell)
        states.append(state)
    forward, backward = torch.stack(states).unbind(1)
    return forward + backward.flip(0)


def layer_steps(kind: str, size: int, batch: int, frames: int, device: str) -> dict[str, Callable[[], None]]:
    """Contender -> one forward and backward pass of a layer on rows that are 80 to 100 % as long as the longest."""
    lengths = torch.linspace(frames, 0.8 * frames, batch).long()
    mask = (torch.arange(frames)[:, None, None] < lengths[:, None]).to(device)
    inputs = torch.randn(frames, batch, size, device=device).masked_fill(~mask, 0).requires_grad_()
    fused = MODULES[kind](size).to(device)
    projection = nn.Linear(size, GATES[kind] * size, bias=False).to(device)
    recurrence = BidirectionalRecurrence(kind, size, 20.0).to(device)
    with torch.no_grad():
        for parameter in recurrence.parameters():
            parameter.copy_(orthogonal_like(parameter))
    weight = nn.Parameter(torch.stack([parameter.detach().t() for parameter in recurrence.parameters()]))

    def add(states: Tensor) -> Tensor:
        return states[..., :size] + states[..., size:]

    return {
        "fused": lambda: add(fused(inputs)[0]).sum().backward(),
        "shared": lambda: recurrence(projection(inputs)).sum().backward(),
        "padded": lambda: add(fused(pack_padded_sequence(inputs, lengths))[0].data).sum().backward(),
        "autograd": lambda: autograd_loop(kind, projection(inputs), weight).sum().backward(),
    }


def model_steps(kind: str, size: int, batch: int, frames: int, device: str) -> dict[str, Callable[[], None]]:
    """A forward and backward pass of a two-layer DeepSpeech 2; `frames` are the recurrent layers'."""
    steps = {}
    features = torch.randn(batch, 2 * frames, 161, device=device)
    labels = torch.randint(1, 29, (batch, frames // 6), device=device)
    for shared in (False, True):
        sizes = {"conv_channels": [8, 8], "hidden_size": size, "num_hidden_layers": 2}
        config = DeepSpeech2Config(**sizes, rnn_type=kind, shared_input_projection=shared)
        model = DeepSpeech2ForCTC(config).to(device).train()
        steps["model" if shared else "fused"] = lambda model=model: model(features, labels=labels).loss.backward()
    return steps


def seconds(step: Callable[[], None], device: str) -> float:
    """CPU seconds of one step on a CPU, wall seconds elsewhere."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    if device != "cpu":
        torch.cuda.synchronize()
    start = clock()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def ratios(steps: dict[str, Callable[[], None]], rounds: int, device: str) -> tuple[float, dict[str, float]]:
    """Median seconds of `fused`, and each contender's median ratio to it."""
    for step in steps.values():
        step()  # warm-up: allocator, GPU kernels
    times = [{name: seconds(step, device) for name, step in steps.items()} for _ in range(rounds)]
    others = [name for name in steps if name != "fused"]
    return statistics.median(t["fused"] for t in times), {
        name: statistics.median(t[name] / t["fused"] for t in times) for name in others
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[192, 256])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {options.device}, batch {options.batch}, {options.frames} frames")
    print("unit  width  fused ms | shared  padded  autograd | model")
    for size in options.sizes:
        for kind in MODULES:
            arguments = (kind, size, options.batch, options.frames, options.device)
            fused, found = ratios(layer_steps(*arguments), options.rounds, options.device)
            _, model = ratios(model_steps(*arguments), max(options.rounds // 2, 1), options.device)
            columns = f"{found['shared']:6.2f}  {found['padded']:6.2f}  {found['autograd']:8.2f}"
            row = f"{columns} | {model['model']:5.2f}"
            print(f"{kind:5} {size:5}  {1e3 * fused:8.1f} | {row}", flush=True)


if __name__ == "__main__":
    main()
