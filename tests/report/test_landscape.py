"""Loss along lines and sharpness, against closed forms."""

import json
import math
import re

import pytest
import torch

from hf_dsd.report.landscape import Landscape, Line
from hf_dsd.report.measure_landscape import filter_noise, interpolate, loss_landscape

A = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
B = torch.tensor([[-1.0, 0.0], [1.0, 6.0]])


def bowl(curvature: float = 1.0):
    """L(w) = curvature / 2 * |w|^2."""
    return lambda weights: float(curvature * weights["w"].double().square().sum() / 2)


def test_lines_end_in_the_models_own_losses_and_follow_the_parabola():
    found = loss_landscape({"a": {"w": A}, "b": {"w": B}}, bowl(), points=5, directions=1)
    (line,) = found.lines
    assert (line.start, line.end, list(line.positions)) == ("a", "b", [0, 0.25, 0.5, 0.75, 1])
    assert found.losses == {"a": 15.0, "b": 19.0}
    assert (line.losses[0], line.losses[-1]) == (15.0, 19.0)  # equal, not nearly
    # L(A + t (B - A)) = |A|^2/2 + t A.(B - A) + t^2 |B - A|^2/2 with A.(B - A) = -4, |B - A|^2 = 16
    assert line.losses == pytest.approx([15 - 4 * t + 8 * t * t for t in line.positions])
    assert line.barrier == 0


def test_a_hill_between_two_models_is_a_barrier():
    assert Line("a", "b", [0, 0.5, 1], [1.0, 4.0, 2.0]).barrier == 2.0
    assert Line("a", "b", [0, 0.5, 1], [1.0, 1.5, 2.0]).barrier == 0.0


def test_sharpness_of_a_bowl_is_its_closed_form():
    """Both ways together the slope cancels: the rise is curvature / 2 * radius^2 * |w|^2, in every direction."""
    found = loss_landscape({"a": {"w": A}, "b": {"w": B}}, bowl(3.0), radii=[0.05, 0.2], directions=3)
    for name, squared in (("a", 30.0), ("b", 38.0)):
        assert found.sharpness[name] == pytest.approx([1.5 * r * r * squared for r in (0.05, 0.2)], rel=1e-5)
        assert found.spread[name] == pytest.approx([0, 0], abs=1e-5)


def test_sharpness_of_an_uneven_bowl_is_its_mean_curvature():
    """E over directions: radius^2 |w|^2 / 2 times the mean curvature of a row's entries."""
    curvature = torch.linspace(0, 2, 1000)
    weights = {"w": torch.ones(1, 1000)}
    found = loss_landscape(
        {"a": weights}, lambda w: float((curvature * w["w"][0].double() ** 2).sum() / 2), radii=[0.1], directions=32
    )
    assert found.sharpness["a"][0] == pytest.approx(0.01 * 1000 / 2 * float(curvature.mean()), rel=0.03)
    assert found.spread["a"][0] > 0
    assert found.lines == []


def test_noise_has_every_filters_norm_and_leaves_vectors_alone():
    weights = {"w": torch.tensor([[3.0, 4.0], [0.0, 0.0]]), "conv": torch.ones(2, 3, 2, 2), "bias": torch.ones(4)}
    noise = filter_noise(weights, torch.Generator().manual_seed(0))
    assert list(noise) == ["w", "conv"]
    assert noise["w"].norm(dim=1).tolist() == pytest.approx([5.0, 0.0])
    assert noise["conv"].flatten(1).norm(dim=1).tolist() == pytest.approx([math.sqrt(12)] * 2)


def test_the_same_seed_gives_the_same_numbers_and_models_share_their_noise():
    models = {"a": {"w": A}, "twin": {"w": A.clone()}}
    loss = lambda weights: float(weights["w"].exp().sum())  # noqa: E731
    first, second = (loss_landscape(models, loss) for _ in range(2))
    assert first == second
    assert first.sharpness["a"] == first.sharpness["twin"]
    assert loss_landscape(models, loss, seed=1).sharpness != first.sharpness


def test_three_models_have_three_lines_and_cost_what_is_said():
    calls = []
    models = {name: {"w": torch.full((2, 2), value)} for name, value in (("a", 1.0), ("b", 2.0), ("c", 4.0))}
    found = loss_landscape(models, lambda weights: calls.append(1) or bowl()(weights))
    assert [(line.start, line.end) for line in found.lines] == [("a", "b"), ("b", "c"), ("a", "c")]
    assert len(calls) == 78


def test_half_precision_and_counters_keep_their_type():
    start = {"w": torch.tensor([1.0, 2.0]).bfloat16(), "steps": torch.tensor(3)}
    middle = interpolate(start, {"w": torch.tensor([3.0, 6.0]).bfloat16(), "steps": torch.tensor(9)}, 0.5)
    assert middle["w"].dtype == torch.bfloat16
    assert (middle["w"].tolist(), int(middle["steps"])) == ([2.0, 4.0], 3)


def test_a_landscape_is_written_and_read(tmp_path):
    found = loss_landscape({"a": {"w": A}, "b": {"w": B}}, bowl(), data="loss on the moon", batch_norm="none")
    assert found.write(tmp_path) == tmp_path / "landscape.json"
    assert Landscape.read(tmp_path) == found
    assert "4 random directions" in found.definition
    text = (tmp_path / "landscape.json").read_text()
    (tmp_path / "landscape.json").write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(ValueError, match="has format version 2, this hf_dsd reads 1: upgrade hf-dsd$"):
        Landscape.read(tmp_path)


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ({}, {}, "^models must hold at least one model, got none: finish a phase first$"),
        ({"a": {"w": A}}, {"points": 1}, "^points must be at least 2, the two ends, got 1$"),
        ({"a": {"w": A}}, {"radii": [0.0]}, r"^directions must be at least 1 and radii > 0, got 4 and \[0.0\]$"),
        (
            {"a": {"w": A}, "b": {"v": A}},
            {},
            r"^models must have the same tensors, but a and b differ in \['v', 'w'\]$",
        ),
        ({"a": {"w": A}, "b": {"w": A[:1]}}, {}, r"^models must have the same tensors, but a and b differ in \['w'\]$"),
    ],
)
def test_wrong_arguments_are_refused(models, options, message):
    with pytest.raises(ValueError, match=message):
        loss_landscape(models, bowl(), **options)


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"version": 1}', '{"version": 1, "lines": [{}]}'])
def test_a_damaged_landscape_is_refused_by_name(tmp_path, content):
    (tmp_path / "landscape.json").write_text(content)
    with pytest.raises(ValueError, match=r"^.*landscape.json cannot be read \(.*\): measure it again, or remove it$"):
        Landscape.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"losses": {"a": "x"}}, "'losses' must give each model a number"),
        ({"losses": {"a": 1.0, "c": 1.0}}, "'sharpness' must be of the models of 'losses'"),
        ({"radii": "0.1"}, "'radii' must be numbers"),
        ({"spread": {"a": [0.1], "b": [0.1]}}, "'spread' must hold a number for each radius"),
        ({"lines": [{"start": "a", "end": "b", "positions": [0, 1], "losses": [1]}]}, "'lines' must have start, end"),
        ({"lines": {"a": 1}}, "'lines' must have start, end"),
        ({"definition": None}, "'definition', 'data' and 'batch_norm' must be texts"),
        ({"more": 1}, "it lacks or does not know more"),
    ],
)
def test_every_value_of_a_landscape_is_checked(tmp_path, change, said):
    path = loss_landscape({"a": {"w": A}, "b": {"w": B}}, bowl()).write(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=re.escape(f"landscape.json cannot be read ({said}")):
        Landscape.read(tmp_path)


def test_a_landscape_of_a_diverged_model_is_read(tmp_path):
    found = loss_landscape({"a": {"w": A}}, lambda weights: math.nan)
    found.write(tmp_path)
    assert math.isnan(Landscape.read(tmp_path).losses["a"])
