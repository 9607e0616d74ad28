"""torch.compile: phases, masks and learning rates come and go without a recompilation."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TinyCNN, TinyGPT2, build, classification_rows, make_trainer
from torch._dynamo.utils import counters
from torch.utils.data import default_collate
from transformers import TrainerCallback

from hf_dsd import DSD, Schedule

COMPILED = {"torch_compile": True, "torch_compile_backend": "aot_eager"}


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


class Graphs(TrainerCallback):
    """Graphs compiled so far, after every optimizer step."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.counts.append(counters["stats"]["unique_graphs"])


@pytest.mark.parametrize(
    ("model_class", "options"),
    [
        (TinyGPT2, {}),
        (TinyCNN, {"mask_gradients": True, "gradient_accumulation_steps": 2}),
        (TinyCNN, {"eval_strategy": "steps", "eval_steps": 1}),
    ],
    ids=["plain", "masked-gradients", "evaluations"],
)
def test_nothing_is_compiled_after_the_first_step(
    tmp_path: Path, model_class: type[torch.nn.Module], options: dict[str, Any]
) -> None:
    trainer = make_trainer(tmp_path, build(model_class), rows=48, **COMPILED, **options)
    graphs = Graphs()
    trainer.add_callback(graphs)
    trainer.train()
    assert graphs.counts[0] >= 1
    assert graphs.counts == [graphs.counts[0]] * 12
    assert [phase["finished"] for phase in trainer.summary.phases] == [True] * 3


def test_a_compiled_run_trains_as_the_plain_one(tmp_path: Path) -> None:
    states = []
    for options in ({}, COMPILED):
        trainer = make_trainer(tmp_path, build(TinyCNN), **options)
        trainer.train()
        states.append(trainer.model.state_dict())
    for name, weight in states[0].items():
        torch.testing.assert_close(states[1][name], weight, rtol=1e-4, atol=1e-5)


def test_a_compiled_step_of_ones_own() -> None:
    """Forward, backward and the optimizer in one compiled function, the engine around it."""
    model = build(TinyCNN)
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(1e-2))
    dsd = DSD(model, optimizer, Schedule.from_steps([3, 3, 3], sparsity=0.5))
    batch = default_collate(classification_rows(8))

    @torch.compile(backend="aot_eager")
    def step() -> None:
        model(**batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()

    compiled, zeros = [], []
    for n in range(9):
        dsd.begin_step(n)
        step()
        dsd.optimizer_step()
        compiled.append(counters["stats"]["unique_graphs"])
        zeros.append(int((model.conv2.weight == 0).sum()))
    assert compiled[2:] == [compiled[1]] * 7  # the second step has the moments that the first one made
    assert zeros[:6] == [0] * 3 + [model.conv2.weight.numel() // 2] * 3
    assert max(zeros[6:]) < zeros[5]  # all but those of silent channels grow back
