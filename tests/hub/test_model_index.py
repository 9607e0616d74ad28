"""The YAML head of a card: read back by huggingface_hub, with the numbers of the runs."""

from dataclasses import replace
from pathlib import Path

import pytest
from card_runs import results_of, write_comparison, write_run
from huggingface_hub import ModelCard, ModelCardData

from hf_dsd.hub import Results, Words, render_card
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


def test_the_models_own_scores_and_no_others(tmp_path: Path) -> None:
    out = write_comparison(tmp_path)
    data = head(results_of(out / "seed-1" / "dsd", repo_id="me/x", license="mit", comparison=out))
    found = evaluations(data)
    assert found[0] == ("wer", "WER [%] (this model)", 33.33)
    assert [row[:2] for row in found] == [("wer", "WER [%] (this model)"), ("cer", "CER [%] (this model)")]
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


def test_a_comparison_without_a_model_of_its_own_has_no_scores_in_its_head(tmp_path: Path) -> None:
    results = Results.from_comparison(write_comparison(tmp_path))
    data = head(results)
    assert (data.eval_results, data.metrics, "model-index" in data.to_dict()) == (None, None, False)
    assert "| DSD | 36.11 ± 12.73 |" in render_card(results)  # where the means stand


def test_a_classifiers_accuracy_is_what_the_hub_knows(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", (8, 7, 4))
    scores = score_labels(["a", "b", "a"], ["a", "a", "a"])
    PhaseScores("phase-2-dense", "test", "error", False, scores, 0.5, [ScoredExample("1", "a", ["a"])] * 3).write(
        run, Run.read(run).id
    )
    results = results_of(run)
    assert evaluations(head(results)) == [("accuracy", "accuracy (this model)", 0.6667)]
    assert results.own_scores()[-1].scores == {
        "error": 1 / 3,
        "accuracy": 1 - 1 / 3,
        "loss": 0.5,
    }  # the count is no score


def test_bleu_is_not_a_fraction(tmp_path: Path) -> None:
    found = results_of(write_run(tmp_path / "run", (8, 7, 4)))
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
    words = Words(license="other", license_name="mine", license_link="https://example.org/l")
    data = head(replace(results_of(run), words=words))
    assert data.eval_results is None
    assert "model-index" not in data.to_dict()
    assert (data.license_name, data.license_link) == ("mine", "https://example.org/l")


def test_a_repository_that_huggingface_hub_refuses(tmp_path: Path) -> None:
    found = results_of(write_run(tmp_path / "run", (8, 7, 4)))
    with pytest.raises(ValueError, match="Repo id must be in the form"):
        replace(found, repo_id="me/a/b")
