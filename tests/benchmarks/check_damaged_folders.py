"""Damages files of a run and of its comparison, and looks at what every command makes of it.

    check_damaged_folders.py FOLDER [COUNT [SEED]]    COUNT damaged folders, 300 unless given

Each outcome is classed: `named` (refused in one line that names the file and a remedy), `said` (passed over, and the
file is named), `right` (the result is that of the undamaged folder, to the bit), `unread` (the content of a file that
the command does not open, or a file outside the folder that it is given), `silent` (another result, without a word) or
`bare` (any other error). FOLDER/verdicts.txt has a line for each. The exit status is 1 if anything is silent or bare.
"""

import resource
import shutil
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from damaged_folders import COMMANDS, PAGES, RUN, Case, Outcome, cases, damage, judge, opened_files, outcome
from killed_commands import SCRIPT, command, warm_python

BY_TURNS = ("report", "collect", "sensitivity")
"""They draw figures, for seconds: each folder is read by one of them."""
KINDS = ("right", "named", "said", "unread", "silent", "bare")


def build(folder: Path) -> Path:
    """A comparison of two arms with its reports, and one of a wider model, if they are not there; returns the first."""
    if (folder / "wider" / "report.html").is_file():
        return folder / "base"
    with warm_python(folder / "server.log") as python:
        for name, more in (("base", []), ("wider", ["--width", "16"])):
            words = ("compare", "--arms", "dsd", "dense", "--seeds", "1", "--out", "RUN", "--", *SCRIPT, *more)
            compare = command(*words, "--save_total_limit", "5", python=python)
            assert not compare.run(folder / name, None, folder / f"{name}.log")
    assert not command("report", f"RUN/{RUN}").run(folder / "base", None, folder / "base.log")
    return folder / "base"


class Undamaged:
    """What the commands make of the undamaged folder, and which files they open for it."""

    def __init__(self, base: Path, out: Path) -> None:
        self.base, self.out = base, out
        self.seconds: Counter[str] = Counter()
        self._found: dict[tuple[str, str], tuple[Outcome, set[str]]] = {}

    def copy(self) -> None:
        """Puts a fresh copy in place."""
        shutil.rmtree(self.out.parent, ignore_errors=True)
        shutil.copytree(self.base, self.out)

    def read(self, name: str, case: Case) -> tuple[Outcome, set[str]]:
        """A command's outcome, and the files; `inspect` is another command for another phase."""
        key = (name, case.phase if name == "inspect" else "")
        if key not in self._found:
            self.copy()
            with opened_files(self.out) as files:
                found = self.outcome(name, case)
            assert found.code == 0, (name, found)
            self._found[key] = (found, files)
        return self._found[key]

    def outcome(self, name: str, case: Case) -> Outcome:
        """Runs a command on the copy that is in place."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = outcome(name, self.out, case)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.seconds[name] += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return found


def verdict(undamaged: Undamaged, name: str, case: Case) -> str:
    """Damages a copy and judges what a command makes of it; says what is wrong."""
    right, files = undamaged.read(name, case)
    if (case.changes_content and case.path not in files) or case.is_outside(name):
        return "unread"
    undamaged.copy()
    damage(undamaged.out, case)
    found = undamaged.outcome(name, case)
    page = PAGES.get(name, "")
    text = (undamaged.out / page).read_text(errors="replace") if page and (undamaged.out / page).is_file() else ""
    kind = judge(case, found, right, text)
    if kind in ("silent", "bare"):
        print(f"{kind}: {name}, {case.path}, {case.damage} ({case.seed}): {found.said[-700:]!r}", flush=True)
    return kind


def main(folder: Path, count: int, seed: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    undamaged = Undamaged(build(folder), folder / "case" / "out")
    chosen = cases(undamaged.base, count, seed)
    counts: Counter[tuple[str, str]] = Counter()
    with (folder / "verdicts.txt").open("w") as file:
        for case in chosen:
            for name in COMMANDS:
                if name not in BY_TURNS or name == BY_TURNS[case.seed % 3]:
                    kind = verdict(undamaged, name, case)
                    counts[name, kind] += 1
                    print(kind, name, *case, sep="\t", file=file, flush=True)
    print(f"| {len(chosen)} damaged folders |", " | ".join(KINDS), "| CPU seconds |\n|---|" + "---|" * (len(KINDS) + 1))
    for name in COMMANDS:
        numbers = " | ".join(str(counts[name, kind]) for kind in KINDS)
        print(f"| {name} | {numbers} | {undamaged.seconds[name]:.0f} |")
    return int(any(kind in ("silent", "bare") for _, kind in counts))


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[2:4]]
    sys.exit(main(Path(sys.argv[1]), *(numbers + [300, 0][len(numbers) :])))
