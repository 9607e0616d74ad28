"""A script's arguments: a recipe file, and options over it."""

import json
import re
import runpy
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest
from scripts import ROOT
from transformers import GPT2Config
from typer.testing import CliRunner

from hf_dsd import DSDTrainingArguments
from hf_dsd.cli import app
from hf_dsd.trainer.script_arguments import expand_recipe, expand_script, parse_arguments, read_overrides


@dataclass
class Data:
    """A script's own options."""

    data_dir: str | None = None
    feature_columns: str | None = None
    scenes: int = 5
    factors: list[float] = field(default_factory=lambda: [1.0])
    config_overrides: str = "{}"


RECIPE = """
# The learning rates as people write them; `no` is a text.
phase_epochs: [4, 2, 2]
phase-learning-rates: [1e-3, 2.5E-4, .0001]
sparsity: 0.5
sparsity_overrides: {lstm: 0.25, decoder: 1e-1}
eval_strategy: no
report_to: none
do_eval: true
feature_columns: 0:1280
config_overrides: {hidden_size: 256, strides: [[2, 2], [1, 1]]}
data_dir: null
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def test_a_recipe_and_options_over_it(recipe):
    data, training = parse_arguments(
        Data, DSDTrainingArguments, arguments=[str(recipe), "--sparsity", "0.7", "--output-dir", "x", "--scenes", "9"]
    )
    assert (training.phase_epochs, training.phase_learning_rates) == ([4, 2, 2], [1e-3, 2.5e-4, 1e-4])
    assert (training.sparsity, training.sparsity_overrides) == ([0.7], {"lstm": 0.25, "decoder": 0.1})
    assert (training.eval_strategy.value, training.do_eval, training.output_dir) == ("no", True, "x")
    assert (data.feature_columns, data.data_dir, data.scenes) == ("0:1280", None, 9)
    assert json.loads(data.config_overrides) == {"hidden_size": 256, "strides": [[2, 2], [1, 1]]}


def test_a_comparison_s_script_is_known_by_the_options_of_its_recipe(recipe):
    options = expand_recipe([str(recipe)])
    assert expand_script(["dense", "run.py", str(recipe), "--seed", "1"]) == [
        "dense",
        "run.py",
        *options,
        "--seed",
        "1",
    ]
    assert expand_script(["run.py", "--x", str(recipe)]) == ["run.py", "--x", str(recipe)]
    assert expand_script([]) == []
    done = CliRunner().invoke(app, ["compare", "--", "run.py", "nowhere.yaml"])
    assert (done.exit_code, done.stdout[:44]) == (2, "error the recipe nowhere.yaml cannot be read")


def test_json_says_the_same_as_yaml(recipe, tmp_path):
    options = expand_recipe([str(recipe)])
    values = {"phase_epochs": [4, 2, 2], "phase-learning-rates": [1e-3, 2.5e-4, 1e-4], "sparsity": 0.5}
    values |= {"sparsity_overrides": {"lstm": 0.25, "decoder": 0.1}, "eval_strategy": "no", "report_to": "none"}
    values |= {"do_eval": True, "feature_columns": "0:1280", "data_dir": None}
    values["config_overrides"] = {"hidden_size": 256, "strides": [[2, 2], [1, 1]]}
    (tmp_path / "recipe.json").write_text(json.dumps(values, indent="\t"))
    assert expand_recipe([str(tmp_path / "recipe.json"), "--seed", "3"]) == [
        *expand_recipe([str(recipe)]),
        "--seed",
        "3",
    ]
    assert options[:4] == ["--phase_epochs", "4", "2", "2"]
    assert options[options.index("--sparsity_overrides") + 1] == '{"lstm": 0.25, "decoder": 0.1}'


def test_a_summary_will_hold_the_options_that_the_recipe_stands_for(recipe, monkeypatch):
    monkeypatch.setattr("sys.argv", ["run.py", str(recipe), "--scenes", "9"])
    parse_arguments(Data, DSDTrainingArguments)
    assert sys.argv == ["run.py", *expand_recipe([str(recipe)]), "--scenes", "9"]
    assert sys.argv[1:5] == ["--phase_epochs", "4", "2", "2"]


def test_a_text_that_begins_like_an_option_stays_a_value(tmp_path):
    (tmp_path / "r.yaml").write_text("data_dir: --x\nfactors: [-1.5]\n")
    (data,) = parse_arguments(Data, arguments=[str(tmp_path / "r.yaml")])
    assert (data.data_dir, data.factors) == ("--x", [-1.5])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sparsty: 0.5", "'sparsty', which is no option of this script: did you mean sparsity?"),
        ("zzzzzz: 1", "'zzzzzz', which is no option of this script; --help lists them"),
        ("seed: 1\nseed: 2", "the key 'seed' appears twice: give it once"),
        ("? [a, b]\n: 1", "cannot be read: while constructing a mapping"),
        ("- seed", "must hold options, such as sparsity: 0.5, got list"),
        ("factors: []", "factors is an empty list, which a command line cannot say: leave it out"),
        ("a: [1", "cannot be read: while parsing a flow sequence"),
        ("sparsity: high", "argument --sparsity: invalid float value: 'high'"),
        ("sparsity: 1.5", r"sparsity must be a fraction in \[0, 1\), got 1.5"),
    ],
    ids=lambda text: text.split("\n")[0][:12],
)
def test_a_bad_recipe_is_named(content, message, tmp_path):
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        parse_arguments(Data, DSDTrainingArguments, arguments=[str(tmp_path / "r.yaml"), "--output_dir", "x"])
    assert "\n" not in str(error.value)


def test_a_key_of_json_stands_there_once(tmp_path):
    (tmp_path / "r.json").write_text('{"seed": 1, "seed": 2}')
    with pytest.raises(ValueError, match="the key 'seed' appears twice"):
        parse_arguments(DSDTrainingArguments, arguments=[str(tmp_path / "r.json")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sparsty", "0.5"], "^--sparsty is no option of this script: did you mean --sparsity[?]$"),
        (["--sparsity", "0.5", "nowhere.yaml"], "invalid float value: 'nowhere.yaml'"),
        (["--seed", "1", "r.yaml"], "^'r.yaml' belongs to no option: options begin with --, and a recipe file stands"),
        (["nowhere.yaml"], "^the recipe nowhere.yaml cannot be read .No such file or directory.: give its path from "),
        (["--eval_strategy", "sometimes"], "invalid choice: 'sometimes'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_options_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        parse_arguments(Data, DSDTrainingArguments, arguments=arguments)


CARD = "model_cards"
SCRIPTS = [path for path in sorted((ROOT / "examples").glob("*.py")) if path.name != "plain_loop.py"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_takes_a_recipe_and_ends_in_one_line(script, tmp_path, monkeypatch, capsys):
    (tmp_path / "recipe.yaml").write_text("sparsity: 1.5\n")
    words = [str(script), str(tmp_path / "recipe.yaml"), "--output-dir", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error sparsity must be a fraction in [0, 1), got 1.5")
    assert not (tmp_path / "out").exists()


CARDS = [path for path in sorted((ROOT / "examples" / "recipes").glob("*.yaml")) if (ROOT / CARD / path.stem).is_dir()]


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_a_card_s_recipe_is_the_command_of_its_numbers(path):
    command = json.loads((ROOT / CARD / path.stem / "results.json").read_text())["recipe"]["command"]
    script = runpy.run_path(str(ROOT / "examples" / command[0]))
    classes = [script[f"{kind}Arguments"] for kind in ("Model", "Data", "Training")]
    of_run = ["--output_dir", "x", "--seed", "1", "--data_dir", "d", "--keep_phase_checkpoints", "0"]
    of_run += ["--save_total_limit", "1", "--resume_from_checkpoint", "c"]  # what is the run's and not the recipe's
    read, recorded = (parse_arguments(*classes, arguments=[*a, *of_run]) for a in ([str(path)], command[1:]))
    assert _values(read) == _values(recorded)


def _values(parsed):
    values = [asdict(parsed[0]), asdict(parsed[1]), parsed[2].to_dict()]
    return [{**each, "config_overrides": json.loads(each.get("config_overrides", "{}"))} for each in values]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"n_layr": 1}', "config_overrides has 'n_layr', which is no field of GPT2Config: did you mean n_layer?"),
        ('{"n_layer": 1, "xyz": 2}', "config_overrides has 'xyz', which is no field of GPT2Config; leave it out"),
        ("n_layer=1", "config_overrides must be JSON (Expecting value: line 1 column 1 (char 0)), got 'n_layer=1'"),
        ("[1]", "config_overrides must be a JSON object, such as {\"hidden_size\": 64}, got '[1]'"),
    ],
    ids=["misspelt", "unknown", "no JSON", "no object"],
)
def test_overrides_name_fields_that_there_are(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_overrides(text, GPT2Config())


def test_overrides_may_use_every_name_of_a_field():
    overrides = {
        "n_layer": 1,
        "hidden_size": 8,
        "num_labels": 3,
        "eos_token_id": 2,
    }  # the class's, an alias, a property
    assert read_overrides(json.dumps(overrides), GPT2Config()) == overrides
