"""The client's side: commands in processes of their own, with the real huggingface_hub and an empty HF_HOME.

A process that imports torch and transformers takes seconds to start, so one does it once and forks another for every
command: `python hub_client.py` reads commands as JSON lines {"command", "arguments", "variables", "output"} and answers
with the child's process number, then its exit status. `ClientProcess` is what tests use.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Digests = dict[str, str]


@dataclass(frozen=True)
class Finished:
    """What a command left: its exit status (negative: the signal that killed it) and all that it printed."""

    status: int
    output: str


class ClientProcess:
    """Starts commands and waits for them, one at a time.

    Attributes:
        home: `HF_HOME`, empty at first.
    """

    def __init__(self, home: Path, endpoint: str) -> None:
        variables = {
            "HF_HOME": str(home),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",  # the server speaks LFS
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "160",
            "PYTHONUNBUFFERED": "1",
        }
        environment = {k: v for k, v in os.environ.items() if k not in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")}
        self.home = home
        self._environment = environment | variables
        self._running = False
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str, *arguments: Any, token: str | None = None) -> Finished:
        """Runs a command to its end."""
        self.start(command, *arguments, token=token)
        return self.wait()

    def answer(self, command: str, *arguments: Any, token: str | None = None) -> Any:
        """Runs a command that must succeed; gives the JSON of the last line that it printed."""
        finished = self.run(command, *arguments, token=token)
        assert finished.status == 0, finished.output
        return json.loads(finished.output.splitlines()[-1])

    def start(self, command: str, *arguments: Any, token: str | None = None) -> int:
        """Starts a command; gives its process number."""
        if self._running:  # its test ended before it waited
            self.wait()
        self._output = self.home.with_suffix(".output")
        request = {
            "command": command,
            "arguments": [str(a) if isinstance(a, Path) else a for a in arguments],
            "variables": {"HF_TOKEN": token} if token else {},
            "output": str(self._output),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        self._running = True
        return self._read()

    def wait(self) -> Finished:
        """Waits for the command that was started."""
        status = self._read()
        self._running = False
        return Finished(status, self._output.read_text(encoding="utf-8", errors="replace"))

    def without_package(self, command: str, *arguments: Any) -> Any:
        """Runs a command in a process that trusts the repository's code and imports no hf_dsd; gives its answer."""
        done = subprocess.run(
            [sys.executable, __file__, command, *map(str, arguments)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(150)  # a command that no test waited for ends within 120 seconds: see `_run`

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())  # nothing else is printed there: see `_serve`


def digests(tensors: dict[str, Any]) -> Digests:
    """Name -> type, shape and content of every tensor: equal if and only if all are equal to the bit."""
    return {
        name: f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(tensor.numpy().tobytes()).hexdigest()}"
        for name, tensor in tensors.items()
    }


# Commands. Each is a function of JSON values; it prints what the test wants to know.


def run_cli(*arguments: str) -> None:
    """The `hf-dsd` command."""
    from hf_dsd.cli import app

    app(list(arguments))


def publish_run(run: str, repo_id: str, token: str) -> None:
    """Publishes with a token that the program holds."""
    from hf_dsd.hub import publish

    publish(run, repo_id, token=token)


def pull(auto_class: str, repo_id: str, revision: str, cache: str) -> None:
    """Loads a revision's model and processor as a user does; prints the weights' digests and hf_dsd's modules."""
    import transformers

    options = {"revision": revision, "cache_dir": cache, "trust_remote_code": "hf_dsd" not in sys.modules}
    model = getattr(transformers, auto_class).from_pretrained(repo_id, **options)
    transformers.AutoProcessor.from_pretrained(repo_id, **options)
    ours = [name for name in sys.modules if name.split(".")[0] == "hf_dsd"]
    print(json.dumps({"weights": digests(model.state_dict()), "modules": ours}))


def ask(task: str, repo_id: str, revision: str, file: str) -> None:
    """Asks a revision's pipeline for the text of a picture (.png) or a recording (.npy); prints it."""
    import numpy
    import transformers

    trust = "hf_dsd" not in sys.modules
    asked = transformers.pipeline(task, model=repo_id, revision=revision, trust_remote_code=trust)
    answer = asked(numpy.load(file)) if file.endswith(".npy") else asked(file, text="")[0]
    ours = [name for name in sys.modules if name.split(".")[0] == "hf_dsd"]
    print(json.dumps({"text": answer.get("text", answer.get("generated_text")), "modules": ours}))


def download(repo_id: str, path: str, cache: str) -> None:
    """Downloads one file; prints its sha256."""
    from huggingface_hub import hf_hub_download

    print(json.dumps(hashlib.sha256(Path(hf_hub_download(repo_id, path, cache_dir=cache)).read_bytes()).hexdigest()))


def train(
    kind: str, folder: str, options: dict[str, Any], resume: str | None = None, stop_at: int | None = None
) -> None:
    """Trains one of the tiny models; `resume` is a checkpoint's folder, `stop_at` the last step."""
    from tiny_runs import make_trainer

    sys.argv[1:] = ["--output_dir", folder]  # as a script would be called: the run's summary holds its command
    trainer = make_trainer(kind, Path(folder), stop_at=stop_at, **options)
    trainer.train(resume_from_checkpoint=resume)
    print(json.dumps(trainer.state.global_step))


def train_and_push(
    kind: str, folder: str, options: dict[str, Any], push: dict[str, Any], stop_at: int | None = None
) -> None:
    """Trains one of the tiny models and pushes it; prints the commit."""
    from tiny_runs import make_trainer

    trainer = make_trainer(kind, Path(folder), stop_at=stop_at, **options)
    trainer.train()
    done = trainer.push_to_hub(**push)
    if not push.get("blocking", True):
        done = done.result()
    print(json.dumps(done.oid))


def train_from_hub(kind: str, folder: str, options: dict[str, Any], repo_id: str, cache: str) -> None:
    """Goes on from the checkpoint that a run has pushed."""
    from huggingface_hub import snapshot_download

    found = snapshot_download(repo_id, allow_patterns="last-checkpoint/*", cache_dir=cache)
    train(kind, folder, options, str(Path(found) / "last-checkpoint"))


COMMANDS: dict[str, Callable[..., None]] = {
    "hf-dsd": run_cli,
    "publish": publish_run,
    "pull": pull,
    "ask": ask,
    "download": download,
    "train": train,
    "train_and_push": train_and_push,
    "train_from_hub": train_from_hub,
}


def _serve() -> None:
    """Does once what every command would spend seconds on (imports, tables that are built once), then forks."""
    import torch
    from rich.console import Console
    from tiny_runs import make_trainer

    from hf_dsd.hub import publish

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the Trainer prints is no answer
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        make_trainer("deepspeech", Path(folder)).train()
        publish(folder, "user/none", dry_run=True, console=Console(file=nowhere))
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(request)
        print(child, file=answers, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _run(request: dict[str, Any]) -> None:
    """The child: runs one command and ends the process."""
    signal.alarm(120)
    descriptor = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.environ.update(request["variables"])
    status = 0
    try:
        COMMANDS[request["command"]](*request["arguments"])
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    else:
        _serve()
