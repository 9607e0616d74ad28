"""A model that has diverged: its numbers are those of the weights that are numbers, and the others are counted."""

import numpy as np
import pytest
import torch
from page_text import parse, section
from report_runs import REDENSE, REFERENCES, write_dsd_run
from safetensors.torch import save_file

from hf_dsd.report import write_report
from hf_dsd.report.sparse_layer import SparseLayer, count_fate, five_moments, returns_by_value
from hf_dsd.report.weights import read_run_weights
from hf_dsd.runs.run import Run

NAN, INF = float("nan"), float("inf")
DENSE_ROW, SPARSE_ROW = [0.1, -0.2, 0.3, -0.4, 1.0, -2.0, 3.0, -4.0], [0, 0, 0, 0, 1.5, -2.5, 3.5, -4.5]


def layer(redense) -> SparseLayer:
    """The first four weights were pruned."""
    return SparseLayer("w", 4, 0.4, *(np.array(row, np.float32) for row in (DENSE_ROW, SPARSE_ROW, redense)))


def test_histograms_are_of_finite_weights():
    last = five_moments(layer([0.5, NAN, -0.2, 0.0, INF, -3.0, 4.0, NAN]), bins=10)[-1]
    assert (last.title, int(last.kept.sum()), int(last.returned.sum()), last.at_zero) == ("re-dense", 2, 2, 1)
    assert last.edges[-1] == pytest.approx(np.quantile(np.abs(SPARSE_ROW), 0.999), rel=1e-3)
    assert [moment.kept.sum() for moment in five_moments(layer([NAN] * 8))] == [4, 4, 4, 4, 0]


def test_fates_are_of_finite_weights():
    fate = count_fate(layer([0.5, NAN, -0.2, 0.0, INF, -3.0, 4.0, -5.0]))
    assert (fate.pruned, fate.not_finite, fate.moved, fate.returned, fate.signs, fate.same_sign) == (3, 1, 2, 1, 2, 1)
    assert (fate.median_pruned, fate.median_kept) == (pytest.approx(0.2), 4.0)
    assert count_fate(layer([NAN] * 8)) is None


def test_values_of_returned_weights_are_finite():
    dense = np.linspace(-1, 1, 40, dtype=np.float32)
    redense = np.where(np.arange(40) % 4 == 0, np.float32(NAN), dense)
    found = returns_by_value(SparseLayer("w", 40, 1.0, dense, np.zeros(40, np.float32), redense), bins=2)
    assert [group.weights for group in found] == [15, 15]
    assert all(np.isfinite([group.dense, group.low, group.median, group.high]).all() for group in found)


def test_statistics_are_of_finite_weights(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    weights = {
        **REDENSE,
        "small.weight": torch.tensor([[NAN, -5.0], [6.0, -7.0]]),
        "big.weight": torch.full((2, 4), INF),
    }
    save_file(weights, folder / "phase-2-dense" / "model.safetensors")
    found = read_run_weights(Run.read(folder))
    assert found.moments["small.weight"]["phase-2-dense"] == pytest.approx((-2, np.std([-5, 6, -7])))
    assert "phase-2-dense" not in found.moments["big.weight"]
    assert found.not_finite == {"phase-2-dense": 9}


@pytest.mark.parametrize("everywhere", [True, False])
def test_the_page_counts_them_and_shows_the_rest(tmp_path, everywhere):
    folder = write_dsd_run(tmp_path / "run", heard=REFERENCES)
    weights = {name: tensor.clone() for name, tensor in REDENSE.items()}
    for tensor in weights.values() if everywhere else [weights["big.weight"][:1, :2]]:
        tensor.fill_(NAN)
    save_file(weights, folder / "phase-2-dense" / "model.safetensors")
    path = write_report(folder)
    shown = section(path, "weights")
    assert f"{8 if everywhere else 2} weights of phase-2-dense are not finite" in shown
    assert ("2 pruned weights moved away from zero" in shown.replace(" of 2", " 2")) == (not everywhere)
    assert ("no pruned weight is a finite number after phase-2-dense" in shown) == everywhere
    assert f"{12 if everywhere else 2} weights of these layers are not finite after phase-2-dense" in section(
        path, "layers"
    )
    assert parse(path).tags.count("svg") == (4 if everywhere else 6)
    assert "nan" not in shown


def test_a_figure_that_cannot_be_drawn_costs_no_page(tmp_path):
    from hf_dsd.report.svg_figure import render_figure

    def draw(figure, wide):
        figure.subplots().set_xlim(NAN, 1)

    figure = render_figure("fate", "what became of them", draw, (1, 1), tmp_path)
    assert figure.missing == "The figure cannot be drawn: Axis limits cannot be NaN or Inf"
    assert list(tmp_path.iterdir()) == []
