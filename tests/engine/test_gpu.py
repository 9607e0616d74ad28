"""What only a CUDA device can show: `pytest -m gpu`."""

import warnings

import pytest
import torch
from tiny import TinyLSTM, build, classification_rows
from torch.utils.data import default_collate

from hf_dsd import DSD, Schedule
from hf_dsd.engine.masks import build_mask
from hf_dsd.engine.selection import select_smallest

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_selection_on_the_gpu_equals_the_cpus(dtype: torch.dtype, sparsity: float) -> None:
    weight = torch.randn(1021, 517).to(dtype)
    k = round(sparsity * weight.numel())
    on_cpu, on_gpu = (select_smallest(w.abs(), k) for w in (weight, weight.cuda()))
    assert torch.equal(on_cpu.mask, on_gpu.mask.cpu())
    assert on_cpu.threshold == on_gpu.threshold
    random = [build_mask(w, sparsity, criterion="random", seed=3).mask.cpu() for w in (weight, weight.cuda())]
    assert torch.equal(*random)


def test_lstm_keeps_cudnns_flat_weights() -> None:
    """Masks go into the flat buffer that cuDNN reads: no copy, no warning, zeros in the forward pass."""
    model = build(TinyLSTM).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    dsd = DSD(model, optimizer, Schedule.from_steps([1, 3, 1], sparsity=0.5))
    batch = {key: value.cuda() for key, value in default_collate(classification_rows(8)).items()}
    addresses = [p.data_ptr() for p in model.parameters()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(5):
            dsd.begin_step(step)
            model(**batch)["loss"].backward()
            optimizer.step()
            dsd.optimizer_step()
            optimizer.zero_grad()
            if step in (1, 2, 3):
                assert dsd.revived_weights() == {}
                assert dsd.sparsity == pytest.approx(0.5, abs=0.01)
    assert [p.data_ptr() for p in model.parameters()] == addresses


def test_a_step_does_not_wait_for_the_device() -> None:
    model = build(TinyLSTM).cuda()
    dsd = DSD(model, torch.optim.SGD(model.parameters(), lr=0.1), Schedule.from_steps([0, 9, 1], sparsity=0.5))
    dsd.begin_step(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(1, 9):
            dsd.begin_step(step)
            dsd.optimizer_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
