"""A Hub on loopback that the real huggingface_hub client can push to and pull from, and that fails on demand.

It speaks the API that the client uses: repositories, branches, tags, commits, LFS batches and uploads, downloads with
Range. It runs in threads of the test's process, so a test sees every request and can order faults; the client runs in a
process of its own (see `hub_client.py`), because it reads its settings when it is imported.

    with HubServer() as hub:
        hub.fail("PUT /lfs/", status=503, times=1)
        ...
        assert hub.files("user/model", "main")["config.json"] == ...
"""

import base64
import hashlib
import json
import re
import select
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from hub_faults import Fault
from hub_store import Commit, HubError, HubStore, Repository, StoredFile, User, is_lfs

TOKEN = "hf_" + "OwnersTokenForTests" * 2
READ_TOKEN = "hf_" + "ReadersTokenForTests" * 2
STRANGERS_TOKEN = "hf_" + "StrangersTokenForTests" * 2


@dataclass
class Request:
    """One line of the log.

    Attributes:
        line: `METHOD /path`.
        status: Of the answer; 0 if the connection was cut before one.
        range: The header's value, if it had one.
        user: Whose token it carried.
        sent: In a commit, path -> size of every file that it adds.
        deleted: In a commit, paths that it deletes.
    """

    line: str
    range: str | None
    user: User | None
    status: int = 0
    sent: dict[str, int] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)


class HubServer(ThreadingHTTPServer):
    """The server; use it as a context manager.

    Attributes:
        store: What it remembers.
        requests: The log, in order of arrival.
        url: Where it listens.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.RLock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.reset()

    def reset(self) -> None:
        """Forgets everything."""
        users = {TOKEN: User("user"), READ_TOKEN: User("user", "read"), STRANGERS_TOKEN: User("stranger")}
        self.store = HubStore(users)
        self.requests: list[Request] = []
        self._faults: list[Fault] = []

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.forget_faults()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is part of a test; anything else is an error of the server's own."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()

    def fail(self, request: str, **what: Any) -> Fault:
        """Orders a fault; the arguments are `Fault`'s."""
        fault = Fault(request, **what)
        self._faults.append(fault)
        return fault

    def forget_faults(self) -> None:
        """Ends all faults; a held request of a client that is gone is not carried out."""
        with self.lock:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.release()

    def strike(self, line: str) -> Fault | None:
        """The fault that happens to this request, if one does."""
        with self.lock:
            return next((fault for fault in self._faults if fault.strikes(line)), None)

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """Path -> content at a revision, without the `.gitattributes` that the Hub makes."""
        files = self.store.repositories[name].find(revision).files
        return {path: file.data for path, file in files.items() if path != ".gitattributes"}

    def commits(self, name: str) -> list[tuple[str, Request]]:
        """Revision and log line of every commit that was accepted, in order."""
        prefix = f"POST /api/models/{name}/commit/"
        with self.lock:
            accepted = [r for r in self.requests if r.line.startswith(prefix) and r.status == 200]
        return [(r.line.removeprefix(prefix), r) for r in accepted]


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"  # kept alive, so that every answer must carry its length
    server: HubServer

    def log_message(self, *_: object) -> None:
        """The log is `HubServer.requests`."""

    def handle_request(self) -> None:
        """Answers one request, or does what a fault says."""
        path = unquote(urlsplit(self.path).path)
        line = f"{self.command} {path}"
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ").strip()
        self._log = Request(line, self.headers.get("Range"), self.server.store.users.get(token))
        self._cut_after: int | None = None
        with self.server.lock:
            self.server.requests.append(self._log)
        fault = self.server.strike(line)
        if fault is not None and fault.cut_after == 0:
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))  # whole, or the connection is unusable
        try:
            if fault is not None:
                self._suffer(fault)
            if token and self._log.user is None:
                raise HubError(401, "Unauthorized", "Invalid credentials in Authorization header")
            with self.server.lock:
                answer = self._route(path, body)
            answer()
        except HubError as error:
            headers = {"X-Error-Code": error.code, "X-Error-Message": error.message}
            self._send(error.status, {"error": error.message}, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_request

    def _suffer(self, fault: Fault) -> None:
        if fault.hold:
            fault.released.wait(60)
            if self._client_is_gone():
                raise ConnectionAbortedError
        time.sleep(fault.seconds)
        self._cut_after = fault.cut_after
        if fault.status is not None:
            raise HubError(fault.status, "Injected", "ordered by the test")

    def _client_is_gone(self) -> bool:
        """Whether the other end has closed the connection, as the system does for a process that was killed."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _route(self, path: str, body: bytes) -> Callable[[], None]:
        """Does what the request asks for; gives what then sends the answer, outside the lock."""
        for pattern, method in _ROUTES:
            if match := re.fullmatch(pattern, f"{self.command} {path}"):
                return method(self, body, *match.groups())
        raise HubError(404, "NotFound", f"no route {self.command} {path}")

    def _send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in {
            "Content-Length": str(len(data)),
            "Content-Type": "application/json",
            **(headers or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self._log.status = status
        if self.command == "HEAD":
            return
        if self._cut_after is not None:
            self.wfile.write(data[: self._cut_after])
            self.close_connection = True
            return
        self.wfile.write(data)

    def _json(self, content: Any, status: int = 200) -> Callable[[], None]:
        return lambda: self._send(status, content)

    # Who asks, and for what

    def _user(self) -> User:
        if self._log.user is None:
            raise HubError(401, "Unauthorized", "Invalid username or password.")
        return self._log.user

    def _readable(self, name: str) -> Repository:
        return self.server.store.readable(name, self._log.user)

    def _writable(self, name: str) -> Repository:
        return self.server.store.writable(name, self._log.user)

    # Users and repositories

    def whoami(self, body: bytes) -> Callable[[], None]:
        user = self._user()
        token = {"type": "access_token", "accessToken": {"displayName": "t", "role": user.role}}
        return self._json({"type": "user", "id": user.name, "name": user.name, "orgs": [], "auth": token})

    def validate_yaml(self, body: bytes) -> Callable[[], None]:
        license = re.search(r"^license: (.+)$", json.loads(body)["content"], re.MULTILINE)
        if license and not re.fullmatch(r"[a-z0-9.-]+", license[1]):
            error = {"message": '"license" must be one of [apache-2.0, ...]'}
            return self._json({"errors": [error], "warnings": []}, 400)
        return self._json({"errors": [], "warnings": []})

    def create(self, body: bytes) -> Callable[[], None]:
        wanted, user = json.loads(body), self._user()
        name = f"{wanted.get('organization') or user.name}/{wanted['name']}"
        if user.role != "write" or not name.startswith(f"{user.name}/"):
            raise HubError(
                403, "Forbidden", f"You don't have the rights to create a model under the namespace of {name}"
            )
        answer = {"url": f"{self.server.url}/{name}", "name": name, "id": name}
        if name in self.server.store.repositories:
            return self._json({**answer, "error": "You already created this model repo"}, 409)
        private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        self.server.store.create(name, private=private)
        return self._json(answer)

    def info(self, body: bytes, name: str, revision: str | None = None) -> Callable[[], None]:
        repository = self._readable(name)
        commit = repository.find(revision or "main")
        card = repository.card(commit)
        return self._json(
            {
                "_id": name,
                "id": name,
                "modelId": name,
                "sha": commit.oid,
                "private": repository.private,
                "gated": False,
                "tags": card.get("tags", []),
                "cardData": card,
                "siblings": [{"rfilename": path} for path in sorted(commit.files)],
            }
        )

    def refs(self, body: bytes, name: str) -> Callable[[], None]:
        repository = self._readable(name)

        def listed(commits: dict[str, Commit], kind: str) -> list[dict[str, str]]:
            return [{"name": k, "ref": f"refs/{kind}/{k}", "targetCommit": v.oid} for k, v in commits.items()]

        branches, tags = listed(repository.branches, "heads"), listed(repository.tags, "tags")
        return self._json({"branches": branches, "tags": tags, "converts": []})

    def history(self, body: bytes, name: str, revision: str) -> Callable[[], None]:
        found = self._readable(name).find(revision).history
        date = "2026-01-01T00:00:00.000Z"
        return self._json([{"id": c.oid, "title": c.title, "message": "", "date": date, "authors": []} for c in found])

    def tree(self, body: bytes, name: str, revision: str, folder: str | None) -> Callable[[], None]:
        files = self._readable(name).find(revision).files
        prefix = f"{folder}/" if folder else ""
        return self._json([_tree_item(path, file) for path, file in sorted(files.items()) if path.startswith(prefix)])

    def create_branch(self, body: bytes, name: str, branch: str) -> Callable[[], None]:
        repository = self._writable(name)
        if branch in repository.branches:
            raise HubError(409, "Conflict", f"Reference {branch} already exists")
        repository.branches[branch] = repository.find(json.loads(body or b"{}").get("startingPoint") or "main")
        return self._json({})

    def create_tag(self, body: bytes, name: str, revision: str) -> Callable[[], None]:
        repository, tag = self._writable(name), json.loads(body)["tag"]
        if tag in repository.tags:
            raise HubError(409, "Conflict", f"Tag {tag} already exists")
        repository.tags[tag] = repository.find(revision)
        return self._json({})

    def delete_tag(self, body: bytes, name: str, tag: str) -> Callable[[], None]:
        self._writable(name).tags.pop(tag)
        return self._json({})

    # Uploads

    def preupload(self, body: bytes, name: str, revision: str) -> Callable[[], None]:
        there = self._writable(name).find(revision).files
        answer = [
            {
                "path": path,
                "uploadMode": "lfs" if is_lfs(path) else "regular",
                "shouldIgnore": False,
                "oid": there[path].oid if path in there else None,
            }
            for path in (file["path"] for file in json.loads(body)["files"])
        ]
        return self._json({"files": answer})

    def lfs_batch(self, body: bytes, name: str) -> Callable[[], None]:
        self._writable(name)
        objects = [{"oid": wanted["oid"], "size": wanted["size"]} for wanted in json.loads(body)["objects"]]
        for item in objects:  # one without actions is there already, and is not sent
            if item["oid"] not in self.server.store.lfs:
                item["actions"] = {"upload": {"href": f"{self.server.url}/lfs/{item['oid']}", "header": {}}}
        return self._json({"transfer": "basic", "objects": objects})

    def lfs_upload(self, body: bytes, oid: str) -> Callable[[], None]:
        # The address alone allows it, as a presigned one does: the client sends no token.
        if hashlib.sha256(body).hexdigest() != oid:
            raise HubError(400, "BadDigest", "the body's sha256 differs from the oid")
        self.server.store.lfs[oid] = body
        return self._json({})

    def commit(self, body: bytes, name: str, branch: str) -> Callable[[], None]:
        repository = self._writable(name)
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                value["data"] = base64.b64decode(value["content"])
            if line["key"] in ("file", "lfsFile"):
                self._log.sent[value["path"]] = len(value["data"]) if "data" in value else value["size"]
            if line["key"] == "deletedFile":
                self._log.deleted.append(value["path"])
        made = self.server.store.commit(repository, branch, lines)
        return self._json({"commitOid": made.oid, "commitUrl": f"{self.server.url}/{name}/commit/{made.oid}"})

    # Downloads

    def download(self, body: bytes, name: str, revision: str, path: str) -> Callable[[], None]:
        commit = self._readable(name).find(revision)
        file = commit.files.get(path)
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        if file is None:  # with the commit, so that the client remembers the absence
            headers |= {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return lambda: self._send(404, {"error": "Entry not found"}, headers)
        headers |= {"ETag": f'"{file.oid}"', "Content-Type": "application/octet-stream"}
        if file.is_lfs:
            headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.data))}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self._log.range or "")
        if wanted is None:
            return lambda: self._send(200, file.data, headers)
        first, last = int(wanted[1]), int(wanted[2] or len(file.data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(file.data)}"
        return lambda: self._send(206, file.data[first : last + 1], headers)


def _tree_item(path: str, file: StoredFile) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "file", "path": path, "size": len(file.data), "oid": file.git_oid}
    if file.is_lfs:
        item["lfs"] = {"oid": file.sha256, "sha256": file.sha256, "size": len(file.data), "pointerSize": 134}
    return item


_NAME = r"([\w.-]+/[\w.-]+)"
_ROUTES: list[tuple[str, Callable[..., Callable[[], None]]]] = [
    (r"GET /api/whoami-v2", _Handler.whoami),
    (r"POST /api/validate-yaml", _Handler.validate_yaml),
    (r"POST /api/repos/create", _Handler.create),
    (rf"GET /api/models/{_NAME}", _Handler.info),
    (rf"GET /api/models/{_NAME}/revision/(.+)", _Handler.info),
    (rf"GET /api/models/{_NAME}/refs", _Handler.refs),
    (rf"GET /api/models/{_NAME}/commits/(.+)", _Handler.history),
    (rf"GET /api/models/{_NAME}/tree/([^/]+)(?:/(.+))?", _Handler.tree),
    (rf"POST /api/models/{_NAME}/branch/(.+)", _Handler.create_branch),
    (rf"POST /api/models/{_NAME}/tag/(.+)", _Handler.create_tag),
    (rf"DELETE /api/models/{_NAME}/tag/(.+)", _Handler.delete_tag),
    (rf"POST /api/models/{_NAME}/preupload/(.+)", _Handler.preupload),
    (rf"POST /api/models/{_NAME}/commit/(.+)", _Handler.commit),
    (rf"POST /{_NAME}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    (r"PUT /lfs/([0-9a-f]{64})", _Handler.lfs_upload),
    (rf"(?:GET|HEAD) /{_NAME}/resolve/([^/]+)/(.+)", _Handler.download),
]
