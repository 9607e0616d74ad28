"""One file per phase: what its model said about every example, and how it scored."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from tiny import classification_rows, make_trainer

from hf_dsd.metrics import TextScorer, score_transcripts
from hf_dsd.runs.run import Run
from hf_dsd.runs.scores import PhaseScores, ScoredExample
from hf_dsd.trainer.scoring import score_phases

WORDS = ["ein", "zwei", "drei"]
ROWS = classification_rows(12, seed=3)


def word_scorer() -> TextScorer:
    """The three classes as words; the references are the labels."""
    references = [WORDS[int(row["labels"])] for row in ROWS]
    return TextScorer(
        "wer",
        False,
        [f"row {i}" for i in range(len(ROWS))],
        [[text] for text in references],
        lambda logits: [WORDS[i] for i in np.argmax(logits, axis=-1)],
        lambda texts: score_transcripts(list(texts), references, n_bootstrap=20),
    )


def test_every_phase_is_scored_by_its_own_model(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.compute_metrics = own = lambda evaluation: {"mine": 1.0}
    trainer.train()
    results = score_phases(trainer, ROWS, word_scorer())
    assert [result.phase for result in results] == ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]
    assert trainer.compute_metrics is own
    batch = {name: torch.stack([row[name] for row in ROWS]) for name in ROWS[0]}
    for result in results:
        trainer.load_phase(result.phase)
        output = trainer.model.eval()(**batch)
        said = [WORDS[i] for i in output["logits"].argmax(-1)]
        wrong = sum(word != example.references[0] for word, example in zip(said, result.examples, strict=True))
        assert [example.prediction for example in result.examples] == said
        assert result.value == result.scores["wer"] == wrong / 12
        assert result.scores["wer_ci"][0] <= result.value <= result.scores["wer_ci"][1]
        assert result.loss == pytest.approx(output["loss"].item(), abs=1e-6)
        assert PhaseScores.read(tmp_path, result.phase) == result
    recorded = json.loads((tmp_path / "dsd_summary.json").read_text())["evaluations"]
    assert recorded["test_phase-1-sparse_wer"] == results[1].value


def test_only_the_phases_asked_for(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.train()
    (result,) = score_phases(trainer, ROWS, word_scorer(), split="validation", phases=["phase-1-sparse"])
    assert (result.phase, result.split) == ("phase-1-sparse", "validation")
    assert [path.name for path in sorted(tmp_path.glob("*_phase-*.json"))] == ["validation_phase-1-sparse.json"]


def test_a_scorer_that_fails_leaves_the_trainer_as_it_was(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.compute_metrics = own = lambda evaluation: {"mine": 1.0}
    trainer.train()
    scorer = dataclasses.replace(word_scorer(), score=lambda texts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score_phases(trainer, ROWS, scorer)
    assert trainer.compute_metrics is own
    assert trainer.evaluate()["eval_mine"] == 1.0


def test_what_is_written_is_read(tmp_path):
    example = ScoredExample("a.jpg", "ein bär", ["ein Bär", "zwei Bären"])
    scores = {"bleu4": 12.5, "bleu4_ci": [10.0, 14.0], "signature": "nrefs:2"}
    result = PhaseScores("phase-2-dense", "test", "bleu4", True, scores, 2.5, [example])
    path = result.write(tmp_path, None)
    assert path == tmp_path / "test_phase-2-dense.json"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert PhaseScores.read(tmp_path, "phase-2-dense") == result
    assert result.value == 12.5


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"test_phase-2-dense\.json is missing: this run has not scored phase-2"
    ):
        PhaseScores.read(tmp_path, "phase-2-dense")


def test_scores_that_an_earlier_run_left_are_nobodys(tmp_path, caplog):
    """Trained to the end and scored; then trained anew in the same folder, and not scored."""
    trainer = make_trainer(tmp_path)
    trainer.train()
    score_phases(trainer, ROWS, word_scorer())
    assert Run.read(tmp_path).find_scores("phase-1-sparse") is not None
    make_trainer(tmp_path, seed=3).train()
    assert (tmp_path / "test_phase-1-sparse.json").is_file()
    assert Run.read(tmp_path).find_scores("phase-1-sparse") is None
    with pytest.raises(FileNotFoundError, match=r"test_phase-1-sparse\.json is of an earlier run in this folder"):
        PhaseScores.read(tmp_path, "phase-1-sparse")
    assert Run.read(tmp_path).scored == []  # a card has none of them, and says why
    assert "test_phase-1-sparse.json is of another run than dsd_summary.json: score this run" in caplog.text


def test_a_resumed_run_is_the_same_run(tmp_path):
    make_trainer(tmp_path, save_strategy="steps", save_steps=5).train()
    first = Run.read(tmp_path).id
    assert first is not None
    resumed = make_trainer(tmp_path, save_strategy="steps", save_steps=5)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert Run.read(tmp_path).id == first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "must hold a JSON object, got list"),
        ("{}", "it lacks examples, greater_is_better"),
    ],
)
def test_a_damaged_file_is_named_with_its_remedy(tmp_path, text, message):
    (tmp_path / "test_phase-2-dense.json").write_text(text)
    with pytest.raises(ValueError, match=rf"test_phase-2-dense\.json is damaged \(.*{message}.*: score the run again"):
        PhaseScores.read(tmp_path, "phase-2-dense")


def test_scores_without_their_headline_are_damaged(tmp_path):
    result = PhaseScores("phase-2-dense", "test", "wer", False, {"cer": 0.5}, 1.0, [])
    result.write(tmp_path, None)
    with pytest.raises(ValueError, match=r"is damaged \(its scores have no number .wer.\): score the run again"):
        PhaseScores.read(tmp_path, "phase-2-dense")
