"""What results.json holds: the numbers of runs, and words that code never changes."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from card_runs import write_comparison, write_run

from hf_dsd.compare import Comparison
from hf_dsd.hub import DatasetFacts, Prose, Results, Study
from hf_dsd.hub.results import _comparison_around, as_id
from hf_dsd.hub.studies import parse_study, with_comparison
from hf_dsd.runs.privacy import without_folders


def test_a_run_tells_its_model_recipe_and_scores(tmp_path: Path) -> None:
    found = Results.from_run(write_run(tmp_path / "run", (8, 7, 4)), repo_id="me/x", license="mit", language="en")
    assert found.title == "DeepSpeech2ForCTC on digits, trained dense-sparse-dense"
    assert (found.model.source, found.model.task) == ("hf_dsd", "automatic-speech-recognition")
    assert (found.model.parameters, found.model.prunable) == (620, 600)
    assert found.recipe is not None
    facts = [(p.steps, p.epochs, p.learning_rate, p.sparsity, p.pruned) for p in found.recipe.phases]
    assert facts == [(20, 2, 1e-3, 0, 0), (10, 1, 1e-3, 0.5, 300), (10, 1, 1e-4, 0, 0)]
    assert (found.phase, found.examples, found.comparison) == ("phase-2-dense", 3, None)
    assert (found.repo_id, found.license, found.language) == ("me/x", "mit", ["en"])
    by_place = {(score.split, score.index): score for score in found.phase_scores}
    assert by_place["test", 2].scores["wer"] == pytest.approx(4 / 12)
    assert by_place["test", 2].scores["loss"] == 1.25
    assert by_place["validation", 1].scores == {"wer": 0.4, "loss": 1.5}
    assert by_place["validation", 1].epochs == 3


def test_a_run_that_kept_no_phase_folders_is_known_by_its_own_configuration(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", (8, 7, 4))
    (run / "phase-2-dense" / "config.json").rename(run / "config.json")  # where trainer.save_model() puts it
    found = Results.from_run(run).model
    assert (found.model_type, found.source, found.task) == ("deepspeech2", "hf_dsd", "automatic-speech-recognition")


def test_folders_of_the_machine_stay_there(tmp_path: Path) -> None:
    found = Results.from_run(write_run(tmp_path / "run", (8, 7, 4)))
    assert found.recipe is not None
    assert found.recipe.command == ["run_speech.py", "--data_dir", "digits", "--output_dir=x"]
    out = write_comparison(tmp_path / "out", 1)
    recipe = {"command": "compare --out /a/b -- /c/run.py", "script": ["/c/run.py"]}
    (out / "recipe.json").write_text(json.dumps(recipe))
    write_run(out / "seed-2" / "dense", (8, 7, 6), "dense", 2)
    (out / "seed-2" / "dense.json").write_text(json.dumps({"status": "failed", "error": "no file '/home/me/x.bin'"}))
    compared = Results.from_comparison(out).comparison
    assert compared is not None
    assert (compared.command, compared.script) == ("compare --out b -- run.py", ["run.py"])
    assert [run.error for run in compared.runs if run.status == "failed"] == ["no file 'x.bin'"]


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("--data_dir /home/me/an4/ --x 1", "--data_dir an4/ --x 1"),
        ("--out=/a/b", "--out=b"),
        ('{"path": "/a/b.json"}', '{"path": "b.json"}'),
        (r"C:\Users\me\runs", "runs"),
        ("see https://example.org/a/b and 3/4/5, data/x, ./a/b, lr 1e-3", None),
        ("user/name 0.1/0.2", None),
    ],
)
def test_what_counts_as_a_folder_of_the_machine(text: str, public: str | None) -> None:
    assert without_folders(text) == (text if public is None else public)


def test_a_run_at_the_root_of_the_file_system_is_in_no_comparison() -> None:
    assert _comparison_around(Path("/out")) is None
    assert _comparison_around(Path("/")) is None


def test_a_run_inside_a_comparison_finds_it(tmp_path: Path) -> None:
    out = write_comparison(tmp_path)
    assert Results.from_run(out / "seed-1" / "dsd").comparison is None
    Comparison.from_folder(out).write(out)
    found = Results.from_run(out / "seed-1" / "dsd")
    assert found.comparison is not None
    assert found.comparison.verdict is not None
    assert found.comparison.verdict.text == (
        "dsd and dense are not distinguishable with 3 seeds: -16.67 points of WER on average (paired t, p = 0.074); 3 "
        "such seeds detect 27.20 points of WER or more with 80% power."
    )
    assert {(s.arm, s.seed) for s in found.phase_scores} == {(a, s) for a in ("dsd", "dense") for s in (1, 2, 3)}
    assert len(found.phase_scores) == 2 * 3 * 3 * 2
    assert len(found.own_scores()) == 2 * 3


def test_a_comparison_json_older_than_the_runs_is_made_anew(tmp_path: Path) -> None:
    out = write_comparison(tmp_path / "out", 2)
    kept = Comparison.from_folder(out)
    kept.write(out)
    assert Comparison.current(out)[0] == Comparison.read(out)
    write_run(out / "seed-3" / "dsd", (8, 7, 3), "dsd", 3)
    assert Comparison.current(out)[0].arms["dsd"].n == 3
    shutil.rmtree(out / "seed-1")
    assert Comparison.current(out)[0].seeds == [2, 3]
    for seed in (2, 3):
        shutil.rmtree(out / f"seed-{seed}")
    assert Comparison.current(out)[0].seeds == [1, 2]  # the file alone was kept
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        Comparison.current(tmp_path / "nothing")


def test_a_comparison_of_another_run_is_refused(tmp_path: Path) -> None:
    out = write_comparison(tmp_path / "out", 1)
    with pytest.raises(ValueError, match="holds another run as dsd of seed 1 than .*elsewhere: give the run's own"):
        Results.from_run(write_run(tmp_path / "elsewhere", (8, 7, 0)), comparison=out)
    more = Results.from_run(write_run(tmp_path / "more", (8, 7, 0), seed=9), comparison=out)
    assert [s.scores["wer"] for s in more.own_scores() if s.split == "test"] == pytest.approx([8 / 12, 7 / 12, 0])


def test_an_iterative_run_is_not_dsd(tmp_path: Path) -> None:
    write_run(tmp_path / "seed-1" / "iterative", (8, 7, 5))
    recipe = Results.from_run(tmp_path / "seed-1" / "iterative").recipe
    assert recipe is not None
    assert recipe.arm == "iterative"


def test_what_a_person_wrote_survives_new_numbers(tmp_path: Path) -> None:
    old = Results.from_comparison(write_comparison(tmp_path / "old", 2))
    words = Prose(description="A model.", findings=["One.", "Two."], limits=["Small."])
    data = DatasetFacts("Spoken digits", "digits", "Synthesised.")
    old = replace(old, title="T", prose=words, dataset=data, studies=[Study("S", "Why.")], license="mit")
    new = old.with_comparison(write_comparison(tmp_path / "new", 3))
    assert (new.title, new.prose, new.dataset, new.studies, new.license) == ("T", words, data, old.studies, "mit")
    assert new.comparison is not None
    assert new.comparison.seeds == [1, 2, 3]
    assert len(new.phase_scores) == 2 * 3 * 3 * 2
    run = old.with_run(Results.from_run(write_run(tmp_path / "run", (8, 7, 4))))
    assert (run.title, run.prose, run.phase) == ("T", words, "phase-2-dense")


def test_a_run_alone_is_published_with_the_comparison_of_its_recipe_only(tmp_path: Path) -> None:
    compared = Results.from_comparison(write_comparison(tmp_path / "out", 2))
    again = compared.with_run(Results.from_run(write_run(tmp_path / "again", (8, 7, 4), seed=9)))
    assert again.comparison == compared.comparison
    assert [(score.phase, score.seed) for score in again.own_scores() if score.split == "test"] == [
        ("phase-0-dense", 9),
        ("phase-1-sparse", 9),
        ("phase-2-dense", 9),
    ]
    assert len(again.phase_scores) == len(compared.phase_scores) + 2 * 3
    other = Results.from_run(write_run(tmp_path / "other", (8, 7, 4), optimizer="SGD"))
    with pytest.raises(
        ValueError, match=r"compare runs of another recipe than the run's \(optimizer AdamW against SGD\)"
    ):
        compared.with_run(other)


def test_a_name_of_data_is_one_line_and_its_id_is_plain_letters(tmp_path: Path) -> None:
    found = Results.from_run(write_run(tmp_path / "run", (8, 7, 4)), dataset="Données\n# injected")
    assert (found.dataset.name, found.dataset.id) == ("Données # injected", "donn-es-injected")
    for name in ("-", "./x", "données"):
        with pytest.raises(ValueError, match="dataset id must be a name as on the Hub"):
            DatasetFacts("x", name)


def test_written_and_read(tmp_path: Path) -> None:
    found = Results.from_comparison(write_comparison(tmp_path / "out", 2))
    assert found.comparison is not None
    study = Study("Sparsity", "Why.", {"50 %": found.comparison}, ["a"], [["1"]])
    found = replace(found, studies=[study], prose=Prose(description="ä"))
    path = found.write(tmp_path / "results.json")
    read = Results.read(path)
    assert read.write(tmp_path / "again.json").read_text() == path.read_text()
    assert (read.model, read.recipe, read.phase_scores, read.prose) == (
        found.model,
        found.recipe,
        found.phase_scores,
        found.prose,
    )
    assert read.studies[0].comparisons["50 %"].verdict == found.comparison.verdict


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(version=2), "format version 2, this hf_dsd reads 1: upgrade"),
        (lambda c: c.update(repo_id="me/a/b"), "Repo id must be in the form"),
        (lambda c: c.update(titel="x"), r"unknown fields \['titel'\]"),
        (lambda c: c.pop("title"), "missing 1 required positional argument: 'title'"),
        (lambda c: c.update(language="en"), "'language'"),
        (lambda c: c["prose"].update(findings="one"), r"results\.json\.prose: .*'findings'"),
        (lambda c: c["recipe"]["phases"][1].update(sparsity="50 %"), r"recipe\.phases\[1\]: .*'sparsity'"),
        (lambda c: c["dataset"].update(id="CMU AN4"), "dataset id must be a name as on the Hub .* got 'CMU AN4'"),
        (lambda c: c["comparison"].pop("arms"), r"comparison is not as comparison\.json holds it"),
        (lambda c: c.update(prose=[]), r"prose must be an object, got list"),
    ],
)
def test_a_wrong_results_json_is_refused_by_field(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = Results.from_comparison(write_comparison(tmp_path / "out", 1)).write(tmp_path / "results.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Results.read(path)


def test_what_is_no_results_json(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is missing: make it by `hf-dsd card .* --comparison"):
        Results.read(tmp_path / "results.json")
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        Results.read(tmp_path / "results.json")


def test_a_run_must_have_finished(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="give the output folder of a DSDTrainer run"):
        Results.from_run(tmp_path)
    ends = {"start": 40, "end": 40, "sparsity": 0.0}
    longer = [
        {**ends, "index": index, "kind": kind} for index, kind in enumerate(("dense", "sparse", "dense", "sparse"))
    ]
    run = write_run(tmp_path / "run", (8, 7, 4), schedule=longer)
    with pytest.raises(ValueError, match="has not finished its last phase"):
        Results.from_run(run)


@pytest.mark.parametrize(("name", "found"), [("CMU AN4", "cmu-an4"), ("user/x", "user/x"), ("a/b/c", "a-b-c")])
def test_ids_of_datasets(name: str, found: str) -> None:
    assert as_id(name) == found


def test_studies_are_added_and_replaced(tmp_path: Path) -> None:
    two = Comparison.from_folder(write_comparison(tmp_path / "two", 2))
    three = Comparison.from_folder(write_comparison(tmp_path / "three", 3))
    assert parse_study("Sparsity: 50 %=runs/a=b") == ("Sparsity", "50 %", "runs/a=b")
    assert parse_study("Longer=runs/x") == ("Longer", "Longer", "runs/x")
    for wrong in ("Sparsity", "=x", "a: =x", "a="):
        with pytest.raises(ValueError, match="--study must be 'TITLE: SETTING=FOLDER'"):
            parse_study(wrong)
    studies = with_comparison([Study("Sparsity", "Why.")], "Sparsity", "50 %", two)
    studies = with_comparison(studies, "Sparsity", "50 %", three)
    studies = with_comparison(studies, "Optimizer", "SGD", two)
    assert [(s.title, s.text, list(s.comparisons)) for s in studies] == [
        ("Sparsity", "Why.", ["50 %"]),
        ("Optimizer", "", ["SGD"]),
    ]
    assert studies[0].comparisons["50 %"].arms["dsd"].n == 3
