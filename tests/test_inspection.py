"""What would be pruned, against a brute-force count, without weights in memory."""

import io
import json
import re
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import logging as hub_logging
from rich.console import Console
from tiny import TinyCNN, TinyGPT2, TinyLSTM, build
from torch import nn
from transformers import BertConfig, GPT2Config, GPT2LMHeadModel
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.inspection import build_without_weights, inspect_model, print_inspection
from hf_dsd.models import DeepSpeech2Config, DeepSpeechConfig, NeuralTalkConfig


@pytest.mark.parametrize("model_class", [TinyLSTM, TinyCNN, TinyGPT2])
def test_totals_equal_a_count(model_class):
    model = build(model_class)
    inspection = inspect_model(model, 0.3)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert {target.name: target.numel for target in inspection.targets} == sizes
    assert {target.name for target in inspection.targets if target.is_pruned} == set(model_class.pruned)
    assert inspection.weights == sum(sizes.values())
    assert inspection.target_weights == sum(sizes[name] for name in model_class.pruned)
    assert inspection.pruned == sum(round(0.3 * sizes[name]) for name in model_class.pruned)


@pytest.mark.parametrize(
    ("config", "architecture", "weights"),
    [
        (DeepSpeechConfig(), "DeepSpeechForCTC", 8_139_805),
        (DeepSpeech2Config(), "DeepSpeech2ForCTC", 67_696_733),
        (GPT2Config(n_layer=2), "GPT2LMHeadModel", 53_561_088),  # 2 x 7,087,872 + 38,597,376 + 786,432 + 1,536
        (GPT2Config(n_layer=1), None, 46_473_216),
    ],
    ids=["deepspeech", "deepspeech2", "gpt2", "no architecture"],
)
def test_a_configuration_is_enough(config, architecture, weights, tmp_path):
    config.architectures = [architecture] if architecture else None
    config.save_pretrained(tmp_path)
    model = build_without_weights(str(tmp_path))
    assert inspect_model(model).weights == weights
    assert sum(p.untyped_storage().nbytes() for p in model.parameters()) <= 8 * len(list(model.parameters()))


def test_tied_weights_are_counted_once(tmp_path):
    config = GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=11, n_positions=6)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    model = build_without_weights(str(tmp_path))
    assert model.lm_head.weight is model.transformer.wte.weight
    reasons = {p.name: p.dense_reason for p in inspect_model(model).targets}
    assert reasons["transformer.wte.weight"] == "embedding tied to a head"
    assert "lm_head.weight" not in reasons


def test_the_command(tmp_path: Path) -> None:
    config = DeepSpeechConfig(hidden_size=10, num_dense_layers=1)
    config.architectures = ["DeepSpeechForCTC"]
    config.save_pretrained(tmp_path)
    options = ["--sparsity", "0.5", "--sparsity-overrides", '{"weight_hh$": 0.25}', "--dense-modules", "^output[a-z_]"]
    result = CliRunner().invoke(app, ["inspect", str(tmp_path), *options], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert re.search(r"recurrent\.recurrence\.\S+ +10 x 10  25 % = 25 pruned\n", result.output)
    assert re.search(r"output_dense\.\S+ +10 x 10  dense: dense_modules pattern '\^output\[a-z_\]'\n", result.output)
    assert re.search(r"([\d,]+) of ([\d,]+) weights of the model: \d", result.output)


def bert_folder(folder: Path) -> str:
    """A BERT of six layers, by its configuration."""
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=6, intermediate_size=1536)
    config.architectures = ["BertForMaskedLM"]
    config.save_pretrained(folder)
    return str(folder)


def test_repeated_layers_are_one_row_and_no_name_is_broken(tmp_path: Path) -> None:
    command = ["inspect", bert_folder(tmp_path), "--sparsity", "0.5"]
    output = CliRunner().invoke(app, command, env={"COLUMNS": "80"}).output
    name = "bert.encoder.layer.{0-5}.attention.self.query.weight"
    assert f"{name}\n    6 x 384 x 384  50 % = 442,368 pruned\n" in output
    assert len(output.splitlines()) < 30
    assert re.search(r"2 parameter\(s\)\n    [\d,]+ weights  dense: embedding\n", output)
    wide = CliRunner().invoke(app, command, env={"COLUMNS": "160"}).output
    assert re.search(rf"^{re.escape(name)} +6 x 384 x 384  50 % = 442,368 pruned$", wide, re.MULTILINE)


def test_a_model_with_a_list_of_its_own_fits_eighty_columns() -> None:
    card = Path(__file__).parents[1] / "model_cards" / "neuraltalk-flickr8k"
    lines = CliRunner().invoke(app, ["inspect", str(card)], env={"COLUMNS": "80"}).output.splitlines()
    assert r"    2541 x 256  dense: dsd_dense_modules pattern '(^|\.)word_embedding\.'" in lines
    assert max(map(len, lines)) <= 80


def test_all_lists_every_parameter_and_json_is_for_programs(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path)
    plan = inspect_model(build_without_weights(folder), 0.5)
    lines = CliRunner().invoke(app, ["inspect", folder, "--all"], env={"COLUMNS": "60"}).output.splitlines()
    assert {target.name for target in plan.targets} <= set(lines)
    read = json.loads(CliRunner().invoke(app, ["inspect", folder, "--sparsity", "0.5", "--json"]).output)
    assert (read["weights"], read["pruned"]) == (plan.weights, plan.pruned)
    found = {one["name"]: (one["pruned"], one["dense_reason"]) for one in read["parameters"]}
    assert found == {target.name: (target.pruned_count(0.5), target.dense_reason) for target in plan.targets}


def test_rows_hold_only_what_is_alike() -> None:
    def layer(width: int) -> nn.ModuleDict:
        return nn.ModuleDict({"sub": nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, width)])})

    model = nn.ModuleList([layer(4), layer(4), layer(6)])
    console = Console(record=True, width=120, file=io.StringIO())
    print_inspection(inspect_model(model, sparsity_overrides={r"^1\.sub\.0": 0.25}), console)
    rows = [line.split()[0] for line in console.export_text().splitlines() if "pruned" in line][:-1]
    assert rows == ["{0,2}.sub.0.weight", "{0-1}.sub.1.weight", "1.sub.0.weight", "2.sub.1.weight"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sparsity", "30"], "sparsity must be a fraction in [0, 1), got 30; write 0.3 for 30 %"),
        (["--sparsity-overrides", "{"], "sparsity_overrides must be a dictionary from regex to fraction"),
        (["--dense-modules", "conv[a-z]"], "dense_modules pattern 'conv[a-z]' matches no parameter"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(options, message, tmp_path):
    config = DeepSpeechConfig(hidden_size=10, num_dense_layers=1)
    config.architectures = ["DeepSpeechForCTC"]
    config.save_pretrained(tmp_path)
    result = CliRunner().invoke(app, ["inspect", str(tmp_path), *options], env={"COLUMNS": "400"})
    assert result.exit_code == 2
    assert result.output.startswith(f"error {message}")


def test_a_folder_that_is_not_there_is_named(caplog: pytest.LogCaptureFixture) -> None:
    told = hub_logging.get_verbosity()
    result = CliRunner().invoke(app, ["inspect", "runs/nosuch"], env={"COLUMNS": "400"})
    assert result.exit_code == 2
    assert result.output.startswith("error there is no folder runs/nosuch, and the Hub gave none: ")
    assert caplog.messages == ["there is no folder runs/nosuch: looking for a model of this name on the Hub"]
    assert hub_logging.get_verbosity() == told


def test_a_damaged_file_is_not_called_a_missing_folder(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{")
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "config.json")], env={"COLUMNS": "400"})
    assert result.exit_code == 2
    assert "there is no folder" not in result.output
    assert "config.json" in result.output


def test_the_fraction_asked_for_is_said_per_parameter() -> None:
    model = build(TinyCNN)
    overridden = TinyCNN.pruned[0]
    inspection = inspect_model(model, 0.3, sparsity_overrides={f"^{re.escape(overridden)}$": 0.55})
    asked = {overridden: 0.55, TinyCNN.pruned[1]: 0.3}
    assert {one.name: one.pruned_count(0.3) for one in inspection.targets} == {
        one.name: round(asked.get(one.name, 0) * one.numel) for one in inspection.targets
    }


def test_a_runs_folder_names_its_models(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json: give a folder that save_pretrained"):
        build_without_weights(str(tmp_path))
    for name in ("phase-1-sparse", "phase-0-dense"):
        NeuralTalkConfig().save_pretrained(tmp_path / name)
    message = f"{tmp_path} holds no config.json: give one of {tmp_path}/phase-0-dense, {tmp_path}/phase-1-sparse"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        build_without_weights(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_embd": 16}, r"transformer\.h\.0\.attn\.c_attn\.bias is \(24,\), \(48,\) by it"),
        ({"n_layer": 3}, r"transformer\.h\.\*\.attn\.c_attn\.bias is there 2 times, 3 by it"),
        ({"n_layer": 1}, r"transformer\.h\.\*\.attn\.c_attn\.bias is there 2 times, 1 by it"),
    ],
    ids=["wider", "deeper", "less deep"],
)
def test_a_configuration_of_another_model_than_the_weights_is_refused(tmp_path: Path, change, message) -> None:
    sizes = {"n_layer": 2, "n_embd": 8, "n_head": 2, "vocab_size": 11, "n_positions": 6}
    GPT2LMHeadModel(GPT2Config(**sizes)).save_pretrained(tmp_path)
    weights = inspect_model(build_without_weights(str(tmp_path))).weights
    GPT2Config(**sizes | change, architectures=["GPT2LMHeadModel"]).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"config\.json is not the one of the weights beside it \({message}\): resto"):
        build_without_weights(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"x")  # what cannot be read cannot tell
    assert inspect_model(build_without_weights(str(tmp_path))).weights != weights


def test_a_file_in_the_place_of_a_models_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "phase-1-sparse").write_text("x")
    with pytest.raises(ValueError, match=r"phase-1-sparse is a file, not a model's folder: give a folder that save_"):
        build_without_weights(str(tmp_path / "phase-1-sparse"))


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^sparsity must be a fraction in \[0, 1\), got 30; write 0\.3 for 30 %$"):
        inspect_model(torch.nn.Linear(2, 2), 30)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"Unrecognized model in .* Should have a `model_type` key in its config.json"):
        build_without_weights(str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        '{"model_type": "gpt2", "n_em',
        '{"model_type": "gpt2", "n_embd": "x"}',
        '{"model_type": "gpt2", "n_embd": 0}',
        '{"model_type": "gpt2", "n_head": null}',
        '{"model_type": ["gpt2"]}',
        "[" * 100_000,
        "[1]",
        "",
        '{"é": 1}'.encode("latin-1"),
    ],
    ids=range(9),
)
def test_a_damaged_configuration_is_named(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(
        ValueError, match=rf"^{re.escape(str(tmp_path))}/config\.json makes no model \(.*\): restore it, "
    ):
        build_without_weights(str(tmp_path))
