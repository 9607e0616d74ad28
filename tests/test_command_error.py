"""How a command ends."""

import io

import pytest
import torch
import typer
from rich.console import Console

from hf_dsd.command_error import errors_end_command, run_script

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


def test_a_script_ends_with_what_its_user_can_mend(capsys):
    def main():
        raise ValueError("sparsity [0, 1) is not 2")

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error sparsity [0, 1) is not 2\n"


def test_a_script_s_missing_file_is_a_line_whoever_misses_it(capsys):
    with pytest.raises(SystemExit):
        run_script(lambda: torch.load("/nowhere/model.pt"))
    assert capsys.readouterr().err == "error [Errno 2] No such file or directory: '/nowhere/model.pt'\n"


def test_a_fault_keeps_its_traceback():
    """A wrong shape deep in torch is nothing that a user mends by an option."""
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run_script(lambda: torch.nn.functional.linear(torch.ones(2, 3), torch.ones(2, 2)) and None)
    with pytest.raises(KeyError):
        run_script(lambda: {}["x"])
