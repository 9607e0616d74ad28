"""What optimizers remember of weights that come back: every mode, every optimizer, in place."""

import logging

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor
from transformers.optimization import Adafactor

from hf_dsd.engine.masks import apply_masks_, build_mask
from hf_dsd.engine.optimizer_state import clear_masked_state_, forget_optimizer_state_

ADAFACTOR = {"lr": 0.1, "relative_step": False, "scale_parameter": False, "warmup_init": False}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
    "amsgrad": lambda p: torch.optim.AdamW(p, lr=0.1, amsgrad=True),
    "fused": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "foreach": lambda p: torch.optim.Adam(p, lr=0.1, foreach=True),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.1),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.5),
    "adadelta": lambda p: torch.optim.Adadelta(p),
    "adafactor": lambda p: Adafactor(p, beta1=0.9, **ADAFACTOR),
    "adafactor-no-momentum": lambda p: Adafactor(p, **ADAFACTOR),
    "torch-adafactor": lambda p: torch.optim.Adafactor(p, lr=0.1),
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def after_a_sparse_phase(make, steps=4):
    """A layer trained `steps` steps under a mask, its optimizer, and the masks."""
    layer = nn.Linear(4, 6)
    mask = build_mask(layer.weight, 0.5).mask
    optimizer = make(layer.parameters())
    for _ in range(steps):
        apply_masks_([(layer.weight, mask)])
        layer(torch.randn(8, 4)).pow(2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    apply_masks_([(layer.weight, mask)])
    return layer, optimizer, {"weight": mask}


def reset(optimizer, parameters, masks, mode):
    """What a re-dense phase does in each mode."""
    if mode == "all":
        forget_optimizer_state_(optimizer)
        return
    for name, mask in masks.items():
        clear_masked_state_(optimizer.state.get(parameters[name], {}), mask, name)


def copied(optimizer, parameter):
    """A parameter's optimizer state, tensors cloned."""
    return {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in optimizer.state[parameter].items()}


def step_without_gradient(layer, optimizer):
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


def step_of(state):
    return None if state.get("step") is None else float(state["step"])


@every_optimizer
def test_masked_clears_the_pruned_entries_and_nothing_else(make):
    layer, optimizer, masks = after_a_sparse_phase(make)
    before, bias_before = copied(optimizer, layer.weight), copied(optimizer, layer.bias)
    pointers = {k: v.data_ptr() for k, v in optimizer.state[layer.weight].items() if isinstance(v, torch.Tensor)}
    reset(optimizer, {"weight": layer.weight}, masks, "masked")
    state, mask = optimizer.state[layer.weight], masks["weight"]
    assert state.keys() == before.keys()
    for key, value in state.items():
        if isinstance(value, torch.Tensor) and value.shape == mask.shape:
            assert bool((value[~mask] == 0).all()), key
            assert torch.equal(value[mask], before[key][mask]), key
        else:
            assert value is None or bool(torch.as_tensor(value == before[key]).all()), key
    assert {k: state[k].data_ptr() for k in pointers} == pointers
    assert step_of(state) == step_of(before) in (4.0, None)
    for key, value in optimizer.state[layer.bias].items():
        assert value is None or bool(torch.as_tensor(value == bias_before[key]).all()), key


@every_optimizer
@pytest.mark.parametrize("mode", ["masked", "all"])
def test_a_restored_weight_without_gradient_stays_at_zero(make, mode):
    layer, optimizer, masks = after_a_sparse_phase(make)
    reset(optimizer, {"weight": layer.weight}, masks, mode)
    for _ in range(3):
        step_without_gradient(layer, optimizer)
        assert bool((layer.weight[~masks["weight"]] == 0).all())


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adamw", "amsgrad", "fused", "nadam", "rmsprop", "adafactor"])
def test_without_a_reset_momentum_moves_restored_weights(name):
    layer, optimizer, masks = after_a_sparse_phase(OPTIMIZERS[name])
    step_without_gradient(layer, optimizer)
    assert bool((layer.weight[~masks["weight"]] != 0).any())


@every_optimizer
def test_all_equals_a_new_optimizer_bit_for_bit(make):
    layer, optimizer, masks = after_a_sparse_phase(make)
    reset(optimizer, {"weight": layer.weight}, masks, "all")
    fresh_layer = nn.Linear(4, 6)
    fresh_layer.load_state_dict(layer.state_dict())
    fresh = make(fresh_layer.parameters())
    for _ in range(3):
        batch = torch.randn(8, 4)
        for model, stepped in ((layer, optimizer), (fresh_layer, fresh)):
            model(batch).pow(2).sum().backward()
            stepped.step()
            stepped.zero_grad()
        assert torch.equal(layer.weight, fresh_layer.weight)
        assert torch.equal(layer.bias, fresh_layer.bias)


def test_overflowed_moments_are_cleared_too():
    layer, optimizer, masks = after_a_sparse_phase(OPTIMIZERS["adamw"])
    optimizer.state[layer.weight]["exp_avg_sq"].fill_(torch.inf)
    optimizer.state[layer.weight]["exp_avg"].fill_(torch.nan)
    reset(optimizer, {"weight": layer.weight}, masks, "masked")
    step_without_gradient(layer, optimizer)
    assert bool((layer.weight[~masks["weight"]] == 0).all())


def test_factored_second_moments_are_kept():
    layer, optimizer, masks = after_a_sparse_phase(OPTIMIZERS["adafactor"])
    before = copied(optimizer, layer.weight)
    reset(optimizer, {"weight": layer.weight}, masks, "masked")
    state = optimizer.state[layer.weight]
    assert state["exp_avg_sq_row"].shape == (6,)
    assert torch.equal(state["exp_avg_sq_row"], before["exp_avg_sq_row"])
    assert torch.equal(state["exp_avg_sq_col"], before["exp_avg_sq_col"])
    assert bool((state["exp_avg"][~masks["weight"]] == 0).all())


@pytest.mark.parametrize("mode", ["masked", "all"])
def test_an_optimizer_that_has_not_stepped_is_left_alone(mode):
    layer = nn.Linear(4, 6)
    optimizer = torch.optim.AdamW(layer.parameters())
    masks = {"weight": build_mask(layer.weight, 0.5).mask}
    reset(optimizer, {"weight": layer.weight}, masks, mode)
    assert len(optimizer.state) == 0


@pytest.mark.parametrize("mode", ["masked", "all"])
@pytest.mark.parametrize("name", ["adamw", "adagrad"])
def test_accelerates_wrapper_is_seen_through(name, mode):
    layer, optimizer, masks = after_a_sparse_phase(OPTIMIZERS[name])
    wrapper = Accelerator(cpu=True).prepare_optimizer(optimizer)
    assert wrapper.optimizer is optimizer
    reset(wrapper, {"weight": layer.weight}, masks, mode)
    forgotten = 0.0 if name == "adagrad" else None  # Adagrad's counter is set back, not removed
    assert step_of(optimizer.state[layer.weight]) == (4.0 if mode == "masked" else forgotten)
    step_without_gradient(layer, optimizer)
    assert bool((layer.weight[~masks["weight"]] == 0).all())
    assert step_of(optimizer.state[layer.weight]) == (5.0 if mode == "masked" else 1.0)


@pytest.mark.parametrize(
    "quantized",
    [
        lambda shape: torch.ones(shape, dtype=torch.uint8),
        lambda shape: TwoTensor(torch.ones(shape), torch.ones(shape)),
    ],
    ids=["bitsandbytes", "torchao"],
)
def test_quantized_state_is_forgotten_whole_with_a_warning(quantized, caplog):
    layer, optimizer, masks = after_a_sparse_phase(OPTIMIZERS["adamw"])
    optimizer.state[layer.weight] = {"step": 4, "state1": quantized((6, 4)), "qmap1": torch.zeros(256)}
    with caplog.at_level(logging.WARNING, logger="hf_dsd.engine.optimizer_state"):
        reset(optimizer, {"weight": layer.weight}, masks, "masked")
    assert optimizer.state[layer.weight] == {}
    assert caplog.messages == ["weight: its optimizer state is quantized and is forgotten whole"]
    assert step_of(optimizer.state[layer.bias]) == 4.0
    step_without_gradient(layer, optimizer)
    assert bool((layer.weight[~masks["weight"]] == 0).all())


def test_forgetting_reaches_parameters_without_a_mask():
    layer, optimizer, _ = after_a_sparse_phase(OPTIMIZERS["sgd"])
    forget_optimizer_state_(optimizer)
    assert [dict(state) for state in optimizer.state.values()] == [{}, {}]


def test_lstm_matrices_have_masks_of_their_own():
    lstm = nn.LSTM(3, 4, num_layers=2)
    weights = {name: w for name, w in lstm.named_parameters() if "weight" in name}
    masks = {name: build_mask(w, 0.5).mask for name, w in weights.items()}
    optimizer = torch.optim.AdamW(lstm.parameters(), lr=0.1)
    lstm(torch.randn(5, 2, 3))[0].sum().backward()
    optimizer.step()
    reset(optimizer, weights, masks, "masked")
    for name, weight in weights.items():
        assert bool((optimizer.state[weight]["exp_avg"][~masks[name]] == 0).all())
        assert bool((optimizer.state[weight]["exp_avg"][masks[name]] != 0).any())
