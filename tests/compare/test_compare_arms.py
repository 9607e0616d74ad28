"""What each arm changes, and what is refused."""

import pytest

from hf_dsd import DSDTrainingArguments
from hf_dsd.compare.arms import Recipe, arm_options, as_arguments, check_arguments, check_arms

LINE = "--data_dir x --phase_epochs 19 10 6 --sparsity 0.8 --phase_learning_rates 1e-2 1e-3 1e-4 --fp16"


def test_each_arm_changes_one_thing() -> None:
    arms = ["dsd", "dense", "random", "ema", "swa", "sparse"]
    assert check_arms(arms) == ["dsd", "dense", "random"]
    options = {arm: as_arguments(arm_options(arm, arms, None)) for arm in check_arms(arms)}
    assert options == {
        "dsd": [],
        "dense": ["--dsd_control", "true", "--weight_averages", "ema", "swa"],
        "random": ["--mask_criterion", "random"],
    }


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
    ("arms", "message"),
    [
        (["dsd", "dnse"], "arms must be different ones of dense, sparse, .* got dsd dnse"),
        (["dsd", "dsd"], "must be different"),
        ([], "got none"),
        (["dsd", "ema"], "arm ema is read off the dense run: add dense"),
        (["dense", "sparse"], "arm sparse is read off the dsd run: add dsd"),
    ],
)
def test_wrong_arms_are_refused(arms: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_arms(arms)


@pytest.mark.parametrize("argument", ["--seed 3", "--dsd_control=true", "--output-dir x"])
def test_what_compare_sets_itself_is_refused(argument: str) -> None:
    with pytest.raises(ValueError, match="compare sets --.* for every run"):
        check_arguments([*LINE.split(), *argument.split()])
