"""`hf-dsd compare` as a process of its own: killed, continued, repeated, refused; a run that fails."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from tiny_script import trainer_of
from transformers import HfArgumentParser
from typer.testing import CliRunner

from hf_dsd import DSDTrainer, DSDTrainingArguments
from hf_dsd.cli import app
from hf_dsd.compare import Arm, Comparison, ScriptRuns, compare
from hf_dsd.compare.arguments import as_arguments
from hf_dsd.compare.jobs import progress
from hf_dsd.compare.recipe import read_recipe
from hf_dsd.compare.runner import share_of

SCRIPT = Path(__file__).with_name("tiny_script.py")
LINE = """--phase_steps 12 12 12 --sparsity 0.5 --learning_rate 1e-2 --per_device_train_batch_size 4
--eval_strategy steps --eval_steps 3 --save_strategy steps --save_steps 3 --logging_steps 1
--report_to none --disable_tqdm true --use_cpu true"""
TINY = LINE.split()
STEPS = 36
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}


def command(out: Path, arguments: Sequence[str] = TINY) -> list[str]:
    compare = [sys.executable, "-m", "hf_dsd", "compare", "--arms", "dsd", "dense", "early", "--seeds", "2"]
    return [*compare, "--jobs", "2", "--out", str(out), "--", str(SCRIPT), *arguments]


def run(out: Path, arguments: Sequence[str] = TINY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(out, arguments), env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=1500
    )


def wait_for(file: Path, process: "subprocess.Popen[Any]") -> str:
    """Waits until a file that a process writes is there; returns its text."""
    deadline = time.monotonic() + 300
    while not file.exists() or not file.read_text():
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return file.read_text()


def kill_when(out: Path, runs: Sequence[Path]) -> None:
    """Kills the comparison, and nothing else, once these runs have left a checkpoint; waits until they are gone."""
    environment = {**ENVIRONMENT, "SECONDS_PER_STEP": "1"}
    process = subprocess.Popen(
        command(out), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while not all(any(run.glob("checkpoint-*/trainer_state.json")) for run in runs):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    training = [
        member for member in family if str(SCRIPT) in member.cmdline() and "launch" not in str(member.cmdline())
    ]
    assert len(training) == 2
    process.kill()
    process.wait()
    assert psutil.wait_procs(family, timeout=60)[1] == []  # no orphan trains on


def files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def launches(log: Path) -> list[str]:
    return re.findall(r"^\$ .*$", log.read_text(), re.MULTILINE)


def logged_steps(log: Path) -> int:
    return len(re.findall(r"'grad_norm'", log.read_text()))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def unbroken(arm_options: dict[str, Any], output_dir: str, seed: int) -> DSDTrainer:
    (arguments,) = HfArgumentParser(DSDTrainingArguments).parse_args_into_dataclasses(
        [*TINY, "--output_dir", output_dir, "--seed", str(seed), *as_arguments(arm_options)]
    )
    return trainer_of(arguments)


def test_two_jobs_killed_continued_repeated_and_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    kill_when(out, [out / f"seed-{seed}" / "dense" for seed in (1, 2)])
    assert not (out / "comparison.json").exists()
    assert not list(out.glob("seed-*/*.json"))  # not failed: they will go on

    done = run(out)
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())  # wherever the line breaks
    assert "The first dense phase is trained once per seed for dense, dsd." in said
    for seed in (1, 2):
        first, again = launches(out / f"seed-{seed}" / "dense.log")
        assert "--resume_from_checkpoint" not in first
        assert re.search(rf"--resume_from_checkpoint \S+/seed-{seed}/dense/checkpoint-\d+$", again)
        (shared,) = launches(out / f"seed-{seed}" / "dsd.log")
        assert shared.endswith(f"--resume_from_checkpoint {out}/seed-{seed}/dense/phase-0-dense-checkpoint")
        assert logged_steps(out / f"seed-{seed}" / "dsd.log") == STEPS - 12  # the first phase was trained once

    whole = compare(unbroken, ["dsd", "dense", "early"], [1, 2], tmp_path / "whole", console=Console(quiet=True))
    found = Comparison.read(out)
    reached = [[(one.arm, one.seed, one.value, one.steps) for one in side.runs] for side in (found, whole)]
    assert reached[0] == reached[1]
    assert [arm for arm, *_ in reached[0]] == ["dense", "early", "sparse", "dsd"] * 2
    for model in [*out.glob("seed-*/*/phase-[12]-*"), *out.glob("seed-*/dense/phase-2-dense-early")]:
        theirs = weights(tmp_path / "whole" / model.relative_to(out))
        assert all(torch.equal(value, theirs[name]) for name, value in weights(model).items()), model
    assert [(one.arm, one.to, one.n) for one in found.differences] == [("dsd", "dense", 2), ("dsd", "early", 2)]
    assert found.command.startswith("hf-dsd compare --arms dsd dense early --seeds 2 --first-seed 1 --out OUT -- ")
    assert found.script == [str(SCRIPT), *TINY]

    everything = {name: files(out / name) for name in ("seed-1", "seed-2")}
    assert run(out).returncode == 0
    assert {name: files(out / name) for name in everything} == everything

    changed = run(out, [*TINY, "--weight_decay", "0.1"])
    assert changed.returncode == 2
    assert "holds runs of another recipe" in " ".join(changed.stdout.split())
    assert "--force" in changed.stdout
    assert {name: files(out / name) for name in everything} == everything


FAKE = """
import json, sys
from pathlib import Path
arguments = sys.argv[1:]
folder = Path(arguments[arguments.index("--output_dir") + 1])
if "--dsd_control" in arguments:
    print("about to fail")
    sys.exit("no such data")
phase = {"index": 0, "kind": "dense", "start": 0, "end": 4, "learning_rate": 0.1, "sparsity": 0.0}
record = {**phase, "name": "phase-0-dense", "seconds": 1.0, "finished": True, "left_early": False, "layers": []}
record["metrics"] = {"eval_loss": 0.5}
summary = {"schedule": [phase], "phases": [record], "steps_per_epoch": 2}
(folder / "dsd_summary.json").write_text(json.dumps(summary))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script whose control fails."""
    path = tmp_path / "train.py"
    path.write_text(FAKE)
    return path


def test_a_failed_run_is_reported_and_the_others_go_on(tmp_path: Path, script: Path) -> None:
    out = tmp_path / "out"
    console = Console(record=True, width=200)
    failed = ScriptRuns([str(script)], ["dense", "dsd"], [1], out).run(console=console)
    assert [job.arm for job in failed] == ["dense"]
    error = failed[0].read_status()["error"]
    assert error.startswith("exit status 1\n")
    assert "about to fail" in error
    assert "no such data" in error
    assert "seed 1 dense: failed" in console.export_text()
    found = Comparison.from_folder(out)
    assert {(run.arm, run.status) for run in found.runs} == {("dense", "failed"), ("dsd", "finished")}
    assert found.verdict is None

    script.write_text(FAKE.replace('if "--dsd_control" in arguments', "if False"))
    with pytest.raises(ValueError, match="the script's text changed"):
        ScriptRuns([str(script)], ["dense", "dsd"], [1], out).run(console=console)
    assert ScriptRuns([str(script)], ["dense", "dsd"], [1], out).run(force=True, console=console) == []
    assert Comparison.from_folder(out).differences[0].per_seed == [0.0]


def test_what_is_no_script_is_refused(tmp_path: Path, script: Path) -> None:
    def refused(words: list[str], message: str) -> None:
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            ScriptRuns(words, ["dsd"], [1], tmp_path / "out").run()

    refused([], "after -- there must be a training script and its arguments, got nothing")
    refused(
        ["dnse", str(script)], "'dnse' is neither an arm (dense, early, sparse, random, ema, swa, iterative, dsd) nor a"
    )
    refused(["no/such.py", "--x"], f"the training script no/such.py is not there: give its path from {Path.cwd()}")
    with pytest.raises(ValueError, match="compare sets --seed for every run"):
        ScriptRuns([str(script), "--seed", "3"], ["dsd"], [1], tmp_path / "out").run()


def test_an_error_is_printed_as_it_is(tmp_path: Path, script: Path) -> None:
    """Brackets are markup to rich, but values to a user."""
    call = ["compare", "--arms", "dsd", "--out", str(tmp_path / "out"), "--", "[bold]no_script.py"]
    result = CliRunner().invoke(app, call, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "script [bold]no_script.py is not there" in result.output


def test_paths_are_printed_as_they_are(tmp_path: Path, script: Path) -> None:
    out = tmp_path / "m[red]x[bold]"
    call = ["compare", "--arms", "dsd", "dense", "--seeds", "1", "--out", str(out), "--", str(script)]
    result = CliRunner().invoke(app, call, env={"COLUMNS": "400"})
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1  # the control fails
    assert f"Written to {out}/comparison.json." in result.output
    assert f"see {out}/seed-1/dsd.log" in result.output
    assert f"failed; the end of {out}/seed-1/dense.log:" in result.output


def test_options_of_the_script_before_the_dashes_say_where_they_belong(tmp_path: Path, script: Path) -> None:
    call = ["compare", "--out", str(tmp_path / "out"), "--arms", "dsd", "dense", str(script), "--data_dir", "x"]
    result = CliRunner().invoke(app, call, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "No such option: --data-dir" in result.output
    assert "compare [OPTIONS] [-- SCRIPT ITS_OPTIONS]..." in result.output


def test_a_folder_at_work_is_refused(tmp_path: Path, script: Path) -> None:
    (tmp_path / "out").mkdir()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
            "print('held', flush=True); time.sleep(60)",
            str(tmp_path / "out" / ".lock"),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(RuntimeError, match="is at work in .*: wait for it, or end it"):
            ScriptRuns([str(script)], ["dsd"], [1], tmp_path / "out").run()
    finally:
        holder.kill()
        holder.wait()


def test_an_interrupt_ends_the_run_at_work(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import pathlib, os, time; pathlib.Path(__file__).with_name('pid').write_text(str(os.getpid()))\n"
        "time.sleep(300)"
    )
    compare = [sys.executable, "-m", "hf_dsd", "compare", "--arms", "dsd", "--out", str(tmp_path / "out"), "--"]
    process = subprocess.Popen([*compare, str(script)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    pid = wait_for(tmp_path / "pid", process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    assert not (tmp_path / "out" / "seed-1" / "dsd.json").exists()  # not failed: it will go on


def test_tokens_are_not_written_down(tmp_path: Path, script: Path) -> None:
    arguments = [str(script), "--hub_token", "hf_secret", "--push_to_hub_token=hf_secret"]
    runs = ScriptRuns(arguments, ["dsd"], [1], tmp_path)
    runs.run(console=Console(quiet=True))
    assert "hf_secret" in " ".join(runs.script)
    for file in (tmp_path / "recipe.json", tmp_path / "seed-1" / "dsd.log"):
        assert "***" in file.read_text()
        assert "hf_secret" not in file.read_text()


def test_the_command_makes_all_runs_not_only_the_last_ones(tmp_path: Path, script: Path) -> None:
    script.write_text(FAKE.replace('if "--dsd_control" in arguments', "if False"))

    def command_after(arms: str, seeds: Sequence[int], *options: str, force: bool = False) -> str:
        runs = ScriptRuns([str(script), *options], arms.split(), seeds, tmp_path / "out")
        runs.run(force=force, console=Console(quiet=True))
        return Comparison.from_folder(tmp_path / "out").command.replace(str(script), "train.py")

    def line(arms: str, seeds: int, first: int) -> str:
        return f"hf-dsd compare --arms {arms} --seeds {seeds} --first-seed {first} --out OUT -- train.py"

    assert command_after("dsd", [1, 2]) == line("dsd", 2, 1)
    assert command_after("dsd", [2]) == line("dsd", 2, 1)  # nothing new
    assert command_after("dsd dense", [4]) == f"{line('dsd', 2, 1)} && {line('dsd dense', 1, 4)}"
    assert command_after("dense dsd", [1, 2, 3, 4]) == line("dense dsd", 4, 1)  # all of them
    assert command_after("dsd", [1], "--x", "1", force=True) == f"{line('dsd', 1, 1)} --x 1"  # the others are gone


def test_an_arm_of_the_users_own(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(FAKE.replace('if "--dsd_control" in arguments', "if False"))
    out, options = tmp_path / "out", ["--phase_steps", "4", "4", "4", "--sparsity", "0.3"]
    call = ["compare", "--arm", "s50=--sparsity 0.5", "--arm", "wide=--dropout 0.5", "--seeds", "1", "--out", str(out)]
    result = CliRunner().invoke(app, [*call, "--", str(script), *options], env={"COLUMNS": "300"})
    assert result.exit_code == 0, result.output
    said = "The first dense phase is trained once per seed for dense, s50. wide: by itself, since dropout acts from the"
    assert said in result.output
    assert launches(out / "seed-1" / "s50.log")[0].count("--sparsity") == 2  # argparse takes the last
    found = Comparison.read(out)
    assert found.arms.keys() == {"dense", "s50", "wide"}
    assert (found.arms["s50"].arguments, found.settings) == ("--sparsity 0.5", 3)
    assert found.command.startswith(
        "hf-dsd compare --arms dense --arm 's50=--sparsity 0.5' --arm 'wide=--dropout 0.5' --seeds 1 --first-seed 1 "
    )
    ScriptRuns([str(script), *options], ["dense", Arm("s80", {"sparsity": ["0.8"]})], [1], out).plan()
    assert len(read_recipe(out)["settings"]) == 4
    ScriptRuns([str(script), *options, "--x", "1"], ["dense", "dsd"], [1], out, baseline="dsd").plan(force=True)
    assert (read_recipe(out)["baseline"], len(read_recipe(out)["settings"])) == (
        "dsd",
        6,
    )  # what was removed counts, too


def test_a_share_of_the_cores_unless_the_user_said_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    cores = len(os.sched_getaffinity(0))
    assert (share_of(0, 1), share_of(1, 2)) == ({}, {"OMP_NUM_THREADS": str(max(cores // 2, 1))})
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert share_of(1, 2) == {}


@pytest.mark.gpu
def test_a_share_of_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    shares = [share_of(place, 2)["CUDA_VISIBLE_DEVICES"] for place in (0, 1)]
    assert shares == ["4,6", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    assert [share_of(place, 2)["CUDA_VISIBLE_DEVICES"] for place in (0, 1)] == ["4", "4"]


def test_another_tokenizer_is_another_recipe(tmp_path: Path, script: Path) -> None:
    """Its name is no secret, though it begins with `token`."""
    runs = [ScriptRuns([str(script), "--tokenizer_name", name], ["dsd"], [1], tmp_path) for name in ("gpt2", "opt")]
    runs[0].plan()
    (tmp_path / "seed-1" / "dsd").mkdir(parents=True)
    assert runs[0].command({}, ["dsd"], [1]).endswith("--tokenizer_name gpt2")
    with pytest.raises(ValueError, match=r"holds runs of another recipe \(script: \S+ --tokenizer_name gpt2 -> "):
        runs[1].plan()


def test_the_users_own_saving_is_kept(tmp_path: Path, script: Path) -> None:
    def arguments(*given: str) -> str:
        runs = ScriptRuns([str(script), *given], ["dsd"], [1], tmp_path / "out")
        return " ".join(runs.launch_command(runs.plan(force=True)[0]))

    assert "--save_strategy epoch --save_total_limit 1 " in arguments()
    own = arguments("--save_steps", "7", "--save_total_limit", "3")
    assert "--save_strategy" not in own
    assert own.count("--save_total_limit") == 1


def test_progress_is_that_of_the_last_checkpoint_that_can_be_read(tmp_path: Path) -> None:
    for step, state in ((4, '{"global_step": 4, "max_steps": 16}'), (8, '{"global_st'), (12, "{}"), (16, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert progress(tmp_path) == 0.25
    (tmp_path / "checkpoint-4" / "trainer_state.json").write_text('{"global_step": 4, "max_steps": "16"}')
    assert progress(tmp_path) == 0.0


def test_progress_is_read_while_the_checkpoint_is_written_anew(tmp_path: Path) -> None:
    """The Trainer removes, truncates and rotates at any moment; the runner looks once a second."""
    folder, done = tmp_path / "checkpoint-4", threading.Event()
    folder.mkdir()
    state = folder / "trainer_state.json"

    def write_anew() -> None:
        while not done.is_set():
            state.write_text('{"global_step": 4, "max_steps": 16}')
            state.unlink()

    writer = threading.Thread(target=write_anew)
    writer.start()
    try:
        seen = {progress(tmp_path) for _ in range(20_000)}
    finally:
        done.set()
        writer.join()
    assert seen == {0.0, 0.25}
