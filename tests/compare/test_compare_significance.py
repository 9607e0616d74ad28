"""The tests of a comparison against scipy, sacrebleu, exact enumeration, and published tables."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU as SacreBLEU
from sacrebleu.significance import PairedTest
from scipy import stats

from hf_dsd.compare.statistics import (
    ExampleCounts,
    approximate_randomization,
    detectable_difference,
    example_counts,
    holm,
    paired_t,
)
from hf_dsd.runs.scores import ScoredExample

DSD = [18.4, 18.9, 17.6, 18.8, 18.1]
DENSE = [18.3, 18.2, 17.5, 18.0, 17.9]

REFERENCES = """
a man in a red shirt rides a bike down a steep hill|a cyclist in red goes down a hill
two dogs play with a ball in the green grass|two brown dogs chase a ball on the grass
a little girl in a pink dress sits on a swing|a girl in pink is swinging in the park
a boy jumps into the blue water of a pool|a boy is jumping into a swimming pool
three people stand on top of a snowy mountain|three hikers stand on a mountain in the snow
a black dog runs along the beach near the waves|a black dog is running on the wet sand
a woman with a camera takes a picture of a bird|a woman photographs a bird in a tree
a football player in white catches the ball|a player in a white shirt catches a football
children are playing in a fountain on a hot day|several children play in the water of a fountain
a skateboarder does a trick on a metal rail|a young man rides a skateboard on a rail
the man is climbing a tall rock with a rope|a climber with a rope goes up a rock
a white horse jumps over a wooden fence|a horse and its rider jump over a fence
""".strip().splitlines()
GOOD = """
a man in a red shirt rides a bike down a hill
two dogs play with a ball in the grass
a little girl in a dress sits on a swing
a boy jumps into the blue water of a lake
three people stand on a mountain in the snow
a black dog runs along the beach
a woman with a camera takes a picture of a tree
a football player in white throws the ball
children are playing in a fountain on a street
a skateboarder does a trick on a ramp
the man is climbing a tall rock wall
a brown horse jumps over a wooden fence
""".strip().splitlines()
BAD = """
a man in a red jacket rides a bike down a steep hill
two dogs run in the green grass
a little girl in a pink dress plays on a swing
a boy jumps into a pool
people stand on top of a snowy mountain
a black dog is running along the water near the waves
a man with a camera takes a picture of a bird
a football player in red catches a ball
two children are playing in the water
a skateboarder does a jump on a metal rail
a man is climbing a tall rock
a white horse runs over a fence
""".strip().splitlines()
# Both systems are good at some captions and bad at others: a difference that chance may have made.
SWAPPED = (0, 2, 3, 6, 7, 9, 11)
SYSTEM = [good if row in SWAPPED else bad for row, (good, bad) in enumerate(zip(GOOD, BAD, strict=True))]
BASELINE = [bad if row in SWAPPED else good for row, (good, bad) in enumerate(zip(GOOD, BAD, strict=True))]


def examples(texts: list[str]) -> list[ScoredExample]:
    pairs = zip(texts, REFERENCES, strict=True)
    return [ScoredExample(str(row), text, refs.split("|")) for row, (text, refs) in enumerate(pairs)]


def counts(metric: str, texts: list[str]) -> ExampleCounts:
    found = example_counts(metric, examples(texts))
    assert found is not None
    return found


def sacrebleu_p(test_type: str, n: int) -> tuple[float, float]:
    """Sacrebleu's own p value for BASELINE against SYSTEM, and the difference of their scores."""
    references = [list(column) for column in zip(*(line.split("|") for line in REFERENCES), strict=True)]
    metric = SacreBLEU(lowercase=True, force=True, tokenize="none", smooth_method="none", references=references)
    named = [("SYSTEM", SYSTEM), ("BASELINE", BASELINE)]
    _, results = PairedTest(named, {"BLEU": metric}, None, test_type=test_type, n_samples=n)()
    system, baseline = results["BLEU"]
    return baseline.p_value, system.score - baseline.score


def test_paired_t_equals_scipy() -> None:
    ours, theirs = paired_t(np.subtract(DSD, DENSE)), stats.ttest_rel(DSD, DENSE)
    interval = theirs.confidence_interval(0.95)
    assert ours.n == 5
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.interval == pytest.approx((interval.low, interval.high))
    assert (ours.mean, ours.sd) == pytest.approx((0.38, 0.342052627529742))


def test_paired_t_by_hand() -> None:
    test = paired_t([1.0, 2.0, 3.0])  # t = 2 / (1 / sqrt 3), two degrees of freedom
    assert test.p == pytest.approx(0.07417990022744853)
    assert test.interval == pytest.approx((2 - 4.302652729911275 / 3**0.5, 2 + 4.302652729911275 / 3**0.5))


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([0.5], (None, None, None)), ([0.0, 0.0], (0.0, (0.0, 0.0), 1.0)), ([0.1, 0.1, 0.1], (0.0, (0.1, 0.1), None))],
)
def test_paired_t_where_seeds_say_nothing(differences: list[float], expected: tuple[object, ...]) -> None:
    test = paired_t(differences)
    assert (test.sd, test.p) == (expected[0], expected[2])
    assert test.interval == (pytest.approx(expected[1]) if expected[1] else None)


@pytest.mark.parametrize("differences", [[], [float("nan"), 1.0]])
def test_paired_t_refuses_what_is_no_number(differences: list[float]) -> None:
    with pytest.raises(ValueError, match="must be finite numbers, one per seed"):
        paired_t(differences)


@pytest.mark.parametrize(("effect", "n"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_what_seeds_can_detect_is_that_of_the_power_tables(effect: float, n: int) -> None:
    """Cohen's d of a paired t test, 80 % power, alpha 0.05 two-sided: the smallest n that finds it."""
    assert (detectable_difference(1.0, n) or 0) <= effect < (detectable_difference(1.0, n - 1) or 0)


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_what_few_seeds_can_detect_by_integration(n: int) -> None:
    least = detectable_difference(1.0, n)
    assert least is not None
    spread = stats.chi2(n - 1).ppf((np.arange(200_000) + 0.5) / 200_000) / (n - 1)  # of n seeds' variance
    limit, shift = stats.t.isf(0.025, n - 1) * np.sqrt(spread), least * n**0.5
    assert (stats.norm.sf(limit - shift) + stats.norm.cdf(-limit - shift)).mean() == pytest.approx(0.8, abs=1e-4)
    assert detectable_difference(0.25, n) == pytest.approx(0.25 * least)


def test_without_a_spread_nothing_can_be_said() -> None:
    assert [detectable_difference(None, 1), detectable_difference(1.0, 1), detectable_difference(0.0, 5)] == [None] * 3


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.2], [0.2]),
        ([0.6, 0.5], [1.0, 1.0]),
        ([0.02, 0.02, 0.9], [0.06, 0.06, 0.9]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)


def test_holm_keeps_the_chance_of_a_false_finding() -> None:
    """Six arms without any effect: at least one raw p below 0.05 is common, an adjusted one is not."""
    p_values = stats.ttest_1samp(np.random.default_rng(0).normal(size=(4000, 6, 3)), 0.0, axis=-1).pvalue
    raw, adjusted = (p_values < 0.05).any(axis=1).mean(), np.mean([min(holm(row)) < 0.05 for row in p_values])
    assert raw == pytest.approx(1 - 0.95**6, abs=0.02)
    assert adjusted == pytest.approx(0.05, abs=0.01)


def test_approximate_randomization_agrees_with_sacrebleu() -> None:
    theirs, _ = sacrebleu_p("ar", 2000)
    ours = approximate_randomization(counts("bleu4", SYSTEM), counts("bleu4", BASELINE), 2000, seed=12345)
    assert 0.02 < theirs < 0.9
    assert theirs <= ours <= theirs + 0.005  # the same draws; we count the swaps that give the very same difference


def test_approximate_randomization_of_wer_agrees_with_every_swap() -> None:
    system, baseline = counts("wer", SYSTEM), counts("wer", BASELINE)
    errors = [
        model.counts[:, :3].sum(axis=1) for model in (system, baseline)
    ]  # the references, so the words, are equal

    def difference(a, b, axis):
        return np.sum(a, axis=axis) - np.sum(b, axis=axis)

    exact = stats.permutation_test(errors, difference, permutation_type="samples", n_resamples=2**12, vectorized=True)
    assert approximate_randomization(system, baseline) == pytest.approx(exact.pvalue, abs=0.02)


def test_clear_and_no_differences() -> None:
    system = counts("wer", SYSTEM)
    assert approximate_randomization(system, counts("wer", SYSTEM)) == 1.0
    perfect, empty = counts("wer", [line.split("|")[0] for line in REFERENCES]), counts("wer", [""] * 12)
    assert approximate_randomization(perfect, empty) < 0.002  # 2 of 4096 swaps


def test_other_numbers_of_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="scored on the same examples, got 12 and 2"):
        approximate_randomization(
            counts("wer", SYSTEM), ExampleCounts(counts("wer", SYSTEM).counts[:2], counts("wer", SYSTEM).score)
        )


def test_other_metrics_have_no_test_across_examples() -> None:
    assert example_counts("accuracy", examples(SYSTEM)) is None
