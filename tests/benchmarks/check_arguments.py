"""Tries argument combinations of every type and value: PYTHONPATH=tests python tests/benchmarks/check_arguments.py [N].

Each combination sets one or two fields of DSDArgumentsMixin, in Python, through a JSON or YAML file, or on a command
line, as far as a run checks them before it trains: the arguments, the schedule and the plan of a small model. Counted:

* right: accepted, and what the run would do is what was asked for, as `tests/argument_oracle.py` says apart from the
  package's own code;
* clear: refused by a ValueError (or argparse's exit) that names the field;
* silent: accepted, but the run would do something else;
* bare: any other exception, or one that names no field that was set.

The exit status is 1 if anything is silent or bare.
"""

import sys
from collections import Counter

from argument_oracle import combinations, judge


def main(count: int) -> int:
    verdicts: Counter[tuple[str, str]] = Counter()
    for case in combinations(count, seed=0):
        verdict, detail = judge(case)
        verdicts[case.way, verdict] += 1
        if verdict in ("silent", "bare"):
            print(f"{verdict}: {case.way} {case.fields!r}: {detail}")
    print("| way | clear | right | silent | bare |\n|---|---|---|---|---|")
    for way in ("python", "file", "command line"):
        print(f"| {way} |", " | ".join(str(verdicts[way, v]) for v in ("clear", "right", "silent", "bare")), "|")
    return int(any(verdict in ("silent", "bare") for _, verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
