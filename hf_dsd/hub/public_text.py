"""What may be published of a command line or an error: no folder of the machine that ran it.

Layer: plain Python and the comparison.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from hf_dsd.compare import Comparison

# A path from the root (not an address such as https://host/x) or from a Windows drive, up to its last name.
_ABSOLUTE = re.compile(r"(?<![\w.:/~*<-])/(?:[^\s/'\"\\]+/)+(?=[^\s/'\"\\])|\b[A-Za-z]:\\(?:[^\s\\'\"]+\\)*")


def without_folders(text: str) -> str:
    """A text whose absolute paths are cut to their last name: `--data_dir /home/me/an4` becomes `--data_dir an4`."""
    return _ABSOLUTE.sub("", text)


def public_comparison(comparison: Comparison) -> Comparison:
    """A comparison whose command, script and errors name no folder of the machine."""
    runs = [
        replace(run, error=without_folders(run.error) if run.error is not None else None) for run in comparison.runs
    ]
    command = without_folders(comparison.command)
    return replace(comparison, command=command, script=public_arguments(comparison.script), runs=runs)


def public_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, each without folders of the machine."""
    return [without_folders(argument) for argument in arguments]
