"""What a run ran on: versions for its summary, and with the devices for a bug report."""

import os
import platform
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version

_PACKAGES = ("hf-dsd", "torch", "transformers", "accelerate", "datasets", "evaluate", "sacrebleu", "numpy")


@cache  # looking a package up reads the folders of all that are installed
def run_versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that decide a run's numbers; None for one that is not installed."""
    return {"python": platform.python_version(), **{package: _version(package) for package in _PACKAGES}}


def describe_environment() -> str:
    """Lines for a bug report: versions of everything that hf-dsd can use, the system and its devices.

    It holds no path, name of a machine, or variable of the environment.
    """
    names = sorted({re.split(r"[^\w.-]", line)[0] for line in requires("hf-dsd") or ()} - {"hf-dsd", "torch"})
    lines = {"hf-dsd": _version("hf-dsd"), "python": platform.python_version(), "system": platform.platform()}
    lines |= {"devices": ", ".join(_devices()), "torch": _version("torch")}
    lines |= {name: found for name in names if (found := _version(name)) is not None}
    return "\n".join(f"{name:28} {value}" for name, value in lines.items())


def _devices() -> list[str]:
    import torch  # slow, and a run's summary does not need it

    cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return [f"{os.cpu_count()} CPU cores", *cuda, *(["MPS"] if torch.backends.mps.is_available() else [])]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree
        return None
