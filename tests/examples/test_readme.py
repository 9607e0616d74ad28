"""The first page and the page of the examples: every command is one that exists, and the first snippet runs."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from scripts import ROOT, run

from hf_dsd.cli import app
from hf_dsd.trainer.script_arguments import parse_arguments

PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", ROOT / "model_cards" / "evidence" / "README.md"]
TOOLS = ("hf-dsd", "accelerate", "python", ".venv/bin/python", "pip", "make", "pytest")


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command in the page's blocks and code spans, comments and variables aside."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in "\n".join([*blocks, *spans]).replace("\\\n", " ").splitlines():
        if not line.strip().startswith((*TOOLS, "ACCELERATE_USE_CPU")):
            continue
        words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z_]+=", word)]
        if len(words) > 1 and words[0] in TOOLS:
            yield words


ALL = {" ".join(words): words for page in PAGES for words in commands(page)}


def test_the_pages_have_commands_to_look_at():
    tools = [words[0] for words in ALL.values()]
    assert all(tools.count(tool) >= 2 for tool in ("accelerate", "hf-dsd", "make", "pip", "python"))


@pytest.mark.parametrize("words", ALL.values(), ids=[text[:60] for text in ALL])
def test_a_command_of_the_pages_exists(words, monkeypatch):
    monkeypatch.chdir(ROOT)
    CHECKS[words[0]](words[1:])


def check_hf_dsd(words: list[str]) -> None:
    name, *rest = words
    own, script = (rest[: rest.index("--")], rest[rest.index("--") + 1 :]) if "--" in rest else (rest, [])
    group = typer.main.get_command(app)
    if name.startswith("--"):
        assert name in {option for parameter in group.params for option in parameter.opts} | {"--help"}
        return
    known = {
        option.replace("_", "-")
        for parameter in group.commands[name].params
        for option in [*parameter.opts, *parameter.secondary_opts]
    }
    assert {word.replace("_", "-") for word in own if word.startswith("--")} - known == set()
    if script:
        check_script(script)


def check_script(words: list[str]) -> None:
    """The file is there and, where it is an example, takes these options."""
    script, *options = words
    if script == "-c":
        compile(*options, filename="page", mode="exec")
        return
    assert Path(script).is_file()
    if script.startswith("examples/") and options:
        module = runpy.run_path(script)
        classes = [module[name] for name in ("Arguments",) if name in module]
        classes = classes or [module[f"{kind}Arguments"] for kind in ("Model", "Data", "Training")]
        parse_arguments(*classes, arguments=options)


def check_accelerate(words: list[str]) -> None:
    if "--config_file" not in words:  # a way to start that is spoken of, with nothing to start
        assert words[0] == "launch"
        return
    assert Path(words[words.index("--config_file") + 1]).is_file()
    script = next(index for index, word in enumerate(words) if word.endswith(".py"))
    check_script(words[script:])


def check_pip(words: list[str]) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for word in words[1:]:
        if match := re.fullmatch(r"\.\[([\w,]+)\]", word):
            assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in match[1].split(","))
        assert not word.startswith("hf-dsd")  # it is on no index
        assert not word.startswith("constraints") or (ROOT / word).is_file()


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert words[0] in targets


CHECKS = {
    "hf-dsd": check_hf_dsd,
    "accelerate": check_accelerate,
    "python": check_script,
    "pip": check_pip,
    "make": check_make,
    "pytest": lambda words: None,
}


def test_links_lead_somewhere():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) + re.findall(r'src="([^":]+)"', text)
        assert [link for link in links if not (page.parent / link).exists()] == []
        headings = {
            re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
            for h in re.findall(r"^## (.*)$", text, re.MULTILINE)
        }
        assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_the_first_page_is_short_and_its_pictures_small():
    lines = PAGES[0].read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert lines[3].startswith("pip install ")
    figures = sorted((ROOT / "examples" / "figures").glob("*.png"))
    assert [figure.name for figure in figures] == ["report.png", "weights.png"]
    assert all(figure.stat().st_size < 100_000 for figure in figures)


def test_the_first_snippet_runs_as_it_stands(tmp_path):
    snippet = re.search(r"```python\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "snippet.py").write_text(snippet, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "snippet.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [
        re.fullmatch(r"(phase-\d-\w+): 376 steps, [\d.]+ s, eval_loss ([\d.]+)", line)
        for line in done.stdout.splitlines()[-3:]
    ]
    assert [line[1] for line in lines] == ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]
    assert float(lines[2][2]) < 2.0 < 5.3  # the loss of a guess is ln 199 = 5.3


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^version = "(.*)"$', project, re.MULTILINE)[1] == citation["version"]
    assert len(citation["preferred-citation"]["authors"]) == 12
    assert run(sys.executable, "-m", "hf_dsd", "--version") == f"hf-dsd {citation['version']}\n"


def test_env_names_versions_and_devices_and_no_variable(monkeypatch):
    text = run(sys.executable, "-m", "hf_dsd", "env", HF_TOKEN="hf_SECRET")
    lines = dict(re.split(r" +", line, maxsplit=1) for line in text.splitlines())
    assert lines["torch"]
    assert lines["devices"].split(",")[0].endswith("CPU cores")
    assert "SECRET" not in text
    assert str(Path.home()) not in text
