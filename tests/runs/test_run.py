"""What is read of one run's folder: damaged files, other runs' files, and the order of its models."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from report_runs import REFERENCES, change_summary, write_dsd_run, write_scores, write_summary

from hf_dsd.engine.mask_file import write_state_file
from hf_dsd.runs.run import Run


def write_checkpoint(folder, step, *, log=None, run=None, start=10):
    """A checkpoint as far as a report reads it: `log` as text where it is damaged."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    content = log if isinstance(log, str) else json.dumps({"log_history": log or []})
    (checkpoint / "trainer_state.json").write_text(content)
    schedule = [{"index": 0, "kind": "dense", "start": 0, "end": start, "sparsity": 0.0, "learning_rate": 0.1}]
    write_state_file(checkpoint, {}, {"schedule": schedule, "extra": {"summary": {"run": run, "phases": []}}})
    return checkpoint


def test_an_unreadable_checkpoint_hides_no_finished_run(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    write_checkpoint(folder, 20, log='{"log')
    run = Run.read(folder)
    assert (run.is_finished, run.checkpoint, run.sources) == (True, None, ["dsd_summary.json"])


def test_without_a_summary_an_unreadable_checkpoint_is_no_run(tmp_path):
    write_checkpoint(tmp_path, 20, log='{"log')
    with pytest.raises(FileNotFoundError, match="is no run: it has neither dsd_summary.json nor a whole checkpoint"):
        Run.read(tmp_path)


def test_a_checkpoint_of_an_earlier_run_is_left_alone(tmp_path):
    """The summary names the run, and so do its checkpoints; those of an older version name none."""
    folder = write_dsd_run(tmp_path / "run", finished=1)
    change_summary(folder, run="new")
    write_checkpoint(folder, 15, log=[{"step": 15, "loss": 1.0}], run="old")
    assert (Run.read(folder).checkpoint, Run.read(folder).log) == (None, [])
    write_checkpoint(folder, 12, log=[{"step": 12, "loss": 2.0}], run="new")
    assert Run.read(folder).checkpoint == folder / "checkpoint-12"
    write_checkpoint(folder, 16, log=[{"step": 16, "loss": 3.0}])
    assert Run.read(folder).checkpoint == folder / "checkpoint-16"


def test_scored_models_are_in_the_order_of_their_phases(tmp_path):
    kinds = ["dense", "sparse"] * 5 + ["dense"]
    schedule = [
        {"index": index, "kind": kind, "start": 5 * index, "end": 5 * index + 5, "sparsity": 0.0, "learning_rate": 0.1}
        for index, kind in enumerate(kinds)
    ]
    write_summary(tmp_path, schedule=schedule, phases=[])
    phases = [f"phase-{index}-{kind}" for index, kind in enumerate(kinds)]
    models = [*phases[:3], "phase-2-dense-ema", "phase-2-dense-swa", *phases[3:]]
    for name in reversed(models):
        write_scores(tmp_path, name, REFERENCES)
    run = Run.read(tmp_path)
    assert [scores.phase for scores in run.scores()] == models
    assert [scores.phase for scores in run.phase_scores()] == phases


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"phase": ', "JSONDecodeError"),
        ("{}", "it lacks examples"),
        ("[]", "it must hold a JSON object, got list"),
        (None, "example 'a' has no reference"),
    ],
)
def test_a_damaged_score_file_is_named_and_left_out(tmp_path, content, error):
    folder = write_dsd_run(tmp_path / "run", heard=REFERENCES)
    write_scores(folder, "phase-1-sparse", REFERENCES)
    path = folder / "test_phase-2-dense.json"
    scores = json.loads(path.read_text())
    scores["examples"][0]["references"] = []
    path.write_text(json.dumps(scores) if content is None else content)
    run = Run.read(folder)
    assert [scores.phase for scores in run.scores()] == ["phase-1-sparse"]
    (problem,) = run.problems
    assert f"test_phase-2-dense.json is damaged ({error}" in problem
    assert problem.endswith(": score the run again, or remove the file")


def test_scores_that_one_phase_of_three_has_lost_are_named(tmp_path):
    folder = write_dsd_run(tmp_path / "run", heard=REFERENCES)
    assert Run.read(folder).problems == []  # a script may score the last phase alone
    for phase in ("phase-0-dense", "phase-1-sparse"):
        write_scores(folder, phase, REFERENCES)
    assert Run.read(folder).problems == []
    (folder / "test_phase-0-dense.json").unlink()
    assert Run.read(folder).problems == [
        "test_phase-0-dense.json is missing, and other phases have theirs: score that phase, or do without"
    ]


@pytest.mark.parametrize("content", ["{", "[]", '{"log_history": [{"loss": 1.0}]}', '{"log_history": {}}'])
def test_a_damaged_log_is_named_and_left_out(tmp_path, content):
    folder = write_dsd_run(tmp_path / "run")
    (folder / "trainer_state.json").write_text(content)
    run = Run.read(folder)
    assert (run.log, run.sources) == ([], ["dsd_summary.json"])
    (problem,) = run.problems
    assert problem.startswith("trainer_state.json cannot be read (")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "must hold a JSON object, got list"),
        ("{}", "it has no 'schedule'"),
        ('{"schedule": [], "phases": [{}]}', "an entry of 'phases' has no 'name'"),
        ('{"schedule": [{"index": 0}], "phases": []}', "an entry of 'schedule' has no 'kind'"),
        ('{"schedule": [], "phases": [7]}', "an entry of 'phases' is no object"),
        ('{"schedule": 7, "phases": []}', "'schedule' is no list"),
    ],
)
def test_a_damaged_summary_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "dsd_summary.json").write_text(content)
    with pytest.raises(ValueError, match="dsd_summary.json is damaged") as caught:
        Run.read(tmp_path)
    assert message in str(caught.value)
    assert str(caught.value).endswith(": restore it, or train the run again")


CHECKED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from root_rights import give_up_roots_rights
from hf_dsd.runs.folder import check_links
give_up_roots_rights()
check_links(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("rights", [0, 0o200, 0o400])
def test_a_phase_that_must_not_be_read_is_named(tmp_path, rights):
    folder = write_dsd_run(tmp_path / "run")
    (folder / "phase-1-sparse").chmod(rights)
    command = [sys.executable, "-c", CHECKED, folder, Path(__file__).parents[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (folder / "phase-1-sparse").chmod(0o700)
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"ValueError: {folder}/phase-1-sparse cannot be read ([Errno 13] Permission denied")
    assert said.endswith(": give yourself the right to")
