"""Curves and suggestions of models whose loss under pruning is known in closed form."""

import json
import logging
import math
import shlex
from dataclasses import asdict
from io import StringIO

import pytest
import torch
from quadratic import BASE, Quadratic, squares
from rich.console import Console
from tiny import TinyLSTM, build, make_trainer
from transformers import HfArgumentParser, TrainerCallback

from hf_dsd import DSDTrainingArguments
from hf_dsd.engine.targets import plan_targets
from hf_dsd.sensitivity import measure_sensitivity

GRID = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def worse(curve) -> list[float]:
    return [point.worse_by for point in curve.points]


def test_the_loss_rises_by_the_squares_of_the_pruned_weights():
    model = Quadratic()
    result = measure_sensitivity(model, model.loss, GRID, data="five vectors")
    a, b = result.layers
    assert (a.name, a.weights, b.name, result.together.weights) == ("a.weight", 10, "b.weight", 20)
    assert [point.sparsity for point in a.points] == [0.0, *GRID]
    assert [point.pruned for point in a.points] == list(range(10))
    assert [point.pruned for point in result.together.points] == list(range(0, 20, 2))
    assert worse(a) == [squares(k) for k in range(10)]
    assert worse(b) == [squares(k, 10) for k in range(10)]
    assert worse(result.together) == [squares(k) + squares(k, 10) for k in range(10)]
    assert [point.scores["loss"] for point in b.points] == [BASE + squares(k, 10) for k in range(10)]
    assert (result.model, result.data, result.dense, result.repeated) == (
        "Quadratic",
        "five vectors",
        {"loss": BASE},
        BASE,
    )
    assert all(point.standard_error is None for point in result.together.points)


def test_what_is_suggested_follows_the_rule():
    """Tolerated: 500. All alike: 101 at 10 %, 505 at 20 %. b alone costs 100 at 10 %, 500, over 250, at 20 %."""
    model = Quadratic()
    suggestion = measure_sensitivity(model, model.loss, GRID, tolerance=0.05).suggestion
    # With b at 10 %: 100 + squares(8) = 304 at 80 %; at 90 % a costs 285, over 250, and the two own all the weights.
    assert suggestion.sparsity == 0.8
    assert suggestion.sparsity_overrides == {"b.weight": 0.1}
    assert (suggestion.worse_by, suggestion.pruned) == (100 + squares(8), 9)
    assert suggestion.scores == {"loss": BASE + 304}
    assert suggestion.flags == """--sparsity 0.8 --sparsity_overrides '{"b.weight": 0.1}'"""
    assert suggestion.reasons[:4] == [
        "Pruning may make loss worse by 5% of the dense model's 1e+04: 500.",
        "All layers pruned alike stay within that up to 10% (1.0% worse); at 20% it is 5.1% worse.",
        "b.weight alone makes it 204.0% worse at 80%, over half of the tolerance: held back at 10%.",
        "Measured together, 45% of all layers' weights pruned: 3.0% worse.",
    ]
    assert suggestion.reasons[4].startswith("Nothing was retrained: ")


def test_the_flags_are_what_was_measured(tmp_path):
    model = Quadratic()
    suggestion = measure_sensitivity(model, model.loss, GRID).suggestion
    words = [*shlex.split(suggestion.flags), "--output_dir", str(tmp_path)]
    (arguments,) = HfArgumentParser(DSDTrainingArguments).parse_args_into_dataclasses(words)
    plan = plan_targets(model, sparsity_overrides=arguments.sparsity_overrides)
    fractions = {target.name: target.sparsity(arguments.sparsity[0]) for target in plan}
    assert fractions == {"a.weight": 0.8, "b.weight": 0.1}


def test_no_override_where_it_gains_nothing():
    """Tolerated: 60 000; all alike cost 28 785 at 90 %."""
    model = Quadratic()
    result = measure_sensitivity(model, model.loss, GRID, tolerance=6.0)
    assert (result.suggestion.sparsity, result.suggestion.flags) == (0.9, "--sparsity 0.9")
    assert result.suggestion.sparsity_overrides == {}
    assert result.suggestion.reasons[1] == (
        "All layers pruned alike stay within that up to 90%, the most that was measured."
    )


def test_nothing_is_suggested_where_everything_costs_too_much():
    model = Quadratic()
    result = measure_sensitivity(model, model.loss, (0.5, 0.9), tolerance=1e-4)  # tolerated: 1
    assert (result.suggestion.sparsity, result.suggestion.flags, result.suggestion.worse_by) == (None, "", 0.0)
    assert "exceed that at the smallest sparsity measured: at 50% it is 55.5% worse" in result.suggestion.reasons[1]


def test_a_score_where_greater_is_better():
    model = Quadratic()
    result = measure_sensitivity(
        model, lambda: {"loss": model.loss(), "score": -model.loss()}, GRID, metric="score", greater_is_better=True
    )
    assert worse(result.layers[0]) == [squares(k) for k in range(10)]
    assert (result.suggestion.sparsity, result.suggestion.sparsity_overrides) == (0.8, {"b.weight": 0.1})


def test_scores_by_example_have_a_standard_error():
    """Pruned 1 and 2 of layer a lie in the third and first column: differences 4, 0, 1, 0, 0, 0 of six examples."""
    model = Quadratic()
    result = measure_sensitivity(model, lambda: {"loss": model.squared_errors()}, (0.2,))
    point = result.layers[0].at(0.2)
    assert result.dense["loss"] == BASE / 6
    assert point.worse_by == pytest.approx(5 / 6)
    expected = torch.tensor([4.0, 0.0, 1.0, 0.0, 0.0, 0.0]).std() / math.sqrt(6)
    assert point.standard_error == pytest.approx(float(expected), rel=1e-6)


def test_an_unsure_layer_is_not_held_back():
    """Layer b costs 500 of the tolerated 500 at 20 %, but all of it in one example: 83 +- 67 of 42 a layer may use."""
    model = Quadratic()
    sure = measure_sensitivity(model, model.loss, (0.1, 0.2))
    unsure = measure_sensitivity(model, lambda: {"loss": model.squared_errors()}, (0.1, 0.2))
    assert sure.suggestion.sparsity_overrides == {"b.weight": 0.1}
    assert unsure.layers[1].at(0.2).worse_by == pytest.approx(500 / 6)
    assert unsure.suggestion.sparsity_overrides == {}
    assert "No few layers are surely to blame for the limit, so none is held back." in unsure.suggestion.reasons


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_model_that_diverges_is_beyond_every_tolerance(broken, tmp_path):
    model = Quadratic()

    def evaluate() -> float:
        return broken if int((model.a.weight == 0).sum()) > 5 else model.loss()

    result = measure_sensitivity(model, evaluate, GRID, tolerance=1e6)
    costs = worse(result.layers[0])
    assert costs[:6] == [squares(k) for k in range(6)]
    assert all(str(cost) == str(broken) for cost in costs[6:])
    assert result.suggestion.sparsity == 0.9  # a is held back; what is left is b, half of the weights
    assert result.suggestion.sparsity_overrides == {"a.weight": 0.5}
    written = json.loads(result.write(tmp_path).read_text())
    assert [point["worse_by"] for point in written["layers"][0]["points"]] == [*costs[:6], *[str(broken)] * 4]


def test_the_result_is_written(tmp_path):
    model = Quadratic()
    result = measure_sensitivity(model, lambda: {"loss": model.squared_errors(), "wer": 0.25}, (0.3, 0.6))
    path = result.write(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["sensitivity.json"]
    written = json.loads(path.read_text())
    assert written.pop("version") == 1
    assert written == asdict(result)


def test_the_cost_is_said_before_the_evaluations_begin():
    model, evaluations, said = Quadratic(), [], StringIO()

    def evaluate() -> float:
        evaluations.append(said.getvalue())
        return model.loss()

    measure_sensitivity(model, evaluate, GRID, console=Console(file=said, width=200))
    assert "27 evaluations of" in said.getvalue()
    assert "minutes: 2 layers, each alone, and all at once, at 9 sparsities" in said.getvalue()
    assert ["27 evaluations" in before for before in evaluations] == [False] + [True] * (len(evaluations) - 1)


def test_layers_that_cannot_be_pruned():
    """A frozen layer has no curve; one of four weights loses none at 10 %, and is not evaluated there."""
    model = Quadratic()
    model.a.requires_grad_(False)
    model.small = torch.nn.Linear(2, 2, bias=False)
    evaluations = []

    def evaluate() -> float:
        evaluations.append(model.loss())
        return evaluations[-1]

    result = measure_sensitivity(model, evaluate, (0.1, 0.5))
    assert [layer.name for layer in result.layers] == ["b.weight", "small.weight"]
    assert [point.pruned for point in result.layers[1].points] == [0, 0, 2]
    assert result.layers[1].points[1].scores == {"loss": BASE}
    # The dense model and it again, b at 10 % and 50 %, small at 50 %, both at 10 % and 50 %.
    assert len(evaluations) == 7


def test_options_are_those_of_a_run():
    model = Quadratic()
    result = measure_sensitivity(model, model.loss, (0.2, 0.4), sparsity_overrides={"^b": 0.1})
    assert worse(result.together) == [0.0, squares(2) + 100, squares(4) + 100]
    assert worse(result.layers[1]) == [0.0, squares(2, 10), squares(4, 10)]  # alone, at every sparsity measured
    assert result.suggestion.flags == """--sparsity 0.4 --sparsity_overrides '{"^b": 0.1}'"""
    result = measure_sensitivity(model, model.loss, (0.2, 0.4), dense_modules=["^b"])
    assert [layer.name for layer in result.layers] == ["a.weight"]
    assert result.suggestion.flags == "--sparsity 0.4 --dense_modules '^b'"


def test_a_trainer_evaluates(tmp_path):
    """With dropout off, batch after batch, and the modules' modes as they were."""
    trainer = make_trainer(tmp_path, build(TinyLSTM, dropout=0.5))
    trainer.model.train()
    trainer.model.head.eval()
    before = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    loss = trainer.evaluate()["eval_loss"]
    trainer.model.train()
    trainer.model.head.eval()
    result = measure_sensitivity(trainer.model, trainer.evaluate, (0.5,), metric="eval_loss")
    assert result.dense["eval_loss"] == result.repeated == loss
    assert [layer.name for layer in result.layers] == list(TinyLSTM.pruned)
    assert all(torch.equal(weight, before[name]) for name, weight in trainer.model.state_dict().items())
    assert (trainer.model.training, trainer.model.lstm.training, trainer.model.head.training) == (True, True, False)


def test_an_evaluation_with_noise_is_reported(caplog):
    model, calls = Quadratic(), []

    def evaluate() -> float:
        calls.append(1)
        return model.loss() + len(calls)

    result = measure_sensitivity(model, evaluate, (0.5,))
    assert (result.dense["loss"], result.repeated) == (BASE + 1, BASE + len(calls))
    assert "two evaluations of the same weights gave loss 10001.0 and" in caplog.text


def test_a_model_of_a_sparse_phase_is_noticed(caplog):
    model = Quadratic()
    with torch.no_grad():
        model.a.weight[0] = 0
    with caplog.at_level(logging.WARNING):
        measure_sensitivity(model, model.loss, (0.5,))
    assert "25 % of the weights to prune are zero: is it the model of a sparse phase?" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsities": [30]}, r"^sparsities must be a fraction in \[0, 1\), got 30; write 0\.3 for 30 %$"),
        ({"sparsities": [0]}, r"^sparsities must hold a fraction above 0, got \[0\]$"),
        ({"tolerance": 0.0}, r"^tolerance must be a positive fraction of the dense model's loss, got 0\.0$"),
        ({"tolerance": math.nan}, r"^tolerance must be a positive fraction .* got nan$"),
        ({"metric": "wer"}, r"^metric must be one of the scores that evaluate returns, \['loss'\], got 'wer'$"),
        ({"evaluate": lambda: math.nan}, r"^the dense model's loss must be finite and not 0, .* got nan; check"),
        ({"evaluate": lambda: 0.0}, r"^the dense model's loss must be finite and not 0, .* got 0\.0; check"),
    ],
)
def test_bad_input_is_refused(options, message):
    model = Quadratic()
    with pytest.raises(ValueError, match=message):
        measure_sensitivity(model, **{"evaluate": model.loss, **options})


@pytest.mark.parametrize("value", ["low", None, [], [[1.0], [2.0, 3.0]], torch.zeros(2, 2)])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match="^evaluate must return "):
        measure_sensitivity(Quadratic(), lambda: {"loss": value})


def test_a_trainers_evaluations_leave_no_trace(tmp_path):
    """Its callbacks would print a table, and its summary keep a score, of every pruned model."""
    trainer = make_trainer(tmp_path, phase_steps=[1, 1, 1])
    trainer.train()
    log, summary = list(trainer.state.log_history), dict(trainer.summary.evaluations)
    heard = []

    class Listener(TrainerCallback):
        def on_evaluate(self, args, state, control, **kwargs):
            heard.append(kwargs["metrics"])

    trainer.add_callback(Listener())
    result = measure_sensitivity(trainer.model, trainer.evaluate, [0.5], metric="eval_loss")
    assert result.together.points[1].pruned > 0
    assert (heard, trainer.state.log_history, trainer.summary.evaluations) == ([], log, summary)
    trainer.evaluate()
    assert len(heard) == 1
