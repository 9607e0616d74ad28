"""What a verdict says where seeds are missing, equal, or near the line."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from run_folders import heard, write_run

from hf_dsd.compare import Comparison
from hf_dsd.compare.statistics import SeedTest
from hf_dsd.compare.verdict import Family, Outcome, SeedCount, Verdict, judge
from hf_dsd.runs.numbers import p_text

LAST = "phase-2-dense"


def write_seed(out: Path, seed: int, dense: int, dsd: int, *, diverged: Sequence[str] = ()) -> None:
    """One seed with so many errors of 12 words; diverged arms have a WER of nan."""
    for arm, errors in (("dense", dense), ("dsd", dsd)):
        path = write_run(out, seed, arm, {LAST: heard(errors)}) / f"test_{LAST}.json"
        if arm in diverged:
            content = json.loads(path.read_text())
            content["scores"]["wer"] = math.nan
            path.write_text(json.dumps(content))


def verdict_of(out: Path) -> Verdict:
    verdict = Comparison.from_folder(out, arms=["dsd", "dense"]).verdict
    assert verdict is not None
    return verdict


def fail(out: Path, seed: int, arm: str) -> None:
    (out / f"seed-{seed}").mkdir(exist_ok=True)
    (out / f"seed-{seed}" / f"{arm}.json").write_text('{"status": "failed", "error": "boom"}')


def write_better(out: Path) -> None:
    for seed, (dense, dsd) in enumerate([(6, 4), (7, 6), (6, 3), (8, 6)], start=1):
        write_seed(out, seed, dense, dsd)


BETTER = (
    "dsd is better than dense: -16.67 points of WER on average over 4 seeds (better with 4 of 4; paired t, p = 0.016)."
)


def test_seeds_without_a_result_are_counted(tmp_path: Path) -> None:
    write_better(tmp_path)
    assert verdict_of(tmp_path).text == BETTER
    fail(tmp_path, 5, "dsd")
    fail(tmp_path, 6, "dsd")
    fail(tmp_path, 6, "dense")
    verdict = verdict_of(tmp_path)
    assert verdict.outcome == "better"
    assert verdict.text == f"{BETTER} 2 of 6 seeds of dsd have no result. 1 of 5 seeds of dense has no result."


def test_an_arm_that_diverged_is_not_better(tmp_path: Path) -> None:
    write_better(tmp_path)
    write_seed(tmp_path, 5, 5, 0, diverged=["dsd"])
    verdict = verdict_of(tmp_path)
    assert verdict.outcome == "not distinguishable"
    assert verdict.text == (
        "dsd and dense are not distinguishable: -16.67 points of WER on average over 4 seeds (better with 4 of 4; "
        "paired t, p = 0.016), but dsd diverged with 1 of 5 seeds; lower its learning rate and train every seed anew. "
        "1 of 5 seeds of dsd has no result."
    )


def test_a_control_that_diverged_takes_nothing_from_the_arm(tmp_path: Path) -> None:
    write_better(tmp_path)
    write_seed(tmp_path, 5, 5, 0, diverged=["dense"])
    assert verdict_of(tmp_path).text == f"{BETTER} 1 of 5 seeds of dense has no result."


def test_an_arm_that_diverged_may_be_worse(tmp_path: Path) -> None:
    for seed, (dense, dsd) in enumerate([(6, 4), (7, 6), (6, 3), (8, 6)], start=1):
        write_seed(tmp_path, seed, dsd, dense)
    write_seed(tmp_path, 5, 5, 0, diverged=["dsd"])
    assert verdict_of(tmp_path).outcome == "worse"


def test_seeds_without_a_result_are_counted_where_nothing_was_learnt(tmp_path: Path) -> None:
    write_seed(tmp_path, 1, 12, 12)
    fail(tmp_path, 2, "dense")
    assert verdict_of(tmp_path).text.endswith("learning rate. 1 of 2 seeds of dense has no result.")


def test_equal_values_mean_that_seeds_change_nothing(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        write_seed(tmp_path, seed, 6, 4)
    assert verdict_of(tmp_path).text == (
        "dsd and dense are not distinguishable with 3 seeds: -16.67 points of WER on average, the same in every seed, "
        "so the seeds seem to change nothing; check that the script uses --seed."
    )


@pytest.mark.parametrize(
    ("pairs", "difference", "wins"), [([(6, 4), (9, 7), (3, 1)], "-16.67", 3), ([(4, 5), (7, 8), (1, 2)], "+8.33", 0)]
)
def test_equal_differences_of_other_values_only_have_no_spread(
    tmp_path: Path, pairs: list[tuple[int, int]], difference: str, wins: int
) -> None:
    for seed, (dense, dsd) in enumerate(pairs, start=1):
        write_seed(tmp_path, seed, dense, dsd)
    assert verdict_of(tmp_path).text == (
        f"dsd and dense are not distinguishable with 3 seeds: {difference} points of WER on average, the same in every "
        f"seed, so the differences have no spread and a t test says nothing; dsd wins with {wins} of 3 seeds."
    )


def write_derived(out: Path) -> None:
    """Two seeds of dsd and dense: the sparse phase of DSD was scored with the first seed only."""
    write_seed(out, 1, 6, 4)
    write_seed(out, 2, 7, 6)
    path = out / "seed-1" / "dsd" / f"test_{LAST}.json"
    content = {**json.loads(path.read_text()), "phase": "phase-1-sparse"}
    path.with_name("test_phase-1-sparse.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("asked", "failed"), [(None, set()), (["dsd", "dense"], set()), (["dsd", "dense", "sparse"], {"sparse"})]
)
def test_failures_of_derived_arms_are_listed_where_asked_for(
    tmp_path: Path, asked: list[str] | None, failed: set[str]
) -> None:
    write_derived(tmp_path)
    if asked is not None:
        calls = [{"arms": ["dense"], "seeds": [1]}, {"arms": asked, "seeds": [1, 2]}]
        (tmp_path / "recipe.json").write_text(json.dumps({"calls": calls}))
    found = Comparison.from_folder(tmp_path)
    assert {run.arm for run in found.runs if run.status == "failed"} == failed
    assert found.arms["sparse"].n == 1  # what is there is shown, whoever asked


def test_failures_of_trained_arms_are_always_listed(tmp_path: Path) -> None:
    write_derived(tmp_path)
    fail(tmp_path, 3, "random")
    calls = [{"arms": ["dsd", "dense"], "seeds": [1, 2]}]
    (tmp_path / "recipe.json").write_text(json.dumps({"calls": calls}))
    found = Comparison.from_folder(tmp_path)
    assert [(run.arm, run.seed) for run in found.runs if run.status == "failed"] == [("random", 3)]


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (None, "-"),
        (1.0, "1.000"),
        (0.0004, "< 0.001"),
        (0.0016, "0.002"),
        (0.049, "0.049"),
        (0.0499, "0.0499"),
        (0.0501, "0.0501"),
        (0.04998, "0.04998"),
        (0.05, "0.050"),
        (0.0512, "0.051"),
    ],
)
def test_p_is_never_rounded_onto_the_line(p: float | None, text: str) -> None:
    assert p_text(p) == text


@pytest.mark.parametrize(
    ("p", "begins", "text"),
    [
        (0.0499, "dsd is better than dense: ", "p = 0.0499)."),
        (0.0001, "dsd is better than dense: ", "p < 0.001)."),
        (0.0501, "dsd and dense are not distinguishable with 5 seeds: ", "p = 0.0501); 5"),
    ],
)
def test_the_verdict_says_p_as_the_table_does(p: float, begins: str, text: str) -> None:
    test = SeedTest(5, 1.0, 0.8, (0.0, 2.0), p)
    arms, family = (SeedCount("dsd"), SeedCount("dense")), Family(["dsd"], p)
    said = judge(*arms, test, [3.0, 4.0], family, won=4, metric="bleu4", greater_is_better=True).text
    assert said.startswith(f"{begins}+1.00 BLEU-4 on average")
    assert f" (better with 4 of 5; paired t, {text}" in said


@pytest.mark.parametrize(
    ("outcome", "early", "headline"),
    [
        ("better", None, "better"),
        ("better", "better", "better"),
        ("better", "worse", "better than dense; worse than early"),
        ("better", "not distinguishable", "better than dense; not distinguishable from early"),
        ("not distinguishable", "better", "not distinguishable from dense; better than early"),
    ],
)
def test_the_headline_names_the_rivals_where_they_differ(
    outcome: Outcome, early: Outcome | None, headline: str
) -> None:
    assert Verdict("dsd", "dense", outcome, "", early).headline == headline
