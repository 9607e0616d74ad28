"""What results.json holds, the numbers of runs; and words.md, which code never changes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from card_runs import plan, results_of, write_comparison, write_run

from hf_dsd.compare import Comparison
from hf_dsd.hub import Results, Words
from hf_dsd.hub.words import HEADINGS, as_id
from hf_dsd.runs.privacy import without_folders


def test_a_run_tells_its_model_recipe_and_scores(tmp_path: Path) -> None:
    found = results_of(write_run(tmp_path / "run", (8, 7, 4)), repo_id="me/x", license="mit", language=["en"])
    assert found.title == "DeepSpeech2ForCTC on digits, trained dense-sparse-dense"
    assert (found.model.source, found.model.task) == ("hf_dsd", "automatic-speech-recognition")
    assert (found.model.parameters, found.model.prunable) == (620, 600)
    assert found.recipe is not None
    facts = [(p.steps, p.epochs, p.learning_rate, p.sparsity, p.pruned) for p in found.recipe.phases]
    assert facts == [(20, 2, 1e-3, 0, 0), (10, 1, 1e-3, 0.5, 300), (10, 1, 1e-4, 0, 0)]
    assert (found.phase, found.examples, found.comparison) == ("phase-2-dense", 3, None)
    assert (found.repo_id, found.words.license, found.words.language) == ("me/x", "mit", ["en"])
    by_place = {(score.split, score.index): score for score in found.phase_scores}
    assert by_place["test", 2].scores["wer"] == pytest.approx(4 / 12)
    assert by_place["test", 2].scores["loss"] == 1.25
    assert by_place["validation", 1].scores == {"wer": 0.4, "loss": 1.5}
    assert by_place["validation", 1].epochs == 3


def test_a_run_that_kept_no_phase_folders_is_known_by_its_own_configuration(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", (8, 7, 4))
    (run / "phase-2-dense" / "config.json").rename(run / "config.json")  # where trainer.save_model() puts it
    found = results_of(run).model
    assert (found.model_type, found.source, found.task) == ("deepspeech2", "hf_dsd", "automatic-speech-recognition")


def test_folders_of_the_machine_stay_there(tmp_path: Path) -> None:
    found = results_of(write_run(tmp_path / "run", (8, 7, 4)))
    assert found.recipe is not None
    assert found.recipe.command == ["run_speech.py", "--data_dir", "digits", "--output_dir=x"]
    out = write_comparison(tmp_path / "out", 1)
    recipe: dict[str, Any] = {"command": "compare --out /a/b -- /c/run.py", "script": ["/c/run.py"]}
    recipe["arms"] = {"dsd": {"model_path": ["/home/me/x"]}}
    (out / "recipe.json").write_text(json.dumps(recipe))
    write_run(out / "seed-2" / "dense", (8, 7, 6), "dense", 2)
    (out / "seed-2" / "dense.json").write_text(json.dumps({"status": "failed", "error": "no file '/home/me/x.bin'"}))
    compared = Results.from_comparison(out).comparison
    assert compared is not None
    assert (compared.command, compared.script) == ("compare --out b -- run.py", ["run.py"])
    assert compared.arms["dsd"].arguments == "--model_path x"
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


def test_a_run_inside_a_comparison_finds_it(tmp_path: Path) -> None:
    out = write_comparison(tmp_path)
    assert results_of(out / "seed-1" / "dsd").comparison is None
    Comparison.from_folder(out).write(out)
    found = results_of(out / "seed-1" / "dsd")
    assert found.comparison is not None
    assert found.comparison.verdict is not None
    assert found.comparison.verdict.text == (
        "dsd and dense are not distinguishable with 3 seeds: -16.67 points of WER on average (better with 3 of 3; "
        "paired t, p = 0.074); 3 such seeds detect 27.20 points of WER or more with 80% power."
    )
    assert {(s.arm, s.seed) for s in found.phase_scores} == {(a, s) for a in ("dsd", "dense") for s in (1, 2, 3)}
    assert len(found.phase_scores) == 2 * 3 * 3 * 2
    assert len(found.own_scores()) == 2 * 3


def test_a_comparison_of_another_run_is_refused(tmp_path: Path) -> None:
    out = write_comparison(tmp_path / "out", 1)
    with pytest.raises(ValueError, match="holds another run as dsd of seed 1 than .*elsewhere: give the run's own"):
        results_of(write_run(tmp_path / "elsewhere", (8, 7, 0)), comparison=out)
    more = results_of(write_run(tmp_path / "more", (8, 7, 0), seed=9), comparison=out)
    assert [s.scores["wer"] for s in more.own_scores() if s.split == "test"] == pytest.approx([8 / 12, 7 / 12, 0])


def test_an_iterative_run_is_not_dsd(tmp_path: Path) -> None:
    write_run(tmp_path / "seed-1" / "iterative", (8, 7, 5))
    recipe = results_of(tmp_path / "seed-1" / "iterative").recipe
    assert recipe is not None
    assert recipe.arm == "iterative"


def test_what_a_person_wrote_survives_new_numbers(tmp_path: Path) -> None:
    words = Words("T", "Spoken digits", "digits", "mit", sections={"Findings": "- One."})
    old = Results.from_comparison(write_comparison(tmp_path / "old", 2), words)
    assert old.comparison is not None
    old = replace(old, studies={"S": {"50 %": old.comparison}})
    new = old.with_comparison(write_comparison(tmp_path / "new", 3))
    assert (new.words, list(new.studies), new.title, new.dataset_id) == (words, ["S"], "T", "digits")
    assert new.comparison is not None
    assert new.comparison.seeds == [1, 2, 3]
    assert len(new.phase_scores) == 2 * 3 * 3 * 2
    run = old.with_run(results_of(write_run(tmp_path / "run", (8, 7, 4))))
    assert (run.title, run.words, run.phase) == ("T", words, "phase-2-dense")


def test_a_run_alone_is_published_with_the_comparison_of_its_recipe_only(tmp_path: Path) -> None:
    compared = Results.from_comparison(write_comparison(tmp_path / "out", 2))
    again = compared.with_run(results_of(write_run(tmp_path / "again", (8, 7, 4), seed=9)))
    assert again.comparison == compared.comparison
    assert [(score.phase, score.seed) for score in again.own_scores() if score.split == "test"] == [
        ("phase-0-dense", 9),
        ("phase-1-sparse", 9),
        ("phase-2-dense", 9),
    ]
    assert len(again.phase_scores) == len(compared.phase_scores) + 2 * 3
    other = results_of(write_run(tmp_path / "other", (8, 7, 4), optimizer="SGD"))
    with pytest.raises(
        ValueError, match=r"compare runs of another recipe than the run's \(optimizer AdamW against SGD\)"
    ):
        compared.with_run(other)


def test_a_name_of_data_is_one_line_and_its_id_is_plain_letters(tmp_path: Path) -> None:
    found = results_of(write_run(tmp_path / "run", (8, 7, 4)), dataset="Données\n# injected")
    assert (found.dataset, found.dataset_id) == ("Données # injected", "donn-es-injected")
    for name in ("-", "./x", "données"):
        with pytest.raises(ValueError, match="dataset_id must be a name as on the Hub"):
            Words(dataset_id=name)


def test_written_and_read(tmp_path: Path) -> None:
    found = Results.from_comparison(write_comparison(tmp_path / "out", 2), Words(sections={"Description": "ä"}))
    assert found.comparison is not None
    found = replace(found, studies={"Sparsity": {"50 %": found.comparison}})
    path = found.write(tmp_path)
    found.words.write(tmp_path)
    read = Results.read(tmp_path)
    before = path.read_text()
    assert read.write(tmp_path).read_text() == before
    assert (read.model, read.recipe, read.phase_scores) == (found.model, found.recipe, found.phase_scores)
    assert read.words == found.words
    assert read.studies["Sparsity"]["50 %"].verdict == found.comparison.verdict


def _set(*keys: Any, to: Any) -> Callable[[dict[str, Any]], Any]:
    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("version", to=1), "format version 1, this hf_dsd reads 2: make it anew by `hf-dsd card"),
        (_set("repo_id", to="me/a/b"), "Repo id must be in the form"),
        (_set("titel", to="x"), "unexpected keyword argument 'titel'"),
        (lambda c: c.pop("model"), "KeyError.'model'"),
        (_set("model", to=[]), "is not as hf_dsd writes it"),
        (_set("model", to=None), "is not as hf_dsd writes it"),
        (_set("model", "parameters", to="many"), r"results\.model\.parameters is of the wrong kind"),
        (_set("recipe", to=42), "is not as hf_dsd writes it"),
        (_set("recipe", "phases", 1, "sparsity", to="50 %"), r"results\.recipe\.phases\[1\]\.sparsity is of the wrong"),
        (_set("recipe", "phases", to=None), "is not as hf_dsd writes it"),
        (_set("recipe", "command", to="rm"), r"results\.recipe\.command is of the wrong kind"),
        (_set("branches", to=[]), r"results\.branches is of the wrong kind"),
        (_set("figures", to="x"), r"results\.figures is of the wrong kind"),
        (_set("phase_scores", 0, "scores", to={"wer": None}), r"phase_scores\[0\]\.scores\['wer'\] is of the wrong"),
        (_set("phase_scores", 0, "phase", to="x"), "phase_scores name a phase"),
        (_set("studies", to=[1]), "is not as hf_dsd writes it"),
        (lambda c: c["comparison"].pop("arms"), "KeyError.'arms'"),
        (
            _set("comparison", "differences", 0, "interval", to=[1.0]),
            r"differences\[0\]\.interval is of the wrong kind",
        ),
        (_set("comparison", "runs", 0, "ci", to=[1.0]), r"comparison\.runs\[0\]\.ci is of the wrong kind"),
        (_set("comparison", "arms", "dsd", "mean", to=None), r"comparison\.arms\['dsd'\]\.mean is of the wrong kind"),
        (_set("comparison", "versions", to=float("nan")), r"results\.comparison\.versions is of the wrong kind"),
        (_set("comparison", "verdict", to=[1]), "is not as hf_dsd writes it"),
    ],
)
def test_a_wrong_results_json_is_refused_by_field(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = Results.from_comparison(write_comparison(tmp_path / "out", 2)).write(tmp_path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Results.read(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "42", "null", "[" * 100_000, "\xff"], ids=str)
def test_what_is_no_results_json(tmp_path: Path, content: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"is missing: make it by `hf-dsd card .* --comparison"):
        Results.read(tmp_path)
    (tmp_path / "results.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"results\.json is damaged \(.*\): make it anew by"):
        Results.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\ntitel: x\n---\n", "its head must hold title, dataset, "),
        ("---\n- a\n---\n", "its head must hold title, dataset, "),
        ("---\ntitle: a: b\n---\n", "its head is no YAML"),
        ("---\nlicense: 1\n---\n", "license must be text, got 1: put it into quotes"),
        ("---\nlanguage: [no]\n---\n", r"language must be text, got \[False\]"),
        ("---\ntitle: null\n---\n", "title must be text"),
        ("---\ndataset_id: CMU AN4\n---\n", "dataset_id must be a name as on the Hub"),
        ("# Finding\n", "heading 'Finding' must be one of Description, Training, "),
        ("# Paper\n# Paper\n", "each once"),
        ("Hello.\n# Paper\n", "text stands before the first heading: 'Hello.'"),
        ("\xff", "cannot be read"),
    ],
)
def test_wrong_words_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "words.md").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=rf"words\.md.*{message}"):
        Words.read(tmp_path)


def test_words_are_markdown(tmp_path: Path) -> None:
    assert Words.read(tmp_path) == Words()
    Words().write(tmp_path)
    assert [line[2:] for line in (tmp_path / "words.md").read_text().splitlines() if line[:2] == "# "] == list(HEADINGS)
    assert Words.read(tmp_path) == Words()
    code = "```\n# no heading\n```\n\n## A smaller one"
    (tmp_path / "words.md").write_text(f"---\nlanguage: en\n---\n\n# Commands\n\n{code}\n\n# Paper\n")
    assert Words.read(tmp_path) == Words(language=["en"], sections={"Commands": code})


def test_words_on_a_study_that_is_not_there_are_refused(tmp_path: Path) -> None:
    Results.from_comparison(write_comparison(tmp_path / "out", 1)).write(tmp_path)
    (tmp_path / "words.md").write_text("# Study: Sparsity\n\nWhy.\n")
    with pytest.raises(ValueError, match="has words on 'Study: Sparsity', and no such study"):
        Results.read(tmp_path)


def test_a_run_must_have_finished(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="give the output folder of a run that DSDTrainer has finished"):
        results_of(tmp_path)
    run = write_run(tmp_path / "run", (8, 7, 4), schedule=plan(["dense", "sparse", "dense", "sparse"]))
    with pytest.raises(ValueError, match="has not finished phase-3-sparse, only"):
        results_of(run)


@pytest.mark.parametrize(("name", "found"), [("CMU AN4", "cmu-an4"), ("user/x", "user/x"), ("a/b/c", "a-b-c")])
def test_ids_of_datasets(name: str, found: str) -> None:
    assert as_id(name) == found
