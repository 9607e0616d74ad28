"""The score files of a run, `SPLIT_phase-N-KIND.json`, each read or named as damaged.

Layer: the scores.
"""

import re
from pathlib import Path

from hf_dsd.scores import PhaseScores

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
            scores.append(_read(folder, name["phase"], name["split"]))
        except FileNotFoundError:  # there it is, but the scores know their run
            problems.append(f"{name[0]} is of an earlier run in this folder: score this run, or remove the file")
        except ValueError as error:
            problems.append(str(error))
        except (TypeError, AttributeError) as error:
            problems.append(f"{name[0]} is damaged ({type(error).__name__}: {error}): {_REMEDY}")
    return scores, problems


def _read(folder: Path, phase: str, split: str) -> PhaseScores:
    found = PhaseScores.read(folder, phase, split)
    bare = next((example.id for example in found.examples if not example.references), None)
    if bare is not None:
        raise ValueError(f"{split}_{phase}.json is damaged (example {bare!r} has no reference): {_REMEDY}")
    float(found.loss), found.value  # noqa: B018 (raise here, not in the middle of a page)
    return found
