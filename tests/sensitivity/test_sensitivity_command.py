"""What the user sees: table, figure, files, exit status."""

import json
import re
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import save_captioner, write_captions
from matplotlib.image import imread
from PIL import Image
from quadratic import BASE, Quadratic, squares
from rich.console import Console
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.data import load_captions
from hf_dsd.sensitivity import Sensitivity, measure_sensitivity
from hf_dsd.sensitivity.figure import build_figure, draw_sensitivity
from hf_dsd.sensitivity.table import print_sensitivity


@pytest.fixture
def result() -> Sensitivity:
    model = Quadratic()
    return measure_sensitivity(
        model, lambda: {"loss": model.loss(), "wer": 0.1 + model.loss() / 1e5}, (0.1, 0.2, 0.9), data="five vectors"
    )


def test_the_table(result, capsys):
    print_sensitivity(result, Console(width=80), {"wer": False})
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == ["Quadratic", "five vectors"]
    assert "loss: % worse than the dense model's 10000.000, red beyond 5" in lines
    assert "wer [%]: the dense model's is 20.0" in lines
    text = "\n".join(lines)
    assert re.search(r"^pruned +0\.1 +0\.2 +0\.9 +up to$", text, re.MULTILINE)
    assert re.search(r"^all layers at once +1\.0 +5\.0 +288 +0\.1\n20\.1 +20\.5 +48\.8$", text, re.MULTILINE)
    assert re.search(r"^a\.weight +0\.0 +0\.1 +2\.9 +0\.9\n", text, re.MULTILINE)
    assert "- With the suggestion wer [%] is 20.1, the dense model's 20.0.\n" in text
    assert lines[-1] == """Suggested: --sparsity 0.2 --sparsity_overrides '{"b.weight": 0.1}'"""


def test_a_difference_too_small_to_show_has_no_sign(capsys):
    model = Quadratic()
    result = measure_sensitivity(model, lambda: 1e6 - model.loss() / 1e3, (0.2, 0.9))  # 0.05 and 28.8 less than 1e6
    print_sensitivity(result, Console(width=80))
    assert re.search(r"^ *all layers at once +0\.0 +0\.0 ", capsys.readouterr().out, re.MULTILINE)


def test_the_figure(result, tmp_path):
    figure = build_figure(result, {"wer": False})
    together, alone, wer, _ = figure.axes
    expected = [BASE + squares(k) + squares(k, 10) for k in (0, 1, 2, 9)]
    assert list(together.lines[0].get_xdata()) == [0.0, 0.1, 0.2, 0.9]
    assert list(together.lines[0].get_ydata()) == expected
    (star,) = (line for line in together.lines if line.get_label() == "suggested, with overrides")
    assert [*star.get_xdata(), *star.get_ydata()] == [0.2, BASE + squares(2) + 100]
    assert {line.get_label(): line.get_ydata()[-1] for line in alone.lines[:2]} == {
        "a.weight": BASE + squares(9),
        "b.weight": BASE + squares(9, 10),
    }
    assert list(wer.lines[0].get_ydata()) == [0.1 + value / 1e5 for value in expected]
    low, high = together.get_ylim()
    assert low < BASE
    assert BASE + 8 * 500 < high < BASE + 9 * 500  # cut off where the tolerance would be too small to see
    image = imread(draw_sensitivity(result, tmp_path, {"wer": False}))
    assert image.shape[1] == 12 * 130
    assert np.unique(image[..., :3].reshape(-1, 3), axis=0).shape[0] > 50
    assert [path.name for path in tmp_path.iterdir()] == ["sensitivity.png"]


def test_the_command(tmp_path: Path) -> None:
    data = load_captions(write_captions(tmp_path / "data"))
    save_captioner(tmp_path / "model", list(chain(*data.split("train").captions)))
    out = tmp_path / "new" / "out"
    options = ["--data", str(tmp_path / "data"), "--out", str(out), "--sparsities", "0.2, 0.5", "--examples", "4"]
    options += ["--sparsity-overrides", '{"image_encoder": 0.25}', "--tolerance", "0.5"]
    run = CliRunner().invoke(app, ["sensitivity", str(tmp_path / "model"), *options], env={"COLUMNS": "100"})
    assert run.exit_code == 0, run.output
    assert "data: 4 of 5 images" in run.output
    assert f"Written to {out / 'sensitivity.json'}, drawn in" in run.output.replace("\n", "")
    assert sorted(path.name for path in out.iterdir()) == ["sensitivity.json", "sensitivity.png"]
    result = Sensitivity.read(out)
    assert [point.sparsity for point in result.together.points] == [0.0, 0.2, 0.5]
    names = ["image_encoder.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "decoder.weight"]
    assert [layer.name for layer in result.layers] == names
    halves = [round(0.5 * layer.weights) for layer in result.layers]
    assert [layer.at(0.5).pruned for layer in result.layers] == halves
    assert result.together.at(0.5).pruned == sum(halves[1:]) + round(0.25 * result.layers[0].weights)
    assert all(point.standard_error > 0 for layer in result.layers for point in layer.points if point.pruned)
    assert result.dense["loss"] == result.repeated
    assert f"Suggested: {result.suggestion.flags}" in run.output.replace("\n", "")
    assert json.loads((out / "sensitivity.json").read_text())["metric"] == "loss"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "wer"], "metric must be one of loss for this model, got 'wer'"),
        (["--sparsities", "much"], "sparsities must be fractions such as '0.2 0.4 0.6', got 'much'"),
        (["--dense-modules", "conv[a-z]"], "dense_modules pattern 'conv[a-z]' matches no parameter"),
        (["--sparsity-overrides", "{"], "sparsity_overrides must be JSON"),
    ],
)
def test_bad_arguments_end_with_status_2(options, message, tmp_path):
    data = load_captions(write_captions(tmp_path / "data"))
    save_captioner(tmp_path / "model", list(chain(*data.split("train").captions)))
    arguments = [str(tmp_path / "model"), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), *options]
    run = CliRunner().invoke(app, ["sensitivity", *arguments], env={"COLUMNS": "200"})
    assert run.exit_code == 2
    assert f"error {message}" in run.output
    assert list((tmp_path / "out").iterdir()) == []


def test_names_are_shown_as_they_are(tmp_path):
    r"""A path may look like a formula, `$\lr_$`, and a layer's name may begin with an underscore."""

    class Model(Quadratic):
        def __init__(self) -> None:
            super().__init__()
            self._encoder, self.a = self.a, None

        def forward(self, x):
            return torch.cat([self._encoder(x), self.b(x)], dim=1) if self.a is None else super().forward(x)

    model = Model()
    result = measure_sensitivity(model, model.loss, (0.1, 0.5), name=r"runs/$\lr_$x/phase-0-dense", data="$five_$")
    with Image.open(draw_sensitivity(result, tmp_path)) as drawn:
        assert drawn.size == (1560, 598)
    legend = build_figure(result).axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["b.weight", "_encoder.weight"]
