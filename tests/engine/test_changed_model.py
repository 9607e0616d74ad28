"""A model that changes between the plan and a sparse phase: what no phase will prune is said."""

import logging

import pytest
import torch
from torch import nn

from hf_dsd import DSD, Schedule


def test_what_came_or_was_unfrozen_after_the_plan_is_said(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight.requires_grad_(False)
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    dsd = DSD(model, optimizer, Schedule.from_steps([1, 1, 1], sparsity=0.5))
    dsd.begin_step(0)
    dsd.optimizer_step()
    model[1].weight.requires_grad_(True)
    model.append(nn.Linear(4, 2))
    with caplog.at_level(logging.WARNING, "hf_dsd"):
        dsd.begin_step(1)
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "2 parameter(s) came after DSD planned what to prune, and no sparse phase prunes them: 2.weight" in said
    assert (
        "1 parameter(s) were unfrozen after DSD planned what to prune, and no sparse phase prunes them: 1.weight"
        in said
    )
    assert set(dsd.masks) == {"0.weight"}
