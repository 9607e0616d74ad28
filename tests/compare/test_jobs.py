"""When a run of a comparison counts as done."""

import json
import shutil
from pathlib import Path

import pytest
from run_folders import heard, write_run

from hf_dsd.compare import Comparison, to_markdown
from hf_dsd.compare.jobs import Job

LAST = "phase-2-dense"


def finish(out: Path, arm: str, errors: int, seed: int = 1) -> Job:
    job = Job(out, seed, arm, {}, "digest")
    write_run(out, seed, arm, {LAST: heard(errors)})
    job.write_status(None, 3.0)
    return job


def test_a_finished_run_whose_folder_is_gone_is_not_finished(tmp_path: Path) -> None:
    job = finish(tmp_path, "dsd", 2)
    assert job.is_finished
    assert not Job(tmp_path, 1, "dsd", {}, "another recipe").is_finished
    shutil.rmtree(job.folder)
    assert not job.is_finished


@pytest.mark.parametrize(
    ("kept", "error"),
    [
        (False, "the run has finished, but its folder is gone; the same command trains it again"),
        (True, "the run has finished, but left no dsd_summary.json; a script must train by DSDTrainer"),
    ],
)
def test_a_finished_run_without_its_summary_is_in_the_table_as_failed(tmp_path: Path, kept: bool, error: str) -> None:
    for seed in (1, 2):
        finish(tmp_path, "dense", 3, seed)
    finish(tmp_path, "dsd", 2, 1)
    job = finish(tmp_path, "dsd", 2, 2)
    (job.folder / "dsd_summary.json").unlink() if kept else shutil.rmtree(job.folder)
    found = Comparison.from_folder(tmp_path, arms=["dsd", "dense"])
    assert [(run.arm, run.seed, run.error) for run in found.runs if run.status == "failed"] == [("dsd", 2, error)]
    assert f"- Failed: dsd, seed 2: {error} (seed-2/dsd)\n" in to_markdown(found)
    assert json.loads((tmp_path / "seed-2" / "dsd.json").read_text())["status"] == "finished"  # nothing is written
