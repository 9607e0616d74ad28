"""Runs a command, and ends it with everything that it started once whoever asked for it is gone: guardian.py COMMAND.

A comparison that is killed cannot end its runs, and a launcher that is killed leaves its workers. The comparison holds
the other end of this program's standard input: it closes when the comparison ends, in whichever way. Run as a file, so
that it imports neither torch nor this package.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil

_PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    """Returns the command's exit status."""
    with suppress(AttributeError, OSError):  # Linux alone: workers of a launcher that died become ours, not init's
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: end_family())
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # it holds the folder's lock, too
    threading.Thread(target=_end_with_the_comparison, daemon=True).start()
    status = process.wait()
    end_family()  # a worker that outlived its launcher
    return status if status >= 0 else 128 - status


def _end_with_the_comparison() -> None:
    while os.read(0, 1):  # until the other end is closed; a buffered reader's lock would abort this program's end
        pass
    end_family()


def end_family() -> None:
    """Ends all descendants: asks first, and kills what is there after ten seconds."""
    family = psutil.Process().children(recursive=True)
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    for member in psutil.wait_procs(family, timeout=10)[1]:
        with suppress(psutil.NoSuchProcess):
            member.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
