"""Publishes a run: lists every file, then sends exactly these, the card and the tag last.

Order is what keeps the repository consistent when the connection ends half-way: the branches come first, then `main`,
whose card speaks of them, then the tag. Each is whole or not there, and the same command goes on.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitInfo, HfApi
from huggingface_hub.utils import validate_repo_id
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from .card import CARD_FILE_NAME
from .contents import MAIN, OUR_BRANCHES, plan_revisions, read_finished_run, release_tag
from .repository import HubRepository
from .staging import read_results, stage_card, stage_run


@dataclass(frozen=True)
class Listing:
    """What will be in the repository `user/name`, and the tag set on `main` at the very end.

    `folders` gives each revision the folder that holds exactly its files, in the order in which they are sent.
    """

    repo_id: str
    folders: Mapping[str, Path]
    tag: str

    def files(self, revision: str) -> dict[str, int]:
        """Path in the repository -> size in bytes."""
        folder = self.folders[revision]
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}

    @property
    def size(self) -> int:
        """Bytes of all revisions."""
        return sum(sum(self.files(revision).values()) for revision in self.folders)


def publish(
    run_dir: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool | None = None,
    dry_run: bool = False,
    results: str | os.PathLike[str] | None = None,
    license: str | None = None,
    language: str | list[str] | None = None,
    dataset: str | None = None,
    message: str | None = None,
    token: str | None = None,
    image_encoder: bool = False,
    is_ours: bool = False,
    console: Console | None = None,
) -> CommitInfo | None:
    """Publishes a finished run: `main` is its last model, branches are the earlier phases' (see `plan_revisions`).

    Safe to repeat: files that are on the Hub already are not sent again.

    Args:
        run_dir: `output_dir` of a run that has finished its last phase.
        repo_id: `user/name`; made if it does not exist.
        private: Make the repository private.
        dry_run: Print the list and end; needs no network and no token.
        results: A card's folder, or its results.json: its words and studies are kept, the numbers are the run's own.
        license: Licence of the weights, as the Hub calls it: `apache-2.0`.
        language: Code or codes for the card.
        dataset: The data's name for the card; None takes it from the run's command.
        message: Message of `main`'s commit.
        token: For programs that hold one; None takes HF_TOKEN or the login. It is never written anywhere.
        image_encoder: Give every model of a captioner EfficientNet-Lite0, so that it takes pictures: for captioners of
            that encoder's vectors (see `attach_image_encoder`).
        is_ours: The repository is known to be meant for this run, whatever it holds.
        console: Where the list is printed.

    Returns:
        `main`'s commit; None after a dry run.

    Raises:
        FileNotFoundError: If the folder is not a run's.
        ValueError: If the run is unfinished, a name is not as the Hub wants it, a file would publish a secret, or the
            model is none for `image_encoder`, whose weights, if they are not installed, are an ImportError.
        PublishError: If the Hub refuses or cannot be reached; says what to do.
    """
    _check_name(repo_id)
    run = read_finished_run(Path(run_dir))
    revisions = plan_revisions(run)
    content = read_results(run, repo_id, card=results, license=license, language=language, dataset=dataset)
    with tempfile.TemporaryDirectory(prefix="hf-dsd-publish-") as folder:
        staged = stage_run(run, revisions, content, Path(folder), image_encoder=image_encoder, token=token)
        phases = {revision.name: revision.phase for revision in revisions}
        return _publish(repo_id, staged, phases, message, private, token, console, dry_run=dry_run, is_ours=is_ours)


def publish_card(
    card: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool | None = None,
    dry_run: bool = False,
    message: str | None = None,
    token: str | None = None,
    console: Console | None = None,
) -> CommitInfo | None:
    """Publishes the model in a card's folder as `main`, with its code, its card and what that is rendered from.

    Arguments, result and errors are `publish`'s; a card without a model is a ValueError.
    """
    _check_name(repo_id)
    with tempfile.TemporaryDirectory(prefix="hf-dsd-publish-") as folder:
        staged = stage_card(Path(card), repo_id, Path(folder), token=token)
        phases = {MAIN: "the card's model"}
        return _publish(repo_id, staged, phases, message, private, token, console, dry_run=dry_run)


def _check_name(repo_id: str) -> None:
    validate_repo_id(repo_id)
    if repo_id.count("/") != 1:
        raise ValueError(f"repo_id must be user/name or organisation/name, got {repo_id!r}")


def _publish(
    repo_id: str,
    staged: Mapping[str, Path],
    phases: dict[str, str],
    message: str | None,
    private: bool | None,
    token: str | None,
    console: Console | None,
    *,
    dry_run: bool,
    is_ours: bool = False,
) -> CommitInfo | None:
    """Prints the list of staged folders and, unless that is all, sends it."""
    listing, console = Listing(repo_id, staged, release_tag()), console or Console()
    print_listing(listing, console)
    if dry_run:
        console.print("nothing was sent: leave --dry-run out to publish this list")
        return None
    repository = HubRepository.claim(repo_id, HfApi(token=token), private=private, is_ours=is_ours)
    return send(listing, repository, phases, message, console)


def send(
    listing: Listing, repository: HubRepository, phases: dict[str, str], message: str | None, console: Console
) -> CommitInfo:
    """Sends a listing, revision by revision in its order, then sets the tag; returns `main`'s commit."""
    repository.check_card((listing.folders[MAIN] / CARD_FILE_NAME).read_text(encoding="utf-8"))
    for revision, folder in listing.folders.items():
        files = listing.files(revision)
        for path in repository.stale(revision, files):
            console.print(f"{revision}: {path} of an earlier publication goes", highlight=False, markup=False)
        text = message if revision == MAIN and message else f"{phases[revision]} (hf-dsd {listing.tag})"
        done = repository.commit(revision, folder, files, text)
        console.print(f"{revision}: {done.oid}", highlight=False)
    repository.tag(listing.tag)
    console.print(f"{listing.tag}: {done.oid}\n{done.repo_url}", highlight=False)
    others = [
        branch
        for branch in repository.branches()
        if re.fullmatch(OUR_BRANCHES, branch) and branch not in listing.folders
    ]
    if others:
        console.print(f"branches of an earlier publication that this run has not: {', '.join(others)}", highlight=False)
    return done


def print_listing(listing: Listing, console: Console) -> None:
    """Prints every file with its size, revision by revision."""
    table = Table("revision", "file", "bytes", title=f"{listing.repo_id}, tagged {listing.tag}", title_justify="left")
    table.columns[2].justify = "right"
    table.columns[1].overflow = table.columns[0].overflow = "fold"
    for revision in listing.folders:
        for path, size in listing.files(revision).items():
            table.add_row(revision, escape(path), f"{size:,}")
        table.add_section()
    console.print(table)
    console.print(f"{decimal(listing.size)} in all", highlight=False)
