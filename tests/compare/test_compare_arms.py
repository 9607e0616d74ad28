"""What each arm changes, which arms share a first phase, and what is refused."""

from typing import Any

import pytest

from hf_dsd import DSDTrainingArguments
from hf_dsd.compare.arguments import as_arguments, is_on, parse_options
from hf_dsd.compare.arms import Arm, check_arguments, plan_arms
from hf_dsd.compare.first_phase import donors, sharing_text
from hf_dsd.compare.iterative import Recipe

LINE = "--data_dir x --phase_epochs 19 10 6 --sparsity 0.8 --phase_learning_rates 1e-2 1e-3 1e-4 --fp16"


def test_each_arm_changes_one_thing() -> None:
    arms = ["dsd", "dense", "random", "ema", "swa", "sparse"]
    options = {arm: as_arguments(given) for arm, given in plan_arms(arms).items()}
    assert options == {
        "dsd": [],
        "dense": ["--dsd_control", "true", "--weight_averages", "ema", "swa"],
        "random": ["--mask_criterion", "random"],
    }


def test_any_difference_in_arguments_is_an_arm() -> None:
    own = Arm.parse("s50=--sparsity 0.5 --phase_start best")
    assert own == Arm("s50", {"sparsity": ["0.5"], "phase_start": ["best"]})
    assert Arm.parse("plain=") == Arm("plain", {})
    options = plan_arms(["early", "ema", own, Arm("dropout", {"dropout": 0.5})], baseline="dropout")
    assert options == {  # the baseline trains the first phase: its early stop may lie there
        "dropout": {"dropout": 0.5, "weight_averages": ["ema"], "keep_early_stop": True},
        "s50": own.options,
    }
    assert list(options) == ["dropout", "s50"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s50", "--arm must be 'NAME=--option value ...', got 's50'"),
        ("s50=0.5", "--arm must be"),
        ("=--sparsity 0.5", "an arm's name must be .* got ''"),
        ("../s50=--sparsity 0.5", "an arm's name must be .* got '../s50'"),
        ("s50.log=--sparsity 0.5", "an arm's name must be .* since it names a folder; got 's50.log'"),
        ("Dense=--sparsity 0", "arm Dense has its meaning already"),
        ("dense=--sparsity 0", "arm dense has its meaning already: name it in --arms, or give yours another name"),
        ("a=--seed 3", "compare sets --seed for every run: leave it out of arm a"),
        ("a=--keep_early_stop true", "compare sets --keep_early_stop for every run"),
        ("a=--hub_token hf_secret", "arm a holds a token"),
        ("a=--x 'y", "--arm .* cannot be read .No closing quotation."),
    ],
)
def test_what_is_no_arm_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Arm.parse(text)


LATER = {
    "dsd": {},
    "dense": {"dsd_control": True, "weight_averages": ["ema"]},
    "s50": {"sparsity": ["0.5"], "dense_modules": ["head"], "sparsity_overrides": ["{}"]},
    "rates": {"phase_learning_rates": ["0.010", "1e-4", "1e-5"]},
    "longer": {"phase_epochs": [19, 20, 12]},
    "same": {"data_dir": ["x"]},
}
FIRST = {
    "dropout": ({"decoder_dropout": 0.5}, "decoder_dropout"),
    "rate": ({"phase_learning_rates": [2e-2, 1e-3, 1e-4]}, "learning_rate"),
    "first": ({"phase_epochs": [20.0, 10, 6]}, "phase_epochs"),
    "start": ({"phase_start": "best"}, "phase_start"),
}


@pytest.mark.parametrize("name", FIRST)
def test_what_acts_in_the_first_phase_is_not_shared(name: str) -> None:
    options, acting = FIRST[name]
    arms = {**LATER, name: options}
    recipe = parse_options(LINE.split())
    assert donors(arms, recipe) == {**{arm: list(LATER) for arm in LATER}, name: [name]}
    assert sharing_text(list(arms), arms, recipe) == (
        "The first dense phase is trained once per seed for dsd, dense, s50, rates, longer, same. "
        f"{name}: by itself, since {acting} acts from the first step."
    )


def test_without_lengths_the_number_of_sparsities_decides_how_long_the_first_phase_is() -> None:
    arms: dict[str, dict[str, Any]] = {"dsd": {}, "twice": {"sparsity": [0.5, 0.25]}, "s50": {"sparsity": 0.5}}
    assert donors(arms, {"sparsity": [0.3], "num_train_epochs": 9}) == {
        "dsd": ["dsd", "s50"],
        "twice": ["twice"],
        "s50": ["dsd", "s50"],
    }


@pytest.mark.parametrize(("words", "on"), [([], True), (["T"], True), ("yes", True), (True, True), (["0"], False)])
def test_an_option_is_on_as_the_scripts_parser_reads_it(words: Any, on: bool) -> None:
    assert is_on({"keep_early_stop": words}, "keep_early_stop") is on
    assert not is_on({}, "keep_early_stop")
    with pytest.raises(ValueError, match="^keep_early_stop must be true or false, got 'maybe': write --keep_early_s"):
        is_on({"keep_early_stop": "maybe"}, "keep_early_stop")


def test_an_early_stop_begins_from_no_run_that_did_not_look() -> None:
    arms = {"dense": {"dsd_control": True, "keep_early_stop": True}, "dsd": {}}
    assert donors(arms, {}) == {"dense": ["dense"], "dsd": ["dense", "dsd"]}
    del arms["dense"]["keep_early_stop"]
    assert donors(arms, {"keep_early_stop": ["true"]}) == {"dense": ["dense", "dsd"], "dsd": ["dense", "dsd"]}
    assert plan_arms(["dsd", "dense", "early"], all_keep_early_stop=True) == {"dsd": {}, "dense": {"dsd_control": True}}
    assert list(plan_arms(["dsd", "dense", "early"])) == ["dense", "dsd"]


def test_iterative_has_the_same_budget() -> None:
    options = Recipe.from_arguments(LINE.split()).iterative()
    rates = "--phase_learning_rates 0.01 0.001 0.0001 0.0001 1e-05"
    assert " ".join(as_arguments(options)) == f"--phase_epochs 19 5 3 5 3 --sparsity 0.8 0.4 {rates}"
    args = DSDTrainingArguments("out", **options, use_cpu=True)
    assert (args.num_train_epochs, args.phase_count) == (35, 5)


def test_iterative_without_rates_follows_the_default_rule(tmp_path: object) -> None:
    base = DSDTrainingArguments(str(tmp_path), phase_steps=[3, 5, 4], sparsity=0.5, learning_rate=1e-2, use_cpu=True)
    options = Recipe.from_training_arguments(base).iterative()
    assert options == {"phase_steps": [3, 3, 2, 2, 2], "sparsity": [0.5, 0.25]}
    args = DSDTrainingArguments(str(tmp_path), **options, learning_rate=1e-2, use_cpu=True)
    rates = [phase.learning_rate for phase in args.build_schedule(12, 6).phases]
    explicit = Recipe("phase_steps", [3, 5, 4], [0.5], [1e-2, 1e-2, 1e-3]).iterative()["phase_learning_rates"]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4]) == explicit


def test_iterative_of_equal_parts(tmp_path: object) -> None:
    base = DSDTrainingArguments(str(tmp_path), num_train_epochs=30, sparsity=0.3, use_cpu=True)
    assert Recipe.from_training_arguments(base).iterative()["phase_epochs"] == [10, 5, 5, 5, 5]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--phase_epochs 5 5 --sparsity 0.5", "divides the phases of D,S,D.* leave iterative out of --arms"),
        ("--phase_epochs 5 5 5 5 5 --sparsity 0.5 0.25", "already iterative .* leave iterative out of --arms"),
        ("--phase_steps 5 1 5 --sparsity 0.5", "one has 1 optimizer step; give it at least 2"),
        ("--num_train_epochs 9", "must give --sparsity and --phase_epochs or --phase_steps"),
        (
            "--phase_steps 4 4 4 --sparsity 0.5 --phase_learning_rates 1e-3 0 1e-4",
            "^phase_learning_rates must be numbers > 0, one for each of the 3 phases, got 0.001 0 0.0001",
        ),
        (
            "--phase_steps 4 4 4 --sparsity 0.5 --phase_learning_rates 1e-3 1e-4",
            "^phase_learning_rates must be numbers > 0, one for each of the 3 phases, got 0.001 0.0001",
        ),
        ("--phase_steps 4 4 4 --sparsity", "^--sparsity must be one or more numbers, got nothing"),
        ("--phase_steps --sparsity 0.5", "^--phase_steps must be one or more numbers, got nothing"),
        ("--phase_steps 4 x 4 --sparsity 0.5", "^--phase_steps must be one or more numbers, got 4 x 4"),
        ("--phase_steps 4 4 4 --sparsity 0.5 --phase_learning_rates", "^--phase_learning_rates must be one or more"),
    ],
)
def test_what_cannot_be_iterative_is_refused(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe.from_arguments(line.split()).iterative()


@pytest.mark.parametrize(
    ("arms", "baseline", "message"),
    [
        (["dsd", "dnse"], "dense", "arms must be different ones of dense, early, sparse, .* got dsd dnse"),
        (["dsd", "dsd"], "dense", "must be different"),
        (["dsd", Arm("a"), Arm("a")], "dense", "must be different"),
        (["dsd", Arm("s80"), Arm("S80")], "dense", "in more than upper and lower case, got dsd s80 S80"),
        ([], "dense", "got none"),
        (["dsd", "ema"], "dense", "arm ema is read off the dense run: add dense"),
        (["dsd", "early"], "dense", "arm early is read off the dense run: add dense"),
        (["dense", "sparse"], "dense", "arm sparse is read off the dsd run: add dsd"),
        (["dsd", "dense"], "random", "the baseline must be an arm that is trained, got random: one of dsd, dense"),
        (["dsd", "dense", "ema"], "ema", "the baseline must be an arm that is trained, got ema"),
    ],
)
def test_wrong_arms_are_refused(arms: list[str | Arm], baseline: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_arms(arms, baseline)


@pytest.mark.parametrize("argument", ["--seed 3", "--dsd_control=true", "--output-dir x"])
def test_what_compare_sets_itself_is_refused(argument: str) -> None:
    with pytest.raises(ValueError, match="compare sets --.* for every run: leave it out of the arguments"):
        check_arguments([*LINE.split(), *argument.split()])
