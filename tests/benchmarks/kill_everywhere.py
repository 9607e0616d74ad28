"""Kills runs at every EVERY-th file event, resumes and compares them: kill_everywhere.py FOLDER EVERY [KIND ...]."""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from killed_runs import OPTIONS, content, differing, forked, train


def main(folder: Path, kind: str, every: int) -> int:
    """The number of runs that differ."""
    options = OPTIONS[kind]
    folder.mkdir(parents=True)
    assert forked(lambda: train(folder / "whole", options, resume=False), folder / "whole.log") == 0
    unbroken, event, wrong = content(folder / "whole"), 1, 0
    while True:
        try:
            found = differing(folder / "run", options, event, unbroken)
        except EOFError:
            break
        wrong += found is not None
        if found is not None:
            print(f"event {event}: {found}", flush=True)
        shutil.rmtree(folder / "run", ignore_errors=True)
        event += every
    print(f"{kind}: killed at {len(range(1, event, every))} of {event} file events, {wrong} runs differ")
    return wrong


if __name__ == "__main__":
    kinds = sys.argv[3:] or list(OPTIONS)
    sys.exit(sum(main(Path(sys.argv[1]) / kind, kind, int(sys.argv[2])) for kind in kinds))
