"""Which way a score is better: by the score file, by its name, by the user; never by a guess."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from run_folders import heard, write_run
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.compare import Comparison
from hf_dsd.runs.metric_names import greater_is_better

LAST = "phase-2-dense"

SMALLER = """loss eval_loss test_phase-2-dense_loss ctc_loss myloss wer cer eval_per per_greedy error error_rate
word_error_rate eval_rmse mse mean_squared_error mae mape nll eval_eer ppl perplexity bpc substitutions insertions
deletions edit_distance fid ece brier cross_entropy eval_runtime top5_error"""
GREATER = """accuracy eval_accuracy acc top1_accuracy accuracy_top5 bleu4 eval_bleu1 bleu4_without_penalty sacrebleu
rouge1 rougeL eval_rougeLsum meteor cider f1 f1_macro precision recall_at_5 auc auroc map r2 eval_iou mean_iou psnr ssim
exact_match mcc spearman comet eval_samples_per_second"""
UNKNOWN = "score eval_score brevity_penalty hyp_length words ref_length precision_loss_x epoch false_positive_rate x"


@pytest.mark.parametrize(
    ("names", "expected"), [(SMALLER, False), (GREATER, True), (UNKNOWN, None)], ids=["smaller", "greater", "unknown"]
)
def test_known_names(names: str, expected: bool | None) -> None:
    assert {name: greater_is_better(name) for name in names.split()} == dict.fromkeys(names.split(), expected)
    assert {name for name in names.split() if greater_is_better(name) is False} == (
        set(names.split()) if names == SMALLER else set()
    )


def write_evaluations(out: Path, metric: str, dense: Sequence[float], dsd: Sequence[float]) -> None:
    for seed, pair in enumerate(zip(dense, dsd, strict=True), start=1):
        for arm, value in zip(("dense", "dsd"), pair, strict=True):
            path = write_run(out, seed, arm) / "dsd_summary.json"
            summary = json.loads(path.read_text())
            summary["phases"][-1]["metrics"] = {"eval_loss": 1.0, metric: value}
            path.write_text(json.dumps(summary))


def test_a_smaller_squared_error_is_better(tmp_path: Path) -> None:
    write_evaluations(tmp_path, "eval_rmse", [1.0, 1.1, 1.05], [2.0, 2.2, 2.3])
    found = Comparison.from_folder(tmp_path, metric="eval_rmse")
    assert found.greater_is_better is False
    assert found.verdict is not None
    assert found.verdict.outcome == "worse"


def test_an_unknown_direction_is_asked_for(tmp_path: Path) -> None:
    write_evaluations(tmp_path, "eval_oddness", [1.0, 1.1, 1.05], [2.0, 2.2, 2.3])
    message = "it is not known whether a greater or a smaller 'eval_oddness' is better: give --greater-is-better or "
    with pytest.raises(ValueError, match=f"^{message}--smaller-is-better"):
        Comparison.from_folder(tmp_path, metric="eval_oddness")
    outcomes = {}
    for greater in (True, False):
        found = Comparison.from_folder(tmp_path, metric="eval_oddness", greater_is_better=greater)
        assert found.greater_is_better is greater
        assert found.verdict is not None
        outcomes[greater] = found.verdict.outcome
    assert outcomes == {True: "better", False: "worse"}


def test_the_command_takes_the_direction(tmp_path: Path) -> None:
    write_evaluations(tmp_path, "eval_oddness", [1.0, 1.1, 1.05], [2.0, 2.2, 2.3])

    def collect(*options: str) -> Any:
        call = ["compare", "--collect", "--out", str(tmp_path), "--metric", "eval_oddness", *options]
        return CliRunner().invoke(app, call, env={"COLUMNS": "400"})

    refused = collect()
    assert refused.exit_code == 2
    assert refused.output.startswith("error it is not known whether a greater or a smaller 'eval_oddness' is better")
    assert not (tmp_path / "comparison.json").exists()
    assert collect("--smaller-is-better").exit_code == 0
    assert Comparison.read(tmp_path).greater_is_better is False
    assert collect("--greater-is-better").exit_code == 0
    assert Comparison.read(tmp_path).greater_is_better is True


def write_scored(out: Path, greater: bool = False) -> None:
    """Three seeds scored by WER: DSD has more errors, and a smaller loss."""
    for seed, (dense, dsd) in enumerate([(2, 4), (1, 5), (2, 5)], start=1):
        for arm, errors, loss in (("dense", dense, 2.0 + seed), ("dsd", dsd, 1.0 + seed / 2)):
            folder = write_run(out, seed, arm, {LAST: heard(errors)})
            path = folder / f"test_{LAST}.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "loss": loss, "greater_is_better": greater}))
            path = folder / "dsd_summary.json"
            summary = json.loads(path.read_text())
            summary["phases"][-1]["metrics"] = {"eval_loss": 10 + loss, "eval_wer": errors / 12}
            path.write_text(json.dumps(summary))


def test_the_score_file_knows_its_headline(tmp_path: Path) -> None:
    write_scored(tmp_path, greater=True)
    assert Comparison.from_folder(tmp_path).greater_is_better is True
    assert Comparison.from_folder(tmp_path, greater_is_better=False).greater_is_better is False


def test_other_scores_of_a_score_file_are_known_by_name(tmp_path: Path) -> None:
    write_scored(tmp_path)
    found = Comparison.from_folder(tmp_path, metric="substitutions")
    assert found.greater_is_better is False
    assert found.differences[-1].per_seed == [2, 4, 3]
    with pytest.raises(ValueError, match="a smaller 'words' is better: give --greater-is-better"):
        Comparison.from_folder(tmp_path, metric="words")


def test_scored_runs_are_compared_by_the_loss_of_their_split(tmp_path: Path) -> None:
    write_scored(tmp_path)
    found = Comparison.from_folder(tmp_path, metric="loss")
    assert (found.metric, found.greater_is_better, found.split) == ("loss", False, "test")
    assert found.differences[-1].per_seed == [-1.5, -2.0, -2.5]
    assert found.verdict is not None
    assert found.verdict.outcome == "better"
    assert "-2.0000 loss on average" in found.verdict.text


def test_scored_runs_are_compared_by_their_evaluations_where_asked(tmp_path: Path) -> None:
    write_scored(tmp_path)
    loss = Comparison.from_folder(tmp_path, metric="eval_loss")
    assert (loss.metric, loss.greater_is_better, loss.split) == ("eval_loss", False, "validation")
    assert {run.seed: run.value for run in loss.runs if run.arm == "dense"} == {1: 13.0, 2: 14.0, 3: 15.0}
    wer = Comparison.from_folder(tmp_path, metric="eval_wer")
    assert (wer.split, wer.greater_is_better) == ("validation", False)
    assert wer.differences[-1].per_seed == pytest.approx([2 / 12, 4 / 12, 3 / 12])
    with pytest.raises(FileNotFoundError, match="the summary has no eval_cer of phase-2-dense"):
        Comparison.from_folder(tmp_path, metric="eval_cer")


@pytest.mark.parametrize("metric", ["wer_ci", "signature", "bleu4"])
def test_what_is_no_score_is_refused(tmp_path: Path, metric: str) -> None:
    write_scored(tmp_path)
    known = r"\['cer', 'deletions', 'insertions', 'loss', 'substitutions', 'wer', 'words'\]"
    with pytest.raises(ValueError, match=f"metric '{metric}' is not among the scores of .*seed-1/dense: {known}"):
        Comparison.from_folder(tmp_path, metric=metric)
