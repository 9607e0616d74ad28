"""Which checkpoint a run resumes from, whatever its last process was doing when it died."""

import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from tiny import TinyLSTM, arguments, build, classification_rows, make_trainer
from transformers import Trainer, TrainerCallback, trainer, trainer_utils

from hf_dsd import DSDTrainer
from hf_dsd.runs.checkpoints import find_checkpoint, finish_rotation, last_whole_checkpoint
from hf_dsd.runs.folder import CHECKPOINT_PREFIX, TRAINER_STATE_NAME, checkpoints_in

RUN = {"save_strategy": "steps", "save_steps": 1}
FULL_DISK = r"No space left|iostream error|unexpected pos|file write failed"  # as Python, Rust and torch say it
MOMENTS = ("weights", "optimizer", "random state", "masks", "half of the trainer's state")


class DyingTrainer(DSDTrainer):
    """Kills its own process at one moment of writing the checkpoint of step 5, in the sparse phase."""

    moment = ""

    def _die_at(self, moment: str) -> None:
        if self.moment == moment and self.state.global_step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    def save_model(self, *args, **kwargs):
        super().save_model(*args, **kwargs)
        self._die_at("weights")

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        self._die_at("optimizer")

    def _save_rng_state(self, output_dir):
        Trainer._save_rng_state(self, output_dir)
        self._die_at("random state")
        super()._save_rng_state(output_dir)
        self._die_at("masks")
        (Path(output_dir) / "trainer_state.json").write_text('{"best_metric": null, "global_step": 5, "log_hist')
        self._die_at(MOMENTS[-1])


def train_and_die(folder: Path, moment: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = classification_rows(24)
    model, args = build(TinyLSTM, dropout=0.3), arguments(folder, **RUN)
    trainer = DyingTrainer(model, args, train_dataset=data, eval_dataset=data[:8])
    trainer.moment = moment
    trainer.train()


def weights_of(trainer: DSDTrainer) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trainer.model.parameters()]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[torch.Tensor]:
    torch.manual_seed(0)
    trainer = make_trainer(tmp_path_factory.mktemp("unbroken"), build(TinyLSTM, dropout=0.3), **RUN)
    trainer.train()
    return weights_of(trainer)


def assert_resumes_from(step: int, folder: Path, unbroken: list[torch.Tensor]) -> None:
    """The run in `folder` goes on after `step` and ends like the unbroken one."""
    assert last_whole_checkpoint(folder) == str(folder / f"checkpoint-{step}")
    resumed = make_trainer(folder, build(TinyLSTM, seed=9, dropout=0.3), **RUN)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 12
    assert all(torch.equal(got, want) for got, want in zip(weights_of(resumed), unbroken, strict=True))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_process_killed_while_it_writes_a_checkpoint(tmp_path: Path, unbroken, moment: str) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hf_dsd", "torch.distributed.checkpoint"])
    process = context.Process(target=train_and_die, args=(tmp_path, moment))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "checkpoint-5" / "model.safetensors").exists()
    assert_resumes_from(4, tmp_path, unbroken)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


class FillDisk(TrainerCallback):
    """Leaves `free` KiB of a disk before the checkpoint of step 5."""

    def __init__(self, filler: Path, free: int) -> None:
        self.filler, self.free = filler, free

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 5:
            space = os.statvfs(self.filler.parent)
            self.filler.write_bytes(bytes(max(space.f_bavail * space.f_frsize - 1024 * self.free, 0)))


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("free", [0, 16, 32, 48, 64])
def test_a_full_disk_is_an_error_and_leaves_the_last_checkpoint_whole(small_disk: Path, unbroken, free: int) -> None:
    torch.manual_seed(0)
    trainer = make_trainer(small_disk / "out", build(TinyLSTM, dropout=0.3), **RUN, save_total_limit=2)
    before: dict[str, str] = {}
    filler = FillDisk(small_disk / "filler", free)

    class Remember(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 4:
                before.update(content(small_disk / "out" / "checkpoint-4"))

    trainer.add_callback(Remember())
    trainer.add_callback(filler)
    with pytest.raises((OSError, RuntimeError, SafetensorError), match=FULL_DISK):
        trainer.train()
    assert content(small_disk / "out" / "checkpoint-4") == before
    filler.filler.unlink()
    assert_resumes_from(4, small_disk / "out", unbroken)


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no checkpoint: train without resume_from_checkpoint"):
        last_whole_checkpoint(tmp_path)
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1" / "model.safetensors").touch()
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .* was written to its end, of \['checkpoint-1'\]"):
        last_whole_checkpoint(tmp_path)


def test_the_newest_is_the_one_of_the_latest_step(tmp_path: Path) -> None:
    for step in (9, 10, 2):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
            torch.save({}, folder / name)
        (folder / "trainer_state.json").write_text(f'{{"global_step": {step}}}')
    assert last_whole_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


# Damaged checkpoints: passed over by True, named with the remedy when asked for by path


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 steps with the checkpoints of steps 6 (in the sparse phase) and 12."""
    folder = tmp_path_factory.mktemp("two")
    make_trainer(folder, build(TinyLSTM), save_strategy="steps", save_steps=6).train()
    return folder


FILES = ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "dsd_masks.safetensors"]
FILES += ["trainer_state.json", "training_args.bin"]


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def dangle(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.with_name("nowhere"))


DAMAGES = {
    "missing": Path.unlink,
    "dangling": dangle,
    "flipped": flip,
    "cut": lambda file: os.truncate(file, file.stat().st_size - 1),
    "empty": lambda file: os.truncate(file, 0),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_found(tmp_path: Path, two_checkpoints: Path, file: str, damage: str) -> None:
    run = Path(shutil.copytree(two_checkpoints, tmp_path / "run"))
    newest, before = run / "checkpoint-12", run / "checkpoint-6"
    assert find_checkpoint(True, run) == find_checkpoint("True", run) == str(newest)
    DAMAGES[damage](newest / file)
    assert find_checkpoint(True, run) == find_checkpoint("true", run) == str(before)
    with pytest.raises(ValueError, match=rf"checkpoint-12 is damaged .*{file}.*: resume from another checkpoint"):
        find_checkpoint(str(newest), run)


@pytest.mark.parametrize(
    "content", ["42", "[]", "{}", "null", '{"global_step": "12"}', '{"global_step": 6}', "[" * 9999]
)
def test_a_state_of_something_else(tmp_path: Path, two_checkpoints: Path, content: str) -> None:
    run = Path(shutil.copytree(two_checkpoints, tmp_path / "run"))
    for name in ("dsd_files.json", "trainer_state.json"):  # as an older version wrote it, which has no digest
        (run / "checkpoint-12" / name).unlink()
    (run / "checkpoint-12" / "trainer_state.json").write_text(content)
    assert find_checkpoint(True, run) == str(run / "checkpoint-6")
    with pytest.raises(ValueError, match=r"trainer_state\.json"):
        find_checkpoint(run / "checkpoint-12", run)


ASKED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from root_rights import give_up_roots_rights
from hf_dsd.runs.checkpoints import find_checkpoint
give_up_roots_rights()
run = Path(sys.argv[1])
print(find_checkpoint(True, run))
find_checkpoint(run / "checkpoint-12", run)
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".", "ValueError: {} cannot be read (Permission denied): give yourself the right to, or resume from another "),
        ("optimizer.pt", "ValueError: {} is damaged or was not written to its end (optimizer.pt cannot be read: Perm"),
    ],
    ids=["folder", "file"],
)
def test_what_must_not_be_read_is_passed_over_or_named(tmp_path, two_checkpoints, name: str, said: str) -> None:
    run = Path(shutil.copytree(two_checkpoints, tmp_path / "run"))
    (run / "checkpoint-12" / name).chmod(0)
    command = [sys.executable, "-c", ASKED, run, Path(__file__).parents[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (run / "checkpoint-12").chmod(0o700)
    assert done.stdout.strip() == str(run / "checkpoint-6")
    assert done.stderr.splitlines()[-1].startswith(said.format(run / "checkpoint-12"))


@pytest.mark.parametrize("content", ["42", "[]", '{"optimizer.pt": 1}', '{"optimizer.pt": {"bytes": 1}}', "{"])
def test_a_damaged_list(tmp_path: Path, two_checkpoints: Path, content: str) -> None:
    run = Path(shutil.copytree(two_checkpoints, tmp_path / "run"))
    (run / "checkpoint-12" / "dsd_files.json").write_text(content)
    assert find_checkpoint(True, run) == str(run / "checkpoint-6")


@pytest.mark.parametrize("file", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_without_a_list_the_states_must_be_there(tmp_path: Path, two_checkpoints: Path, file: str) -> None:
    """Checkpoints of older versions still load; one without its optimizer would go on with other weights."""
    run = Path(shutil.copytree(two_checkpoints, tmp_path / "run"))
    (run / "checkpoint-12" / "dsd_files.json").unlink()
    assert find_checkpoint(True, run) == str(run / "checkpoint-12")
    os.truncate(run / "checkpoint-12" / file, 100)
    assert find_checkpoint(True, run) == str(run / "checkpoint-6")
    (run / "checkpoint-12" / file).unlink()
    assert find_checkpoint(True, run) == str(run / "checkpoint-6")


@pytest.mark.parametrize("asked", [None, False, "", "False", "none"])
def test_no_checkpoint_is_asked_for(tmp_path: Path, asked: object) -> None:
    assert find_checkpoint(asked, tmp_path) is None


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is no checkpoint: give its folder, or True"):
        find_checkpoint(tmp_path / "nowhere", tmp_path)


def test_a_models_folder_is_no_checkpoint(tmp_path: Path) -> None:
    """Transformers' own scripts hand the model's folder on as one."""
    trainer = make_trainer(tmp_path)
    trainer.train()
    with pytest.raises(ValueError, match="phase-0-dense holds a model and is no checkpoint to resume from: start from"):
        make_trainer(tmp_path).train(resume_from_checkpoint=str(tmp_path / "phase-0-dense"))


@pytest.mark.parametrize("left", ["half removed", "not yet removed"])
def test_a_killed_rotation_is_finished(tmp_path: Path, left: str) -> None:
    """Of the last checkpoint, after which nothing is saved any more."""
    options = RUN | {"save_total_limit": 1}
    make_trainer(tmp_path, **options).train()
    shutil.copytree(tmp_path / "checkpoint-12", tmp_path / "checkpoint-11")
    if left == "half removed":
        (tmp_path / "checkpoint-11" / "trainer_state.json").unlink()
    again = make_trainer(tmp_path, build(TinyLSTM, seed=9), **options)
    again.train(resume_from_checkpoint=True)
    assert again.state.global_step == 12
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-12"]


def test_a_whole_checkpoint_is_not_removed_for_a_half_written_one(tmp_path: Path) -> None:
    make_trainer(tmp_path, **RUN | {"save_steps": 5}).train()
    shutil.rmtree(tmp_path / "checkpoint-10")
    (tmp_path / "checkpoint-12" / "trainer_state.json").unlink()

    class Look(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            assert last_whole_checkpoint(tmp_path).endswith(
                "checkpoint-5" if state.global_step < 10 else "checkpoint-10"
            )

    again = make_trainer(tmp_path, **RUN | {"save_steps": 5, "save_total_limit": 1})
    again.add_callback(Look())
    again.train(resume_from_checkpoint=True)
    assert again.resumed_from == tmp_path / "checkpoint-5"


def test_a_checkpoint_under_a_name_of_ones_own_is_let_alone(tmp_path: Path) -> None:
    for name in ("checkpoint-8-mine", "checkpoint-9"):
        (tmp_path / name).mkdir()
    finish_rotation(tmp_path, 4, None, None, None)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-8-mine", "damaged-checkpoint-9"}


def _file(path: Path) -> None:
    path.write_text("x")


def _link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("asked", [None, True])
@pytest.mark.parametrize("damage", [_file, _link], ids=["file", "link"])
def test_what_is_in_the_place_of_a_checkpoint_is_named_before_the_run(tmp_path: Path, asked, damage) -> None:
    damage(tmp_path / "checkpoint-5")
    with pytest.raises(ValueError, match=r"checkpoint-5 is no folder, .*: remove it$"):
        find_checkpoint(asked, tmp_path)


def test_a_folder_in_the_place_of_the_summary_is_named_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "dsd_summary.json").mkdir()
    with pytest.raises(ValueError, match=r"dsd_summary\.json is a folder, and the run writes a file there: remove"):
        find_checkpoint(None, tmp_path)


def test_a_damaged_checkpoint_does_not_stop_the_run_that_passes_it_over(tmp_path: Path) -> None:
    """A link to itself can neither be read nor written."""
    make_trainer(tmp_path, **RUN | {"save_steps": 5}).train()
    (tmp_path / "checkpoint-10" / "scheduler.pt").unlink()
    (tmp_path / "checkpoint-10" / "scheduler.pt").symlink_to("scheduler.pt")
    shutil.rmtree(tmp_path / "checkpoint-12")
    again = make_trainer(tmp_path, **RUN | {"save_steps": 5})
    again.train(resume_from_checkpoint=True)
    assert again.resumed_from == tmp_path / "checkpoint-5"
    assert last_whole_checkpoint(tmp_path).endswith("checkpoint-12")
    assert (tmp_path / "checkpoint-10" / "scheduler.pt").is_file()


def test_the_trainers_own_names_are_as_it_has_them(tmp_path):
    assert (TRAINER_STATE_NAME, CHECKPOINT_PREFIX) == (trainer.TRAINER_STATE_NAME, trainer_utils.PREFIX_CHECKPOINT_DIR)
    for name in ("checkpoint-10", "checkpoint-9", "checkpoint-9-mine", "checkpoint-x"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-11").write_text("a file")
    assert [path.name for path in checkpoints_in(tmp_path)] == ["checkpoint-10", "checkpoint-9"]
