"""DeepSpeed settings that would not do what they say are refused before anything is trained; needs no DeepSpeed.

That training under ZeRO works is shown in integrations/test_deepspeed.py.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from tiny import arguments

from hf_dsd.trainer.checks import check_zero

GATHERED = {"stage3_gather_16bit_weights_on_model_save": True}


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_three_stages_are_fine(tmp_path: Path, stage: int) -> None:
    offload = {"offload_optimizer": {"device": "none"}, "offload_param": None}
    check_zero({"zero_optimization": {"stage": stage, **offload, **GATHERED}}, arguments(tmp_path))


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"bf16": {"enabled": True}}, {}, "zero_optimization.stage must be 1, 2 or 3 for DSD, got 0: set one"),
    ({"zero_optimization": {"stage": 0}}, {}, "zero_optimization.stage must be 1, 2 or 3 for DSD, got 0: set one"),
    (
        {"zero_optimization": {"stage": 2}, "optimizer": {"type": "Adam"}},
        {},
        "the DeepSpeed configuration must have no 'optimizer', got {'type': 'Adam'}: DSD's phases drive the Trainer's",
    ),
    (
        {"zero_optimization": {"stage": 2}, "scheduler": {"type": "WarmupLR"}},
        {},
        "the DeepSpeed configuration must have no 'scheduler', got {'type': 'WarmupLR'}: DSD's phases",
    ),
    (
        {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}},
        {},
        "zero_optimization.offload_optimizer is not supported by DSD, got {'device': 'cpu'}: leave it out",
    ),
    (
        {"zero_optimization": {"stage": 3}},
        {},
        "zero_optimization.stage3_gather_16bit_weights_on_model_save must be true for DSD",
    ),
    (
        {"zero_optimization": {"stage": 1}},
        {"mask_gradients": True},
        "mask_gradients=True does not work under DeepSpeed",
    ),
    (
        {"zero_optimization": {"stage": 1}},
        {"weight_averages": ["ema"]},
        "weight_averages does not work under DeepSpeed: ZeRO 3 leaves no weights to average",
    ),
    (
        {"zero_optimization": {"stage": 1}},
        {"phase_start": "best", "eval_strategy": "steps"},
        'phase_start="best" does not work under DeepSpeed: ZeRO cannot go back to earlier weights: use "last"',
    ),
    (
        {"zero_optimization": {"stage": 1}},
        {"reset_optimizer_state": "all"},
        'reset_optimizer_state="all" does not work under DeepSpeed: use "masked" or "none"',
    ),
]


@pytest.mark.parametrize(("config", "options", "message"), REFUSED)
def test_what_would_not_work(tmp_path: Path, config: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        check_zero(config, arguments(tmp_path, **options))
