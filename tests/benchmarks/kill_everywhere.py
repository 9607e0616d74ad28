"""Kills runs and commands, starts them again and compares them with what nobody killed, bit for bit.

kill_everywhere.py FOLDER EVERY [KIND ...]    at every EVERY-th change of a file
kill_everywhere.py FOLDER random COUNT        training, COUNT times at a random moment
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from killed_commands import warm_scenarios
from killed_runs import OPTIONS, Scenario, differing, training, training_on_two, waited, whole
from random_kills import kill_at_random

KINDS = {
    **{kind: training(options) for kind, options in OPTIONS.items()},
    "rank 0 of 2": training_on_two(OPTIONS["iterative"], 0),
    "rank 1 of 2": training_on_two(OPTIONS["iterative"], 1),
}


def main(folder: Path, kind: str, scenario: Scenario, every: int) -> int:
    """The number of runs that differ."""
    folder.mkdir(parents=True)
    first = min(every, 3)  # the third is often a file that is half written
    unbroken, event, wrong = whole(scenario, folder / "run"), first, 0
    while True:
        try:
            found = differing(scenario, folder / "run", event, unbroken)
        except EOFError:
            break
        wrong += found is not None
        if found is not None:
            print(f"{kind}, event {event}: {found}", flush=True)
        shutil.rmtree(folder / "run", ignore_errors=True)
        event += every
    alone = f", the other rank ended within {max(waited):.1f} s" if waited else ""
    waited.clear()
    print(f"{kind}: killed at {len(range(first, event, every))} file events, {wrong} differ{alone}", flush=True)
    return wrong


if __name__ == "__main__":
    folder, every, *kinds = sys.argv[1:]
    if every == "random":
        sys.exit(kill_at_random(Path(folder), int(kinds[0])))
    with warm_scenarios(Path(folder)) as commands:
        known = KINDS | commands
        names = kinds or list(known)
        sys.exit(sum(main(Path(folder) / name.replace(" ", "-"), name, known[name], int(every)) for name in names))
