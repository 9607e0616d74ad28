"""From run folders to comparison.json, its table and its verdict."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from run_folders import heard, write_run
from scipy import stats
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.compare import Comparison, print_comparison, to_markdown
from hf_dsd.compare.statistics import SeedTest
from hf_dsd.compare.verdict import Family, SeedCount, has_learnt_nothing, judge
from hf_dsd.files import write_json
from hf_dsd.runs.numbers import difference_text
from hf_dsd.runs.scores import PhaseScores

LAST, SPARSE = "phase-2-dense", "phase-1-sparse"
ARMS = SeedCount("dsd"), SeedCount("dense")
DENSE_ERRORS, DSD_ERRORS = [6, 7, 6, 8], [4, 6, 3, 6]


def write_arms(out: Path, seeds: int = 4) -> None:
    """DSD makes 2, 1, 3, 2 fewer of 12 errors than the dense control."""
    for seed, (dense, dsd) in enumerate(zip(DENSE_ERRORS[:seeds], DSD_ERRORS[:seeds], strict=True), start=1):
        averages = {LAST: heard(dense), f"{LAST}-ema": heard(dense)}
        write_run(out, seed, "dense", averages, weight_averages=["ema"])
        write_run(out, seed, "dsd", {SPARSE: heard(5), LAST: heard(dsd)})


def test_arms_differences_and_verdict(tmp_path: Path) -> None:
    write_arms(tmp_path)
    found = Comparison.from_folder(tmp_path)
    assert list(found.arms) == ["dense", "sparse", "ema", "dsd"]
    assert (found.metric, found.greater_is_better, found.split, found.seeds) == ("wer", False, "test", [1, 2, 3, 4])
    assert found.signature.startswith("nrefs:1")
    assert [d.arm for d in found.differences] == ["ema", "dsd"]  # sparse has trained for less: it is not tested
    dsd, sparse = found.arms["dsd"], found.arms["sparse"]
    assert (dsd.n, dsd.mean, dsd.sd) == (4, pytest.approx(4.75 / 12), pytest.approx(1.5 / 12))
    assert (dsd.epochs, dsd.steps, dsd.seconds) == (4, 40, 180)
    assert (sparse.epochs, sparse.steps, sparse.seconds) == (3, 30, 120)
    difference = next(d for d in found.differences if d.arm == "dsd")
    assert difference.per_seed == pytest.approx([-2 / 12, -1 / 12, -3 / 12, -2 / 12])
    assert difference.p_seeds == pytest.approx(stats.ttest_rel(DSD_ERRORS, DENSE_ERRORS).pvalue)
    assert difference.p_holm == pytest.approx(2 * (difference.p_seeds or 0))  # ema is tested, too
    assert difference.effect == pytest.approx(-2 / (2 / 3) ** 0.5)
    assert difference.effect_interval is not None
    assert difference.effect_interval[1] < 0
    assert difference.example_interval is not None
    assert difference.interval is not None
    assert difference.example_interval[0] <= difference.interval[0]  # other examples, too, and then it can be any
    assert difference.budget == 1.0
    assert (found.baseline, found.settings) == ("dense", 2)
    assert found.verdict is not None
    assert found.verdict.outcome == "better"
    assert found.verdict.text == (
        "dsd is better than dense: -16.67 points of WER on average over 4 seeds (better with 4 of 4; paired t, "
        "p = 0.016, p = 0.033 by Holm's rule over 2 tests: ema, dsd)."
    )
    equal = next(d for d in found.differences if d.arm == "ema")
    assert (equal.mean, equal.p_seeds, list(equal.interval or [])) == (0.0, 1.0, [0.0, 0.0])


def test_written_and_read(tmp_path: Path) -> None:
    write_arms(tmp_path, 2)
    found = Comparison.from_folder(tmp_path)
    found.write(tmp_path)
    read = Comparison.read(tmp_path)
    assert read.verdict == found.verdict
    assert dict(read.arms) == dict(found.arms)
    assert read.differences == found.differences
    assert [run.value for run in read.runs] == [run.value for run in found.runs]
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert content.keys() == {
        *("version", "command", "recipe", "script", "metric", "greater_is_better", "split", "signature", "seeds"),
        *(
            "arms",
            "runs",
            "differences",
            "verdict",
            "versions",
            "mixed_versions",
            "passed_over",
            "remarks",
            "baseline",
            "settings",
        ),
    }
    (tmp_path / "comparison.json").write_text(json.dumps({**content, "version": 5}))
    with pytest.raises(ValueError, match="format version 5, this hf_dsd reads up to 4"):
        Comparison.read(tmp_path)


def test_one_seed_is_never_better(tmp_path: Path) -> None:
    write_run(tmp_path, 1, "dense", {LAST: heard(12)})
    write_run(tmp_path, 1, "dsd", {LAST: heard(0)})
    found = Comparison.from_folder(tmp_path)
    assert found.verdict is not None
    assert found.verdict.outcome == "not distinguishable"
    assert found.verdict.text == (
        "dsd and dense are not distinguishable with one seed: -100.00 points of WER, and one seed cannot tell a method "
        "from luck; run at least two, better five."
    )
    assert found.arms["dsd"].sd is None


def test_seeds_that_only_one_arm_has_are_not_compared(tmp_path: Path) -> None:
    write_arms(tmp_path, 2)
    write_run(tmp_path, 9, "dsd", {LAST: heard(0)})
    found = Comparison.from_folder(tmp_path, arms=["dsd", "dense"])
    assert list(found.arms) == ["dense", "dsd"]
    assert found.arms["dsd"].n == 3
    assert [d.seeds for d in found.differences] == [[1, 2]]


def test_unfinished_failed_and_unscored_runs_are_said(tmp_path: Path) -> None:
    write_arms(tmp_path, 2)
    write_run(tmp_path, 3, "dense")
    folder = write_run(tmp_path, 3, "dsd")
    summary = json.loads((folder / "dsd_summary.json").read_text())
    summary["phases"] = summary["phases"][:2]
    (folder / "dsd_summary.json").write_text(json.dumps(summary))
    (tmp_path / "seed-4").mkdir()
    (tmp_path / "seed-4" / "dense.json").write_text(json.dumps({"status": "failed", "error": "exit status 1\nboom"}))
    found = Comparison.from_folder(tmp_path)
    failed = {(run.arm, run.seed): run.error for run in found.runs if run.status == "failed"}
    assert failed[("dense", 3)] == "the run has no test_phase-2-dense.json and its summary no eval_loss"
    assert failed[("dsd", 3)] == "the run has not finished"
    assert failed[("dense", 4)] == "exit status 1\nboom"
    assert found.arms["dsd"].n == 2
    assert "Failed: dense, seed 4: boom (seed-4/dense)" in to_markdown(found)


def test_a_run_that_diverged_is_said_and_the_others_are_compared(tmp_path: Path) -> None:
    write_arms(tmp_path, 2)
    for arm in ("dense", "dsd"):
        path = write_run(tmp_path, 3, arm, {LAST: heard(3)}) / f"test_{LAST}.json"
        if arm == "dsd":
            content = json.loads(path.read_text())
            content["scores"]["wer"] = float("nan")
            path.write_text(json.dumps(content))
    found = Comparison.from_folder(tmp_path)
    assert [d.seeds for d in found.differences if d.arm == "dsd"] == [[1, 2]]
    line = "dsd, seed 3: wer is nan after phase-2-dense: the run diverged; lower its learning rate (seed-3/dsd)"
    assert f"- Failed: {line}\n" in to_markdown(found)


def test_runs_of_different_versions_are_said(tmp_path: Path) -> None:
    write_arms(tmp_path, 1)
    write_run(tmp_path, 2, "dense", {LAST: heard(3)}, versions={"a": "2", "b": "1"})
    found = Comparison.from_folder(tmp_path)
    assert found.mixed_versions == {"a": ["1", "2"]}
    console = Console(width=200, record=True)
    print_comparison(found, console)
    for text in (to_markdown(found), console.export_text()):
        assert "The runs were made with different versions of a (1, 2)." in text


def test_models_that_have_learnt_nothing_are_not_compared(tmp_path: Path) -> None:
    for arm in ("dense", "dsd"):
        write_run(tmp_path, 1, arm, {LAST: heard(12)})
    verdict = Comparison.from_folder(tmp_path).verdict
    assert verdict is not None
    assert verdict.outcome == "not distinguishable"
    assert verdict.text == (
        "dsd and dense cannot be compared: no model reaches a WER other than 100.00 %, so none has learnt anything; "
        "train longer, or with another learning rate."
    )


@pytest.mark.parametrize(
    ("values", "metric", "greater", "expected"),
    [
        ([0.0, 0.0], "bleu4", True, True),
        ([0.0, 0.1], "bleu4", True, False),
        ([0.0, 0.0], "eval_loss", False, False),
        ([1.0, 1.2], "wer", False, True),
        ([0.99, 1.2], "wer", False, False),
        ([0.0, 0.0], "wer", False, False),
    ],
)
def test_when_nothing_was_learnt(values: list[float], metric: str, greater: bool, expected: bool) -> None:
    assert has_learnt_nothing(values, metric, greater_is_better=greater) is expected


def test_runs_without_score_files_are_compared_by_their_evaluations(tmp_path: Path) -> None:
    for seed, (dense, dsd) in enumerate([(2.0, 1.5), (2.2, 1.9)], start=1):
        for arm, loss in (("dense", dense), ("dsd", dsd)):
            folder = write_run(tmp_path, seed, arm)
            summary = json.loads((folder / "dsd_summary.json").read_text())
            summary["phases"][-1]["metrics"] = {"eval_loss": loss, "eval_accuracy": 1 / loss}
            (folder / "dsd_summary.json").write_text(json.dumps(summary))
    found = Comparison.from_folder(tmp_path)
    assert (found.metric, found.greater_is_better, found.split) == ("eval_loss", False, "validation")
    assert found.differences[0].per_seed == pytest.approx([-0.5, -0.3])
    assert found.differences[0].example_interval is None
    accuracy = Comparison.from_folder(tmp_path, metric="eval_accuracy")
    assert (accuracy.metric, accuracy.greater_is_better) == ("eval_accuracy", True)


def test_runs_scored_differently_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path, 1, "dense", {LAST: heard(6)})
    folder = write_run(tmp_path, 1, "dsd", {LAST: heard(6)})
    path = folder / f"test_{LAST}.json"
    path.write_text(path.read_text().replace("nrefs:1", "nrefs:2"))
    with pytest.raises(ValueError, match="the runs were scored differently"):
        Comparison.from_folder(tmp_path)


def test_an_empty_folder_and_an_unknown_metric_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no finished run seed-S/ARM: no run at all"):
        Comparison.from_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="hf-dsd compare --collect --out"):
        Comparison.read(tmp_path)
    write_arms(tmp_path, 1)
    with pytest.raises(ValueError, match="metric 'bleu4' is not among the scores"):
        Comparison.from_folder(tmp_path, metric="bleu4")


def test_collect_prints_the_same_as_the_card_says(tmp_path: Path) -> None:
    write_arms(tmp_path)
    result = CliRunner().invoke(app, ["compare", "--collect", "--out", str(tmp_path)], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    found = Comparison.read(tmp_path)
    console = Console(width=200, record=True)
    print_comparison(found, console)
    printed, card = console.export_text(), to_markdown(found)
    for number in ("39.58", "12.50", "-16.67", "0.016", "40"):
        assert number in printed
        assert number in card
        assert number in result.output
    assert "dsd is better than dense" in printed
    assert "dsd is better than dense" in card
    *table, written, report = result.output.splitlines()
    assert max(map(len, table)) <= 80
    assert written == f"Written to {tmp_path / 'comparison.json'}."
    assert report == f"The report is in {tmp_path / 'report.html'}."  # a path is not broken


@pytest.mark.parametrize(
    ("differences", "greater", "outcome"),
    [
        (SeedTest(5, 1.0, 0.5, (0.4, 1.6), 0.01), True, "better"),
        (SeedTest(5, 1.0, 0.5, (0.4, 1.6), 0.01), False, "worse"),
        (SeedTest(5, -1.0, 0.5, (-1.6, -0.4), 0.01), False, "better"),
        (SeedTest(5, -1.0, 0.5, (-1.6, -0.4), 0.01), True, "worse"),
        (SeedTest(5, 1.0, 2.0, (-1.5, 3.5), 0.33), True, "not distinguishable"),
        (SeedTest(3, 0.2, 0.0, (0.2, 0.2), None), True, "not distinguishable"),
    ],
)
def test_verdict(differences: SeedTest, greater: bool, outcome: str) -> None:
    family = alone(differences)
    verdict = judge(*ARMS, differences, [3.0, 4.0], family, won=3, metric="bleu4", greater_is_better=greater)
    assert verdict.outcome == outcome


def alone(test: SeedTest) -> Family:
    return Family(["dsd"], test.p)


def test_verdict_says_what_so_many_seeds_can_detect() -> None:
    test = SeedTest(5, 1.0, 2.0, (-1.5, 3.5), 0.33)
    verdict = judge(*ARMS, test, [3.0, 4.0], alone(test), won=4, metric="bleu4", greater_is_better=True)
    assert verdict.text == (
        "dsd and dense are not distinguishable with 5 seeds: +1.00 BLEU-4 on average (better with 4 of 5; paired t, "
        "p = 0.330); "
        "5 such seeds detect 3.36 BLEU-4 or more with 80% power."
    )
    test = SeedTest(3, 0.2, 0.0, (0.2, 0.2), None)
    same = judge(*ARMS, test, [1.2, 1.2, 1.2], alone(test), won=0, metric="eval_loss", greater_is_better=False)
    assert "+0.2000 loss on average, the same in every seed" in same.text


def test_several_arms_are_judged_by_holms_rule() -> None:
    """A p of 0.03 among four tests is what chance gives: the verdict says the family that it counts."""
    test = SeedTest(5, 1.0, 0.7, (0.1, 1.9), 0.03)
    arms = ["random", "ema", "swa", "dsd"]
    verdict = judge(*ARMS, test, [3.0, 4.0], Family(arms, 0.12), won=4, metric="bleu4", greater_is_better=True)
    assert verdict.outcome == "not distinguishable"
    assert verdict.text == (
        "dsd and dense are not distinguishable with 5 seeds: +1.00 BLEU-4 on average (better with 4 of 5; paired t, "
        "p = 0.030, p = 0.120 by Holm's rule over 4 tests: random, ema, swa, dsd); 5 such seeds detect "
        "1.73 BLEU-4 or more with 80% power among 4 tests."
    )


def test_differences_are_read_with_their_unit() -> None:
    assert difference_text(-0.004, "wer") == "-0.40 points of WER"
    assert difference_text(0.004, "eval_cer") == "+0.40 points of CER"


def test_every_seeds_difference_is_shown(tmp_path: Path) -> None:
    write_arms(tmp_path)
    found = Comparison.from_folder(tmp_path)
    console = Console(width=80, record=True)
    print_comparison(found, console)
    assert "dsd - dense by seed: -16.67, -8.33, -25.00, -16.67" in console.export_text()
    lines = to_markdown(found).splitlines()
    sparse = [line for line in lines if line.startswith("| sparse")]
    assert sparse == ["| sparse phase of DSD | - | 41.67 | 0.00 | 4 | 3 | 30 | 2.0 |"]
    dsd = next(line for line in lines if line.startswith("| dsd - dense |"))
    assert "| -16.67, -8.33, -25.00, -16.67 | 4 of 4 | 0.016 | 0.033 | -2.45 (" in dsd
    assert dsd.endswith("| 100 % |")


def write_rivals(out: Path) -> None:
    """Four seeds of dsd (by 2, 2, 3, 2 of 12 errors better than dense), random masks and the control's early stop."""
    stop = {"phase": "phase-0-dense", "step": 10, "metric": "loss", "value": 1.25}
    for seed, (dense, dsd) in enumerate(zip(DENSE_ERRORS, [4, 5, 3, 6], strict=True), start=1):
        early = {LAST: heard(dense), f"{LAST}-early": heard(dsd + seed % 2)}
        write_run(out, seed, "dense", early, early_stop=stop, evaluations={f"{LAST}-early_loss": 1.25})
        write_run(out, seed, "dsd", {LAST: heard(dsd)})
        write_run(out, seed, "random", {LAST: heard(dense)}, mask_criterion="random")


def test_as_a_frame_and_as_csv(tmp_path: Path) -> None:
    write_rivals(tmp_path)
    found = Comparison.from_folder(tmp_path)
    frame, dsd = found.to_frame(), found.differences[1]
    assert list(frame.index) == ["dense", "early", "random", "dsd"]
    shown = frame.loc["dsd"]
    assert (shown["n"], shown["mean"]) == (4, pytest.approx(4.5 / 12))
    assert dsd.interval is not None
    assert [shown["difference_interval_low"], shown["difference_interval_high"]] == pytest.approx(dsd.interval)
    assert shown["difference_detectable"] == pytest.approx(0.5 / 12 * 3.447727, rel=2e-4)  # one of 4 tests
    assert [shown[f"difference_seed_{seed}"] * 12 for seed in (1, 2, 3, 4)] == pytest.approx([-2, -2, -3, -2])
    assert [shown[f"difference_{key}"] for key in ("wins", "budget")] == [4, 1.0]
    early = ("mean", "p_seeds", "p_holm", "wins", "budget")
    assert [shown[f"early_{key}"] for key in early] == pytest.approx([-0.5 / 12, 0.181690, 0.363380, 2, 4.0], abs=1e-6)
    assert frame["early_mean"].isna().to_dict() == {"dense": True, "early": True, "random": False, "dsd": False}
    found.to_csv(tmp_path / "table.csv")
    text = (tmp_path / "table.csv").read_text()
    assert text.startswith("arm,label,n,mean,sd,epochs,steps,seconds,arguments,difference_n,difference_mean,")
    assert '"(' not in text
    assert "[" not in text
    assert float(text.splitlines()[4].split(",")[3]) == found.arms["dsd"].mean


def test_one_arm_alone_is_a_frame_too(tmp_path: Path) -> None:
    write_run(tmp_path, 1, "dense", {LAST: heard(3)})
    found = Comparison.from_folder(tmp_path)
    assert list(found.to_frame()["n"]) == [1]
    assert "<td>-</td>" in found._repr_html_()
    assert "dense control (same budget) & 1 & 25.00 & - & - & - & - & - & - & - \\\\" in found.to_latex()


def test_as_latex_every_tested_difference_has_the_texts_of_the_table(tmp_path: Path) -> None:
    write_rivals(tmp_path)
    lines = Comparison.from_folder(tmp_path).to_latex().splitlines()
    assert [line for line in lines if line.startswith(("arm", "DSD", " &"))] == [
        "arm & n & mean [\\%] & sd & against & difference [\\%] & 95 \\% interval & wins & p & p (Holm) \\\\",
        "DSD with random masks & 4 & 56.25 & 7.98 & dense & 0.00 & 0.00 .. 0.00 & 0 of 4 & 1.000 & 1.000 \\\\",
        " &  &  &  & early & +14.58 & +7.95 .. +21.21 & 0 of 4 & 0.006 & 0.018 \\\\",
        "DSD & 4 & 37.50 & 10.76 & dense & -18.75 & -25.38 .. -12.12 & 4 of 4 & 0.003 & 0.012 \\\\",
        " &  &  &  & early & -4.17 & -11.82 .. +3.49 & 2 of 4 & 0.182 & 0.363 \\\\",
    ]


def test_as_latex_a_tiny_p_is_no_upside_down_question_mark(tmp_path: Path) -> None:
    for seed, fewer in enumerate((4, 4, 5, 4, 4, 4, 4, 4, 4), start=1):
        write_run(tmp_path, seed, "dense", {LAST: heard(8)})
        write_run(tmp_path, seed, "dsd", {LAST: heard(8 - fewer)})
    assert "& 9 of 9 & $<$ 0.001 & $<$ 0.001 \\\\" in Comparison.from_folder(tmp_path).to_latex()


@pytest.mark.parametrize(
    ("same", "p_holm"),
    [((2, 2, 2, 2), None), ((0, 0, 0, 0), 1.0)],
    ids=["the same gain", "no difference"],
)
def test_a_test_without_a_p_counts_in_the_family(tmp_path: Path, same: tuple[int, ...], p_holm: float | None) -> None:
    """Left out, it would halve the p of the others: whether it has a p depends on what was found."""
    for seed, (dense, dsd, fewer) in enumerate(zip(DENSE_ERRORS, DSD_ERRORS, same, strict=True), start=1):
        write_run(tmp_path, seed, "dense", {LAST: heard(dense)})
        write_run(tmp_path, seed, "dsd", {LAST: heard(dsd)})
        write_run(tmp_path, seed, "other", {LAST: heard(dense - fewer)})
    write_run(tmp_path, 1, "tried_once", {LAST: heard(1)})  # one seed is no test
    found = Comparison.from_folder(tmp_path)
    by_arm = {one.arm: one for one in found.differences}
    dsd = by_arm["dsd"]
    assert (by_arm["other"].p_holm, by_arm["tried_once"].p_holm) == (p_holm, None)
    assert dsd.p_holm == pytest.approx(2 * stats.ttest_rel(DSD_ERRORS, DENSE_ERRORS).pvalue)
    assert dsd.detectable == pytest.approx((2 / 3) ** 0.5 / 12 * 2.716028, rel=2e-4)  # 4 seeds, one of 2 tests
    assert found.verdict is not None
    assert "p = 0.033 by Holm's rule over 2 tests: dsd, other)" in found.verdict.text


def version_1(content: dict[str, Any]) -> dict[str, Any]:
    """As version 1 wrote it: a test of the sparse phase, the bootstrap, and a guess at how many seeds it takes."""
    old = {key: value for key, value in content.items() if key not in ("passed_over", "baseline", "settings")}
    old["version"] = 1
    old["runs"] = [{key: value for key, value in run.items() if key != "diverged"} for run in content["runs"]]
    new = ("p_holm", "detectable", "effect", "effect_interval", "example_interval", "budget")
    old["differences"] = [
        {**{key: value for key, value in one.items() if key not in new}, "p_examples": [0.3], "p_bootstrap": [0.1]}
        for one in [{**content["differences"][-1], "arm": "sparse"}, *content["differences"]]
    ]
    old["verdict"] = {"arm": "dsd", "to": "dense", "outcome": "better", "text": "it is", "seeds_needed": 13}
    return old


def test_a_file_of_version_1_is_judged_by_the_rules_of_today(tmp_path: Path) -> None:
    write_arms(tmp_path)
    found = Comparison.from_folder(tmp_path)
    old = Comparison.from_dict(version_1(json.loads(json.dumps(found.to_dict()))))
    unknown = {"example_interval": None, "budget": None}  # what the examples said was not written down
    assert old.differences == [replace(one, **unknown) for one in found.differences]
    assert old.verdict == found.verdict
    assert (old.baseline, old.settings) == ("dense", 0)


def version_3(content: dict[str, Any], **stored: object) -> dict[str, Any]:
    """As version 3 wrote it, when a detectable difference was that of a lone test."""
    old = {**content, "version": 3, "verdict": {key: content["verdict"][key] for key in ("arm", "to", "outcome")}}
    old["verdict"]["text"] = "as it was"
    old["differences"] = [{**one, "detectable": 0.001, "p_holm": 0.001, **stored} for one in content["differences"]]
    return old


def test_a_file_of_version_3_keeps_what_its_runs_told(tmp_path: Path) -> None:
    """Read without a word and without a claim that the runs had changed."""
    write_rivals(tmp_path)
    found = Comparison.from_folder(tmp_path)
    content = json.loads(json.dumps(found.to_dict()))
    (tmp_path / "comparison.json").write_text(json.dumps(version_3(content)))
    old, note = Comparison.current(tmp_path)
    assert (old.version, old.verdict, old.differences, note) == (4, found.verdict, found.differences, "")
    narrow = Comparison.from_dict(version_3(content, example_interval=[-0.1, -0.1]))  # than the seeds' own
    ends = [(-0.1, 0.0), (-0.253801, -0.1), (-0.1, 0.212134), (-0.118224, 0.034891)]  # the seeds', as far as -0.1
    assert [one.example_interval for one in narrow.differences] == [pytest.approx(end, abs=1e-6) for end in ends]
    write_json(tmp_path / "comparison.json", version_3(content, budget="all"))
    with pytest.raises(ValueError, match=r"its 'differences\[0\]\.budget' is not as hf_dsd writes it"):
        Comparison.read(tmp_path)


def test_a_file_of_version_3_keeps_the_arm_that_it_judged(tmp_path: Path) -> None:
    """What an arm prunes by is not in the file: of two arms the first by name would be judged."""
    write_pairs_of_random_and_s50(tmp_path)
    found = Comparison.from_folder(tmp_path)
    assert found.verdict is not None
    assert (found.verdict.arm, found.verdict.outcome) == ("s50", "better")
    old = version_3(json.loads(json.dumps(found.to_dict())))
    assert Comparison.from_dict(old).verdict == found.verdict


def write_pairs_of_random_and_s50(out: Path) -> None:
    for seed, (dense, dsd) in enumerate(zip(DENSE_ERRORS, [4, 5, 3, 6], strict=True), start=1):
        write_run(out, seed, "dense", {LAST: heard(dense)})
        write_run(out, seed, "random", {LAST: heard(dense + seed % 2)}, mask_criterion="random")
        write_run(out, seed, "s50", {LAST: heard(dsd)})


def test_an_early_stop_is_a_rival_of_every_arm_that_prunes_at_random_too(tmp_path: Path) -> None:
    write_rivals(tmp_path)
    found = Comparison.from_folder(tmp_path)
    assert list(found.arms) == ["dense", "early", "random", "dsd"]
    early_arm = found.arms["early"]
    assert (early_arm.label, early_arm.epochs, early_arm.steps, early_arm.seconds) == (
        "dense control, stopped at its best validation evaluation",
        *(1, 10, 30),
    )
    assert [(one.arm, one.to, one.budget) for one in found.differences] == [
        ("random", "dense", 1.0),
        ("dsd", "dense", 1.0),
        ("random", "early", 4.0),
        ("dsd", "early", 4.0),
    ]
    p_values = [1.0, 4 * 0.0028958, 3 * 0.0059863, 2 * 0.1816901]  # Holm's factors: the order of the raw p values
    assert [one.p_holm for one in found.differences] == pytest.approx(p_values, abs=1e-6)
    assert found.differences[-1].per_seed == pytest.approx([-1 / 12, 0, -1 / 12, 0])
    assert found.verdict is not None
    assert found.verdict.outcome == "better"
    assert found.verdict.headline == "better than dense; not distinguishable from early"
    assert "; 4 such seeds detect 16.59 points of WER or more with 80% power among 4 tests." in found.verdict.text
    assert (
        " dsd and early are not distinguishable with 4 seeds: -4.17 points of WER on average (better with 2 of 4; "
        in (found.verdict.text)
    )
    assert (
        found.verdict.text.count("by Holm's rule over 4 tests: random, dsd, random against early, dsd against early")
        == 2
    )
    text = to_markdown(found)
    assert "needed the validation set, which the other arms did not: a rival, but no equal-budget control." in text
    assert [line.rsplit(" | ")[-1] for line in text.splitlines() if line.startswith("| dsd - early")] == ["400 % |"]
    loss = Comparison.from_folder(tmp_path, metric="eval_loss", arms=["early"])
    assert (loss.arms["early"].mean, loss.split) == (1.25, "validation")
    too_good = "early is the best of its run's evaluations on this very split: its score here is too good"
    assert too_good in to_markdown(loss)
    assert too_good not in text


def test_arms_of_the_users_own_are_compared_with_their_baseline(tmp_path: Path) -> None:
    arms = {"s50": {"sparsity": ["0.5"]}, "dropout": {"dsd_control": ["true"], "weight_averages": ["ema"]}}
    recipe = {"baseline": "dropout", "arms": arms, "settings": ["a", "b", "c", "d", "e"]}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    for seed, (other, own) in enumerate(zip(DENSE_ERRORS, DSD_ERRORS, strict=True), start=1):
        write_run(tmp_path, seed, "dropout", {LAST: heard(other)})
        write_run(tmp_path, seed, "s50", {LAST: heard(own)})
        write_run(tmp_path, seed, "by_hand", {LAST: heard(own)})
    found = Comparison.from_folder(tmp_path)
    assert {name: arm.arguments for name, arm in found.arms.items()} == {
        "dropout": "--dsd_control true",
        "s50": "--sparsity 0.5",
        "by_hand": "--sparsity 0.5",
    }
    assert [(one.arm, one.to) for one in found.differences] == [("s50", "dropout"), ("by_hand", "dropout")]
    assert found.settings == 5
    assert found.verdict is not None
    assert found.verdict.text.startswith("s50 is better than dropout: ")
    text = to_markdown(found)
    assert "| s50 | --sparsity 0.5 | 39.58 |" in text
    assert "; settings looked at: 5**" in text
    assert Comparison.from_dict(json.loads(json.dumps(found.to_dict()))).to_dict() == json.loads(
        json.dumps(found.to_dict())
    )
    turned = Comparison.from_folder(tmp_path, baseline="s50")
    assert [(one.arm, one.to) for one in turned.differences] == [("dropout", "s50"), ("by_hand", "s50")]
    with pytest.raises(ValueError, match="holds no finished run of the baseline x: it has dropout, s50, by_hand"):
        Comparison.from_folder(tmp_path, baseline="x")


def score_on(folder: Path, split: str, metric: str, value: float) -> None:
    """What a script without texts writes, as run_clm.py."""
    scores = {metric: value, f"{metric}_ci": [value - 1, value + 1], "signature": "block:8"}
    PhaseScores(LAST, split, metric, metric == "accuracy", scores, 2.0, []).write(folder, None)


def test_the_scripts_own_score_is_compared_whichever_split_it_wrote(tmp_path: Path) -> None:
    for seed, (dense, dsd) in enumerate([(30.0, 28.0), (31.0, 28.5)], start=1):
        for arm, value in (("dense", dense), ("dsd", dsd)):
            folder = write_run(tmp_path, seed, arm, evaluations={"eval_loss": 3.0})
            score_on(folder, "validation", "perplexity", value)
    found = Comparison.from_folder(tmp_path)
    assert (found.metric, found.split, found.greater_is_better) == ("perplexity", "validation", False)
    assert [one.per_seed for one in found.differences] == [[-2.0, -2.5]]
    assert (found.signature, found.passed_over) == ("block:8", [])
    with pytest.raises(ValueError, match="no run was scored on its test split, but on validation: give one as --split"):
        Comparison.from_folder(tmp_path, split="test")
    assert Comparison.from_folder(tmp_path, metric="eval_loss").arms["dsd"].mean == 3.0
    (tmp_path / "seed-1" / "dsd" / f"validation_{LAST}.json").write_text("{")
    with pytest.raises(ValueError, match=f"validation_{LAST}.json is damaged"):
        Comparison.from_folder(tmp_path)


def test_what_is_passed_over_is_said(tmp_path: Path) -> None:
    for arm in ("dense", "dsd"):
        folder = write_run(tmp_path, 1, arm, {LAST: heard(3)})
        score_on(folder, "validation", "accuracy", 0.5)
    found = Comparison.from_folder(tmp_path)
    assert (found.metric, found.passed_over) == ("wer", ["accuracy on validation"])
    assert "- Passed over: accuracy on validation; --metric and --split compare by another score." in to_markdown(found)
    assert Comparison.from_folder(tmp_path, metric="wer").passed_over == []
    out = tmp_path / "evaluated"
    for arm in ("dense", "dsd"):
        write_run(out, 1, arm, evaluations={"eval_loss": 1.0, "eval_accuracy": 0.5, "eval_runtime": 3.0, "epoch": 4.0})
    assert Comparison.from_folder(out).passed_over == ["eval_accuracy"]


COUNTED = """
import sys
from collections import Counter
opened = Counter()
def note(event, arguments):
    if event == "open" and str(arguments[0]).endswith(sys.argv[1]):
        opened[str(arguments[0])] += 1
sys.addaudithook(note)
from typer.testing import CliRunner
from hf_dsd.cli import app
result = CliRunner().invoke(app, sys.argv[2:])
assert result.exit_code == 0, result.output
print(sorted(opened.values()))
"""


@pytest.mark.parametrize("command", [["compare", "--collect", "--out"], ["report"]])
def test_a_command_reads_each_runs_summary_once(tmp_path: Path, command: list[str]) -> None:
    """Counted by Python itself, in a process of its own; `compare` writes the report, too."""
    write_arms(tmp_path, 2)
    Comparison.from_folder(tmp_path).write(tmp_path)
    for name in ("dsd_summary.json", f"test_{LAST}.json"):
        call = [sys.executable, "-c", COUNTED, name, *command, str(tmp_path)]
        done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=300)
        assert done.stdout == "[1, 1, 1, 1]\n", done.stdout + done.stderr
