"""Which revision is which phase's model."""

import re
from pathlib import Path

import pytest
from card_runs import results_of
from tiny_runs import make_trainer

from hf_dsd.hub import Revision, plan_revisions, render_card
from hf_dsd.hub.contents import read_finished_run
from hf_dsd.runs.run import Run


def trained(folder: Path, stop_at: int | None = None, **options: object) -> list[tuple[str, str]]:
    """Trains DeepSpeech, one step per phase unless `options` say otherwise; (revision, phase) of its plan."""
    make_trainer("deepspeech", folder, stop_at=stop_at, **({"phase_steps": [1, 1, 1]} | options)).train()
    return [(revision.name, revision.phase) for revision in plan_revisions(read_finished_run(folder))]


def test_one_sparse_phase(tmp_path):
    assert trained(tmp_path) == [("dense", "phase-0-dense"), ("sparse", "phase-1-sparse"), ("main", "phase-2-dense")]


def test_an_iterative_run_counts_from_the_second_on(tmp_path):
    options = {"phase_steps": [1] * 7, "sparsity": [0.5, 0.3, 0.2]}
    assert trained(tmp_path, **options) == [
        ("dense", "phase-0-dense"),
        ("sparse", "phase-1-sparse"),
        ("dense-2", "phase-2-dense"),
        ("sparse-2", "phase-3-sparse"),
        ("dense-3", "phase-4-dense"),
        ("sparse-3", "phase-5-sparse"),
        ("main", "phase-6-dense"),
    ]


def test_a_run_from_a_trained_model_has_no_first_dense_phase(tmp_path):
    assert trained(tmp_path, phase_steps=[0, 1, 1]) == [("sparse", "phase-1-sparse"), ("main", "phase-2-dense")]


def test_the_dense_control_and_averages(tmp_path):
    assert trained(tmp_path, dsd_control=True, weight_averages=["ema", "swa"]) == [
        ("dense", "phase-0-dense"),
        ("dense-2", "phase-1-dense"),
        ("ema", "phase-2-dense-ema"),
        ("swa", "phase-2-dense-swa"),
        ("main", "phase-2-dense"),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"phase_steps": [0, 1, 1, 1, 1], "sparsity": [0.5, 0.3]},
        {"dsd_control": True, "weight_averages": ["ema", "swa"]},
    ],
    ids=["dsd", "iterative from a trained model", "control with averages"],
)
def test_the_card_names_the_branches_of_the_plan(tmp_path, options):
    planned = trained(tmp_path, **options)
    card = render_card(results_of(tmp_path, repo_id="me/x"))
    assert re.findall(r'`revision="([\w-]+)"` is ([\w-]+)', card) == planned[:-1]
    assert "revision=" not in render_card(results_of(tmp_path))


def test_a_phase_whose_folder_was_removed_is_left_out(tmp_path):
    trained(tmp_path)
    for file in (tmp_path / "phase-0-dense").iterdir():
        file.unlink()
    (tmp_path / "phase-0-dense").rmdir()
    assert plan_revisions(Run.read(tmp_path)) == [
        Revision("sparse", "phase-1-sparse"),
        Revision("main", "phase-2-dense"),
    ]


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has not finished phase-2-dense, only \['phase-0-dense', 'phase-1-sparse'\]"):
        trained(tmp_path, stop_at=2)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dsd_summary\.json is missing: give the output folder of a run"):
        read_finished_run(tmp_path)
