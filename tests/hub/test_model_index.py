"""The YAML head of a card: read back by huggingface_hub, with the numbers of the runs."""

from dataclasses import replace
from pathlib import Path

import pytest
from card_runs import write_comparison, write_run
from huggingface_hub import ModelCard, ModelCardData

from hf_dsd.hub import Results, render_card
from hf_dsd.metrics import score_labels
from hf_dsd.runs.run import Run
from hf_dsd.runs.scores import PhaseScores, ScoredExample


def head(results: Results) -> ModelCardData:
    """The head as the Hub's own client reads it from README.md."""
    data = ModelCard(render_card(results), ignore_metadata_errors=False).data
    assert isinstance(data, ModelCardData)
    return data


def evaluations(data: ModelCardData) -> list[tuple[str, str | None, float]]:
    return [(found.metric_type, found.metric_name, found.metric_value) for found in data.eval_results or []]


def test_the_model_dsd_and_its_control(tmp_path: Path) -> None:
    out = write_comparison(tmp_path)
    data = head(Results.from_run(out / "seed-1" / "dsd", repo_id="me/x", license="mit", comparison=out))
    found = evaluations(data)
    assert [row for row in found if row[0] == "wer"] == [
        ("wer", "WER [%] (this model)", 33.33),
        ("wer", "WER [%] (DSD, mean of 3 seeds)", 36.11),
        ("wer", "WER [%] (dense control of the same budget, mean of 3 seeds)", 52.78),
    ]
    assert [row[0] for row in found] == ["wer", "cer"] * 3
    assert data.model_name == "x"
    result = (data.eval_results or [])[0]
    assert (result.task_type, result.dataset_type, result.dataset_split) == (
        "automatic-speech-recognition",
        "digits",
        "test",
    )
    assert (data.library_name, data.license, data.pipeline_tag) == ("transformers", "mit", result.task_type)
    assert (data.datasets, data.metrics) == (["digits"], ["cer", "wer"])
    assert data.tags == ["dsd", "dense-sparse-dense", "hf_dsd", "deepspeech2"]


def test_means_are_over_seeds_that_both_arms_have(tmp_path: Path) -> None:
    out = write_comparison(tmp_path, 2)
    write_run(out / "seed-3" / "dsd", (8, 7, 12), "dsd", 3)
    found = evaluations(head(Results.from_comparison(out)))
    assert ("wer", "WER [%] (DSD, mean of 2 seeds)", 41.67) in found
    assert ("wer", "WER [%] (dense control of the same budget, mean of 2 seeds)", 54.17) in found
    assert len(found) == 4


def test_a_classifiers_accuracy_is_what_the_hub_knows(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", (8, 7, 4))
    scores = score_labels(["a", "b", "a"], ["a", "a", "a"])
    PhaseScores("phase-2-dense", "test", "error", False, scores, 0.5, [ScoredExample("1", "a", ["a"])] * 3).write(
        run, Run.read(run).id
    )
    results = Results.from_run(run)
    assert evaluations(head(results)) == [("accuracy", "accuracy (this model)", 0.6667)]
    assert results.own_scores()[-1].scores == {
        "error": 1 / 3,
        "accuracy": 1 - 1 / 3,
        "loss": 0.5,
    }  # the count is no score


def test_means_alone_are_enough(tmp_path: Path) -> None:
    found = Results.from_comparison(write_comparison(tmp_path))
    assert found.comparison is not None
    found = replace(found, comparison=replace(found.comparison, runs=[]))
    assert evaluations(head(found)) == [
        ("wer", "WER [%] (DSD, mean of 3 seeds)", 36.11),
        ("wer", "WER [%] (dense control of the same budget, mean of 3 seeds)", 52.78),
    ]


def test_bleu_is_not_a_fraction(tmp_path: Path) -> None:
    found = Results.from_run(write_run(tmp_path / "run", (8, 7, 4)))
    last = next(score for score in found.phase_scores if score.index == 2 and score.split == "test")
    scores = {"bleu4": 17.5234, "bleu1": 58.0, "brevity_penalty": 0.9}
    found = replace(found, phase_scores=[replace(last, scores=scores)])
    assert evaluations(head(found)) == [
        ("bleu", "BLEU-1 (this model)", 58.0),
        ("bleu", "BLEU-4 (this model)", 17.52),
    ]


def test_a_run_without_scores_has_a_valid_head(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", (8, 7, 4), model="MyModel", parameters=[])
    for path in (*run.glob("test_*.json"), run / "phase-2-dense" / "config.json"):
        path.unlink()
    found = replace(Results.from_run(run), license="other", license_name="mine", license_link="https://example.org/l")
    data = head(found)
    assert data.eval_results is None
    assert "model-index" not in data.to_dict()
    assert (data.license_name, data.license_link) == ("mine", "https://example.org/l")


def test_a_repository_that_huggingface_hub_refuses(tmp_path: Path) -> None:
    found = Results.from_run(write_run(tmp_path / "run", (8, 7, 4)))
    with pytest.raises(ValueError, match="Repo id must be in the form"):
        replace(found, repo_id="me/a/b")
