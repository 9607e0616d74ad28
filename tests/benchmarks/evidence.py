"""The evidence's tables, tests and figure, of the files in model_cards/evidence; and such a file, of runs.

    python tests/benchmarks/evidence.py                        # every table and test, and the figure
    python tests/benchmarks/evidence.py FILE.csv RUNS [RUNS]   # the file of the runs in RUNS/seed-S/ARM

Which differences are tested, in which family, stood in model_cards/plan.md before the runs.
"""

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

from matplotlib.figure import Figure

from hf_dsd.compare import read_runs
from hf_dsd.compare.differences import Difference, adjusted
from hf_dsd.runs.folder import EARLY
from hf_dsd.runs.numbers import ALPHA
from hf_dsd.runs.run import Run

FOLDER = Path(__file__).parents[2] / "model_cards" / "evidence"
LABELS = {
    "first": "first dense phase",
    "early": "early stopping",
    "dense": "dense control",
    "sparse": "sparse phase",
    "dsd": "DSD",
    "s80": "DSD, 80 %",
    "s50": "DSD, 50 %",
    "random-sparse": "sparse phase, random masks",
    "random": "DSD with random masks",
    "dropout": "dense control, dropout 0.5",
    "dropout-s80": "DSD, 80 %, dropout 0.5",
    "dropout02": "dense control, dropout 0.2",
    "augment": "dense control, SpecAugment and dropout",
}
"""Arms in the order of the tables."""

SPARSE = {"dsd": "sparse", "s80": "sparse", "random": "random-sparse"}
"""Arms whose sparse phase has a line of its own."""

Pair = tuple[int, str, str]
"""Size of the training set, arm and rival."""

Scores = Mapping[tuple[int, str], Mapping[int, Mapping[str, float]]]
"""(size, arm) -> seed -> score, loss, validation_loss and steps, where they were measured."""


@dataclass(frozen=True)
class Study:
    """One file of scores: what was planned to be tested, family by family, and what is described beside."""

    families: Sequence[Sequence[Pair]]
    described: Sequence[Pair] = field(default=())


_FLICKR = (250, 500, 1000)
STUDIES = {
    "flickr8k-small.csv": Study(
        [
            [(size, "s80", rival) for size in _FLICKR for rival in ("dense", "early")],
            [
                (size, *pair)
                for size in _FLICKR
                for pair in (("s50", "dense"), ("s80", "random"), ("dropout-s80", "dropout"))
            ],
            [(3000, "s80", rival) for rival in ("dense", "early")],
            [(3000, "random", rival) for rival in ("dense", "early")],
        ],
        [
            (size, *pair)
            for size in _FLICKR
            for pair in (("s80", "dropout"), ("s50", "s80"), ("s50", "early"), ("random", "dense"))
        ]
        + [(3000, "s80", "random"), *((size, "s80", "first") for size in (*_FLICKR, 3000))],
    ),
    "flickr8k-fresh.csv": Study(
        [[(size, "random", rival) for size in (250, 500) for rival in ("dense", "early")]],
        [(size, "random", "first") for size in (250, 500)],
    ),
    "flickr8k-rmsprop.csv": Study([[(1000, arm, rival) for arm in ("s50", "s80") for rival in ("dense", "early")]]),
    "fashion-mnist.csv": Study([[(2000, "dsd", "dense")]], [(2000, "dsd", "early"), (2000, "random", "dense")]),
    "resnet18-fashion-mnist.csv": Study([[(2000, "dsd", rival) for rival in ("dense", "early", "random")]]),
    "minilm-sst2.csv": Study([[(250, "dsd", rival) for rival in ("dense", "early")]]),
    "an4-small.csv": Study(
        [[(size, "dsd", rival) for size in (211, 422) for rival in ("dense", "early")]],
        [(size, arm, "augment") for size in (211, 422) for arm in ("dsd", "dense")],
    ),
    "lstm-shakespeare.csv": Study(
        [[(30000, arm, rival) for arm in ("dsd", "random") for rival in ("dense", "early")]],
        [
            (30000, *pair)
            for pair in (("dsd", "random"), ("random", "first"), ("random", "dropout02"), ("dense", "dropout02"))
        ],
    ),
}


def read_scores(path: Path) -> Scores:
    """The scores of a file; error rates in percent."""
    scores: dict[tuple[int, str], dict[int, dict[str, float]]] = defaultdict(dict)
    with path.open(newline="") as opened:
        for row in csv.DictReader(opened):
            size, arm, seed = int(row.pop("size")), row.pop("arm"), int(row.pop("seed"))
            name = next(name for name in row if name.startswith("test_") and name != "test_loss")
            numbers = {key: float(value) for key, value in row.items() if value}
            score = numbers.pop(name) * (100 if name in ("test_wer", "test_error") else 1)
            scores[size, arm][seed] = {"score": score, **numbers}
    return scores


def differences(scores: Scores, pair: Pair, metric: str = "score") -> dict[int, float]:
    """Seed -> the arm's number minus its rival's."""
    size, arm, rival = pair
    own, other = scores.get((size, arm), {}), scores.get((size, rival), {})
    return {seed: own[seed][metric] - other[seed][metric] for seed in sorted(own.keys() & other.keys())}


def print_arms(scores: Scores) -> None:
    """A line per size and arm: seeds, score, test loss, validation loss, steps."""
    for size in sorted({size for size, _ in scores}):
        for arm, label in LABELS.items():
            rows = list(scores.get((size, arm), {}).values())
            if rows:
                values = [row["score"] for row in rows]
                spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
                losses = " | ".join(_mean(rows, name, ".3f") for name in ("test_loss", "validation_loss"))
                steps = _mean(rows, "steps", ",.0f")
                print(f"| {size} | {label} | {len(rows)} | {fmean(values):.2f}{spread} | {losses} | {steps} |")


def _mean(rows: Iterable[Mapping[str, float]], name: str, form: str) -> str:
    found = [row[name] for row in rows if name in row]
    return format(fmean(found), form) if found else ""


def tests_of(scores: Scores, pairs: Sequence[Pair]) -> dict[Pair, Difference]:
    """The tests of the pairs that have two seeds or more, not adjusted."""
    by_pair = {pair: values for pair in pairs if len(values := differences(scores, pair)) > 1}
    return {
        pair: Difference.of_seeds(*pair[1:], list(values), list(values.values())) for pair, values in by_pair.items()
    }


def print_family(scores: Scores, pairs: Sequence[Pair], *, tested: bool) -> None:
    """A line per pair: mean (by seed), interval, p, p by Holm's rule, what is detectable in this family, loss."""
    found = tests_of(scores, pairs)
    for (size, arm, rival), test in zip(found, adjusted(list(found.values())), strict=True):
        listed = ", ".join(f"{value:+.2f}" for value in test.per_seed)
        low, high = test.interval or (float("nan"),) * 2
        numbers = ((test.p_seeds, ".4f"), (test.p_holm, ".4f"), (test.detectable, ".2f"))
        shown = "".join(f"{'-' if value is None else format(value, form)} | " for value, form in numbers if tested)
        losses = differences(scores, (size, arm, rival), "test_loss").values()
        print(
            f"| {size} | {LABELS[arm]} | {LABELS[rival]} | {test.mean:+.2f} ({listed}) | {low:+.2f} .. {high:+.2f} | "
            f"{shown}{fmean(losses):+.3f} ({sum(loss < 0 for loss in losses)} of {len(losses)} lower) |"
        )


def print_as_one_family(files: Mapping[str, Scores]) -> None:
    """What is left where all tests of several files count as one family, though each was planned as its own."""
    found: list[tuple[str, Pair, Difference]] = []
    for name, scores in files.items():
        for pairs in STUDIES[name].families:
            found += [(name, *row) for row in tests_of(scores, pairs).items()]
    print(f"\n{' and '.join(files)}: all {len(found)} tests as one family, those with p < {ALPHA} by Holm's rule")
    for (name, (size, arm, rival), _), test in zip(found, adjusted([row[-1] for row in found]), strict=True):
        if test.p_holm is not None and test.p_holm < ALPHA:
            print(f"| {name} | {size} | {LABELS[arm]} | {LABELS[rival]} | {test.mean:+.2f} | {test.p_holm:.4f} |")


def draw_figure(scores: Scores) -> None:
    """The gain at 80 % against how far the dense run overfits, by size and rival; magnitude's masks and random ones."""
    figure = Figure(figsize=(9.0, 4.8), layout="constrained")
    panels = dict(zip(("s80", "random"), figure.subplots(1, 2, sharex=True, sharey=True), strict=True))
    sizes = sorted({size for size, arm in scores if arm in panels})
    colors = dict(zip(sizes, ("tab:blue", "tab:orange", "tab:green", "tab:red"), strict=False))
    for arm, axes in panels.items():
        axes.axhline(0, color="0.6", linewidth=1)
        for rival, marker in (("dense", "o"), ("early", "s")):
            for size, color in colors.items():
                gain = differences(scores, (size, arm, rival))
                above_best = differences(scores, (size, "dense", "early"), "validation_loss")
                axes.scatter(
                    [above_best[seed] for seed in gain],
                    list(gain.values()),
                    marker=marker,
                    edgecolors=color,
                    facecolors=color if rival == "dense" else "none",
                    label=f"against {LABELS[rival]}, {size:,} images",
                )
        axes.set_title(LABELS[arm], fontsize=10)
        axes.set_xlabel("dense run's validation loss: its end above its best")
    panels["s80"].set_ylabel("gain, test BLEU-4")
    figure.legend(*panels["s80"].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(FOLDER / "flickr8k-small.png", dpi=110)


def collect(path: Path, folders: Sequence[Path]) -> None:
    """Writes a file of the runs in folders whose names end with the size of their training set, as `flickr-250`."""
    rows = [
        {
            "size": int(re.findall(r"\d+", folder.name)[-1]),
            "seed": int(run.folder.parent.name.removeprefix("seed-")),
            **row,
        }
        for folder in folders
        for run in read_runs(folder)
        for row in rows_of(run)
    ]
    with path.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def rows_of(run: Run) -> list[dict[str, str | int | float]]:
    """The rows of one run: its last model, and of a control its first phase and early stop, else its sparse phase."""
    arm, last = str(run.arm), run.last_phase
    models = {arm: last}
    if arm == "dense":
        models |= {"first": "phase-0-dense", "early": f"{last}-{EARLY}"}
    elif arm in SPARSE:
        models[SPARSE[arm]] = "phase-1-sparse"
    found: list[dict[str, str | int | float]] = []
    for name, phase in models.items():
        scored, stop = run.find_scores(phase), run.summary["early_stop"] if name == "early" else None
        if scored is None:
            continue
        record = run.record(phase) or {"end": "", "metrics": {}}  # an average has none
        loss = record["metrics"].get("eval_loss")
        if stop:
            loss = stop["value"] if stop["metric"] == "loss" else None
        found.append(
            {
                "arm": name,
                "steps": stop["step"] if stop else record["end"],
                f"test_{scored.metric}": round(scored.value, 5),
                "test_loss": round(scored.loss, 4),
                "validation_loss": "" if loss is None else round(loss, 4),
            }
        )
    return found


def main(arguments: Sequence[str]) -> None:
    """Collects, or prints everything and draws."""
    if arguments:
        collect(Path(arguments[0]), list(map(Path, arguments[1:])))
        return
    files = {name: read_scores(FOLDER / name) for name in STUDIES if (FOLDER / name).is_file()}
    for name, scores in files.items():
        study = STUDIES[name]
        print(f"\n{name}: size, model, seeds, test score, test loss, validation loss, steps")
        print_arms(scores)
        for number, pairs in enumerate(study.families, 1):
            columns = "size, arm, rival, mean (by seed), 95 % interval, p, p by Holm, detectable in this family, loss"
            print(f"family {number}: {columns}")
            print_family(scores, pairs, tested=True)
        print("described: size, arm, rival, mean (by seed), 95 % interval, loss")
        print_family(scores, study.described, tested=False)
    print_as_one_family({name: scores for name, scores in files.items() if name.startswith("flickr8k")})
    draw_figure(files["flickr8k-small.csv"])


if __name__ == "__main__":
    main(sys.argv[1:])
