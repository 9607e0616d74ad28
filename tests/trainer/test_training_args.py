"""Every knob: command lines, Python, JSON; round trips; every refusal."""

import json
import pickle
import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SchedulerType

from hf_dsd import DSDArgumentsMixin, DSDSeq2SeqTrainingArguments, DSDTrainingArguments, Schedule
from hf_dsd.trainer.argument_types import FIELD_TYPES

PAPER = {"phase_epochs": [19, 10, 6], "phase_learning_rates": [1e-2, 1e-3, 1e-4], "sparsity": 0.8}
ITERATIVE = {
    "phase_epochs": [50] * 5,
    "phase_learning_rates": [8e-4, 5e-4, 3e-4, 1e-4, 3e-5],
    "sparsity": [0.5, 0.25],
}


def build(**fields):
    return DSDTrainingArguments("out", report_to=[], use_cpu=True, **fields)


def parse(line, cls=DSDTrainingArguments):
    """What `HfArgumentParser` makes of a command line."""
    words = ["--output_dir", "out", "--use_cpu", "--report_to", "none", *line]
    return HfArgumentParser(cls).parse_args_into_dataclasses(words, look_for_args_file=False)[0]


def ours(args):
    """The fields that DSD adds, and those that follow from them."""
    names = [*DSDArgumentsMixin.__dataclass_fields__, "num_train_epochs", "max_steps", "learning_rate"]
    return {name: getattr(args, name) for name in names}


# Python


def test_defaults():
    assert ours(build()) == {
        "sparsity": [0.3],
        "phase_epochs": None,
        "phase_steps": None,
        "phase_learning_rates": None,
        "phase_patience": None,
        "phase_start": "last",
        "dense_modules": None,
        "sparsity_overrides": None,
        "mask_criterion": "magnitude",
        "reset_optimizer_state": "masked",
        "mask_gradients": False,
        "dsd_control": False,
        "weight_averages": None,
        "keep_early_stop": False,
        "keep_phases": None,
        "keep_phase_checkpoints": None,
        "num_train_epochs": 3.0,
        "max_steps": -1,
        "learning_rate": 5e-5,
    }


@pytest.mark.parametrize(
    ("sparsity", "stored"), [(0.3, [0.3]), (0, [0.0]), ([0.5, 0.25], [0.5, 0.25]), ((0.5,), [0.5])], ids=str
)
def test_one_sparsity_or_several(sparsity, stored):
    args = build(sparsity=sparsity)
    assert args.sparsity == stored
    assert args.phase_count == 2 * len(stored) + 1


def test_transformers_own_checks_run_too():
    assert build(eval_strategy="epoch").eval_strategy is IntervalStrategy.EPOCH
    with pytest.raises(ValueError, match=r"^weekly is not a valid IntervalStrategy"):
        build(eval_strategy="weekly")


@pytest.mark.parametrize(
    ("metric", "said", "expected"),
    [
        ("bleu4", None, True),
        ("loss", None, False),
        ("eval_rmse", None, False),
        ("wer", None, False),
        ("power", True, True),
        ("power", False, False),
        ("wer", True, True),  # what the user says counts, and is warned of
        (None, None, False),
    ],
    ids=str,
)
def test_the_direction_of_the_monitored_metric(metric, said, expected):
    """Known names tell it, not the end of the name as in transformers; a copy of the arguments has it, too."""
    args = build(metric_for_best_model=metric, greater_is_better=said, phase_patience=1, eval_strategy="epoch")
    for copy in (args, replace(args)):
        assert copy.monitored_metric == (metric or "loss", expected)
        assert copy.greater_is_better is (None if metric is None else expected)


def test_one_pattern_and_json_overrides():
    args = build(dense_modules="lstm", sparsity_overrides='{"lstm": 0.5, "decoder": 0}')
    assert args.dense_modules == ["lstm"]
    assert args.sparsity_overrides == {"lstm": 0.5, "decoder": 0}
    assert build(sparsity_overrides={"a": 0.5}).sparsity_overrides == {"a": 0.5}


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        (PAPER, {"num_train_epochs": 35, "max_steps": -1, "learning_rate": 1e-2}),
        ({**PAPER, "num_train_epochs": 35, "learning_rate": 1e-2}, {"num_train_epochs": 35, "learning_rate": 1e-2}),
        ({"phase_epochs": [0.1, 0.2, 0.3], "num_train_epochs": 0.6}, {"num_train_epochs": pytest.approx(0.6)}),
        ({"phase_steps": [5, 4, 3]}, {"max_steps": 12, "num_train_epochs": 3.0}),
        ({"phase_steps": [0, 4, 3], "max_steps": 7}, {"max_steps": 7}),
        ({"num_train_epochs": 30, "learning_rate": 1e-3}, {"num_train_epochs": 30, "learning_rate": 1e-3}),
        ({"max_steps": 9}, {"max_steps": 9}),
    ],
    ids=["paper", "agreeing", "float-sum", "steps", "steps-agreeing", "equal-epochs", "equal-steps"],
)
def test_the_run_is_as_long_as_its_phases(fields, length):
    args = build(**fields)
    assert {name: getattr(args, name) for name in length} == length


@pytest.mark.parametrize(
    ("fields", "total_steps", "steps_per_epoch", "expected"),
    [
        (
            {"num_train_epochs": 30, "learning_rate": 1e-3},
            300,
            10,
            Schedule.from_steps([100, 100, 100], 0.3, [1e-3, 1e-3, 1e-4]),
        ),
        (PAPER, 350, 10, Schedule.from_steps([190, 100, 60], 0.8, [1e-2, 1e-3, 1e-4])),
        (
            ITERATIVE,
            500,
            2,
            Schedule.from_steps([100] * 5, [0.5, 0.25], [8e-4, 5e-4, 3e-4, 1e-4, 3e-5]),
        ),
        ({"phase_steps": [5, 4, 3]}, 12, 100, Schedule.from_steps([5, 4, 3], 0.3, [5e-5, 5e-5, 5e-5 / 10])),
        (
            {"sparsity": [0.5, 0.25], "max_steps": 10, "learning_rate": 1.0},
            10,
            4,
            Schedule.from_steps([2] * 5, [0.5, 0.25], [1.0, 1.0, 0.1, 0.1, 0.01]),
        ),
        (
            {"phase_steps": [5, 4, 3], "dsd_control": True},
            12,
            100,
            Schedule.from_steps([5, 4, 3], 0.3, [5e-5, 5e-5, 5e-5 / 10]).dense_control(),
        ),
    ],
    ids=["equal-parts", "paper", "iterative", "steps", "iterative-equal-parts", "control"],
)
def test_schedule(fields, total_steps, steps_per_epoch, expected):
    assert build(**fields).build_schedule(total_steps, steps_per_epoch) == expected


# Command lines


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("", {}),
        ("--sparsity 0.5", {"sparsity": 0.5}),
        ("--phase_epochs 19 10 6 --phase_learning_rates 1e-2 1e-3 1e-4 --sparsity 0.8", PAPER),
        (
            "--phase-epochs 50 50 50 50 50 --phase-learning-rates 8e-4 5e-4 3e-4 1e-4 3e-5 --sparsity 0.5 0.25",
            ITERATIVE,
        ),
        ("--phase_epochs 74 1.25 18", {"phase_epochs": [74, 1.25, 18]}),
        ("--phase_steps 0 4 3", {"phase_steps": [0, 4, 3]}),
        ("--phase_patience 2 --eval_strategy epoch", {"phase_patience": 2, "eval_strategy": "epoch"}),
        ("--phase_start best --eval_strategy steps", {"phase_start": "best", "eval_strategy": "steps"}),
        ("--dense_modules ^head embed", {"dense_modules": ["^head", "embed"]}),
        ("--mask_criterion random", {"mask_criterion": "random"}),
        ("--reset_optimizer_state all", {"reset_optimizer_state": "all"}),
        ("--mask_gradients", {"mask_gradients": True}),
        ("--mask_gradients true --dsd_control false", {"mask_gradients": True}),
        ("--dsd_control true", {"dsd_control": True}),
        ("--dsd-control", {"dsd_control": True}),
    ],
    ids=lambda value: (value or "nothing") if isinstance(value, str) else "",
)
@pytest.mark.parametrize("cls", [DSDTrainingArguments, DSDSeq2SeqTrainingArguments], ids=["plain", "seq2seq"])
def test_command_line_equals_python(line, fields, cls):
    parsed = parse(line.split(), cls)
    assert type(parsed) is cls
    assert ours(parsed) == ours(cls("out", report_to=[], use_cpu=True, **fields))


def test_overrides_on_the_command_line_are_json():
    parsed = parse(["--sparsity_overrides", '{"lstm\\\\.weight": 0.5, "decoder": 0}'])
    assert parsed.sparsity_overrides == {r"lstm\.weight": 0.5, "decoder": 0}


@pytest.mark.parametrize(
    "line",
    [
        "--phase_start first",
        "--mask_criterion l1",
        "--reset_optimizer_state some",
        "--sparsity x",
        "--mask_gradients 7",
    ],
    ids=str,
)
def test_command_line_refuses(line, capsys):
    with pytest.raises(SystemExit):
        parse(line.split())
    assert f"argument {line.split()[0]}" in capsys.readouterr().err


def test_help_names_every_field():
    text = HfArgumentParser(DSDTrainingArguments).format_help()
    assert all(f"--{name}" in text for name in DSDArgumentsMixin.__dataclass_fields__)


# Round trips


CASES = {
    "defaults": {},
    "paper": PAPER,
    "iterative": ITERATIVE,
    "float-sum": {"phase_epochs": [0.1, 0.2, 0.3]},
    "steps": {"phase_steps": [5, 4, 3], "sparsity_overrides": '{"lstm": 0.5}', "dense_modules": ["a", "b"]},
    "options": {"phase_patience": 3, "eval_strategy": "steps", "phase_start": "best", "mask_gradients": True},
    "control": {"dsd_control": True, "mask_criterion": "random", "reset_optimizer_state": "none", "max_steps": 9},
}
every_case = pytest.mark.parametrize("fields", CASES.values(), ids=CASES)


@every_case
def test_replace_is_idempotent(fields):
    args = build(**fields)
    again = replace(replace(args))
    assert ours(again) == ours(args)
    assert again.to_dict() == args.to_dict()
    assert replace(args, seed=7).seed == 7


@every_case
def test_to_dict_is_json_that_the_parser_reads_back(fields, tmp_path):
    args = build(**fields)
    text = args.to_json_string()
    parsed = HfArgumentParser(DSDTrainingArguments).parse_dict(json.loads(text))[0]
    assert ours(parsed) == ours(args)
    assert parsed.to_dict() == args.to_dict()
    (tmp_path / "args.json").write_text(text)
    from_file = HfArgumentParser(DSDTrainingArguments).parse_json_file(str(tmp_path / "args.json"))[0]
    assert ours(from_file) == ours(args)


@every_case
def test_pickle(fields, tmp_path):
    args = build(**fields)
    assert ours(pickle.loads(pickle.dumps(args))) == ours(args)
    torch.save(args, tmp_path / "training_args.bin")
    assert ours(torch.load(tmp_path / "training_args.bin", weights_only=False)) == ours(args)


def test_replacing_the_phases_replaces_the_length_with_them():
    args = build(**PAPER)
    longer = replace(args, phase_epochs=[20, 10, 6], num_train_epochs=36)
    assert longer.num_train_epochs == 36
    message = "num_train_epochs is 35 but phase_epochs says 36: leave num_train_epochs out, or make the two agree"
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        replace(args, phase_epochs=[20, 10, 6])


def test_changing_the_phases_sets_what_follows_from_them():
    args = build(**PAPER)
    with args.changing_phases():
        args.phase_epochs, args.phase_learning_rates, args.sparsity = [20, 10, 6], [2e-2, 1e-3, 1e-4], 0.5
    assert (args.num_train_epochs, args.learning_rate, args.sparsity) == (36, 2e-2, [0.5])
    with pytest.raises(KeyError), args.changing_phases():
        raise KeyError("a search's own")
    assert (args.num_train_epochs, args.learning_rate, args.sparsity) == (36, 2e-2, [0.5])
    with pytest.raises(ValueError, match=r"^num_train_epochs is 7 but phase_epochs says 36"), args.changing_phases():
        args.num_train_epochs = 7


# Subclasses


@dataclass
class RecipeArguments(DSDArgumentsMixin, TrainingArguments):
    """Other defaults than ours and than transformers'."""

    sparsity: float = 0.8
    learning_rate: float = 1e-2
    num_train_epochs: float = 35.0
    phase_epochs: list[float] = field(default_factory=lambda: [19.0, 10.0, 6.0])
    label: str = "recipe"


def test_a_subclass_may_have_other_defaults():
    args = RecipeArguments("out", report_to=[], use_cpu=True)
    assert (args.sparsity, args.num_train_epochs, args.learning_rate, args.label) == ([0.8], 35.0, 1e-2, "recipe")
    line = "--sparsity 0.5 --phase_epochs 1 1 1 --phase_learning_rates 1 2 3"
    parsed = parse(line.split(), RecipeArguments)
    assert (parsed.sparsity, parsed.num_train_epochs, parsed.learning_rate) == ([0.5], 3.0, 1.0)


def test_any_training_arguments_can_have_the_fields():
    args = DSDSeq2SeqTrainingArguments("out", report_to=[], use_cpu=True, predict_with_generate=True, **PAPER)
    assert (args.predict_with_generate, args.num_train_epochs, args.sparsity) == (True, 35, [0.8])


# Types


@pytest.mark.parametrize("half", [np.float32(0.5), np.array(0.5), torch.tensor(0.5), Fraction(1, 2), Decimal("0.5")])
def test_numbers_of_other_libraries_are_numbers(half):
    args = build(
        sparsity=half,
        sparsity_overrides={"lstm": half},
        phase_epochs=(np.int64(2), half, torch.tensor(1)),
        phase_learning_rates=[half] * 3,
        keep_phase_checkpoints=np.array([0, 1]),
        dsd_control=np.bool_(False),
    )
    assert ours(args) == ours(
        build(
            sparsity=0.5,
            sparsity_overrides={"lstm": 0.5},
            phase_epochs=[2, 0.5, 1],
            phase_learning_rates=[0.5] * 3,
            keep_phase_checkpoints=[0, 1],
        )
    )
    json.dumps({**ours(args)})  # plain numbers: the arguments are saved as JSON
    assert args.build_schedule(35, 10) == build(
        sparsity=0.5, phase_epochs=[2, 0.5, 1], phase_learning_rates=[0.5] * 3
    ).build_schedule(35, 10)


def test_arrays_and_tensors_are_lists():
    args = build(phase_steps=torch.tensor([5, 4, 3]), phase_learning_rates=np.array([1, 0.5, 0.25], np.float32))
    assert (args.phase_steps, args.phase_learning_rates, args.max_steps) == ([5, 4, 3], [1.0, 0.5, 0.25], 12)


def test_one_name_is_a_list_of_one():
    assert build(weight_averages="ema").weight_averages == ["ema"]


def test_every_field_has_its_type():
    assert set(DSDArgumentsMixin.__dataclass_fields__) <= set(FIELD_TYPES)


@pytest.mark.parametrize(
    "value", [{}, object(), b"0.5", 1j, {0.5}, np.array([[0.5]]), "0.5", True], ids=lambda value: type(value).__name__
)
def test_no_field_takes_a_value_of_any_type(value):
    for name in DSDArgumentsMixin.__dataclass_fields__:
        accepted = {
            "dense_modules": isinstance(value, str),
            "sparsity_overrides": value == {} if isinstance(value, dict) else False,
            "mask_gradients": value is True,
            "dsd_control": value is True,
            "keep_early_stop": value is True,
        }
        if not accepted.get(name):
            with pytest.raises(ValueError, match=rf"^{name} must be "):
                build(**{name: value})


# Refusals


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sparsity": 1.0}, "sparsity must be a fraction in [0, 1), got 1"),
        ({"sparsity": 30}, "sparsity must be a fraction in [0, 1), got 30; write 0.3 for 30 %"),
        ({"sparsity": []}, "sparsity must hold one number per sparse phase, got an empty list"),
        (
            {"sparsity": None},
            "sparsity must be a fraction in [0, 1), or a list of them, got None: write a plain number",
        ),
        (
            {"sparsity": "0.3"},
            "sparsity must be a fraction in [0, 1), or a list of them, got '0.3': write it without quotes, and in YAML "
            "with a point, 1.0e-3: 1e-3 is text there",
        ),
        (
            {"phase_epochs": [1, 1, 1], "phase_steps": [1, 1, 1]},
            "give phase_epochs or phase_steps, not both: [1, 1, 1] and [1, 1, 1]",
        ),
        (
            {"phase_epochs": [1]},
            "phase_epochs must give the length of each phase, D,S[,D,S...], of at least 2, got [1]",
        ),
        ({"phase_epochs": []}, "phase_epochs must give the length of each phase, D,S[,D,S...], of at least 2, got []"),
        (
            {"phase_epochs": 9},
            "phase_epochs must be a list of numbers, got 9: write one number per phase, such as [10, 10, 10]",
        ),
        ({"phase_epochs": [1, 0, 1]}, "phase_epochs must be positive (only the first may be 0), got [1, 0, 1]"),
        (
            {"phase_epochs": [1, "1", 1]},
            "phase_epochs must be a list of numbers, got '1' in [1, '1', 1]: write it without quotes, and in YAML with "
            "a point, 1.0e-3: 1e-3 is text there",
        ),
        ({"phase_steps": [1, -1, 1]}, "phase_steps must be positive (only the first may be 0), got [1, -1, 1]"),
        (
            {"phase_steps": [1, 1.5, 1]},
            "phase_steps must be a list of whole numbers, got 1.5 in [1, 1.5, 1]: leave out the fraction",
        ),
        (
            {"phase_steps": [True] * 3},
            "phase_steps must be a list of whole numbers, got True in [True, True, True]: true and false are no "
            "numbers",
        ),
        (
            {"phase_steps": [1, 1, 1], "sparsity": [0.5, 0.25]},
            "sparsity must hold one number, or one per sparse phase: phase_steps has 1 sparse phase(s), got 2 "
            "sparsities [0.5, 0.25]",
        ),
        (
            {**PAPER, "num_train_epochs": 30},
            "num_train_epochs is 30 but phase_epochs says 35: leave num_train_epochs out, or make the two agree",
        ),
        ({**PAPER, "max_steps": 9}, "max_steps is 9 but phase_epochs sets the length: use phase_steps"),
        (
            {"phase_steps": [1, 1, 1], "max_steps": 9},
            "max_steps is 9 but phase_steps says 3: leave max_steps out, or make the two agree",
        ),
        (
            {**PAPER, "learning_rate": 1e-3},
            "learning_rate is 0.001 but phase_learning_rates says 0.01: leave learning_rate out, or make the two agree",
        ),
        (
            {"phase_learning_rates": [1.0, 1.0]},
            "phase_learning_rates must hold one rate per phase (3), got [1.0, 1.0]",
        ),
        (
            {"phase_learning_rates": 1e-3},
            "phase_learning_rates must be a list of numbers, got 0.001: write one rate per phase, such as [1e-3, "
            "1e-3, 1e-4]",
        ),
        (
            {"phase_learning_rates": [1.0] * 3, "sparsity": [0.5, 0.25]},
            "phase_learning_rates must hold one rate per phase (5), got [1.0, 1.0, 1.0]",
        ),
        (
            {"phase_learning_rates": [1.0, 0.0, 1.0]},
            "phase_learning_rates must be positive and finite, got [1.0, 0.0, 1.0]",
        ),
        ({"learning_rate": 0.0}, "learning_rate must be positive and finite, got [0.0]"),
        ({"phase_start": "first"}, "phase_start must be one of last, best, got 'first'"),
        ({"mask_criterion": "l1"}, "mask_criterion must be one of magnitude, random, zeros, got 'l1'"),
        ({"reset_optimizer_state": "some"}, "reset_optimizer_state must be one of none, masked, all, got 'some'"),
        (
            {"reset_optimizer_state": None},
            "reset_optimizer_state must be text, got None: write it as text, in quotes",
        ),
        ({"phase_patience": 0}, "phase_patience must be at least 1 evaluation, got 0"),
        (
            {"phase_patience": float("nan")},
            "phase_patience must be a whole number of evaluations, got nan: write a finite number",
        ),
        ({"dsd_control": "false"}, "dsd_control must be true or false, got 'false': write it without quotes"),
        ({"mask_gradients": "False"}, "mask_gradients must be true or false, got 'False': write it without quotes"),
        (
            {"mask_gradients": 1},
            "mask_gradients must be true or false, got 1: write True or False, in a file true or false",
        ),
        (
            {"keep_phase_checkpoints": [0.5]},
            "keep_phase_checkpoints must be a list of whole numbers, got 0.5 in [0.5]: leave out the fraction",
        ),
        (
            {"keep_phase_checkpoints": 0},
            "keep_phase_checkpoints must be a list of whole numbers, got 0: write phases counted from 0, such as [0]",
        ),
        ({"weight_averages": "mean"}, "weight_averages must be one of ema, swa, got 'mean'"),
        ({"weight_averages": True}, "weight_averages must be a list of names, got True: write it as text, in quotes"),
        ({"dense_modules": [1]}, "dense_modules must be a list of regexes, got 1 in [1]: write it as text, in quotes"),
        (
            {"max_steps": "9"},
            "max_steps must be a whole number, got '9': write it without quotes, and in YAML with a "
            "point, 1.0e-3: 1e-3 is text there",
        ),
        (
            {"sparsity_overrides": {"a": 1.5}},
            "sparsity_overrides['a'] must be a fraction in [0, 1), got 1.5; write 0.015 for 1.5 %",
        ),
        (
            {"sparsity_overrides": {"a": True}},
            "sparsity_overrides must be a dictionary from regex to fraction, got True in {'a': True}: true and false "
            "are no numbers",
        ),
        (
            {"sparsity_overrides": '{"a": 0.5, "a": 0.3}'},
            'sparsity_overrides must be a dictionary from regex to fraction, got \'{"a": 0.5, "a": 0.3}\': write '
            "JSON such as '{\"lstm\": 0.5}' (the key 'a' appears twice: give it once)",
        ),
        (
            {"phase_patience": 1},
            'phase_patience, phase_start="best" and keep_early_stop need evaluations: set eval_strategy',
        ),
        (
            {"phase_start": "best", "eval_strategy": IntervalStrategy.NO},
            'phase_patience, phase_start="best" and keep_early_stop need evaluations: set eval_strategy',
        ),
        (
            {"sparsity_overrides": "lstm=0.5"},
            "sparsity_overrides must be a dictionary from regex to fraction, got 'lstm=0.5': write JSON such as "
            "'{\"lstm\": 0.5}' (Expecting value: line 1 column 1 (char 0))",
        ),
        *(
            (
                {"sparsity_overrides": value},
                f"sparsity_overrides must be a dictionary from regex to fraction, got {got}: write a dictionary, or "
                "JSON such as '{\"lstm\": 0.5}'",
            )
            for value, got in (("[0.5]", "[0.5] in '[0.5]'"), ("0.5", "0.5 in '0.5'"), ([0.5], "[0.5]"))
        ),
        (
            {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch"},
            "lr_scheduler_type reduce_lr_on_plateau follows the metric across phases, which DSD does not support: use "
            "a schedule of steps such as linear or cosine",
        ),
        (
            {"lr_scheduler_type": SchedulerType.GREEDY},
            "lr_scheduler_type greedy follows the metric across phases, which DSD does not support: use a schedule of "
            "steps such as linear or cosine",
        ),
        (
            {"optim": "galore_adamw_layerwise"},
            "optim galore_adamw_layerwise updates weights during backward, where DSD cannot mask them: use another",
        ),
        (
            {"optim": "adalomo"},
            "optim adalomo updates weights during backward, where DSD cannot mask them: use another",
        ),
        (
            {"optim": "schedule_free_adamw"},
            "optim schedule_free_adamw evaluates other weights than it trains, which DSD cannot mask: use another",
        ),
        (
            {"phase_patience": 1, "eval_strategy": "epoch", "metric_for_best_model": "power"},
            "greater_is_better must be given for metric_for_best_model 'power': its name does not tell whether a "
            "greater or a smaller value is better",
        ),
        (
            {"metric_for_best_model": "eval_words_without_error"},
            "greater_is_better must be given for metric_for_best_model 'eval_words_without_error': its name does not "
            "tell whether a greater or a smaller value is better",
        ),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_bad_value_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        build(**fields)


def test_a_run_too_short_for_its_phases_is_refused():
    with pytest.raises(
        ValueError, match=r"^the run's length must give every phase after the first at least one optimi"
    ):
        build(max_steps=2).build_schedule(2, 100)
    with pytest.raises(ValueError, match=r"^phase_epochs must give every phase after the first at least one optimizer"):
        build(phase_epochs=[1, 0.1, 1]).build_schedule(9, 4)


def test_phases_changed_after_the_length_was_set_are_refused():
    args = build(phase_epochs=[2, 1, 1])
    args.phase_epochs = [2, 2, 2]
    message = (
        "the phases take 60 steps but the run has 40: build the arguments anew instead of changing phase_epochs or "
        "phase_steps"
    )
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        args.build_schedule(40, 10)
