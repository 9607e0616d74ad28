"""The `hf-dsd` command."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .demo import run_captioning_demo, run_speech_demo

app = typer.Typer(help="Dense-Sparse-Dense training for Hugging Face models.", no_args_is_help=True)


class DemoTask(str, Enum):
    """What the demo trains."""

    CAPTIONING = "captioning"
    SPEECH = "speech"


@app.callback()
def main() -> None:
    """Dense-Sparse-Dense training for Hugging Face models."""


@app.command()
def demo(
    task: Annotated[
        DemoTask, typer.Option(help="captioning: an LSTM describes drawn scenes; speech: DeepSpeech 2 hears digits.")
    ] = DemoTask.CAPTIONING,
    output_dir: Annotated[Path | None, typer.Option(help="Folder of the runs; default: runs/demo-TASK.")] = None,
) -> None:
    """Train DSD and its equal-budget dense control on a small embedded set, and compare them."""
    run = {DemoTask.CAPTIONING: run_captioning_demo, DemoTask.SPEECH: run_speech_demo}[task]
    run(output_dir or Path(f"runs/demo-{task.value}"))
