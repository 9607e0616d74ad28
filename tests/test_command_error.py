"""How a command ends."""

import io

import pytest
import typer
from rich.console import Console

from hf_dsd.command_error import errors_end_command

STATUSES = {FileNotFoundError: 1, OSError: 2, ValueError: 3}


@pytest.mark.parametrize(("error", "status"), [(FileNotFoundError, 1), (PermissionError, 2), (ValueError, 3)])
def test_an_error_is_one_line_and_the_first_status_that_fits(error, status):
    text = "conv[a-z] in /" + "long/" * 40
    file = io.StringIO()
    with pytest.raises(typer.Exit) as ended, errors_end_command(STATUSES, Console(file=file, width=80)):
        raise error(text)
    assert ended.value.exit_code == status
    assert file.getvalue() == f"error {text}\n"


def test_other_errors_pass():
    with pytest.raises(KeyError), errors_end_command(STATUSES, Console(file=io.StringIO())):
        raise KeyError("x")
