"""Runs that somebody has tampered with, and damaged ones: nothing outside them is touched, and errors name the file."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from card_runs import DENSE_ERRORS, DSD_ERRORS, publishable, results_of, write_run
from huggingface_hub import ModelCard
from rich.console import Console
from safetensors.torch import save_file
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.compare import Comparison
from hf_dsd.hub import Words, plan_revisions, render_card
from hf_dsd.hub.contents import read_finished_run
from hf_dsd.hub.publish import Listing, print_listing
from hf_dsd.hub.staging import stage_run
from hf_dsd.runs.run import Run

SECRET = "OF-SOMEBODY-ELSE"
_opened: list[Path] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("open", "os.listdir", "os.scandir", "shutil.copyfile"):
        _opened.extend(Path(os.path.realpath(one)) for one in arguments[:2] if isinstance(one, str | os.PathLike))


sys.addaudithook(_note)


@contextmanager
def opened_files() -> Iterator[list[Path]]:
    """What Python opens, lists or copies within the block, links followed."""
    global _opened
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run inside a comparison, OUT/seed-1/dsd, and beside OUT a folder of somebody else's."""
    out = tmp_path / "out"
    write_run(out / "seed-1" / "dense", DENSE_ERRORS[1], "dense", model="Mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("config.json", "notes.txt", "weights.png", "test_phase-2-dense.json"):
        (outside / name).write_text(f'{{"note": "{SECRET}"}}')
    run = publishable(write_run(out / "seed-1" / "dsd", DSD_ERRORS[1], model="Mine"))
    (outside / "model.safetensors").write_bytes((run / "phase-0-dense" / "model.safetensors").read_bytes())
    (outside / "dsd_summary.json").write_bytes((run / "dsd_summary.json").read_bytes())
    return run


def changed(path: str, *keys: Any, to: Any) -> Callable[[Path], None]:
    """Sets a value in a JSON file of the run."""

    def change(run: Path) -> None:
        content = json.loads((run / path).read_text())
        place = content
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to
        (run / path).write_text(json.dumps(content))

    return change


def linked(path: str, target: str) -> Callable[[Path], None]:
    """Makes a file or folder of the run a link to one outside."""

    def change(run: Path) -> None:
        if (run / path).is_dir():
            (run / path).rename(run / "away")
        (run / path).unlink(missing_ok=True)
        (run / path).symlink_to(run.parents[2] / "outside" / target)

    return change


def written(path: str, text: str) -> Callable[[Path], None]:
    """Replaces a file of the run."""

    def change(run: Path) -> None:
        (run / path).write_text(text)

    return change


def foreign_comparison(run: Path) -> None:
    out = run.parents[1]
    Comparison.from_folder(out).write(out)
    changed("comparison.json", "runs", 0, "folder", to="../outside")(out)


def weights_elsewhere(run: Path) -> None:
    (run / "phase-2-dense" / "model.safetensors").unlink()
    index = {"weight_map": {"a.weight": "../../../../outside/model.safetensors"}}
    (run / "phase-2-dense" / "model.safetensors.index.json").write_text(json.dumps(index))


AWAY = "phase-0-dense/../../../../outside"
TAMPERED: dict[str, Callable[[Path], None]] = {
    "a phase's name": changed("dsd_summary.json", "phases", 0, "name", to=AWAY),
    "a planned kind": changed("dsd_summary.json", "schedule", 2, "kind", to="dense/../../../../outside"),
    "a planned index": changed("dsd_summary.json", "schedule", 0, "index", to="../../../outside"),
    "an average": changed("dsd_summary.json", "weight_averages", to=["x/../../../../../outside"]),
    "the class": changed("dsd_summary.json", "model", to="../../../outside"),
    "the arm": changed("dsd_summary.json", "arm", to="../../outside"),
    "the run's id": changed("dsd_summary.json", "run", to="../../../outside"),
    "a score's phase": changed("test_phase-2-dense.json", "phase", to="../../../outside"),
    "a score's split": changed("test_phase-2-dense.json", "split", to="../../../outside/test"),
    "weights elsewhere": weights_elsewhere,
    "a comparison's run": foreign_comparison,
    "a linked summary": linked("dsd_summary.json", "dsd_summary.json"),
    "a linked phase": linked("phase-0-dense", "."),
    "linked weights": linked("phase-2-dense/model.safetensors", "model.safetensors"),
    "a linked configuration": linked("phase-2-dense/config.json", "config.json"),
    "linked scores": linked("test_phase-2-dense.json", "test_phase-2-dense.json"),
    "linked figures": linked("figures", "."),
    "a linked figure": linked("figures/weights.png", "weights.png"),
    "a linked folder in a phase": linked("phase-2-dense/1_Dense", "."),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_nothing_outside_a_tampered_run_is_read_written_or_listed(tmp_path: Path, run: Path, case: str) -> None:
    TAMPERED[case](run)
    outside = tmp_path / "outside"
    before = {path: path.read_bytes() for path in outside.iterdir()}
    commands = [
        ["publish", str(run), "--repo_id", "me/x", "--dry-run"],
        ["card", str(tmp_path / "card"), "--run", str(run)],
        ["report", str(run)],
        ["compare", "--collect", "--out", str(run.parents[1])],
    ]
    refused = 0
    for command in commands:
        with opened_files() as opened:
            done = CliRunner().invoke(app, command)
        assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exception)
        assert [path for path in opened if path.is_relative_to(outside)] == [], command
        assert SECRET not in done.output
        refused += done.exit_code != 0
    assert {path: path.read_bytes() for path in outside.iterdir()} == before
    texts = [path.read_text() for path in (tmp_path / "card").rglob("*") if path.is_file()]
    assert SECRET not in "".join(texts)
    assert refused == 4 or not case.startswith("linked") or case == "linked figures"


def test_only_the_reports_figures_are_listed(run: Path) -> None:
    (run / "figures" / "mine.png").write_bytes(b"mine")
    done = CliRunner().invoke(app, ["publish", str(run), "--repo_id", "me/x", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "figures/weights.png" in done.output
    assert "mine.png" not in done.output


def test_a_run_may_itself_be_a_link(tmp_path: Path, run: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    done = CliRunner().invoke(app, ["publish", str(tmp_path / "link"), "--repo_id", "me/x", "--dry-run"])
    assert done.exit_code == 0, done.output


def as_folder(path: str) -> Callable[[Path], None]:
    """Puts a folder in a file's place."""

    def change(run: Path) -> None:
        (run / path).unlink(missing_ok=True)
        (run / path).mkdir()

    return change


def cut(path: str) -> Callable[[Path], None]:
    """Cuts a file to half its length."""

    def change(run: Path) -> None:
        content = (run / path).read_bytes()
        (run / path).write_bytes(content[: len(content) // 2])

    return change


MODEL = "phase-2-dense"
OWN = '{"model_type": "deepspeech", "architectures": ["DeepSpeechForCTC"]}'


def own(path: str, text: str) -> Callable[[Path], None]:
    """A model of hf_dsd with another file beside its configuration."""

    def change(run: Path) -> None:
        (run / MODEL / "config.json").write_text(OWN)
        (run / MODEL / path).write_text(text)

    return change


DAMAGE: list[tuple[str, Callable[[Path], None], str, str]] = [
    ("publish", written(f"{MODEL}/config.json", '{"architectures": [null]}'), "config.json", "no list of names"),
    ("publish", written(f"{MODEL}/config.json", '{"architectures": 3}'), "config.json", "no list of names"),
    ("both", written(f"{MODEL}/config.json", "null"), "config.json", "must hold a JSON object"),
    ("both", written(f"{MODEL}/config.json", "42"), "config.json", "must hold a JSON object"),
    ("both", written(f"{MODEL}/config.json", "["), "config.json", "is damaged"),
    ("both", written(f"{MODEL}/config.json", "[" * 100_000), "config.json", "nested too deeply"),
    ("both", as_folder(f"{MODEL}/config.json"), "config.json", "IsADirectoryError"),
    ("publish", written(f"{MODEL}/generation_config.json", "42"), "generation_config.json", "must hold a JSON object"),
    ("both", written(f"{MODEL}/adapter_config.json", "42"), "adapter_config.json", "must hold a JSON object"),
    ("publish", own("processor_config.json", "42"), "processor_config.json", "must hold a JSON object"),
    ("publish", own("processor_config.json", "{}"), "processor_config.json", "makes no processor"),
    (
        "publish",
        own("preprocessor_config.json", '{"feature_extractor_type": 3}'),
        "preprocessor_config.json",
        "makes no",
    ),
    ("publish", own("tokenizer_config.json", '{"vocab_file": "/x/y"}'), "tokenizer_config.json", "is not beside it"),
    ("publish", own("config.json", OWN[:-1] + ', "hidden_size": "x"}'), "config.json", "makes no DeepSpeechForCTC"),
    ("publish", cut(f"{MODEL}/model.safetensors"), MODEL, "cannot be published (SafetensorError"),
    ("publish", written(f"{MODEL}/model.safetensors", ""), MODEL, "cannot be published (SafetensorError"),
    ("publish", written("phase-0-dense/model.safetensors", "junk"), "phase-0-dense", "cannot be published"),
    ("publish", as_folder(f"{MODEL}/model.safetensors"), MODEL, "holds no weights"),
    ("both", changed("dsd_summary.json", "phases", 1, "layers", 0, to={}), "dsd_summary.json", "has no 'name'"),
    ("both", changed("dsd_summary.json", "versions", to=float("nan")), "dsd_summary.json", "cannot be nan"),
    (
        "both",
        changed("test_phase-2-dense.json", "scores", "wer_ci", to=[1.0]),
        "test_phase-2",
        "two ends of an interval",
    ),
    ("both", changed("test_phase-1-sparse.json", "examples", to=None), "test_phase-1-sparse.json", "is damaged"),
]


@pytest.mark.parametrize(
    ("commands", "damage", "name", "message"), DAMAGE, ids=[f"{index}-{case[2]}" for index, case in enumerate(DAMAGE)]
)
def test_what_is_damaged_is_named(
    tmp_path: Path, commands: str, damage: Callable[[Path], None], name: str, message: str
) -> None:
    run = publishable(write_run(tmp_path / "run", DSD_ERRORS[1], model="Mine"))
    damage(run)
    publish, card = (
        ["publish", str(run), "--repo_id", "me/x", "--dry-run"],
        ["card", str(tmp_path / "c"), "--run", str(run)],
    )
    for command in [publish] if commands == "publish" else [publish, card]:
        done = CliRunner().invoke(app, command)
        said = " ".join(done.output.split())
        assert done.exit_code == 2, (command, done.output, done.exception)
        assert name in said
        assert message in said
        assert ":" in said.partition(message)[2], "a remedy"
        assert not (tmp_path / "c").exists()


NAMES = [
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](https://host/x.png)",
    "**bold**",
    "a\n# b\n```\n",
]


def test_a_phase_of_another_model_is_not_published_as_this_runs(run: Path) -> None:
    save_file({"a.weight": torch.zeros(30, 24)}, run / "phase-1-sparse" / "model.safetensors")
    listed = CliRunner().invoke(app, ["publish", str(run), "--repo_id", "me/x", "--dry-run"], env={"COLUMNS": "400"})
    assert listed.exit_code == 2
    damage = "another model's: a.weight is (30, 24), the run's is (30, 20)"
    assert f"phase-1-sparse cannot be published ({damage}): restore it, " in listed.output


@pytest.mark.parametrize("command", ["publish {} --repo_id me/x --dry-run", "card {}/card --run {}"])
@pytest.mark.parametrize("link", ["", "nowhere", "phase-0-dense"])
def test_a_phase_that_has_lost_its_model_or_scores_is_said(run: Path, caplog, command: str, link: str) -> None:
    shutil.rmtree(run / "phase-0-dense")
    if link:
        (run / "phase-0-dense").symlink_to(link)
    (run / "test_phase-1-sparse.json").unlink()
    done = CliRunner().invoke(app, [word.replace("{}", str(run)) for word in command.split()])
    assert done.exit_code == 0
    assert f"{run} has no model of phase-0-dense: " in caplog.text


def test_a_phase_whose_model_another_arm_has_is_not_lost(run: Path, caplog) -> None:
    shutil.rmtree(run / "phase-0-dense")
    summary = json.loads((run / "dsd_summary.json").read_text())
    summary["saved_phases"].remove("phase-0-dense")
    (run / "dsd_summary.json").write_text(json.dumps(summary))
    assert Run.read(run).lost_models == []
    assert caplog.text == ""


@pytest.mark.parametrize("left", ["nothing", "a link to nowhere"])
def test_the_control_is_on_the_card_where_the_comparison_was_lost(run: Path, left: str) -> None:
    out = run.parents[1]
    (out / "recipe.json").write_text('{"base": {}, "arms": {}}')
    Comparison.from_folder(out).write(out)
    whole = results_of(run).comparison
    (out / "comparison.json").unlink()
    if left != "nothing":
        (out / "comparison.json").symlink_to("nowhere")
    found = results_of(run).comparison
    assert found is not None
    assert whole is not None
    assert found.arms == whole.arms


@pytest.mark.parametrize("name", NAMES)
def test_names_mark_up_nothing_in_a_card(tmp_path: Path, name: str) -> None:
    facts: dict[str, Any] = {"model": name, "optimizer": name, "versions": {"torch": name, name: "1"}}
    facts |= {"lr_scheduler_type": name, "mask_criterion": name, "reset_optimizer_state": name}
    run = write_run(tmp_path / "run", (8, 7, 4), arm="dsd", command=["run.py", "--dataset_name", name], **facts)
    (run / "phase-2-dense" / "config.json").write_text(json.dumps({"model_type": name}))
    results = results_of(run)
    text = render_card(results)
    body = text.split("\n---\n", 1)[1]
    marked = "".join(re.split(r"^ {0,3}```.*$", body, flags=re.MULTILINE)[::2])  # outside the blocks of code
    assert "\n# b" not in body
    assert "<script" not in marked
    assert "**bold**" not in marked.replace(r"\*\*bold\*\*", "")
    assert "](javascript" not in marked.replace(r"\](javascript", "")
    assert "![x](" not in marked.replace(r"!\[x\](", "")
    assert len(re.findall(r"^ {0,3}```", body, re.MULTILINE)) == 2  # of use
    assert ModelCard(text, ignore_metadata_errors=False).data.to_dict()["datasets"] == [results.dataset_id]


def test_secrets_that_an_older_version_recorded_are_not_published(tmp_path: Path) -> None:
    command = ["run.py", "--auth", "abc1", "--note", "hf" + "_abcDEFghiJKL123", "--learning_rate", "1e-3"]
    write_run(tmp_path / "out" / "seed-1" / "dense", DENSE_ERRORS[1], "dense")
    run = publishable(write_run(tmp_path / "out" / "seed-1" / "dsd", DSD_ERRORS[1], model="Mine", command=command))
    recipe = {"command": shlex.join(["hf-dsd", "compare", "--", *command]), "script": command}
    (tmp_path / "out" / "recipe.json").write_text(json.dumps(recipe))
    Comparison.from_folder(run.parents[1]).write(run.parents[1])
    found = read_finished_run(run)
    with TemporaryDirectory() as folder:
        staged = stage_run(found, plan_revisions(found), results_of(run), Path(folder))
        texts = [path.read_text() for path in staged["main"].iterdir() if path.suffix in (".md", ".json")]
    assert len(texts) == 6
    assert "abc1" not in "".join(texts)
    assert "DEFghi" not in "".join(texts)
    assert sum("--learning_rate" in text and "***" in text for text in texts) == 3  # summary, results, card


def test_a_persons_words_are_markdown(tmp_path: Path) -> None:
    words = Words("A *title*", "[Data](https://host)", "data", sections={"Description": "<b>It</b> hears `digits`."})
    text = render_card(results_of(write_run(tmp_path / "run", (8, 7, 4)), words=words))
    assert "\n# A *title*\n" in text
    assert "\n[Data](https://host).\n" in text
    assert "<b>It</b> hears `digits`." in text


def test_a_run_is_read_once_and_its_weights_are_opened_at_most_twice(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for arm, errors in (("dsd", DSD_ERRORS[1]), ("dense", DENSE_ERRORS[1])):
        run = publishable(write_run(out / "seed-1" / arm, errors, arm))
        for phase in run.glob("phase-*"):
            (phase / "config.json").write_text(json.dumps({"model_type": "deepspeech2"}))
    Comparison.from_folder(out).write(out)
    (out / "seed-1" / "dsd" / "figures" / "weights.png").unlink()  # so that the report is drawn, too
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, str(out), "publish", "seed-1/dsd", "--repo_id", "me/x", "--dry-run"],
        cwd=out,
        check=True,
        capture_output=True,
        text=True,
    )
    opened = Counter(json.loads(done.stdout.splitlines()[-1]))
    summaries = {path: count for path, count in opened.items() if path.endswith("dsd_summary.json")}
    assert summaries == {"seed-1/dsd/dsd_summary.json": 1, "seed-1/dense/dsd_summary.json": 1}
    weights = {path: count for path, count in opened.items() if path.endswith(".safetensors")}
    assert weights == {
        f"seed-1/dsd/{phase}/model.safetensors": 2 for phase in ("phase-0-dense", "phase-1-sparse", MODEL)
    }


COUNTED = """
import json, os, sys
from collections import Counter
from pathlib import Path
import safetensors
root, opened, safe_open = Path(sys.argv[1]).resolve(), Counter(), safetensors.safe_open
def count(path):
    path = Path(os.path.realpath(path))
    if path.is_relative_to(root) and path.suffix in (".json", ".safetensors"):
        opened[path.relative_to(root).as_posix()] += 1
def audit(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[1] in ("r", "rb", None):
        count(arguments[0])
def counted(path, *arguments, **options):  # safetensors opens files where no audit hook sees it
    count(path)
    return safe_open(path, *arguments, **options)
sys.addaudithook(audit)
safetensors.safe_open = counted
from hf_dsd.cli import app
try:
    app(sys.argv[2:])
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(opened))
"""


def test_a_file_in_the_place_of_a_phase_is_named(tmp_path: Path, run: Path) -> None:
    """Left out in silence, the card would speak of fewer models than the run made."""
    shutil.rmtree(run / "phase-0-dense")
    (run / "phase-0-dense").write_text("x")
    for command in (
        ["publish", str(run), "--repo_id", "me/x", "--dry-run"],
        ["card", str(tmp_path), "--run", str(run)],
    ):
        done = CliRunner().invoke(app, command)
        assert done.exit_code != 0
        assert "phase-0-dense is no folder" in " ".join(done.output.split())


def test_a_file_is_listed_by_its_name_whatever_that_looks_like(tmp_path: Path) -> None:
    (tmp_path / "[red]x.py").write_text("")
    console = Console(file=io.StringIO(), width=100)
    print_listing(Listing("me/x", {"main": tmp_path}, "v1"), console)
    assert "[red]x.py" in console.file.getvalue()
