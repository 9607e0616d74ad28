"""The Trainer's own pushes of a DSD run, and `trainer.push_to_hub()`, against the server."""

import json
from pathlib import Path

import pytest
from hub_client import ClientProcess, digests
from hub_server import TOKEN, HubServer
from safetensors.torch import load_file

from hf_dsd.hub.contents import release_tag

REPO = "user/live"
PUSHING = {
    "push_to_hub": True,
    "hub_model_id": REPO,
    "hub_always_push": True,  # else a push is left out while the one before it is under way
    "save_strategy": "steps",
    "save_steps": 1,
}
MODEL = {"config.json", "model.safetensors", "processor_config.json", "tokenizer_config.json", "vocab.json"}
PUSHED = MODEL | {"training_args.bin"}


def weights(folder: Path) -> dict[str, str]:
    return digests(load_file(folder / "model.safetensors"))


def test_every_save_pushes_the_model_and_neither_phases_nor_masks(
    hub: HubServer, client: ClientProcess, tmp_path: Path
) -> None:
    options = PUSHING | {"hub_strategy": "every_save"}
    client.answer("train", "deepspeech", tmp_path / "run", options, token=TOKEN)
    assert (tmp_path / "run" / "phase-1-sparse" / "model.safetensors").is_file()
    assert hub.files(REPO).keys() == PUSHED | {"dsd_summary.json"}
    history = [set(c.files) - {".gitattributes"} for c in hub.store.repositories[REPO].find("main").history]
    assert all(files <= PUSHED | {"dsd_summary.json"} for files in history)
    assert len(history) > 1
    assert json.loads(hub.files(REPO)["dsd_summary.json"])["command"] == ["hub_client.py", "--output_dir", "run"]
    (tmp_path / "pulled").mkdir()
    (tmp_path / "pulled" / "model.safetensors").write_bytes(hub.files(REPO)["model.safetensors"])
    assert weights(tmp_path / "pulled") == weights(tmp_path / "run" / "phase-2-dense")


def test_a_run_goes_on_from_the_checkpoint_on_the_hub(hub: HubServer, client: ClientProcess, tmp_path: Path) -> None:
    """Trained to the middle of the sparse phase, pushed; another machine downloads, resumes and ends the run."""
    saving = {"save_strategy": "steps", "save_steps": 1}
    client.answer("train", "neuraltalk", tmp_path / "whole", saving)
    options = PUSHING | {"hub_strategy": "checkpoint"}
    assert client.answer("train", "neuraltalk", tmp_path / "begun", options, None, 3, token=TOKEN) == 3
    pushed = {path for path in hub.files(REPO) if path.startswith("last-checkpoint/")}
    assert "last-checkpoint/dsd_masks.safetensors" in pushed
    assert not [path for path in hub.files(REPO) if path.startswith("phase-")]
    assert "dsd_masks.safetensors" not in hub.files(REPO)
    ended = client.answer("train_from_hub", "neuraltalk", tmp_path / "ended", saving, REPO, tmp_path / "cache")
    assert ended == 6
    for step in (4, 5, 6):
        for file in ("model.safetensors", "dsd_masks.safetensors"):
            pair = [digests(load_file(tmp_path / run / f"checkpoint-{step}" / file)) for run in ("ended", "whole")]
            assert pair[0] == pair[1], (step, file)
    masks = load_file(tmp_path / "ended" / "checkpoint-4" / "dsd_masks.safetensors")
    assert masks  # step 4 is the sparse phase's last: there was something to carry over
    states = [
        json.loads((tmp_path / run / "checkpoint-6" / "trainer_state.json").read_text()) for run in ("ended", "whole")
    ]
    losses = [[line["loss"] for line in state["log_history"] if "loss" in line] for state in states]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6


def test_all_checkpoints_are_pushed_with_their_masks(hub: HubServer, client: ClientProcess, tmp_path: Path) -> None:
    client.answer("train", "deepspeech", tmp_path, PUSHING | {"hub_strategy": "all_checkpoints"}, token=TOKEN)
    files = hub.files(REPO)
    for step in range(1, 7):
        for name in ("model.safetensors", "dsd_masks.safetensors", "optimizer.pt", "trainer_state.json"):
            path = f"checkpoint-{step}/{name}"
            assert files[path] == (tmp_path / path).read_bytes(), path
    assert {path for path in files if not path.startswith("checkpoint-")} == PUSHED | {"dsd_summary.json"}


def test_at_the_end_means_at_the_end(hub: HubServer, client: ClientProcess, tmp_path: Path) -> None:
    options = PUSHING | {"hub_strategy": "end"}
    client.answer("train", "deepspeech", tmp_path / "run", options, token=TOKEN)
    assert hub.files(REPO) == {}  # the repository is made at the start, and stays empty
    oid = client.answer("train_and_push", "deepspeech", tmp_path / "again", options, {}, token=TOKEN)
    repository = hub.store.repositories[REPO]
    assert sorted(repository.branches) == ["dense", "main", "sparse"]
    assert repository.find("main").oid == oid


@pytest.mark.parametrize("blocking", [True, False])
def test_push_to_hub_publishes_every_phase(
    hub: HubServer, client: ClientProcess, tmp_path: Path, blocking: bool
) -> None:
    options = PUSHING | {"hub_strategy": "every_save", "save_steps": 3, "hub_private_repo": True}
    push = {"license": "mit", "commit_message": "Done", "blocking": blocking}
    oid = client.answer("train_and_push", "deepspeech", tmp_path / "run", options, push, token=TOKEN)
    repository = hub.store.repositories[REPO]
    assert repository.private
    assert sorted(repository.branches) == ["dense", "main", "sparse"]
    assert (repository.find("main").oid, repository.find("main").title) == (oid, "Done")
    assert repository.tags == {release_tag(): repository.find("main")}
    for revision, phase in {"dense": "phase-0-dense", "sparse": "phase-1-sparse", "main": "phase-2-dense"}.items():
        (tmp_path / "model.safetensors").write_bytes(hub.files(REPO, revision)["model.safetensors"])
        assert weights(tmp_path) == weights(tmp_path / "run" / phase), revision
    assert "training_args.bin" not in hub.files(REPO)  # which the pushes before had left there
    assert b"license: mit" in hub.files(REPO)["README.md"]


def test_push_to_hub_of_a_run_that_never_pushed_takes_no_other_repository(
    hub: HubServer, client: ClientProcess, tmp_path: Path
) -> None:
    lines = [{"key": "file", "value": {"path": "config.json", "data": b"theirs"}}]
    hub.store.commit(hub.store.create(REPO), "main", lines)
    finished = client.run("train_and_push", "deepspeech", tmp_path, {"hub_model_id": REPO}, {}, token=TOKEN)
    assert finished.status == 1
    assert f"{REPO} is taken: it holds files that hf-dsd did not publish (config.json)" in finished.output
    assert hub.files(REPO) == {"config.json": b"theirs"}


def test_the_best_model_is_not_silently_another_than_mains(
    hub: HubServer, client: ClientProcess, tmp_path: Path
) -> None:
    options = {"hub_model_id": REPO, "load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps"}
    options |= {"eval_steps": 1, "save_steps": 1}
    finished = client.run("train_and_push", "deepspeech", tmp_path / "run", options, {}, token=TOKEN)
    assert finished.status == 0, finished.output
    assert "main is the last phase's model, not the best one that load_best_model_at_end has loaded" in finished.output
    (tmp_path / "model.safetensors").write_bytes(hub.files(REPO)["model.safetensors"])
    assert weights(tmp_path) == weights(tmp_path / "run" / "phase-2-dense")


def test_the_owner_of_a_name_without_one_is_the_tokens(hub: HubServer, client: ClientProcess, tmp_path: Path) -> None:
    client.answer("train_and_push", "deepspeech", tmp_path / "named-so", {}, {}, token=TOKEN)
    assert sorted(hub.store.repositories) == ["user/named-so"]


@pytest.mark.parametrize(
    ("push", "stop_at", "revision"),
    [({}, 3, "main"), ({"revision": "trial"}, None, "trial")],
    ids=["early", "revision"],
)
def test_an_unfinished_run_or_a_revision_is_the_model_alone(
    hub: HubServer, client: ClientProcess, tmp_path: Path, push: dict[str, str], stop_at: int | None, revision: str
) -> None:
    repository = hub.store.create(REPO)
    repository.branches["trial"] = repository.branches["main"]
    options = {"hub_model_id": REPO}
    client.answer("train_and_push", "deepspeech", tmp_path / "run", options, push, stop_at, token=TOKEN)
    assert hub.files(REPO, revision).keys() == PUSHED | {"README.md", "dsd_summary.json"}
    assert sorted(repository.branches) == ["main", "trial"]


@pytest.mark.parametrize("pushing", [{}, PUSHING | {"hub_model_id": None, "hub_strategy": "end"}], ids=["own", "args"])
def test_an_unfinished_run_without_a_name_is_called_as_its_folder(
    hub: HubServer, client: ClientProcess, tmp_path: Path, pushing: dict[str, object]
) -> None:
    client.answer("train_and_push", "deepspeech", tmp_path / "my-run", pushing, {}, 3, token=TOKEN)
    assert sorted(hub.store.repositories) == ["user/my-run"]
    card = hub.files("user/my-run")["README.md"].decode()
    assert "\n# my-run\n" in card
    assert "trained from scratch" in card
    assert "](https://huggingface.co/)" not in card


def test_a_token_in_the_arguments_is_in_no_file(hub: HubServer, client: ClientProcess, tmp_path: Path) -> None:
    options = PUSHING | {"hub_strategy": "checkpoint", "hub_token": TOKEN}
    finished = client.run("train_and_push", "deepspeech", tmp_path / "run", options, {})
    assert finished.status == 0, finished.output
    assert TOKEN not in finished.output
    assert sorted(hub.store.repositories[REPO].branches) == ["dense", "main", "sparse"]
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert [path.name for path in files].count("training_args.bin") > 5
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    for commit in hub.store.repositories[REPO].find("main").history:
        assert [path for path, file in commit.files.items() if TOKEN.encode() in file.data] == []
