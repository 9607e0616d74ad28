"""The five moments, the fate of the pruned weights and the layer table, on weights written down here."""

import shutil

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from report_runs import DENSE, REDENSE, SPARSE, change_summary, write_dsd_run, write_iterative_run
from safetensors.torch import save_file

from hf_dsd.report.draw_weights import draw_fate
from hf_dsd.report.sparse_layer import SparseLayer, add_fates, count_fate, five_moments, returns_by_value
from hf_dsd.report.weights import read_run_weights
from hf_dsd.runs.run import Run

NONE_OF_THEM = "The weights of phase-1-sparse hold none of the pruned layers under their names, or in other sizes."


def literal_layer() -> SparseLayer:
    """Eight weights, four of them pruned below 0.4: one came back large, one small, one with another sign, one not."""
    dense = np.array([0.1, -0.2, 0.3, -0.4, 1.0, -2.0, 3.0, -4.0], np.float32)
    sparse = np.array([0, 0, 0, 0, 1.5, -2.5, 3.5, -4.5], np.float32)
    redense = np.array([0.5, -0.1, -0.2, 0.0, 2.0, -3.0, 4.0, -5.0], np.float32)
    return SparseLayer("w", 4, 0.4, dense, sparse, redense)


def test_fates_are_counted():
    fate = count_fate(literal_layer())
    assert (fate.pruned, fate.moved, fate.returned) == (4, 3, 1)
    assert (fate.signs, fate.same_sign) == (3, 2)  # 0.5 and -0.1 have their sign again, -0.2 has not
    assert fate.same_sign_fraction == pytest.approx(2 / 3)
    assert fate.median_pruned == pytest.approx(0.15)  # of 0, 0.1, 0.2, 0.5
    assert fate.median_kept == pytest.approx(3.5)
    assert fate.median_before == pytest.approx(0.25)


def test_layers_are_counted_together_each_at_its_own_threshold():
    other = SparseLayer("v", 1, 0.01, *(np.array(w, np.float32) for w in ([0.01, 9], [0, 9], [0.02, 9])))
    fate = add_fates([count_fate(literal_layer()), None, count_fate(other)])
    assert (fate.pruned, fate.moved, fate.returned, fate.signs, fate.same_sign) == (5, 4, 2, 4, 3)
    assert fate.median_pruned is None


def test_there_is_no_fate_before_the_weights_are_trained_again():
    layer = literal_layer()
    assert count_fate(SparseLayer("w", 4, 0.4, layer.dense, layer.sparse, None)) is None
    assert add_fates([None]) is None


def test_weights_that_never_moved_have_no_sign_to_compare():
    layer = literal_layer()
    still = SparseLayer("w", 4, 0.4, layer.dense, layer.sparse, layer.sparse)
    assert (count_fate(still).moved, count_fate(still).same_sign_fraction) == (0, None)


def test_moments_equal_numpys_histograms():
    generator = np.random.default_rng(0)
    dense = generator.normal(size=5000).astype(np.float32)
    mask = np.abs(dense) > 0.6
    sparse = np.where(mask, dense * 1.1, 0).astype(np.float32)
    redense = np.where(mask, sparse, generator.normal(scale=0.1, size=5000)).astype(np.float32)
    moments = five_moments(SparseLayer("w", int((~mask).sum()), 0.6, dense, sparse, redense), bins=40)
    assert [moment.title for moment in moments] == ["dense", "pruned", "retrained sparse", "restored", "re-dense"]
    edges = moments[0].edges
    assert edges[-1] == pytest.approx(np.quantile(np.abs(sparse), 0.999))
    assert edges[0] == -edges[-1]
    whole = [dense, dense * mask, sparse, sparse, redense]
    for moment, weights in zip(moments, whole, strict=True):
        expected = np.histogram(np.clip(weights, edges[0], edges[-1]), edges)[0]
        drawn = moment.kept + moment.returned
        if moment.title in ("dense", "re-dense"):
            assert drawn.tolist() == expected.tolist()
        else:  # the pruned ones, at zero, are left out of the bars
            expected[np.searchsorted(edges, 0.0, side="right") - 1] -= int((~mask).sum())
            assert drawn.tolist() == expected.tolist()
    assert [moment.at_zero for moment in moments] == [0, 0, 0, int((~mask).sum()), 0]
    assert [moment.absent for moment in moments] == [False, True, True, False, False]
    assert moments[0].kept.sum() == moments[1].kept.sum() == mask.sum()


def test_where_the_pruned_weights_went():
    dense = np.concatenate([np.full(10, -1.0), np.full(10, 1.0), np.full(10, 3.0)]).astype(np.float32)
    redense = np.concatenate([np.arange(10) - 5, np.arange(10) + 5, np.full(10, 3.0)]).astype(np.float32)
    layer = SparseLayer("w", 20, 1.0, dense, np.where(dense == 3, dense, 0).astype(np.float32), redense)
    groups = returns_by_value(layer, bins=3)
    assert [(group.dense, group.median, group.weights) for group in groups] == [(-1.0, -0.5, 10), (1.0, 9.5, 10)]
    assert groups[0].low == pytest.approx(np.quantile(np.arange(10) - 5, 0.1))


def test_a_run_is_read_from_its_phases(tmp_path):
    run = Run.read(write_dsd_run(tmp_path / "run"))
    found = read_run_weights(run)
    assert [model.phase for model in found.round.models] == ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]
    assert found.layer.name == "big.weight"  # the largest
    assert read_run_weights(run, "small.weight").layer.name == "small.weight"
    with pytest.raises(
        ValueError, match=r"^layer must be one that phase-1-sparse prunes, \['small.weight', 'big.weight'"
    ):
        read_run_weights(run, "bias")
    big = found.layer
    assert big.dense.tolist() == DENSE["big.weight"].flatten().tolist()
    assert big.sparse.tolist() == SPARSE["big.weight"].flatten().tolist()
    assert big.redense.tolist() == REDENSE["big.weight"].flatten().tolist()
    assert int(big.pruned.sum()) == big.recorded == 4


def test_the_layer_table(tmp_path):
    run = Run.read(write_dsd_run(tmp_path / "run"))
    found = read_run_weights(run)
    (phase,) = found.phases
    small, big = phase.rows
    assert (phase.name, found.by_chance) == ("phase-1-sparse", False)
    assert (small.name, small.target, small.actual) == ("small.weight", 0.25, 0.25)  # its override
    assert (big.name, big.target, big.actual, big.threshold) == ("big.weight", 0.5, 0.5, 0.4)
    assert big.fate == count_fate(literal_layer())
    assert (small.miscounted, big.miscounted) == (0, 0)


def test_means_and_deviations_after_each_phase(tmp_path):
    found = read_run_weights(Run.read(write_dsd_run(tmp_path / "run")))
    weights = DENSE["big.weight"].numpy().astype(np.float64)
    assert found.moments["big.weight"]["phase-0-dense"] == pytest.approx((weights.mean(), weights.std()))
    assert list(found.moments["big.weight"]) == ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]
    assert found.not_finite == {}


def test_the_table_needs_no_weights(tmp_path):
    """What was pruned is in the summary; only the fate of the pruned weights needs their files."""
    folder = write_dsd_run(tmp_path / "run")
    shutil.rmtree(folder / "phase-0-dense")
    (phase,) = read_run_weights(Run.read(folder)).phases
    assert [(row.name, row.actual, row.threshold, row.fate) for row in phase.rows] == [
        ("small.weight", 0.25, 0.5, None),
        ("big.weight", 0.5, 0.4, None),
    ]


def test_every_round_of_an_iterative_run_has_its_table(tmp_path):
    first, second = read_run_weights(Run.read(write_iterative_run(tmp_path))).phases
    assert [(phase.name, phase.rows[1].target, phase.rows[1].actual) for phase in (first, second)] == [
        ("phase-1-sparse", 0.25, 0.25),
        ("phase-3-sparse", 0.5, 0.5),
    ]
    assert (first.rows[1].fate.pruned, first.rows[1].fate.returned) == (2, 1)  # 0.1 and -0.2 came back as they were
    assert second.rows[1].fate == count_fate(literal_layer())


def test_a_random_mask_has_no_magnitude_to_come_back_to(tmp_path):
    """The score that it pruned by is a uniform number: to compare weights with it would mean nothing."""
    folder = write_dsd_run(tmp_path / "run", arm="random")
    change_summary(folder, mask_criterion="random")
    found = read_run_weights(Run.read(folder))
    (phase,) = found.phases
    fate = phase.rows[1].fate
    assert (found.by_chance, phase.rows[1].threshold) == (True, None)
    assert (fate.pruned, fate.moved, fate.returned, fate.signs, fate.same_sign) == (4, 3, None, 3, 2)
    assert add_fates([row.fate for row in phase.rows]).returned is None
    figure = Figure()
    draw_fate(found.layer)(figure, True)
    sizes = figure.axes[0]
    assert [text.get_text() for text in sizes.get_legend().get_texts()] == ["kept", "pruned"]


def test_the_largest_layer_of_the_files_is_drawn_and_a_wanted_one_must_be_there(tmp_path):
    """Tied weights are saved under one name: the run may have pruned the other."""
    folder = write_dsd_run(tmp_path / "run")
    for phase, weights in (("phase-0-dense", DENSE), ("phase-1-sparse", SPARSE), ("phase-2-dense", REDENSE)):
        save_file({"small.weight": weights["small.weight"]}, folder / phase / "model.safetensors")
    run = Run.read(folder)
    assert read_run_weights(run).layer.name == "small.weight"
    with pytest.raises(ValueError, match="^layer 'big.weight' is not in the weights of .*: choose another by --layer$"):
        read_run_weights(run, "big.weight")
    save_file({"bias": DENSE["bias"]}, folder / "phase-1-sparse" / "model.safetensors")
    found = read_run_weights(Run.read(folder))
    assert (found.layer, found.missing) == (None, NONE_OF_THEM)


def test_the_best_weights_are_those_that_the_sparse_phase_began_from(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    for step in (3, 10):
        (folder / f"phase-0-dense-best-{step}").mkdir()
        best = {name: tensor + step for name, tensor in DENSE.items()}
        save_file(best, folder / f"phase-0-dense-best-{step}" / "model.safetensors")
    found = read_run_weights(Run.read(folder))
    assert found.round.dense.note == "best evaluation, step 10"
    assert found.layer.dense[0] == np.float32(10.1)


def test_weights_in_bfloat16_and_in_shards(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    phase = folder / "phase-2-dense"
    (phase / "model.safetensors").unlink()
    save_file({"big.weight": REDENSE["big.weight"].bfloat16()}, phase / "model-00001-of-00002.safetensors")
    save_file({"small.weight": REDENSE["small.weight"]}, phase / "model-00002-of-00002.safetensors")
    index = '{"weight_map": {"big.weight": "model-00001-of-00002.safetensors", "small.weight": '
    (phase / "model.safetensors.index.json").write_text(index + '"model-00002-of-00002.safetensors"}}')
    small, big = (read_run_weights(Run.read(folder), name).layer for name in ("small.weight", "big.weight"))
    assert torch.equal(torch.tensor(big.redense), REDENSE["big.weight"].bfloat16().float().flatten())
    assert torch.equal(torch.tensor(small.redense), REDENSE["small.weight"].flatten())


def test_a_kept_weight_at_zero_is_counted_and_a_tied_one_left_out(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    sparse = {"big.weight": SPARSE["big.weight"] * torch.tensor([1.0, 1.0, 1.0, 0.0])}  # -4.5 became 0
    save_file(sparse, folder / "phase-1-sparse" / "model.safetensors")
    ((small, big),) = (phase.rows for phase in read_run_weights(Run.read(folder)).phases)
    assert (small.miscounted, small.fate, big.miscounted) == (0, None, 1)


def test_a_file_of_another_model_is_no_layer_of_this_one(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    save_file({"big.weight": torch.zeros(3, 3)}, folder / "phase-1-sparse" / "model.safetensors")
    found = read_run_weights(Run.read(folder))
    assert found.layer is None
    assert (
        "phase-1-sparse/ cannot be used (another model's: big.weight is (3, 3), the run's is (2, 4))" in found.missing
    )
    save_file(SPARSE, folder / "phase-1-sparse" / "model.safetensors")
    save_file({"big.weight": torch.zeros(3, 3)}, folder / "phase-2-dense" / "model.safetensors")
    found = read_run_weights(Run.read(folder))
    assert (found.layer.name, found.layer.redense, found.phases[0].rows[1].fate) == ("big.weight", None, None)


def test_files_with_names_of_their_own_are_said_on_the_page(tmp_path):
    """A pipeline's modules are saved under the modules' names: nothing can be said of the layers, and nothing ends."""
    folder = write_dsd_run(tmp_path / "run")
    for phase, weights in (("phase-0-dense", DENSE), ("phase-1-sparse", SPARSE), ("phase-2-dense", REDENSE)):
        save_file({f"own.{name}": tensor for name, tensor in weights.items()}, folder / phase / "model.safetensors")
        (folder / phase / "modules.json").write_text("[]")
    found = read_run_weights(Run.read(folder))
    assert (found.layer, found.round, found.moments) == (None, None, {"small.weight": {}, "big.weight": {}})
    assert "its files have the names of a pipeline's modules" in found.missing
    with pytest.raises(ValueError, match="^layer 'big.weight' cannot be drawn: .*pipeline's modules"):
        read_run_weights(Run.read(folder), "big.weight")
