"""A repository on the Hub as publishing needs it, and what to do when the Hub says no.

Every revision is one commit, so a reader never finds half of one, whenever the connection ends.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard, ModelInfo
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,  # of httpx or httpx2, whichever huggingface_hub is built on
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_dsd.report.report_folder import FIGURE_FILES
from hf_dsd.runs.folder import SUMMARY_FILE_NAME

from .contents import MAIN, MODEL_FILES
from .results import RESULTS_FILE_NAME
from .words import WORDS_FILE_NAME

# A repository with nothing else holds no work of anybody's: the Hub's pages make these.
_MADE_BY_THE_HUB = {".gitattributes", "README.md", "LICENSE", ".gitignore"}
# What an earlier publication or a push during training left and would be loaded, or shown, in place of the new files.
# Whatever else is in the repository was put there by somebody else, and stays.
_REPLACED = (*MODEL_FILES, *FIGURE_FILES, "pytorch_model*.bin", "training_args.bin", "phase-*/*")


class PublishError(RuntimeError):
    """Publishing did not work, for a reason that the user can do something about; the message says what."""


class HubRepository:
    """One model repository, which exists and may be written to; `claim` gets one.

    Every method raises a `PublishError` if the Hub refuses or cannot be reached.
    """

    def __init__(self, repo_id: str, api: HfApi) -> None:
        self.repo_id = repo_id
        self._api = api

    @classmethod
    def claim(cls, repo_id: str, api: HfApi, *, private: bool | None = None, is_ours: bool = False) -> "HubRepository":
        """Finds the repository `user/name`, or makes it, and sees that nothing of anybody's is overwritten.

        Args:
            repo_id: `user/name`.
            api: Client with the token to use.
            private: Make a new repository private; an existing public one is then refused.
            is_ours: The caller knows that the repository is meant for this run; its content is not looked at.
        """
        user = who_am_i(api)
        repository = cls(repo_id, api)
        with explained(f"looking for {repo_id}"):
            try:
                info = api.model_info(repo_id)
            except RepositoryNotFoundError:
                repository._create(private, user)
                return repository
        if private and not info.private:
            raise PublishError(
                f"{repo_id} exists and is public: make it private in its settings, or leave --private out"
            )
        files = {file.rfilename for file in info.siblings or ()}
        published = SUMMARY_FILE_NAME in files or {RESULTS_FILE_NAME, WORDS_FILE_NAME} <= files
        if not is_ours and not published and files - _MADE_BY_THE_HUB:
            raise PublishError(
                f"{repo_id} is taken: it holds files that hf-dsd did not publish ({_some(files - _MADE_BY_THE_HUB)}). "
                "Choose another --repo_id, or delete that repository first"
            )
        return repository

    def check_card(self, text: str) -> None:
        """Asks the Hub whether it takes a card; before anything is sent, because it would refuse the card alone."""
        with explained("asking the Hub to check the card"):
            try:
                ModelCard(text, ignore_metadata_errors=True).validate()
            except ValueError as error:
                raise PublishError(
                    f"the Hub does not take the card ({_messages(str(error))}): change --license, --language or "
                    "--dataset, or the file given with --results; nothing was sent"
                ) from error

    def stale(self, revision: str, files: Iterable[str]) -> list[str]:
        """Paths of a revision that a commit of these files will delete: they would be loaded instead of these."""
        with explained(f"looking at revision {revision} of {self.repo_id}"):
            try:
                info = self._api.model_info(self.repo_id, revision=revision)
            except RevisionNotFoundError:
                return []
        return _stale(info, files)

    def branches(self) -> list[str]:
        """Names of the branches."""
        with explained(f"looking at the branches of {self.repo_id}"):
            return sorted(branch.name for branch in self._api.list_repo_refs(self.repo_id).branches)

    def commit(self, revision: str, folder: Path, files: Iterable[str], message: str) -> CommitInfo:
        """Makes a revision hold files below a folder, in one commit; files that are there already are not sent again.

        A branch that does not exist starts at the repository's first commit, so that it holds nothing of `main`.
        Somebody else's commit at the same time is an error.
        """
        wanted = set(files)
        with explained(f"sending revision {revision} of {self.repo_id}"):
            if revision != MAIN:
                first = self._api.list_repo_commits(self.repo_id)[-1].commit_id
                self._api.create_branch(self.repo_id, branch=revision, revision=first, exist_ok=True)
            info = self._api.model_info(self.repo_id, revision=revision)
            return self._api.create_commit(
                self.repo_id,
                [
                    *(CommitOperationDelete(path_in_repo=path, is_folder=False) for path in _stale(info, wanted)),
                    *(CommitOperationAdd(path_in_repo=path, path_or_fileobj=folder / path) for path in sorted(wanted)),
                ],
                commit_message=message,
                revision=revision,
                parent_commit=info.sha,  # a commit of somebody else's in between is an error, not overwritten
            )

    def tag(self, name: str) -> None:
        """Sets a tag on `main`; one of the same name that lies elsewhere is moved."""
        with explained(f"tagging {self.repo_id} {name}"):
            head = self._api.model_info(self.repo_id).sha
            tags = {tag.name: tag.target_commit for tag in self._api.list_repo_refs(self.repo_id).tags}
            if tags.get(name) == head:
                return
            if name in tags:
                self._api.delete_tag(self.repo_id, tag=name)
            self._api.create_tag(self.repo_id, tag=name)

    def _create(self, private: bool | None, user: str) -> None:
        try:
            self._api.create_repo(self.repo_id, private=private)
        except HfHubHTTPError as error:
            if error.response.status_code == 409:
                raise PublishError(
                    f"{self.repo_id} is taken by a repository that {user} may not see: choose another --repo_id"
                ) from error
            if error.response.status_code == 403:
                raise PublishError(
                    f"{user} may not create {self.repo_id}: take a --repo_id that begins with {user}/ or with an "
                    "organisation of yours, and a token whose role is write"
                ) from error
            raise


def who_am_i(api: HfApi) -> str:
    """The user whom the token belongs to; a PublishError if there is no token, or the Hub does not know it."""
    with explained("asking who the token belongs to"):
        try:
            return str(api.whoami()["name"])
        except LocalTokenNotFoundError as error:
            raise PublishError("no token: run `hf auth login`, or set HF_TOKEN in the environment") from error
        except HfHubHTTPError as error:
            if error.response.status_code != 401:
                raise
            raise PublishError(
                "the Hub does not know this token: run `hf auth login` again, or set HF_TOKEN to a token from "
                f"{api.endpoint}/settings/tokens"
            ) from None  # the chain would print the token's source


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turns what the Hub or the network answers within the block into a `PublishError` that says what to do."""
    again = (
        "every revision on the Hub is whole, though some may still be of an earlier publication, and the same command "
        "goes on where this one ended"
    )
    try:
        yield
    except PublishError:
        raise
    except OfflineModeIsEnabled as error:
        raise PublishError(f"{doing}: HF_HUB_OFFLINE is set; unset it to publish") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            remedy = "the token may not do that: take one whose role is write, of a member of the owner"
        elif status in (409, 412):
            remedy = f"somebody else has just changed the repository; {again}"
        else:
            remedy = f"{again}, once the Hub answers"
        raise PublishError(
            f"{doing}: the Hub answered {status} ({error.server_message or 'no reason'}): {remedy}"
        ) from error
    except (HTTPError, ConnectionError, TimeoutError, RuntimeError) as error:  # RuntimeError: uploads of large files
        cause = f", {error.__cause__}" if error.__cause__ is not None else ""
        reason = f"{type(error).__name__}: {error}{cause}"
        raise PublishError(f"{doing}: the connection failed ({reason}): {again}") from error


def _messages(answer: str) -> str:
    """What the Hub's check says of a card, of its answer's JSON."""
    try:
        found = [str(error["message"]) for error in json.loads(answer)["errors"]]
    except (ValueError, KeyError, TypeError):  # another answer than the one that is documented
        return " ".join(answer.split())
    return "; ".join(found)


def _stale(info: ModelInfo, files: Iterable[str]) -> list[str]:
    there = {file.rfilename for file in info.siblings or ()}
    return sorted(path for path in there - set(files) if _is_replaced(path))


def _is_replaced(path: str) -> bool:
    """Whether a pattern of `_REPLACED` means the path; `*` does not cross folders: `last-checkpoint/*` stays whole."""
    parts = path.split("/")
    return any(
        len(parts) == len(pattern.split("/")) and all(map(fnmatchcase, parts, pattern.split("/")))
        for pattern in _REPLACED
    )


def _some(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")
