"""Table and figure of model_cards/evidence/flickr8k-small.csv: `python tests/benchmarks/draw_evidence.py`.

Prints every arm's mean for each number of training images and DSD's difference to its rivals, paired by seed; draws
DSD's gain against how far the dense run overfits.
"""

import csv
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev

from matplotlib.figure import Figure

from hf_dsd.compare.statistics import detectable_difference, holm, paired_t

FOLDER = Path(__file__).parents[2] / "model_cards" / "evidence"
ARMS = {
    "first": "first dense phase",
    "early": "early stopping",
    "dense": "dense control",
    "sparse": "sparse phase",
    "s80": "DSD, 80 %",
    "dropout": "dense control, dropout 0.5",
}
RIVALS = {"dense": "o", "early": "s"}

Scores = dict[tuple[int, str], dict[int, dict[str, float]]]


def read_scores() -> Scores:
    """(images, arm) -> seed -> test_bleu4, test_loss, validation_loss and steps, where they were measured."""
    scores: Scores = defaultdict(dict)
    with (FOLDER / "flickr8k-small.csv").open(newline="") as opened:
        for row in csv.DictReader(opened):
            numbers = {name: float(value) for name, value in row.items() if name != "arm" and value}
            scores[int(row["images"]), row["arm"]][int(row["seed"])] = numbers
    return scores


def differences(scores: Scores, images: int, rival: str, metric: str) -> list[float]:
    """DSD's score minus the rival's, by seed."""
    own, other = scores.get((images, "s80"), {}), scores.get((images, rival), {})
    return [own[seed][metric] - other[seed][metric] for seed in sorted(own.keys() & other.keys())]


def print_tables(scores: Scores, sizes: list[int]) -> None:
    for images in sizes:
        for arm, label in ARMS.items():
            rows = list(scores.get((images, arm), {}).values())
            if rows:
                bleu, loss = ([row[name] for row in rows] for name in ("test_bleu4", "test_loss"))
                spread = f" ± {stdev(bleu):.2f}" if len(bleu) > 1 else ""
                print(f"| {images} | {label} | {len(rows)} | {fmean(bleu):.2f}{spread} | {fmean(loss):.3f} |")
    tested = [(images, rival) for images in sizes for rival in RIVALS]
    tested = [pair for pair in tested if len(differences(scores, *pair, "test_bleu4")) > 1]
    tests = [paired_t(differences(scores, *pair, "test_bleu4")) for pair in tested]
    adjusted = holm([test.p for test in tests if test.p is not None])
    for (images, rival), test, p_holm in zip(tested, tests, adjusted, strict=True):
        by_seed = ", ".join(f"{value:+.2f}" for value in differences(scores, images, rival, "test_bleu4"))
        low, high = test.interval or (float("nan"),) * 2
        loss = fmean(differences(scores, images, rival, "test_loss"))
        print(
            f"| {images} | {ARMS[rival]} | {test.mean:+.2f} ({by_seed}) | {low:+.2f} .. {high:+.2f} | {test.p:.4f} | "
            f"{p_holm:.4f} | {detectable_difference(test.sd, test.n) or float('nan'):.2f} | {loss:+.3f} |"
        )


def draw_figure(scores: Scores, sizes: list[int]) -> None:
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0, color="0.6", linewidth=1)
    for rival, marker in RIVALS.items():
        for images, color in zip(sizes, ("tab:blue", "tab:orange", "tab:green", "tab:red"), strict=False):
            own, other = scores[images, "s80"], scores[images, rival]
            seeds = sorted(own.keys() & other.keys())
            dense, early = scores[images, "dense"], scores[images, "early"]
            excess = [dense[seed]["validation_loss"] - early[seed]["validation_loss"] for seed in seeds]
            gain = [own[seed]["test_bleu4"] - other[seed]["test_bleu4"] for seed in seeds]
            filled = color if rival == "dense" else "none"
            label = f"against {ARMS[rival]}, {images} images"
            axes.scatter(excess, gain, marker=marker, edgecolors=color, facecolors=filled, label=label)
    axes.set_xlabel("how far the dense run overfits: validation loss at its end above its best")
    axes.set_ylabel("DSD's gain, test BLEU-4")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(FOLDER / "flickr8k-small.png", dpi=110)


def main() -> None:
    scores = read_scores()
    sizes = sorted({images for images, arm in scores if arm == "s80"})
    print_tables(scores, sizes)
    draw_figure(scores, sizes)


if __name__ == "__main__":
    main()
