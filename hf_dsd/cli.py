"""The `hf-dsd` command."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .demo import run_demo

app = typer.Typer(help="Dense-Sparse-Dense training for Hugging Face models.", no_args_is_help=True)


class DemoTask(str, Enum):
    """What the demo trains."""

    CAPTIONING = "captioning"


@app.callback()
def main() -> None:
    """Dense-Sparse-Dense training for Hugging Face models."""


@app.command()
def demo(
    task: Annotated[DemoTask, typer.Option(help="captioning: an LSTM describes drawn scenes.")] = DemoTask.CAPTIONING,
    output_dir: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/demo"),
) -> None:
    """Train DSD and its equal-budget dense control on a small embedded set, and compare them."""
    run_demo(output_dir)
