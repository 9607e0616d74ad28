"""Averages of the weights over a run's last phase: the cheap rival that DSD has to beat.

A run with `weight_averages` trains exactly as it would without: the averages
only read its weights. They are updated after every optimizer step of the last phase and saved at its end as
`phase-2-dense-ema` or `phase-2-dense-swa` beside the phase's own model.

Why the last phase: its learning rate is the lowest, where averaging helps, and an average that reached across a mask
would mix pruned with dense weights. Why every step, also for `swa`: the result then does not depend on how long an
epoch is. (Izmailov et al., `Averaging Weights Leads to Wider Optima <https://arxiv.org/abs/1803.05407>`_, average once
per epoch under a constant or cyclical rate; ours is the tail average of Polyak and Juditsky.)
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from hf_dsd.files import written_whole

EMA_DECAY = 0.999
STATE_FILE_NAME = "dsd_weight_averages.pt"

_Tensors = tuple[Tensor, ...] | list[Tensor]


class WeightAverages:
    """Running averages of one model's weights and buffers.

    Floating buffers are averaged like weights: batch norm's statistics belong to the weights that produced them.
    Integer buffers (counters, position ids) are copied.

    Args:
        model: The model that trains; it is read, never written.
        kinds: Any of `AVERAGES`.

    Attributes:
        models: Kind -> the averaged model.
        steps: Optimizer steps averaged so far.
    """

    def __init__(self, model: nn.Module, kinds: Sequence[str]) -> None:
        self.steps = 0
        self._source = model
        rules = {"ema": self._ema, "swa": self._swa}
        self._averaged = {
            kind: AveragedModel(model, multi_avg_fn=_floats_only(rules[kind]), use_buffers=True) for kind in kinds
        }
        for averaged in self._averaged.values():
            averaged.n_averaged = averaged.n_averaged.cpu()  # on the GPU every update would wait for it

    @property
    def models(self) -> dict[str, nn.Module]:
        """Kind -> the averaged model."""
        return {kind: averaged.module for kind, averaged in self._averaged.items()}

    def update(self) -> None:
        """Takes the weights as they are now, after an optimizer step, into the averages."""
        for averaged in self._averaged.values():
            averaged.update_parameters(self._source)
        self.steps += 1

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the averages into a checkpoint's folder."""
        state = {kind: averaged.state_dict() for kind, averaged in self._averaged.items()}
        with written_whole(Path(folder) / STATE_FILE_NAME) as partial:
            torch.save({"steps": self.steps, "averages": state}, partial)

    def load(self, folder: str | os.PathLike[str]) -> None:
        """Restores what `save` wrote.

        Raises:
            FileNotFoundError: If the checkpoint has no averages.
            ValueError: If it has not the averages that this run wants.
        """
        path = Path(folder) / STATE_FILE_NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: the checkpoint lies in the last phase and has no averages; resume from an earlier "
                "one, or leave weight_averages out"
            )
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        missing = sorted(self._averaged.keys() - state["averages"].keys())
        if missing:
            raise ValueError(f"{path} has no {missing}: resume from an earlier checkpoint or change weight_averages")
        self.steps = state["steps"]
        for kind, averaged in self._averaged.items():
            averaged.load_state_dict(state["averages"][kind])

    # torch hands over its count as a tensor of the device, which to read would wait for it; ours is a number.
    def _ema(self, averages: _Tensors, weights: _Tensors) -> None:
        # The usual warm-up: a short phase would otherwise end close to the weights that it began with.
        decay = min(EMA_DECAY, (1 + self.steps) / (10 + self.steps))
        get_ema_multi_avg_fn(decay)(averages, weights, self.steps)  # type: ignore[no-untyped-call]

    def _swa(self, averages: _Tensors, weights: _Tensors) -> None:
        get_swa_multi_avg_fn()(averages, weights, self.steps)  # type: ignore[no-untyped-call]


def _floats_only(average: Callable[..., None]) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """Averages floating tensors and copies the rest, which torch's functions would round towards zero."""

    def update(averages: _Tensors, weights: _Tensors, _: Tensor | int) -> None:
        if averages[0].is_floating_point() or averages[0].is_complex():
            average(averages, weights)
        else:
            torch._foreach_copy_(averages, weights)

    return update
