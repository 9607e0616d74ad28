"""Ways in which files of a run are damaged, the commands that then read it, and a judge of what they say."""

import ctypes
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from killable_script import OPTIONS, make_trainer, parse
from killed_runs import content, start
from root_rights import give_up_roots_rights

from hf_dsd.cli import app
from hf_dsd.runs.folder import SCORE_FILE
from hf_dsd.sensitivity import measure_run_sensitivity

RUN = "seed-1/dsd"
LAST = 3
"""The step of the checkpoint that `resume` finds last: in the sparse phase of steps 3 and 4."""
VALUES: list[Any] = [None, True, -1, 3, 2.5, "x", "", [], [1], {}, {"x": 1}, [None], float("nan"), 10**400]
REMEDY = r"restore|remove|train|resume|give|score|make|put|start|choose|set|take|compare|move|build|name|write"

Damage = Callable[[Path, random.Random], None]


def _bytes(change: Callable[[bytes, random.Random], bytes]) -> Damage:
    return lambda path, chance: [path.write_bytes(change(path.read_bytes(), chance)), None][-1]


def _another_type(whole: bytes, chance: random.Random) -> bytes:
    """One value of a JSON file, wherever it lies, becomes one of another type."""
    content = json.loads(whole)
    places = list(_places(content))
    holder, key = chance.choice(places)
    holder[key] = chance.choice([value for value in VALUES if type(value) is not type(holder[key])])
    return json.dumps(content).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _link(target: Callable[[Path], str]) -> Damage:
    def change(path: Path, chance: random.Random) -> None:
        to = target(path)
        _remove(path)
        path.symlink_to(to)

    return change


def _moved(path: Path) -> str:
    """A copy outside the run."""
    away = path.parents[[parent.name for parent in path.parents].index("seed-1") + 1] / "away"
    shutil.copytree(path, away) if path.is_dir() else shutil.copyfile(path, away)
    return str(away)


def _other(path: Path, chance: random.Random) -> None:
    """The same file of a run of a wider model."""
    out = next(parent for parent in path.parents if parent.name == "out")
    other = out.parent.parent / "wider" / path.relative_to(out)
    _remove(path)
    shutil.copytree(other, path) if other.is_dir() else shutil.copyfile(other, path)


def _replaced(make: Callable[[Path], object]) -> Damage:
    def change(path: Path, chance: random.Random) -> None:
        _remove(path)
        make(path)

    return change


ANY: dict[str, Damage] = {
    "removed": lambda path, chance: _remove(path),
    "no permission": lambda path, chance: path.chmod(0),
    "link to nowhere": _link(lambda path: "nowhere"),
    "link outside": _link(_moved),
    "link to itself": _link(lambda path: path.name),
    "other model's": _other,
}
FILES: dict[str, Damage] = {
    "truncated": _bytes(lambda whole, chance: whole[: int(len(whole) * chance.uniform(0.02, 0.98))]),
    "empty": _bytes(lambda whole, chance: b""),
    "random bytes": _bytes(lambda whole, chance: chance.randbytes(len(whole))),
    "a folder in its place": _replaced(Path.mkdir),
}
JSON: dict[str, Damage] = {
    "another type": _bytes(_another_type),
    "another type once more": _bytes(_another_type),
    "no object": _bytes(lambda whole, chance: json.dumps(chance.choice(VALUES[:9])).encode()),
    "nested": _bytes(lambda whole, chance: b"[" * 100_000),
    "nested in a value": _bytes(
        lambda whole, chance: whole.rstrip()[:-1] + b', "x": ' + b"[" * 2000 + b"]" * 2000 + b"}"
    ),
    "Latin-1": _bytes(lambda whole, chance: whole.replace(b'"', b'"\xe9', 1)),
    "a mark before it": _bytes(lambda whole, chance: b"\xef\xbb\xbf" + whole),
}
FOLDERS: dict[str, Damage] = {
    "emptied": _replaced(Path.mkdir),
    "a file in its place": _replaced(lambda path: path.write_text("x")),
}


class Case(NamedTuple):
    """One damaged folder: which file or folder of it, and how."""

    path: str
    damage: str
    seed: int

    @property
    def phase(self) -> str:
        """The phase whose model is damaged, or another one."""
        found = re.search(r"phase-\d-\w+(?=/|$)", self.path)
        return found[0] if found else "phase-2-dense"

    @property
    def changes_content(self) -> bool:
        """True if the same file is still there, with other content."""
        return self.damage in JSON | FILES and "place" not in self.damage

    def is_outside(self, command: str) -> bool:
        """True if a command that is given the run's folder has no business with the file: it is the comparison's.

        So is it with `inspect` of a phase's folder that is another model's, weights and configuration alike: it is
        asked what that folder holds, and says so.
        """
        if command == "inspect" and self.damage == "other model's" and self.path.endswith(self.phase):
            return True
        is_removed = command.startswith("resume") and re.search(r"checkpoint-[456]", self.path) is not None
        return is_removed or (
            command not in ("collect", "card", "publish", "report") and not self.path.startswith(f"{RUN}/")
        )


def cases(out: Path, count: int, seed: int) -> list[Case]:
    """`count` different ones, the same for the same seed."""
    every = []
    patterns = ("*.json", f"{RUN}.json", f"{RUN}/*.json", f"{RUN}/phase-*", f"{RUN}/checkpoint-[36]", f"{RUN}/*/*")
    for path in sorted({path for pattern in patterns for path in out.glob(pattern)}):
        name = path.relative_to(out).as_posix()
        if re.search(r"figures|training_args|checkpoint-[245]/|-checkpoint/", name):
            continue
        kinds = ANY | (FOLDERS if path.is_dir() else FILES | (JSON if path.suffix == ".json" else {}))
        every += [Case(name, kind, len(every) + index) for index, kind in enumerate(kinds)]
    return random.Random(seed).sample(every, min(count, len(every)))


def damage(out: Path, case: Case) -> None:
    """Damages a copy of the comparison."""
    kinds = ANY | FILES | JSON | FOLDERS
    chosen = FOLDERS[case.damage] if case.damage in FOLDERS and (out / case.path).is_dir() else kinds[case.damage]
    chosen(out / case.path, random.Random(case.seed))


class Outcome(NamedTuple):
    """How a command ended: its exit status (1 with an error's class and message), what it printed, what it made."""

    code: int
    said: str
    made: str


def _resume(out: Path, case: Case) -> str:
    return _resumed(out, True)


def _resume_by_path(out: Path, case: Case) -> str:
    return _resumed(out, str(out / RUN / f"checkpoint-{LAST}"))


def _resumed(out: Path, checkpoint: str | bool) -> str:
    for step in range(LAST + 1, 7):
        path = out / RUN / f"checkpoint-{step}"
        path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path, ignore_errors=True)
    trainer = _trainer(out)
    trainer.train(resume_from_checkpoint=checkpoint)
    return _weights(trainer)


def _load_phase(out: Path, case: Case) -> str:
    trainer, found = _trainer(out), []
    for name in ("phase-0-dense", "phase-1-sparse", "phase-2-dense"):
        trainer.load_phase(name)
        found.append(_weights(trainer))
    return " ".join(found)


def _sensitivity(out: Path, case: Case) -> str:
    trainer = _trainer(out)
    measure_run_sensitivity(trainer, trainer.eval_dataset, '{"sparsities": [0.5]}')
    return (out / RUN / "sensitivity.json").read_text()


def _trainer(out: Path) -> Any:
    return make_trainer(parse([*OPTIONS, "--seed", "1", "--output_dir", str(out / RUN)])[1])


def _weights(trainer: Any) -> str:
    digest = hashlib.sha256()
    for tensor in trainer.model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _command(*words: str, made: str = "") -> Callable[[Path, Case], str]:
    def run(out: Path, case: Case) -> str:
        for name in made.split():
            (out / name).unlink(missing_ok=True)
        try:
            app([word.replace("OUT", str(out)).replace("PHASE", f"{out / RUN}/{case.phase}") for word in words])
        except SystemExit as ended:
            if ended.code:
                raise
        return " ".join(digest for name in made.split() for digest in content(out / name).values())

    return run


COMMANDS: dict[str, Callable[[Path, Case], str]] = {
    "resume": _resume,
    "resume by path": _resume_by_path,
    "load_phase": _load_phase,
    "inspect": _command("inspect", "PHASE", "--json"),
    "report": _command("report", f"OUT/{RUN}", made="seed-1/dsd/report.html"),
    "card": _command("card", "OUT/card", "--run", f"OUT/{RUN}", made="card/README.md card/results.json"),
    "publish": _command("publish", f"OUT/{RUN}", "--repo_id", "me/x", "--dry-run"),
    "collect": _command("compare", "--collect", "--out", "OUT", made="comparison.json report.html"),
    "sensitivity": _sensitivity,
}
PAGES = {"report": f"{RUN}/report.html", "collect": "report.html"}
"""Where a command says something besides."""
PRINTS = ("inspect", "publish", "collect")
"""Whose printed text is the result, or a part of it."""


def outcome(name: str, out: Path, case: Case) -> Outcome:
    """Runs a command in a fork that may read what its user may, and no more."""
    result, log, imported = (out.with_name(f"{part}.txt") for part in ("result", "log", "imported"))
    result.unlink(missing_ok=True)

    def work() -> None:
        known = set(sys.modules)
        give_up_roots_rights()
        try:
            result.write_text(COMMANDS[name](out, case))
        finally:
            imported.write_text(" ".join(sorted(sys.modules.keys() - known)))

    status = os.waitpid(start(work, log), 0)[1]
    for module in imported.read_text().split():  # the next fork need not do it again
        with suppress(ImportError):
            importlib.import_module(module)
    made = result.read_text() if result.exists() else ""
    said = log.read_text(errors="replace").replace(str(out), "OUT")
    return Outcome(os.waitstatus_to_exitcode(status), said, made + (said if name in PRINTS else ""))


@contextmanager
def opened_files(out: Path) -> Iterator[set[str]]:
    """Names, relative to a folder, of the files in it that any process opens within the block: the kernel says so."""
    libc, found = ctypes.CDLL(None), set[str]()
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    folders = [out, *(path for path in out.rglob("*") if path.is_dir())]
    watched = {libc.inotify_add_watch(descriptor, os.fsencode(path), 0x20): path for path in folders}  # IN_OPEN
    try:
        yield found
        events, place = os.read(descriptor, 1 << 22), 0
        while place < len(events):
            number, _, _, length = struct.unpack_from("iIII", events, place)
            name = events[place + 16 : place + 16 + length].rstrip(b"\0").decode()
            found.add((watched[number] / name).relative_to(out).as_posix())
            place += 16 + length
    finally:
        os.close(descriptor)


def judge(case: Case, found: Outcome, right: Outcome, page: str = "") -> str:
    """Classes an outcome: `right`, `named`, `said`, `silent` or `bare`.

    Args:
        case: What was damaged.
        found: Of the damaged folder.
        right: Of the undamaged one.
        page: What the command wrote, where it may say something, too.
    """
    path = Path(case.path)
    names = [path.name, *(part for part in path.parts if re.match("phase-|checkpoint-", part))]
    if score := SCORE_FILE.fullmatch(path.name):  # how a table calls scores that are not there
        names.append(f"{score['phase']} on its {score['split']} split")
    if found.code == 0:
        if found.made == right.made:
            return "right"
        return "said" if any(name in found.said.replace(right.said, "") + page for name in names) else "silent"
    if "Traceback" in found.said:
        kind, _, message = found.said.strip().rpartition("\n")[2].partition(": ")
        expected = kind.rpartition(".")[2] in ("ValueError", "FileNotFoundError", "DamagedWeightsError")
    else:
        lines = [line for line in found.said.splitlines() if line.startswith("error ")]
        message, expected = lines[-1] if lines else "", len(lines) == 1
    has_remedy = re.search(rf"[:;] .*\b({REMEDY})", message)
    return "named" if expected and has_remedy and any(name in message for name in names) else "bare"
