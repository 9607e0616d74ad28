"""Which checkpoint of a run is whole: a process can die at any moment of writing one, and a disk can damage it.

`dsd_files.json` in a checkpoint lists the sizes and digests of its files; a checkpoint of a version without the list is
judged by what must be there.
"""

import logging
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hf_dsd.engine.mask_file import STATE_FILE_NAME
from hf_dsd.files import file_digest, read_json_object, write_json

from .folder import CHECKPOINT_PREFIX, SUMMARY_FILE_NAME, TRAINER_STATE_NAME, checkpoints_in, step_of
from .weights import has_weights

logger = logging.getLogger(__name__)

FILE_LIST_NAME = "dsd_files.json"

_NEEDED = {"optimizer": ["optimizer*", "global_step*"], "scheduler": ["scheduler.pt", "global_step*"]}
_NEEDED |= {"random state": ["rng_state*"]}
_OF_A_CHECKPOINT = (TRAINER_STATE_NAME, FILE_LIST_NAME, STATE_FILE_NAME, "optimizer.pt", "scheduler.pt")
_ASIDE = "damaged-"


def find_checkpoint(asked: str | os.PathLike[str] | bool | None, output_dir: str | os.PathLike[str]) -> str | None:
    """The checkpoint that a `resume_from_checkpoint` means; None where it asks for none.

    Args:
        asked: A checkpoint's folder; True, or "true" as a command line gives it, for the newest whole one.
        output_dir: The run's folder.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the one that was named is damaged or was not written to its end, or one's place is no folder's.
    """
    for path in Path(output_dir).glob(f"{CHECKPOINT_PREFIX}-[0-9]*"):
        if not path.is_dir():  # the Trainer would fail there, hours later
            raise ValueError(f"{path} is no folder, and the run writes its checkpoints there: remove it")
    if (Path(output_dir) / SUMMARY_FILE_NAME).is_dir():
        raise ValueError(f"{output_dir}/{SUMMARY_FILE_NAME} is a folder, and the run writes a file there: remove it")
    if isinstance(asked, str) and asked.lower() in ("true", "false", "none") and not Path(asked).is_dir():
        asked = asked.lower() == "true"
    if asked is True:
        return last_whole_checkpoint(output_dir)
    if not asked:
        return None
    check_checkpoint(asked)
    return str(asked)


def written_checkpoints(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Checkpoints that seem whole, newest first, and their states: a glance for a display, no check by `defect`."""
    found = ((path, read_trainer_state(path)) for path in checkpoints_in(folder))
    return ((path, state) for path, state in found if state is not None)


def first_whole(folders: Iterable[Path]) -> Path | None:
    """The first of some checkpoints that is whole, see `defect`; those before it are passed over with a warning."""
    for folder in folders:
        wrong = defect(folder)
        if wrong is None:
            return folder
        logger.warning("%s is passed over: %s", folder, wrong)
    return None


def last_whole_checkpoint(output_dir: str | os.PathLike[str]) -> str:
    """The newest checkpoint of a run that is whole; transformers' own `get_last_checkpoint` would take a damaged one.

    It would fail, or worse, train on with what is there.

    Raises:
        FileNotFoundError: If there is none, or no such folder.
    """
    folders = checkpoints_in(Path(output_dir))
    if (found := first_whole(folders)) is not None:
        return str(found)
    if not folders:
        raise FileNotFoundError(f"{output_dir} holds no checkpoint: train without resume_from_checkpoint")
    raise FileNotFoundError(
        f"no checkpoint in {output_dir} was written to its end, of {[folder.name for folder in folders]}: train "
        "without resume_from_checkpoint"
    )


def check_checkpoint(folder: str | os.PathLike[str]) -> None:
    """Refuses a checkpoint that is not whole: a ValueError names the file and the remedy."""
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder} is no checkpoint: give its folder, or True for the newest one of output_dir")
    try:
        is_model = has_weights(Path(folder)) and not any((Path(folder) / name).exists() for name in _OF_A_CHECKPOINT)
    except PermissionError as error:
        raise ValueError(
            f"{folder} cannot be read ({error.strerror}): give yourself the right to, or resume from another checkpoint"
        ) from error
    if is_model:
        raise ValueError(
            f"{folder} holds a model and is no checkpoint to resume from: start from these weights without "
            "resume_from_checkpoint, if they are trained with a first phase of length 0"
        )
    wrong = defect(Path(folder))
    if wrong is not None:
        raise ValueError(
            f"{folder} is damaged or was not written to its end ({wrong}): resume from another checkpoint, or by True "
            "from the newest one that is whole"
        )


def defect(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint; None if it is whole.

    The Trainer writes its state last, so a checkpoint without it is one whose writer died. Every file that was there is
    read again and compared with what was written.
    """
    state = read_trainer_state(checkpoint)
    if state is None:
        return f"{TRAINER_STATE_NAME} is missing, cannot be read or is no JSON object"
    step, name = state.get("global_step"), checkpoint.name
    if type(step) is not int or (name.startswith(f"{CHECKPOINT_PREFIX}-") and not name.endswith(f"-{step}")):
        return f"{TRAINER_STATE_NAME} has global_step {step!r}"
    if not (checkpoint / FILE_LIST_NAME).is_file():
        return _defect_without_list(checkpoint)
    try:
        listed = read_json_object(checkpoint / FILE_LIST_NAME)
        return next(filter(None, (_defect_of(checkpoint / file, entry) for file, entry in listed.items())), None)
    except (OSError, ValueError, TypeError, KeyError) as error:
        return f"{FILE_LIST_NAME}: {error}"


def _defect_of(file: Path, entry: dict[str, Any]) -> str | None:
    if not file.is_file():
        return f"{file.name} is missing"
    if file.stat().st_size != entry["bytes"]:
        return f"{file.name} has {file.stat().st_size} bytes, {entry['bytes']} were written"
    try:
        is_same = file_digest(file) == entry["sha256"]
    except OSError as error:
        return f"{file.name} cannot be read: {error.strerror}"
    return None if is_same else f"{file.name} is not what was written, its digest differs"


def _defect_without_list(checkpoint: Path) -> str | None:
    """Of a checkpoint that an older version wrote: what must be there, and files that are cut off."""
    for what, patterns in _NEEDED.items():
        if not any(file.exists() for pattern in patterns for file in checkpoint.glob(pattern)):
            return f"it has no {what}"
    archives = [file for suffix in ("*.pt", "*.pth", "*.bin") for file in checkpoint.glob(suffix)]
    return next((f"{file.name} is cut off" for file in archives if not zipfile.is_zipfile(file)), None)


def unseal(checkpoint: Path) -> None:
    """A checkpoint is about to be written, or written anew: it is not whole before `seal`."""
    for name in (TRAINER_STATE_NAME, FILE_LIST_NAME):
        (checkpoint / name).unlink(missing_ok=True)
    remove_litter(checkpoint)


def seal(checkpoint: Path) -> None:
    """Lists sizes and digests of the files of a checkpoint, those that are not yet listed."""
    path = checkpoint / FILE_LIST_NAME
    listed = read_json_object(path) if path.is_file() else {}
    for file in _files(checkpoint):
        name = file.relative_to(checkpoint).as_posix()
        if name not in listed:
            listed[name] = {"bytes": file.stat().st_size, "sha256": file_digest(file)}
    write_json(path, listed)


def _files(checkpoint: Path) -> Iterator[Path]:
    files = (file for file in sorted(checkpoint.rglob("*")) if file.is_file())
    return (file for file in files if file.name != FILE_LIST_NAME and not file.name.endswith(".partial"))


def remove_litter(folder: Path) -> None:
    """Removes what killed processes of a run left half-written in its folder, or in a checkpoint's."""
    own = [f".{kind}*.partial" for kind in ("phase-", "early-", "dsd_")]
    for pattern in (*own, f"{CHECKPOINT_PREFIX}-*/.dsd_*.partial"):
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def finish_rotation(folder: Path, step: int, resumed_from: Path | None, limit: int | None, best: str | None) -> None:
    """Removes older checkpoints that a killed process had still to remove; sets newer ones aside that are not whole.

    The run writes the latter anew. Left there, one would count as the newest, and the Trainer, which goes by numbers,
    would remove the whole ones for it. Set aside, it is a person's to look at until the next checkpoint is whole.

    Args:
        folder: The run's.
        step: Optimizer steps done when this training begins.
        resumed_from: The checkpoint that it goes on from.
        limit: `save_total_limit`.
        best: The checkpoint of the best evaluation, which stays.
    """
    from transformers.trainer_utils import rotate_checkpoints  # two seconds, which commands that only read do without

    newer = [path for path in checkpoints_in(folder) if step_of(path) > step]
    for path in newer:
        if defect(path) is not None:
            aside = path.with_name(_ASIDE + path.name)
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(path, aside)
    is_own = resumed_from is not None and resumed_from.parent.resolve() == folder.resolve()
    if is_own and not any(path.exists() for path in newer):
        rotate_checkpoints(str(folder), limit, best)


def remove_set_aside(folder: Path) -> None:
    """Removes what `finish_rotation` set aside: a whole checkpoint is there instead."""
    for path in folder.glob(f"{_ASIDE}{CHECKPOINT_PREFIX}-*"):
        path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)


def read_trainer_state(checkpoint: Path) -> dict[str, Any] | None:
    """A checkpoint's `trainer_state.json`; None where there is none that can be read, so that it is not whole.

    A run at work may be writing or removing it at this moment.
    """
    try:
        return read_json_object(checkpoint / TRAINER_STATE_NAME)
    except (OSError, ValueError, RecursionError):
        return None
