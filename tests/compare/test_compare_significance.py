"""The tests and intervals of a comparison against scipy, statsmodels, sacrebleu, and published tables."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU as SacreBLEU
from sacrebleu.significance import PairedTest
from scipy import stats

from hf_dsd.compare.example_interval import (
    ExampleCounts,
    Resamples,
    example_counts,
    hierarchical_interval,
    resample,
    resample_examples,
)
from hf_dsd.compare.statistics import detectable_difference, effect_size, holm, paired_t
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


@pytest.mark.parametrize(
    ("n", "effects"),
    [(3, [3.264044, 5.667476, 8.019398]), (5, [1.681997, 2.291649, 2.759263]), (8, [1.156035, 1.450343, 1.649536])],
)
def test_what_seeds_can_detect_among_several_tests(n: int, effects: list[float]) -> None:
    """As the only test, as one of 3 and as one of 6: integrated by scipy.integrate.quad at alpha 0.05 / tests."""
    found = [detectable_difference(1.0, n, tests) for tests in (1, 3, 6)]
    assert found == pytest.approx(effects, rel=2e-4)
    assert detectable_difference(0.5, n, 6) == pytest.approx(effects[2] / 2, rel=1e-3)


def test_two_seeds_among_many_tests_still_have_an_answer() -> None:
    """40 tests: |T| of one degree of freedom must pass 509.3, and 80 % of its spreads lie below 1.2816."""
    assert detectable_difference(1.0, 2, 40) == pytest.approx(stats.t.isf(0.05 / 80, 1) * 1.28155 / 2**0.5, rel=0.01)


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


# What statsmodels 0.15.0 and scipy 1.17.1 say.


def test_holm_is_that_of_statsmodels() -> None:
    p_values = [0.011, 0.02, 0.048, 0.0007, 0.3, 0.041]
    assert holm(p_values) == pytest.approx([0.055, 0.08, 0.123, 0.0042, 0.3, 0.123])


@pytest.mark.parametrize(("n", "effect"), [(3, 3.264043552819638), (5, 1.6819970833232674), (8, 1.156035271959959)])
def test_what_seeds_can_detect_is_that_of_statsmodels(n: int, effect: float) -> None:
    assert detectable_difference(1.0, n) == pytest.approx(effect, abs=2e-4)


@pytest.mark.parametrize(
    ("differences", "size", "interval"),
    [
        ([0.53, 2.45, 1.54], 1.5687353601986647, (-0.2840328198738853, 3.3410248451818982)),
        ([0.1, 0.7, 0.1, 0.8, 0.2], 1.1109401577889038, (-0.07321258207662763, 2.223575253500205)),
    ],
)
def test_the_effect_size_has_scipys_noncentral_interval(
    differences: list[float], size: float, interval: tuple[float, float]
) -> None:
    found = effect_size(paired_t(differences))
    assert found is not None
    assert found[0] == pytest.approx(size)
    assert found[1] == pytest.approx(interval, abs=2e-4)
    mirrored = effect_size(paired_t([-value for value in differences]))
    assert mirrored is not None
    assert mirrored[1] == pytest.approx((-interval[1], -interval[0]), abs=2e-4)
    assert effect_size(paired_t([0.1])) is effect_size(paired_t([0.1, 0.1])) is None


def test_the_interval_over_examples_is_near_sacrebleus() -> None:
    """Of one seed: sacrebleu's bootstrap of the same two systems, as a standard error of their difference."""
    references = [list(column) for column in zip(*(line.split("|") for line in REFERENCES), strict=True)]
    metric = SacreBLEU(lowercase=True, force=True, tokenize="none", smooth_method="none", references=references)
    named = [("BASELINE", BASELINE), ("SYSTEM", SYSTEM)]
    _, results = PairedTest(named, {"BLEU": metric}, None, test_type="bs", n_samples=2000)()
    baseline, system = results["BLEU"]
    own, other = (resample(counts("bleu4", texts), None) for texts in (SYSTEM, BASELINE))
    assert (own.value, other.value) == pytest.approx((system.score, baseline.score))
    ends = {name: np.quantile(side.scores, [0.025, 0.975]) for name, side in (("system", own), ("baseline", other))}
    for name, theirs in (("system", system), ("baseline", baseline)):
        assert np.ptp(ends[name]) / 2 == pytest.approx(theirs.ci, rel=0.1)
    low, high = hierarchical_interval([own], [other]) or (0.0, 0.0)
    error = (own.scores - other.scores).std(ddof=1) * (12 / 11) ** 0.5
    assert (low + high) / 2 == pytest.approx(system.score - baseline.score)
    assert (high - low) / 2 == pytest.approx(stats.t.isf(0.025, 11) * error)


def errors_of(rates: np.ndarray) -> Resamples:
    """Of a recogniser that makes so many errors in the 10 words of each utterance."""
    counts_of = np.stack([rates, np.full_like(rates, 10)], axis=1)
    return resample(ExampleCounts(counts_of, lambda totals: totals[..., 0] / totals[..., 1]), None)


def test_where_only_seeds_differ_the_interval_is_students() -> None:
    other = [errors_of(np.full(40, 5)) for _ in range(3)]
    own = [errors_of(np.full(40, errors)) for errors in (3, 4, 1)]
    low, high = stats.ttest_1samp([-0.2, -0.1, -0.4], 0).confidence_interval()
    assert hierarchical_interval(own, other) == pytest.approx((low, high))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_other_examples_never_make_the_interval_narrower_than_students(seeds: int) -> None:
    """Where seeds differ much and examples a little, Satterthwaite's degrees of freedom outweigh the added variance."""
    generator = np.random.default_rng(1)
    narrower = 0
    for _ in range(40):
        own = [errors_of(np.clip(5 + shift + generator.integers(-1, 2, 40), 0, 10)) for shift in range(-2, seeds - 2)]
        other = [errors_of(np.full(40, 5)) for _ in range(seeds)]
        low, high = hierarchical_interval(own, other) or (0.0, 0.0)
        students = stats.ttest_1samp([one.value - 0.5 for one in own], 0).confidence_interval()
        narrower += high - low < (students.high - students.low) * (1 - 1e-9)
    assert narrower == 0


def test_where_only_examples_differ_more_seeds_tell_no_more() -> None:
    rates = np.random.default_rng(0).integers(0, 6, size=50)
    alone = hierarchical_interval([errors_of(rates)], [errors_of(np.full(50, 5))])
    assert hierarchical_interval([errors_of(rates)] * 4, [errors_of(np.full(50, 5))] * 4) == pytest.approx(alone)
    low, high = stats.ttest_1samp(rates / 10 - 0.5, 0).confidence_interval()
    assert alone == pytest.approx((low, high), rel=0.1)


def test_speakers_are_drawn_whole() -> None:
    """Ten speakers say the same 13 things each: the interval is that of ten, not of 130."""
    by_speaker = np.array([2, 3, 0, 5, 1, 2, 2, 4, 3, 1])
    own = ExampleCounts(
        np.stack([np.repeat(by_speaker, 13), np.full(130, 10)], axis=1), lambda t: t[..., 0] / t[..., 1]
    )
    none = ExampleCounts(own.counts * np.array([0, 1]), own.score)
    names = [f"s{index // 13}" for index in range(130)]
    ends = {}
    for clusters in (None, names):
        low, high = hierarchical_interval([resample(own, clusters)], [resample(none, clusters)]) or (0.0, 0.0)
        ends[clusters is None] = high - low
    ten = stats.ttest_1samp(by_speaker / 10, 0).confidence_interval()
    assert ends[False] == pytest.approx(ten.high - ten.low, rel=0.1)
    assert ends[True] < ends[False] / 3
    assert hierarchical_interval([resample(own, ["one"] * 130)], [resample(none, ["one"] * 130)]) is None


def test_clusters_count_where_every_example_has_one() -> None:
    spoken = [ScoredExample(str(n), "a b", ["a b"], f"speaker {n % 3}") for n in range(6)]
    found = resample_examples("wer", spoken)
    assert found is not None
    assert found.units == 3
    unknown = resample_examples("wer", [*spoken, ScoredExample("6", "a", ["a"])])
    assert unknown is not None
    assert unknown.units == 7


def test_other_metrics_have_no_interval_over_examples() -> None:
    assert example_counts("accuracy", examples(SYSTEM)) is resample_examples("wer", []) is None
