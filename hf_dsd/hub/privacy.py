"""Nothing private leaves the machine: paths are cut from the JSON files, a token in any file is an error."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from hf_dsd.compare import Comparison
from hf_dsd.runs.privacy import holds_token, without_folders, without_paths, without_secrets

from .contents import VOCABULARY_FILES, read_model_json

# Files whose strings may be paths of this machine. Vocabularies are left alone: their entries may look like paths.
_CONFIGS = ("generation", "preprocessor", "processor", "tokenizer", "adapter")
JSON_WITH_PATHS = ("config.json", "dsd_summary.json", "results.json", *(f"{of}_config.json" for of in _CONFIGS))


def clean_json(folder: Path) -> None:
    """Cuts the paths from a staged folder's JSON files; files without any stay as they are, to the byte."""
    for name in JSON_WITH_PATHS:
        path = folder / name
        if path.is_file():
            content = read_model_json(path)
            public = without_paths(content)
            if public != content:
                path.write_text(json.dumps(public, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def public_comparison(comparison: Comparison) -> Comparison:
    """A comparison whose command, script, arms and errors name no folder of the machine, and no secret."""
    runs = [replace(run, error=without_paths(run.error)) for run in comparison.runs]
    try:
        words = shlex.split(comparison.command)
    except ValueError:  # a quote that has no end
        words = comparison.command.split()
    public = without_secrets(words)
    command = without_folders(comparison.command if public == words else shlex.join(public))
    script = public_command(comparison.script)
    arms = {name: replace(arm, arguments=without_folders(arm.arguments)) for name, arm in comparison.arms.items()}
    remarks = [without_folders(remark) for remark in comparison.remarks]
    return replace(comparison, command=command, script=script, runs=runs, arms=arms, remarks=remarks)


def public_command(arguments: Sequence[str]) -> list[str]:
    """A recorded command without secrets, which older versions of hf_dsd recorded, and without folders."""
    public: list[str] = without_paths(without_secrets(arguments))
    return public


def check_public(folder: Path, tokens: Iterable[str] = (), folders: Iterable[str | Path] = ()) -> None:
    """Refuses to publish a file that holds a secret; weights are not searched.

    Args:
        folder: Staged files.
        tokens: Texts that may occur in none of them, such as the token in use; a token of a known kind, such as the
            Hub's, may not, either.
        folders: Absolute folders of this machine, none of which may be named, such as the run's own and the user's.

    Raises:
        ValueError: Names the file, never the secret.
    """
    secrets = [re.compile(re.escape(token.encode())) for token in tokens if token]
    paths = [_path_pattern(path) for path in map(Path, folders) if path != Path(path.anchor)]
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix == ".safetensors":
            continue
        content = path.read_bytes()
        wanted = secrets if path.name in VOCABULARY_FILES else secrets + paths
        if any(secret.search(content) for secret in wanted) or holds_token(content.decode("latin-1")):
            raise ValueError(
                f"{path.relative_to(folder)} holds a token or a path of this machine: take it out of the run's folder "
                "(or of the words given with --results), then publish"
            )


def _path_pattern(folder: Path) -> re.Pattern[bytes]:
    """The folder as a path or the beginning of one: `/out` is neither in `runs/out` nor in `/outer`."""
    return re.compile(rb"(?:(?<![\w./~-])|(?<=file://))" + re.escape(str(folder).encode()) + rb"(?![\w.-])")
