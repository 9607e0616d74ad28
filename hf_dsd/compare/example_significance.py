"""Would other test examples tell these two models apart? Paired resampling of the examples of one test set.

Layer: numpy, on the count tables of `hf_dsd.metrics`. It compares two *models*; a claim about a *method* needs seeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hf_dsd.metrics import (
    bleu_from_statistics,
    bleu_statistics,
    bootstrap_totals,
    error_rates,
    label_error,
    label_statistics,
    percentile_interval,
    wer_statistics,
)
from hf_dsd.metrics.bootstrap import Scores, Statistics
from hf_dsd.runs.scores import ScoredExample

N_RESAMPLES = 1000
"""Resamples of a paired bootstrap, as sacrebleu's default."""

N_TRIALS = 10_000
"""Random swaps of an approximate randomisation, as sacrebleu's default."""

_TRIALS_AT_ONCE = 512


@dataclass(frozen=True)
class ExampleCounts:
    """The counts of one model's answers to one test set, and how their sums make its score.

    Attributes:
        counts: (examples, columns) int64.
        score: From (..., columns) sums to (...) scores.
    """

    counts: Statistics
    score: Callable[[Statistics], Scores]

    @property
    def value(self) -> float:
        """The score of the whole set."""
        return float(self.score(self.counts.sum(axis=0)))


def example_counts(metric: str, examples: Sequence[ScoredExample]) -> ExampleCounts | None:
    """The counts behind `bleu1` .. `bleu4`, `wer`, `cer` or `error`; None for any other metric.

    Args:
        metric: A key of `PhaseScores.scores`.
        examples: Of one model, in the order of the data.
    """
    texts = [example.prediction for example in examples]
    if metric in ("bleu1", "bleu2", "bleu3", "bleu4"):
        order = int(metric[-1]) - 1
        counts = bleu_statistics(texts, [example.references for example in examples])
        return ExampleCounts(counts, lambda totals: bleu_from_statistics(totals)[..., order])
    if metric in ("wer", "cer"):
        column = ("wer", "cer").index(metric)
        counts = wer_statistics(texts, [example.references[0] for example in examples])
        return ExampleCounts(counts, lambda totals: error_rates(totals)[..., column])
    if metric == "error":
        return ExampleCounts(label_statistics(texts, [example.references[0] for example in examples]), label_error)
    return None


@dataclass(frozen=True)
class ExampleTest:
    """Two models on the same examples.

    Attributes:
        interval: 95 % interval of the score's difference, by paired bootstrap.
        p_bootstrap: Two-sided, by paired bootstrap.
        p_randomization: Two-sided, by approximate randomisation.
    """

    interval: tuple[float, float]
    p_bootstrap: float
    p_randomization: float


def compare_examples(system: ExampleCounts, baseline: ExampleCounts, seed: int = 0) -> ExampleTest:
    """Both paired tests of two models.

    Raises:
        ValueError: If the two were not scored on the same number of examples.
    """
    _check_pairs(system, baseline)
    differences = bootstrap_differences(system, baseline, seed=seed)
    low, high = percentile_interval(differences)
    observed = system.value - baseline.value
    return ExampleTest(
        (float(low), float(high)),
        bootstrap_p(differences, observed),
        approximate_randomization(system, baseline, seed=seed),
    )


def bootstrap_differences(
    system: ExampleCounts, baseline: ExampleCounts, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Scores:
    """(n_resamples,) differences, system - baseline, on the same redrawn test sets.

    References:
        Koehn, `Statistical Significance Tests for Machine Translation Evaluation
        <https://aclanthology.org/W04-3250>`_, 2004, section 4.
    """
    totals = [bootstrap_totals(model.counts, n_resamples, seed) for model in (system, baseline)]  # paired: one seed
    return system.score(totals[0]) - baseline.score(totals[1])


def bootstrap_p(differences: Scores, observed: float) -> float:
    """Share of the resampled differences that lie as far from their mean as the observed one lies from 0 (two-sided).

    Moving the differences to mean 0 gives their distribution under the null hypothesis; one is added to count and
    total. sacrebleu, after a script of Moses, takes absolute values before it subtracts the mean, which gives smaller
    p values: half of ours for a clear difference, less still for an unclear one. So the two differ on purpose.

    Args:
        differences: Of `bootstrap_differences`.
        observed: The difference on the test set itself.
    """
    far = np.abs(differences - differences.mean()) >= abs(observed)
    return float((far.sum() + 1) / (len(differences) + 1))


def approximate_randomization(
    system: ExampleCounts, baseline: ExampleCounts, n_trials: int = N_TRIALS, seed: int = 0
) -> float:
    """How often swapping answers between two models at random makes a difference as large as theirs (two-sided p).

    Under the null hypothesis it does not matter which model gave which of an example's two answers.

    Args:
        system: One model.
        baseline: The other, on the same examples.
        n_trials: Random swaps of the whole test set.
        seed: Of the swaps.

    References:
        Riezler and Maxwell, `On Some Pitfalls in Automatic Evaluation and Significance Testing for MT
        <https://aclanthology.org/W05-0908>`_, 2005, section 4.2.
    """
    _check_pairs(system, baseline)
    generator = np.random.default_rng(seed)
    # A swap moves (baseline - system) of its example from one total to the other, so a trial is one matrix product.
    moved = (baseline.counts - system.counts).astype(np.float64)
    base, other = system.counts.sum(axis=0), baseline.counts.sum(axis=0)
    observed = abs(system.value - baseline.value)
    far = 0
    for start in range(0, n_trials, _TRIALS_AT_ONCE):  # memory stays small
        trials = min(_TRIALS_AT_ONCE, n_trials - start)
        swaps = generator.integers(2, size=(trials, len(moved)), dtype=bool)  # sacrebleu's draws from the same seed
        shift = np.rint(swaps @ moved).astype(np.int64)
        differences = system.score(base + shift) - baseline.score(other - shift)
        far += int((np.abs(differences) >= observed - 1e-12).sum())  # the observed arrangement itself counts
    return (far + 1) / (n_trials + 1)


def _check_pairs(system: ExampleCounts, baseline: ExampleCounts) -> None:
    if len(system.counts) != len(baseline.counts):
        raise ValueError(
            f"both models must be scored on the same examples, got {len(system.counts)} and {len(baseline.counts)}; "
            "score them on one split"
        )
