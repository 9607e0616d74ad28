"""A damaged file is named, with what to do about it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_folders import heard, write_run
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.compare import Comparison
from hf_dsd.compare.jobs import Job
from hf_dsd.compare.recipe import check_recipe

LAST = "phase-2-dense"
TRUNCATED, OBJECT = r"is damaged \(.*char \d+\)\)", r"is damaged \(it must hold a JSON object, got"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """One seed of two arms."""
    for arm, errors in (("dense", 3), ("dsd", 2)):
        write_run(tmp_path, 1, arm, {LAST: heard(errors)})
    return tmp_path


def refused(path: Path, text: str, said: str, remedy: str, call: Callable[[], object]) -> None:
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} {said}.*: {remedy}"):
        call()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"versi', TRUNCATED),
        ("\x00\x01", TRUNCATED),
        ("[1]", f"{OBJECT} list"),
        ("{}", "is not as hf_dsd writes it"),
        ('{"version": 1}', "is not as hf_dsd writes it"),
        (
            '{"version": 1, "arms": [], "runs": [], "differences": []}',
            "is damaged .its 'arms' is not",
        ),
        ('{"version": 1, "arms": {}, "runs": [{}], "differences": []}', "is not as hf_dsd writes it"),
    ],
)
def test_comparison_json(out: Path, text: str, said: str) -> None:
    remedy = re.escape(f"make it anew by `hf-dsd compare --collect --out {out}`")
    refused(out / "comparison.json", text, said, remedy, lambda: Comparison.read(out))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"v', TRUNCATED),
        ("[1]", f"{OBJECT} list"),
        ('{"version": 1}', "must hold base and arms"),
        ('{"base": [], "arms": {}}', "must hold base and arms"),
    ],
)
def test_recipe_json(out: Path, text: str, said: str) -> None:
    def check() -> object:
        return check_recipe(out, {"script": ["x"], "source": "1"}, {"dsd": {}}, force=True)

    remedy = "restore it, or remove it, and compare by --collect, or train anew by --force"
    refused(out / "recipe.json", text, said, remedy, check)
    assert (out / "seed-1" / "dsd").is_dir()  # nothing is lost by a damaged file
    if "base" not in said:
        refused(out / "recipe.json", text, said, remedy, lambda: Comparison.from_folder(out))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"sch', TRUNCATED),
        ("", r"is damaged \("),
        ("[]", f"{OBJECT} list"),
        ("{}", r"is damaged \(it has no 'schedule'"),
        ('{"schedule": [], "phases": []}', r"is damaged \('schedule' is empty"),
        ('{"schedule": [{}], "phases": []}', r"is damaged \(an entry of 'schedule' has no 'index'"),
        (
            '{"schedule": [{"index": 0, "kind": "dense"}], "phases": [{}]}',
            r"is damaged \(an entry of 'schedule' has no 'start'",
        ),
    ],
)
def test_dsd_summary_json(out: Path, text: str, said: str) -> None:
    path = out / "seed-1" / "dsd" / "dsd_summary.json"
    remedy = "restore it, or train the run again"
    refused(path, text, said, remedy, lambda: Comparison.from_folder(out))


@pytest.mark.parametrize(
    "content",
    [
        *({"calls": 5}, {"calls": [{"arms": 1, "seeds": []}]}, {"script": "x"}, {"command": 1}, {"settings": [1]}),
        *({"arms": {"../x": {}}}, {"baseline": "a/b"}),
    ],
    ids=json.dumps,
)
def test_recipe_json_of_another_shape(out: Path, content: dict[str, Any]) -> None:
    said, remedy = rf"is damaged \('{next(iter(content))}' is no ", "restore it, or remove it, and compare by --collect"
    refused(out / "recipe.json", json.dumps(content), said, remedy, lambda: Comparison.from_folder(out))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"status": "fin', TRUNCATED),
        ("", r"is damaged \("),
        ('"finished"', f"{OBJECT} str"),
        ('{"status": 5}', r"is damaged \(its status"),
        ('{"status": "failed", "error": 7}', r"is damaged \(its error"),
    ],
)
def test_the_status_of_a_run(out: Path, text: str, said: str) -> None:
    path, remedy = out / "seed-1" / "dsd.json", "remove it, and the same command goes on with that run"
    job = Job(out, 1, "dsd", {}, "digest")
    for call in (lambda: job.is_finished, lambda: Comparison.from_folder(out)):
        refused(path, text, said, remedy, call)


def test_the_command_says_it_in_one_line(out: Path) -> None:
    (out / "recipe.json").write_text('{"v')
    result = CliRunner().invoke(app, ["compare", "--collect", "--out", str(out)], env={"COLUMNS": "80"})
    assert result.exit_code == 2
    assert result.output.startswith(f"error {out}/recipe.json is damaged (")
    assert len(result.output.splitlines()) == 1


def test_what_is_whole_is_read(out: Path) -> None:
    Comparison.from_folder(out).write(out)
    assert json.loads((out / "comparison.json").read_text())["version"] == 4
    assert Comparison.read(out).arms["dsd"].n == 1
