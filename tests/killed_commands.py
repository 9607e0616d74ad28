"""Commands of hf-dsd that are killed at their k-th file event, in forks of one process that has imported everything."""

import json
import os
import runpy
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from killable_script import OPTIONS
from killed_runs import Scenario, kill_at, start, was_killed

from hf_dsd.cli import app
from hf_dsd.compare import command as _compare  # noqa: F401 (imported before the forks)
from hf_dsd.hub import card_command as _card  # noqa: F401
from hf_dsd.hub import publish as _publish  # noqa: F401
from hf_dsd.sensitivity import command as _sensitivity  # noqa: F401

SCRIPT = [str(Path(__file__).with_name("killable_script.py")), *OPTIONS]
AT_WORK = "is at work in"
CLIENT = """#!{python} -SI
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({place!r})
    socket.send_fds(server, [b"."], [1, 2])
    server.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(9) or 1))
"""


@contextmanager
def warm_python(log: Path) -> Iterator[str]:
    """The path of a `python` that runs a training script in a fork of this process, also through accelerate's launcher.

    Starting the real one takes ten seconds of imports, and a comparison of one seed starts four.
    """
    with TemporaryDirectory(prefix="warm-python-") as folder, socket.socket(socket.AF_UNIX) as listening:
        place, client = f"{folder}/socket", Path(folder, "python")  # the name of a socket has at most 108 bytes
        client.write_text(CLIENT.format(python=os.path.realpath(sys.executable), place=place))
        client.chmod(0o755)
        listening.bind(place)
        listening.listen()
        server = start(lambda: _serve(listening), log)
        try:
            yield str(client)
        finally:
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)


def _serve(listening: socket.socket) -> None:
    while True:
        connection, _ = listening.accept()
        if os.fork() == 0:
            _, descriptors, _, _ = socket.recv_fds(connection, 1, 2)
            text = b"".join(iter(partial(connection.recv, 1 << 16), b""))
            pid = os.fork()
            if pid == 0:
                _run_script(*json.loads(text), *descriptors)
            connection.sendall(b"1" if os.waitpid(pid, 0)[1] else b"0")
            os._exit(0)
        connection.close()


def _run_script(words: list[str], folder: str, environment: dict[str, str], *descriptors: int) -> None:
    code = 1
    try:
        for number, descriptor in enumerate(descriptors, 1):
            os.dup2(descriptor, number)
        os.chdir(folder)
        os.environ |= environment
        sys.argv = words[
            next(
                index for index, word in enumerate(words) if word.endswith(".py") and not word.endswith("guardian.py")
            ) :
        ]
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def command(*words: str, child: str = "", python: str = sys.executable) -> Scenario:
    """A command of hf-dsd, with RUN in its words for the folder.

    Args:
        words: Of the command.
        child: Kill the run of this name that it starts, not the command itself.
        python: What it starts children by.
    """

    def work(folder: Path, event: int | None) -> None:
        sys.executable = python
        if event is not None and child:
            os.environ["KILL"] = f"{child}:{event}"
        elif event is not None:
            kill_at(folder, event)
        app([word.replace("RUN", str(folder)) for word in words])

    def run(folder: Path, event: int | None, log: Path) -> bool:
        while True:
            status = os.waitpid(start(lambda: work(folder, event), log), 0)[1]
            if not (status and log.is_file() and AT_WORK in log.read_text()):
                break
            time.sleep(0.1)  # a run that a killed comparison left goes on to its end
        if child and event is not None and os.WIFEXITED(status):
            return os.WEXITSTATUS(status) == 1
        return was_killed(status, log)

    return Scenario(run)


@contextmanager
def warm_scenarios(folder: Path) -> Iterator[dict[str, Scenario]]:
    """Name -> a command that can be killed."""
    folder.mkdir(parents=True, exist_ok=True)
    compared = folder / "compared"
    with warm_python(folder / "server.log") as python:
        words = ("compare", "--arms", "dsd", "dense", "--seeds", "1", "--out", "RUN", "--", *SCRIPT)
        skipped = rf"{Scenario._field_defaults['skipped']}|.*\.log|report\.html|timeline\.png"
        compare = command(*words, python=python)._replace(skipped=skipped)

        def prepare(run: Path) -> None:
            if not compared.exists():
                assert not compare.run(compared, None, folder / "compared.log")
                for path in (compared / "report.html", compared / "figures"):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.copytree(compared, run)

        # Whichever arm of a seed is the first to end the first phase trains it for the others.
        first = r"seed-1/\w+/(phase-0-dense(-checkpoint)?/.*|test_phase-0-dense\.json)"
        part = compare._replace(anywhere=first)
        sensitivity = ("sensitivity", "--", *SCRIPT, "--output_dir", "RUN/seed-1/dsd")
        yield {
            "compare": compare,
            "compare, its dsd run": part._replace(run=command(*words, child="dsd", python=python).run),
            "compare, its dense run": part._replace(run=command(*words, child="dense", python=python).run),
            "report": command("report", "RUN")._replace(prepare=prepare),
            "card": command("card", "RUN/card", "--run", "RUN/seed-1/dsd")._replace(prepare=prepare),
            "publish": command("publish", "RUN/seed-1/dsd", "--repo_id", "me/x", "--dry-run")._replace(prepare=prepare),
            "sensitivity": command(*sensitivity, child="dsd", python=python)._replace(prepare=prepare),
        }
