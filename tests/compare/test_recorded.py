"""What arms differ in where no recipe tells of them: read off what each run's folder records."""

import json
from pathlib import Path

import pytest
from run_folders import heard, write_run

from hf_dsd.compare import Comparison
from hf_dsd.compare.table import print_comparison, to_markdown
from hf_dsd.hub.privacy import public_comparison
from hf_dsd.report import write_report

LAST = "phase-2-dense"
DENSE = ["train.py", "--learning_rate", "1e-9", "--data_dir", "A", "--output_dir", "somewhere"]


def folder(tmp_path: Path, commands: dict[str, list[str]], seeds: tuple[int, ...] = (1, 2), **summary) -> Path:
    """Arms of two seeds that somebody has put beside each other; `SEED` in a command is the run's."""
    for seed in seeds:
        for arm, command in commands.items():
            words = [word.replace("SEED", str(seed)) for word in command]
            facts = {"mask_criterion": "magnitude", **summary, **({"command": words} if words else {})}
            run = write_run(tmp_path, seed, arm, {LAST: heard(seed)}, **facts)
            change(run, arm="dense" if arm == "dense" else "dsd")
    return tmp_path


def change(run: Path, **content) -> None:
    path = run / "dsd_summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | content))


def arguments(out: Path, **options) -> dict[str, str]:
    return {name: arm.arguments for name, arm in Comparison.from_folder(out, **options).arms.items()}


def test_arms_differ_in_what_their_commands_record(tmp_path):
    own = ["train.py", "--learning_rate", "1e-3", "--data_dir=B", "--output_dir", "elsewhere", "--seed", "SEED"]
    out = folder(tmp_path, {"dense": DENSE, "dsd": own, "s80": [*DENSE[:2], "1.0e-9", *DENSE[3:], "--flag"]})
    found = {
        "dense": "--data_dir A --dsd_control true --learning_rate 1e-9",
        "s80": "--dsd_control false --flag true --sparsity 0.5",
        "dsd": "--data_dir B --dsd_control false --learning_rate 1e-3 --sparsity 0.5",
    }
    comparison = Comparison.from_folder(out)
    assert {name: arm.arguments for name, arm in comparison.arms.items()} == found
    assert comparison.to_frame()["arguments"].to_dict() == found
    assert f"| DSD | {found['dsd']} |" in to_markdown(comparison)
    assert found["dsd"] in write_report(out).read_text()
    (remark,) = comparison.remarks
    assert remark == (
        "No recipe.json tells of these runs: their arguments are read off their summaries, and what a script sets "
        "without an argument, such as its data, is not recorded."
    )
    comparison.write(out)
    assert Comparison.read(out).remarks == [remark]


def test_an_option_that_an_arm_lacks_is_said(tmp_path):
    out = folder(tmp_path, {"dense": DENSE, "dsd": DENSE[:3]})
    assert arguments(out)["dsd"] == "--dsd_control false --sparsity 0.5, without --data_dir"


def test_what_a_script_sets_by_itself_is_read_off_settings_and_phases(tmp_path):
    out = folder(tmp_path, {"dense": [], "dsd": []}, batch_size=32)
    for seed in (1, 2):
        run = out / f"seed-{seed}" / "dsd"
        phases = [
            phase | {"learning_rate": 0.25} for phase in json.loads((run / "dsd_summary.json").read_text())["phases"]
        ]
        change(run, phases=phases, batch_size=64, steps_per_epoch=5)
    assert arguments(out) == {
        "dense": "--batch_size 32 --dsd_control true --phase_learning_rates 0.001 0.001 0.001",
        "dsd": "--batch_size 64 --dsd_control false --phase_learning_rates 0.25 0.25 0.25 --sparsity 0.5",
    }
    assert "no command is recorded of any of them." in Comparison.from_folder(out).remarks[0]


def test_half_of_the_commands_say_nothing(tmp_path):
    out = folder(tmp_path, {"dense": DENSE, "dsd": []})
    assert arguments(out) == {"dense": "--dsd_control true", "dsd": "--dsd_control false --sparsity 0.5"}
    assert "no command is recorded of dsd, seed 1; dsd, seed 2." in Comparison.from_folder(out).remarks[0]


def test_a_notebooks_command_is_none(tmp_path):
    kernel = ["ipykernel_launcher.py", "-f", "kernel-SEED.json"]
    comparison = Comparison.from_folder(folder(tmp_path, {"dense": kernel, "dropout": kernel}))
    assert [arm.arguments for arm in comparison.arms.values()] == ["--dsd_control true", "--dsd_control false"]
    assert ["of any of them" in remark for remark in comparison.remarks] == [True]


def test_no_difference_on_record_is_said(tmp_path):
    out = folder(tmp_path, {"dsd": DENSE, "twin": DENSE})
    assert arguments(out) == {"twin": "", "dsd": ""}
    assert Comparison.from_folder(out).remarks[0].endswith("The arms differ in nothing that is recorded.")


@pytest.mark.parametrize("arm", ["dense", "dsd"])
def test_seeds_of_one_arm_that_differ_are_a_remark(tmp_path, arm, capsys):
    out = folder(tmp_path, {"dense": DENSE, "dsd": DENSE}, seeds=(1, 2, 3))
    change(out / "seed-2" / arm, command=[*DENSE[:2], "1e-3", *DENSE[3:]])
    comparison = Comparison.from_folder(out)
    assert "learning_rate" not in comparison.arms["dsd"].arguments + comparison.arms["dense"].arguments
    said = (
        f"Seeds of {arm} were not trained alike, so its mean and spread are of no one arm: seeds 1, 3: --learning_rate "
    )
    said += "1e-9; seed 2: --learning_rate 1e-3."
    assert comparison.remarks[1:] == [said]
    assert f"- {said}\n" in to_markdown(comparison)
    print_comparison(comparison)
    assert said in " ".join(capsys.readouterr().out.split())
    assert said in write_report(out).read_text()


def test_seeds_may_draw_training_sets_of_their_own(tmp_path):
    drawn = [*DENSE, "--train_size", "250", "--train_size_seed", "SEED"]
    comparison = Comparison.from_folder(folder(tmp_path, {"dense": drawn, "dsd": drawn}, seeds=(1, 2, 3)))
    assert len(comparison.remarks) == 1  # what is not recorded; nothing of seeds that were not trained alike
    assert [arm.arguments for arm in comparison.arms.values()] == [
        "--dsd_control true",
        "--dsd_control false --sparsity 0.5",
    ]


def test_arms_beside_a_recipe_are_read_off_their_runs(tmp_path):
    out = folder(tmp_path, {"dense": DENSE, "s80": DENSE, "mine": [*DENSE[:2], "0.5", *DENSE[3:]]})
    told = {"arms": {"dense": {"dsd_control": True}, "s80": {"sparsity": 0.8}}}
    (out / "recipe.json").write_text(json.dumps(told))
    assert arguments(out) == {
        "dense": "--dsd_control true",
        "s80": "--sparsity 0.8",
        "mine": "--dsd_control false --learning_rate 0.5 --sparsity 0.5",
    }
    assert Comparison.from_folder(out).remarks[0].startswith("No recipe.json tells of the runs of mine: ")
    (out / "recipe.json").write_text(json.dumps({"arms": {**told["arms"], "mine": {}}}))
    assert (arguments(out)["mine"], Comparison.from_folder(out).remarks) == ("", [])


def test_a_published_remark_names_no_folder_and_no_secret(tmp_path):
    out = folder(
        tmp_path, {"dense": [*DENSE, "--x_dir", "/home/me/SEED"], "dsd": [*DENSE, "--hub_token", "hf_abcdefgh12"]}
    )
    comparison = Comparison.from_folder(out)
    assert "--x_dir /home/me/1" in comparison.remarks[1]
    assert "hf_abc" not in str(comparison.to_dict())
    assert "seed 1: --x_dir 1; seed 2: --x_dir 2" in public_comparison(comparison).remarks[1]
