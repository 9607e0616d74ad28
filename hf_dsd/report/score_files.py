"""The score files of a run, `SPLIT_phase-N-KIND.json`, each read or named as damaged.

Layer: the scores.
"""

import re
from pathlib import Path

from hf_dsd.runs.scores import PhaseScores

_REMEDY = "score the run again, or remove the file"
_NAME = re.compile(r"(?P<split>.+?)_(?P<phase>phase-(?P<index>\d+)-.+)\.json")


def read_score_files(folder: Path) -> tuple[list[PhaseScores], list[str]]:
    """Reads all of them, of every split.

    Returns:
        The scores in the order of phases, averages after their phase; and what is wrong with the files left out.
    """
    scores, problems = [], []
    names = filter(None, (_NAME.fullmatch(path.name) for path in folder.glob("*_phase-*.json")))
    for name in sorted(names, key=lambda found: (int(found["index"]), found["phase"], found["split"])):
        try:
            found = PhaseScores.find(folder, name["phase"], name["split"])
        except ValueError as error:
            problems.append(str(error))
            continue
        bare = next((one.id for one in found.examples if not one.references), None) if found is not None else None
        if found is None:
            problems.append(f"{name[0]} is of an earlier run in this folder: score this run, or remove the file")
        elif bare is not None:
            problems.append(f"{name[0]} is damaged (example {bare!r} has no reference): {_REMEDY}")
        else:
            scores.append(found)
    return scores, problems
