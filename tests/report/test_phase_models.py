"""Whose weights count as a phase's: the run's own, its checkpoint's, or those that the arms of a seed share."""

import json
import shutil

from report_runs import DENSE, REDENSE, change_summary, write_dsd_run
from safetensors.torch import save_file

from hf_dsd.report.weights import read_run_weights
from hf_dsd.runs.run import Run


def write_checkpoint(folder, step):
    """A whole checkpoint with weights."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    save_file(REDENSE, checkpoint / "model.safetensors")
    (checkpoint / "trainer_state.json").write_text('{"log_history": []}')
    return checkpoint


def unfinish(folder, phases):
    """Makes a summary end in the phase after `phases`, as a run stopped there leaves it; its folders stay."""
    records = json.loads((folder / "dsd_summary.json").read_text())["phases"][: phases + 1]
    records[-1]["finished"] = False
    change_summary(folder, phases=records)


def test_folders_of_an_earlier_run_are_not_this_runs_models(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    unfinish(folder, 1)
    assert list(Run.read(folder).models) == ["phase-0-dense"]
    checkpoint = write_checkpoint(folder, 12)
    models = Run.read(folder).models
    assert list(models) == ["phase-0-dense", "phase-1-sparse"]
    assert (models["phase-1-sparse"].folder, models["phase-1-sparse"].note) == (
        checkpoint,
        "step 12, before the phase's end",
    )
    assert read_run_weights(Run.read(folder)).round.redense is None


def test_a_checkpoint_at_a_phases_end_is_its_model(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    shutil.rmtree(folder / "phase-2-dense")
    checkpoint = write_checkpoint(folder, 20)
    found = Run.read(folder).models["phase-2-dense"]
    assert (found.folder, found.note) == (checkpoint, "")


def test_the_best_weights_of_another_step_are_not_of_this_phase(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    for step in (8, 14):  # an earlier run's first phase was longer
        (folder / f"phase-0-dense-best-{step}").mkdir()
        save_file(DENSE, folder / f"phase-0-dense-best-{step}" / "model.safetensors")
    assert Run.read(folder).start_of_next("phase-0-dense").note == "best evaluation, step 8"
    unfinish(folder, 0)
    assert Run.read(folder).start_of_next("phase-0-dense") is None


def test_the_first_phase_may_lie_with_the_arm_that_trained_it(tmp_path):
    """The arms of a seed start from one model: the others carry its record, to the second, but not its folder."""
    seed = tmp_path / "seed-1"
    folder, other = write_dsd_run(seed / "dsd", seed=1), write_dsd_run(seed / "dense", arm="dense", seed=1)
    shutil.rmtree(folder / "phase-0-dense")
    found = read_run_weights(Run.read(folder)).round
    assert found.dense.folder == other / "phase-0-dense"
    assert found.dense.note == "trained by dense"
    phases = json.loads((other / "dsd_summary.json").read_text())["phases"]
    change_summary(other, phases=[phases[0] | {"seconds": 61.5}, *phases[1:]])  # another training
    assert read_run_weights(Run.read(folder)).round is None
    (other / "dsd_summary.json").write_text("{")
    assert read_run_weights(Run.read(folder)).round is None


def test_a_cut_off_weight_file_is_named_and_left_out(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    assert Run.read(folder).unreadable_models == []
    path = folder / "phase-1-sparse" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    (folder / "phase-2-dense" / "model.safetensors.index.json").write_text("{")
    run = Run.read(folder)
    assert list(run.models) == ["phase-0-dense"]
    sparse, dense = run.unreadable_models
    assert sparse.startswith("phase-1-sparse/ cannot be read (SafetensorError: ")
    assert sparse.endswith("): restore its weights, or train that phase anew")
    assert dense.startswith("phase-2-dense/ cannot be read (JSONDecodeError: ")
