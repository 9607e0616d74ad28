"""What `hf-dsd publish` does with its arguments: publish, print, and end with a status that a script can test.

Layer: publishing next door; typer for the exit status.
"""

from pathlib import Path

from rich.console import Console
from transformers.utils import logging

from hf_dsd.command_error import errors_end_command

from .publish import publish
from .repository import PublishError


def publish_command(
    run_dir: Path,
    repo_id: str,
    *,
    private: bool,
    dry_run: bool,
    license: str | None,
    language: list[str] | None,
    dataset: str | None,
    results: Path | None,
    image_encoder: bool,
) -> None:
    """Publishes a run; ends with status 1 if the Hub refuses or fails, 2 if the arguments are wrong."""
    console = Console()
    logging.disable_progress_bar()  # of loading and saving the phases' models
    with errors_end_command({PublishError: 1, ValueError: 2, FileNotFoundError: 2, ImportError: 2}, console):
        publish(
            run_dir,
            repo_id,
            private=private or None,
            dry_run=dry_run,
            results=results,
            license=license,
            language=language,
            dataset=dataset,
            image_encoder=image_encoder,
            console=console,
        )
