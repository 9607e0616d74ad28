"""What the user sees: table, figure, files, exit status."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from PIL import Image
from quadratic import BASE, Quadratic, squares
from rich.console import Console
from scripts import ROOT, run
from tiny import classification_rows, make_trainer
from transformers import TrainerCallback
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.sensitivity import Sensitivity, SensitivityOptions, measure_run_sensitivity, measure_sensitivity
from hf_dsd.sensitivity.figure import build_figure, draw_sensitivity
from hf_dsd.sensitivity.run_sensitivity import spread
from hf_dsd.sensitivity.table import print_sensitivity


@pytest.fixture
def result() -> Sensitivity:
    model = Quadratic()
    return measure_sensitivity(
        model, lambda: {"loss": model.loss(), "wer": 0.1 + model.loss() / 1e5}, (0.1, 0.2, 0.9), data="five vectors"
    )


def test_the_table(result, capsys):
    print_sensitivity(result, Console(width=80))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == ["Quadratic", "five vectors"]
    assert "loss: % worse than the dense model's 10000.000, red beyond 5" in lines
    text = "\n".join(lines)
    assert re.search(r"^pruned +0\.1 +0\.2 +0\.9 +up to$", text, re.MULTILINE)
    assert re.search(r"^all layers at once +1\.0 +5\.0 +288 +0\.1$", text, re.MULTILINE)
    assert re.search(r"^a\.weight +0\.0 +0\.1 +2\.9 +0\.9$", text, re.MULTILINE)
    assert lines[-1] == """Suggested: --sparsity 0.2 --sparsity_overrides '{"b.weight": 0.1}'"""


def test_a_difference_too_small_to_show_has_no_sign(capsys):
    model = Quadratic()
    result = measure_sensitivity(model, lambda: 1e6 - model.loss() / 1e3, (0.2, 0.9))  # 0.05 and 28.8 less than 1e6
    print_sensitivity(result, Console(width=80))
    assert re.search(r"^ *all layers at once +0\.0 +0\.0 ", capsys.readouterr().out, re.MULTILINE)


def test_the_figure(result, tmp_path):
    figure = build_figure(result)
    together, alone = figure.axes
    expected = [BASE + squares(k) + squares(k, 10) for k in (0, 1, 2, 9)]
    assert list(together.lines[0].get_xdata()) == [0.0, 0.1, 0.2, 0.9]
    assert list(together.lines[0].get_ydata()) == expected
    (star,) = (line for line in together.lines if line.get_label() == "suggested, with overrides")
    assert [*star.get_xdata(), *star.get_ydata()] == [0.2, BASE + squares(2) + 100]
    assert {line.get_label(): line.get_ydata()[-1] for line in alone.lines[:2]} == {
        "a.weight": BASE + squares(9),
        "b.weight": BASE + squares(9, 10),
    }
    low, high = together.get_ylim()
    assert low < BASE
    assert BASE + 8 * 500 < high < BASE + 9 * 500  # cut off where the tolerance would be too small to see
    image = imread(draw_sensitivity(result, tmp_path))
    assert image.shape[1] == 12 * 130
    assert np.unique(image[..., :3].reshape(-1, 3), axis=0).shape[0] > 50
    assert [path.name for path in tmp_path.iterdir()] == ["sensitivity.png"]


SCRIPT = ROOT / "examples" / "run_captioning.py"
OPTIONS = "--train_size 40 --hidden_size 8 --word_embedding_size 8 --min_count 1 --phase_steps 2 1 1 --sparsity 0.5"
OPTIONS += " --eval_strategy no --report_to none --disable_tqdm true --use_cpu true --do_predict false"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the captioning script."""
    folder = tmp_path_factory.mktemp("sensitivity") / "run"
    run(sys.executable, SCRIPT, *OPTIONS.split(), "--output_dir", folder)
    return folder


def test_the_command(run_folder: Path) -> None:
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    overrides = ["--sparsity_overrides", '{"decoder": 0.25}']
    options = ["--sparsities", "0.2,0.5", "--examples", "6", "--tolerance", "0.5", "--metric", "loss"]
    script = [str(SCRIPT), *OPTIONS.split(), "--output_dir", str(run_folder), *overrides]
    hf_dsd = Path(sys.executable).with_name("hf-dsd")
    said = run(hf_dsd, "sensitivity", *options, "--", *script, COLUMNS="100")
    result = json.loads(
        (run_folder / "sensitivity.json").read_text(), object_hook=lambda fields: SimpleNamespace(**fields)
    )
    points = {layer.name: {point.sparsity: point for point in layer.points} for layer in result.layers}
    assert said.count("Suggested: ") == 1
    assert f"Suggested: {result.suggestion.flags}" in said
    assert f"Written to {run_folder / 'sensitivity.json'}, drawn in" in said
    assert result.data == "6 of 250 evaluation examples"
    assert result.model == str(run_folder / "phase-0-dense")
    assert [point.sparsity for point in result.together.points] == [0.0, 0.2, 0.5]
    halves = {layer.name: round(0.5 * layer.weights) for layer in result.layers}
    assert {name: found[0.5].pruned for name, found in points.items()} == halves
    decoder = next(layer for layer in result.layers if layer.name == "decoder.weight")
    others = sum(halves.values()) - halves[decoder.name]
    assert result.together.points[2].pruned == others + round(0.25 * decoder.weights)
    assert result.dense.loss == result.repeated
    assert {path: path.read_bytes() for path in before} == before


def test_the_loss_is_the_trainers_own(tmp_path: Path) -> None:
    """By batch, so that the mean over examples is the one that `trainer.evaluate` gives; the weights come back."""
    trainer = make_trainer(tmp_path)
    trainer.train()
    rows = classification_rows(20, seed=5)
    own = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    result = measure_run_sensitivity(trainer, rows, SensitivityOptions("phase-2-dense", (0.5,), examples=19))
    assert all(torch.equal(tensor, own[name]) for name, tensor in trainer.model.state_dict().items())
    chosen = spread(rows, 19)
    assert len(chosen) == 19
    assert result.dense["loss"] == pytest.approx(trainer.evaluate(chosen)["eval_loss"], rel=1e-6)
    assert all(point.standard_error > 0 for layer in result.layers for point in layer.points if point.pruned)
    first = measure_run_sensitivity(trainer, rows, SensitivityOptions(None, (0.5,)))
    trainer.load_phase("phase-0-dense")
    assert first.dense["loss"] == pytest.approx(trainer.evaluate(rows)["eval_loss"], rel=1e-6)


def test_the_rows_are_collated_once_and_no_callback_hears_of_it(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    collated, heard = [], []
    own = trainer.data_collator
    trainer.data_collator = lambda rows: collated.append(len(rows)) or own(rows)

    class Listener(TrainerCallback):
        def on_prediction_step(self, *args: object, **kwargs: object) -> None:
            heard.append("step")

        def on_evaluate(self, *args: object, **kwargs: object) -> None:
            heard.append("evaluation")

    trainer.add_callback(Listener)
    result = measure_run_sensitivity(trainer, classification_rows(20), SensitivityOptions(sparsities=(0.5, 0.8)))
    assert result.model.endswith(f" as the script built it: {tmp_path} holds no trained phase")
    assert collated == [8, 8, 4]
    trainer.compute_metrics = lambda found: {"accuracy": 0.5}
    options = SensitivityOptions(sparsities=(0.5,), metric="accuracy")
    measure_run_sensitivity(trainer, classification_rows(20), options)
    assert heard == []
    trainer.evaluate(classification_rows(8))
    assert heard == ["step", "evaluation"]


def test_a_metric_of_the_trainers_own(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.compute_metrics = lambda found: {
        "accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())
    }
    rows = classification_rows(12, seed=5)
    result = measure_run_sensitivity(trainer, rows, SensitivityOptions(sparsities=(0.5,), metric="accuracy"))
    assert (result.metric, result.greater_is_better) == ("accuracy", True)
    assert result.dense["accuracy"] == trainer.evaluate(rows)["eval_accuracy"]
    with pytest.raises(ValueError, match="greater_is_better must be given for metric 'oddness'"):
        measure_run_sensitivity(trainer, rows, SensitivityOptions(metric="oddness"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "sensitivity must be JSON such as"),
        ("[]", "sensitivity takes examples, greater_is_better, metric"),
        ('{"sparsity": 0.5}', "sensitivity takes examples, greater_is_better, metric"),
    ],
)
def test_options_are_checked(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SensitivityOptions.parse(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a training script and its arguments after --"),
        (["--", "nowhere.py"], "nowhere.py is no file"),
        (["--sparsities", "much", "--", "x.py"], "sparsities must be fractions such as '0.2 0.4 0.6', got 'much'"),
    ],
)
def test_bad_arguments_end_with_status_2(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["sensitivity", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert f"error {message}" in done.output


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
