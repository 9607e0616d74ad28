"""One hand-written DSD loop that runs on one process, on DDP ranks, on FSDP2 ranks and on replicas of those (HSDP).

Every rank trains on the same batch. The mean of two equal gradients is that gradient exactly, so all three must agree
bit for bit, which they could not if each rank summed its own part of a batch.
"""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from hf_dsd import DSD, Schedule
from hf_dsd.engine.targets import canonical_name

PHASES = [3, 4, 3]
SPARSITY = 0.3
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Net(nn.Module):
    """A bidirectional LSTM and a head of 3 rows, which no two ranks can share evenly."""

    pruned = tuple(f"lstm.weight_{kind}_l0{way}" for way in ("", "_reverse") for kind in ("ih", "hh"))
    pruned += ("head.weight",)

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, bidirectional=True, batch_first=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0].mean(dim=1))


def build_net(kind: str, seed: int = 0) -> nn.Module:
    """The model of one `kind` of run: "single", "ddp", "fsdp", or "hsdp" (two replicas)."""
    torch.manual_seed(seed)
    net = Net()
    if kind == "ddp":
        return DistributedDataParallel(net)
    if kind in ("fsdp", "hsdp"):
        ranks = dist.get_world_size()
        shape, names = ((2, ranks // 2), ("replicate", "shard")) if kind == "hsdp" else ((ranks,), ("shard",))
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
        for module in (net.lstm, net.head, net):
            fully_shard(module, mesh=mesh)
    return net


def build_optimizer(name: str, net: nn.Module) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    return torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)


def whole(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """All weights, whole, by their plain names; a collective where they are sharded."""
    return {canonical_name(name): whole(parameter) for name, parameter in net.named_parameters()}


def batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(6, 7, 4, generator=generator), torch.randint(3, (6,), generator=generator)


def save_checkpoint(folder: Path, net: nn.Module, optimizer: torch.optim.Optimizer, dsd: DSD) -> None:
    model_state, optimizer_state = get_state_dict(net, optimizer, options=FULL)
    first = not dist.is_initialized() or dist.get_rank() == 0
    dsd.save(folder, write=first)
    if first:
        torch.save((model_state, optimizer_state), folder / "state.pt")
    if dist.is_initialized():  # and every rank its own part
        model_state, optimizer_state = get_state_dict(net, optimizer)
        dcp.save({"model": model_state, "optimizer": optimizer_state}, checkpoint_id=folder / "sharded")


def load_checkpoint(folder: Path, net: nn.Module, optimizer: torch.optim.Optimizer, dsd: DSD) -> None:
    """Loads what `save_checkpoint` wrote; the ranks' own parts if `folder` is its `sharded`."""
    if folder.name == "sharded":
        model_state, optimizer_state = get_state_dict(net, optimizer)
        dcp.load({"model": model_state, "optimizer": optimizer_state}, checkpoint_id=folder)
        set_state_dict(net, optimizer, model_state_dict=model_state, optim_state_dict=optimizer_state)
        dsd.load(folder.parent)
        return
    model_state, optimizer_state = torch.load(folder / "state.pt", weights_only=False)
    set_state_dict(net, optimizer, model_state_dict=model_state, optim_state_dict=optimizer_state, options=FULL)
    dsd.load(folder)


def train(
    kind: str,
    optimizer_name: str,
    *,
    save_to: Path | None = None,
    save_at: int = 5,
    resume_from: Path | None = None,
    criterion: str = "magnitude",
    mask_gradients: bool = False,
) -> dict[str, Any]:
    """Trains all phases, or from the checkpoint of step `save_at` to the end; evaluates after every step.

    Returns:
        The masks of the sparse phase (packed, whole), `zeros` of each target after each of its steps (the evaluation
        in between included), and the `weights` at the end.
    """
    net = build_net(kind, seed=0 if resume_from is None else 9)
    optimizer = build_optimizer(optimizer_name, net)
    dsd = DSD(net, optimizer, Schedule.from_steps(PHASES, sparsity=SPARSITY), mask_criterion=criterion)
    if resume_from is not None:
        load_checkpoint(resume_from, net, optimizer, dsd)
    found: dict[str, Any] = {"zeros": {}, "sparsity": {}, "revived": {}}
    for step in range(0 if resume_from is None else save_at, sum(PHASES)):
        dsd.begin_step(step)
        x, labels = batch(step)
        nn.functional.cross_entropy(net(x), labels).backward()
        if mask_gradients:
            dsd.mask_gradients()
        optimizer.step()
        dsd.optimizer_step()
        optimizer.zero_grad()
        if dsd.masks:
            found["masks"] = dsd.state_dict()["masks"]
            found["sparsity"][step] = dsd.sparsity
            found["revived"][step] = dsd.revived_weights()
        with torch.no_grad():  # leaves FSDP2's root gathered
            net(x)
        if dsd.masks:
            found["zeros"][step] = {name: int((weight == 0).sum()) for name, weight in weights_of(net).items()}
        if save_to is not None and step + 1 == save_at:
            save_checkpoint(save_to, net, optimizer, dsd)
    found["weights"] = weights_of(net)
    return found
