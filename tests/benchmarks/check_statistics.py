"""How often the tests and intervals of a comparison err where there is no effect: check_statistics.py [TRIALS].

Prints, with their Monte Carlo error, the size of the paired t test over 3, 5 and 8 seeds, the family-wise error of six
arms with and without Holm's rule, and how often the interval over seeds and examples misses; 5 % is right.
"""

import sys

import numpy as np

from hf_dsd.compare.example_interval import ExampleCounts, hierarchical_interval, resample
from hf_dsd.compare.statistics import holm, paired_t
from hf_dsd.metrics import label_error

ALPHA = 0.05
EXAMPLES, CLUSTERS = 300, 30


def share_text(errors: int, trials: int) -> str:
    """`5.0 % +- 0.2`: a share and its standard error."""
    share = errors / trials
    return f"{100 * share:.1f} % +- {100 * (share * (1 - share) / trials) ** 0.5:.1f}"


def size_of_t(seeds: int, trials: int, generator: np.random.Generator) -> int:
    """False findings of one arm whose differences are normal around 0."""
    return sum((paired_t(row).p or 0) < ALPHA for row in generator.normal(size=(trials, seeds)).tolist())


def family_errors(seeds: int, arms: int, trials: int, generator: np.random.Generator) -> tuple[int, int]:
    """Trials with at least one false finding among arms that share one control: raw, and by Holm's rule."""
    raw = adjusted = 0
    for _ in range(trials):
        control, scores = generator.normal(size=seeds), generator.normal(size=(arms, seeds))
        p_values = [paired_t(list(own - control)).p or 0.0 for own in scores]
        raw += min(p_values) < ALPHA
        adjusted += min(holm(p_values)) < ALPHA
    return raw, adjusted


def interval_misses(
    seeds: int, trials: int, generator: np.random.Generator, *, of_seeds: float, of_examples: float, clustered: bool
) -> tuple[int, int]:
    """Trials whose interval does not hold the true difference, 0: ours, and percentiles of what was drawn again.

    Two models answer each example right where a normal value is above 0: it adds up how hard the example, or its
    cluster, is for both, how much easier it is for one of them, what a seed does to a model, and noise.
    """
    ours = percentiles = 0
    clusters = np.arange(EXAMPLES) * CLUSTERS // EXAMPLES
    for _ in range(trials):
        hard = generator.normal(size=EXAMPLES)
        own = generator.normal(size=(2, EXAMPLES)) * of_examples
        if clustered:
            own = own * 0.5 + generator.normal(size=(2, CLUSTERS))[:, clusters] * of_examples
        start = generator.normal(size=(2, seeds, 1)) * of_seeds
        right = (hard + own[:, None] + start + generator.normal(size=(2, seeds, EXAMPLES))) > 0
        names = [str(name) for name in clusters] if clustered else None
        models = [[_resampled(answers, names) for answers in method] for method in right]
        low, high = hierarchical_interval(*models) or (0.0, 0.0)
        ours += not low <= 0 <= high
        drawn = np.array([one.scores - two.scores for one, two in zip(*models, strict=True)])  # (seeds, resamples)
        chosen = generator.integers(seeds, size=(seeds, drawn.shape[1]))
        low, high = np.quantile(np.take_along_axis(drawn, chosen, axis=0).mean(axis=0), [ALPHA / 2, 1 - ALPHA / 2])
        percentiles += not low <= 0 <= high
    return ours, percentiles


def _resampled(right: np.ndarray, clusters: list[str] | None):
    counts = np.stack([~right, np.ones_like(right)], axis=1).astype(np.int64)
    return resample(ExampleCounts(counts, label_error), clusters, 200)


def main(trials: int) -> None:
    """Prints the three tables."""
    generator = np.random.default_rng(0)
    print(f"{trials} trials; 5 % is right\n")
    print("| paired t over seeds | false findings |\n| --- | ---: |")
    for seeds in (3, 5, 8):
        print(f"| {seeds} | {share_text(size_of_t(seeds, trials, generator), trials)} |")
    print("\n| six arms, one control | at least one raw p < 0.05 | by Holm's rule |\n| --- | ---: | ---: |")
    for seeds in (3, 5, 8):
        errors = family_errors(seeds, 6, trials, generator)
        print(f"| {seeds} seeds | {' | '.join(share_text(one, trials) for one in errors)} |")
    few = max(trials // 10, 1)
    print(f"\n| interval over seeds and examples, {few} trials | misses | percentiles would miss |")
    print("| --- | ---: | ---: |")
    for seeds in (1, 3, 5):
        for of_seeds, of_examples, clustered in ((0.1, 0.5, False), (0.3, 0.1, False), (0.1, 0.5, True)):
            if seeds == 1 and of_seeds > 0:
                of_seeds = 0.0  # of one seed it is about two models
            misses = interval_misses(
                seeds, few, generator, of_seeds=of_seeds, of_examples=of_examples, clustered=clustered
            )
            what = (
                f"{seeds} seeds, sd of seeds {of_seeds}, of examples {of_examples}{', speakers' if clustered else ''}"
            )
            print(f"| {what} | {' | '.join(share_text(one, few) for one in misses)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
