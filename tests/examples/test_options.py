"""One dialect: what a script calls a thing, every script that has the thing calls so."""

import runpy
from dataclasses import fields

import pytest
from scripts import ROOT

from hf_dsd.trainer.script_arguments import parse_arguments

SCRIPTS = sorted(path.stem for path in (ROOT / "examples").glob("run_*.py"))
EVERYWHERE = {"model_name_or_path", "train_size", "train_size_seed", "train_split", "validation_split", "test_split"}


def groups(script: str) -> list[type]:
    module = runpy.run_path(str(ROOT / "examples" / f"{script}.py"))
    return [module[f"{kind}Arguments"] for kind in ("Model", "Data", "Training")]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_has_these_options(script):
    names = {field.name for group in groups(script) for field in fields(group)}
    assert EVERYWHERE - names == set()


@pytest.mark.parametrize("option", ["--model_path", "--model-path"])
@pytest.mark.parametrize("script", ["run_captioning", "run_speech_recognition_ctc"])
def test_the_old_name_of_the_model_goes_on(script, option):
    model, *_ = parse_arguments(*groups(script), arguments=["--output_dir", "x", "--use_cpu", "true", option, "y"])
    assert model.model_name_or_path == "y"
