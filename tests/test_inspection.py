"""What would be pruned, against a brute-force count, without weights in memory."""

import re
from pathlib import Path

import pytest
import torch
from tiny import TinyCNN, TinyGPT2, TinyLSTM, build
from transformers import GPT2Config, GPT2LMHeadModel
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.inspection import build_without_weights, inspect_model
from hf_dsd.models import DeepSpeech2Config, DeepSpeechConfig, NeuralTalkConfig


@pytest.mark.parametrize("model_class", [TinyLSTM, TinyCNN, TinyGPT2])
def test_totals_equal_a_count(model_class):
    model = build(model_class)
    inspection = inspect_model(model, 0.3)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert {p.name: p.weights for p in inspection.parameters} == sizes
    assert {p.name for p in inspection.parameters if not p.dense_reason} == set(model_class.pruned)
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
    reasons = {p.name: p.dense_reason for p in inspect_model(model).parameters}
    assert reasons["transformer.wte.weight"] == "embedding tied to a head"
    assert "lm_head.weight" not in reasons


def test_the_command(tmp_path: Path) -> None:
    config = DeepSpeechConfig(hidden_size=10, num_dense_layers=1)
    config.architectures = ["DeepSpeechForCTC"]
    config.save_pretrained(tmp_path)
    options = ["--sparsity", "0.5", "--sparsity-overrides", '{"weight_hh$": 0.25}', "--dense-modules", "^output[a-z_]"]
    result = CliRunner().invoke(app, ["inspect", str(tmp_path), *options], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    square = r"\.\S+\s*│\s*10 x 10\s*│\s*100\s*│"
    assert re.search(r"parameter\s*┃\s*shape\s*┃\s*weights\s*┃\s*target\s*┃\s*pruned\s*┃ dense because", result.output)
    assert re.search(rf"recurrent\.recurrence{square}\s*25 %\s*│\s*25\s*│", result.output)
    assert re.search(rf"output_dense{square}\s*│\s*│ dense_modules pattern '\^output\[a-z_\]'", result.output)
    assert re.search(r"([\d,]+) of ([\d,]+) weights of the model: \d", result.output)


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


@pytest.mark.parametrize("columns", [70, 50, 40])
def test_a_narrow_terminal_loses_no_text(tmp_path: Path, columns: int) -> None:
    NeuralTalkConfig(vocab_size=94).save_pretrained(tmp_path)
    options = ["--sparsity", "0.125"]
    output = CliRunner().invoke(app, ["inspect", str(tmp_path), *options], env={"COLUMNS": str(columns)}).output
    assert "…" not in output
    assert max(map(len, output.splitlines())) <= columns
    rows = [line[1:-1].split("│") for line in output.splitlines() if line.startswith("│")]
    assert {len(row) for row in rows} == {6}
    cells = ["".join(row[column].strip() for row in rows) for column in range(6)]
    for parameter in inspect_model(build_without_weights(str(tmp_path)), 0.125).parameters:
        assert parameter.name in cells[0]
        assert f"{parameter.weights:,}" in cells[2]
        assert parameter.dense_reason.replace(" ", "") in cells[5].replace(" ", "")
    assert "12.5%" in cells[3].replace(" ", "")


def test_the_fraction_asked_for_is_said_per_parameter() -> None:
    model = build(TinyCNN)
    overridden = TinyCNN.pruned[0]
    found = inspect_model(model, 0.3, sparsity_overrides={f"^{re.escape(overridden)}$": 0.55}).parameters
    targets = {one.name: one.target for one in found}
    assert targets == {one.name: 0.0 if one.dense_reason else 0.55 if one.name == overridden else 0.3 for one in found}
    assert {one.name: one.pruned for one in found} == {one.name: round(one.target * one.weights) for one in found}


def test_a_runs_folder_names_its_models(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json: give a folder that save_pretrained"):
        build_without_weights(str(tmp_path))
    for name in ("phase-1-sparse", "phase-0-dense"):
        NeuralTalkConfig().save_pretrained(tmp_path / name)
    message = f"{tmp_path} holds no config.json: give one of {tmp_path}/phase-0-dense, {tmp_path}/phase-1-sparse"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        build_without_weights(str(tmp_path))


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^sparsity must be a fraction in \[0, 1\), got 30; write 0\.3 for 30 %$"):
        inspect_model(torch.nn.Linear(2, 2), 30)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"Unrecognized model in .* Should have a `model_type` key in its config.json"):
        build_without_weights(str(tmp_path))
