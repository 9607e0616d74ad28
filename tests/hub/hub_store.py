"""What a Hub keeps, in memory: users with tokens, repositories with branches and tags, and LFS objects."""

import hashlib
import itertools
import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import yaml

LFS_PATTERNS = ("*.safetensors", "*.bin", "*.pt", "*.pth")
GIT_ATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS).encode()


class HubError(Exception):
    """An answer other than success, as the Hub words it: status, `X-Error-Code`, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class User:
    """Whom a token belongs to, and what it may: `role` is `write` or `read`."""

    name: str
    role: str = "write"


@dataclass(frozen=True)
class StoredFile:
    """A file of a commit, with the names that git and LFS give to its content."""

    data: bytes
    is_lfs: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def git_oid(self) -> str:
        """Git's own name of the blob, which for LFS is that of a pointer file."""
        data = self.data
        if self.is_lfs:
            data = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(data)}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    @property
    def oid(self) -> str:
        """What the client compares its own file with."""
        return self.sha256 if self.is_lfs else self.git_oid


@dataclass(frozen=True)
class Commit:
    """One state of a repository; `oid` is 40 hex digits, by which the client tells a commit from a branch."""

    oid: str
    parent: "Commit | None"
    title: str
    files: dict[str, StoredFile]

    @property
    def history(self) -> "list[Commit]":
        """Newest first."""
        return [self, *(self.parent.history if self.parent else [])]


@dataclass
class Repository:
    """A model repository."""

    name: str
    private: bool
    branches: dict[str, Commit]
    tags: dict[str, Commit] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.name.split("/")[0]

    def find(self, revision: str) -> Commit:
        """The commit that a branch, a tag or a commit's own name means."""
        if found := self.branches.get(revision) or self.tags.get(revision):
            return found
        for tip in (*self.branches.values(), *self.tags.values()):
            for commit in tip.history:
                if commit.oid == revision:
                    return commit
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def card(self, commit: Commit) -> dict[str, Any]:
        """The YAML head of the card."""
        readme = commit.files.get("README.md")
        head = re.match(r"---\n(.*?)\n---", readme.data.decode(), re.DOTALL) if readme else None
        return yaml.safe_load(head[1]) or {} if head else {}


class HubStore:
    """Everything that the server remembers.

    Attributes:
        users: Token -> whom it belongs to.
        repositories: Name, `user/model` -> repository.
        lfs: sha256 -> uploaded content, whether or not a commit names it.
    """

    def __init__(self, users: dict[str, User]) -> None:
        self.users = users
        self.repositories: dict[str, Repository] = {}
        self.lfs: dict[str, bytes] = {}
        self._numbers = itertools.count(1)

    def create(self, name: str, *, private: bool = False) -> Repository:
        """A new repository, whose first commit the Hub itself makes."""
        first = self._commit(None, "initial commit", {".gitattributes": StoredFile(GIT_ATTRIBUTES)})
        self.repositories[name] = Repository(name, private, {"main": first})
        return self.repositories[name]

    def readable(self, name: str, user: User | None) -> Repository:
        """The repository, if the user may know of it."""
        found = self.repositories.get(name)
        if found is None or (found.private and (user is None or user.name != found.owner)):
            raise HubError(404 if user else 401, "RepoNotFound", "Repository not found")
        return found

    def writable(self, name: str, user: User | None) -> Repository:
        """The repository, if the user may change it."""
        found = self.readable(name, user)
        if user is None:
            raise HubError(401, "Unauthorized", "Invalid username or password.")
        if user.role != "write" or user.name != found.owner:
            raise HubError(403, "Forbidden", f"You don't have the rights to write to {name}")
        return found

    def commit(self, repository: Repository, branch: str, lines: list[dict[str, Any]]) -> Commit:
        """Applies the lines of a commit to a branch, all of them or none."""
        if branch not in repository.branches:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {branch}")
        tip = repository.branches[branch]
        files, title = dict(tip.files), ""
        for line in lines:
            kind, value = line["key"], line["value"]
            if kind == "header":
                title = value["summary"]
                if value.get("parentCommit") not in (None, tip.oid):
                    raise HubError(
                        412, "PreconditionFailed", "A commit has happened since. Please refresh and try again."
                    )
            elif kind == "deletedFile":
                if files.pop(value["path"], None) is None:
                    raise HubError(404, "EntryNotFound", "A file with this name doesn't exist")
            else:
                files[value["path"]] = self._received(kind, value)
        repository.branches[branch] = self._commit(tip, title, files)
        return repository.branches[branch]

    def add_lfs_file(self, repository: Repository, path: str, data: bytes) -> StoredFile:
        """Puts a file on `main` without a client."""
        file = StoredFile(data, is_lfs=True)
        tip = repository.branches["main"]
        repository.branches["main"] = self._commit(tip, f"Add {path}", {**tip.files, path: file})
        return file

    def _received(self, kind: str, value: dict[str, Any]) -> StoredFile:
        if kind == "file":
            return StoredFile(value["data"])
        if kind == "lfsFile" and value["oid"] in self.lfs:
            return StoredFile(self.lfs[value["oid"]], is_lfs=True)
        raise HubError(400, "BadRequest", f"{kind} {value['path']} names nothing that was uploaded")

    def _commit(self, parent: Commit | None, title: str, files: dict[str, StoredFile]) -> Commit:
        content = json.dumps([next(self._numbers), title, sorted(files)])
        return Commit(hashlib.sha1(content.encode()).hexdigest(), parent, title, files)


def is_lfs(path: str) -> bool:
    """Whether the repository's `.gitattributes` send a file the LFS way."""
    return any(fnmatchcase(path, pattern) for pattern in LFS_PATTERNS)
