"""What of a run is published: which phase's model becomes which revision, and which files are a model's."""

from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hf_dsd.files import read_json
from hf_dsd.runs.folder import SUMMARY_FILE_NAME, phase_name
from hf_dsd.runs.run import Run

MAIN = "main"
OUR_BRANCHES = r"(dense|sparse)(-\d+)?|ema|swa"
"""How publications call their other branches, a pattern."""

ADAPTER = "adapter_config.json"
"""Of PEFT: names the base model."""

# A list of what may go, not of what may not: optimizer states, pickled arguments, masks and whatever a later version of
# the Trainer writes stay at home.
_MODEL_FILES = """model.safetensors model-*-of-*.safetensors model.safetensors.index.json config.json
generation_config.json adapter_model.safetensors adapter_config.json preprocessor_config.json processor_config.json
video_preprocessor_config.json tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json
normalizer.json vocab.json vocab.txt merges.txt tokenizer.model spiece.model sentencepiece.bpe.model source.spm
target.spm chat_template.jinja modules.json sentence_bert_config.json config_sentence_transformers.json
[0-9]_*/config.json [0-9]_*/model.safetensors"""
MODEL_FILES = tuple(_MODEL_FILES.split())
"""Patterns of paths below the folder."""

CODE_FILES = ("*.py",)
"""Of a model whose configuration names code of its own (`auto_map`)."""

VOCABULARY_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")
"""Whose entries may look like folders and are none."""


@dataclass(frozen=True)
class Revision:
    """One branch of the repository, `main` or `dense-2`, and the run's folder that holds its model, `phase-2-dense`."""

    name: str
    phase: str


def read_finished_run(folder: Path) -> Run:
    """Reads a run that has trained its last phase to its end.

    Raises:
        FileNotFoundError: If the folder is not a run's.
        ValueError: If the run has not finished, or a file is damaged.
    """
    if not (folder / SUMMARY_FILE_NAME).is_file() and not (folder / SUMMARY_FILE_NAME).is_symlink():
        raise FileNotFoundError(
            f"{folder / SUMMARY_FILE_NAME} is missing: give the output folder of a run that DSDTrainer has finished"
        )
    run = Run.read(folder)
    if not run.is_finished:
        done = sorted(record["name"] for record in run.phases if record["finished"])
        raise ValueError(
            f"{folder} has not finished {run.last_phase}, only {done or 'no phase'}: resume it by "
            "train(resume_from_checkpoint=True), then publish it or make its card"
        )
    return run


def plan_revisions(run: Run) -> list[Revision]:
    """The revisions that a finished run is published as, in the order in which they are sent: `main` is last.

    `main` is the last phase's model. Each earlier phase is a branch of its kind, counted from the second on: `dense`,
    `sparse`, and in an iterative run `dense-2`, `sparse-2`. Averages of the last phase are `ema` and `swa`. A first
    phase of length 0 left no model, and has no branch.

    Raises:
        FileNotFoundError: If the run has lost the last phase's model.
    """
    if not (run.folder / run.last_phase).is_dir():
        raise FileNotFoundError(
            f"{run.folder / run.last_phase} is missing: it holds the model that main would be; restore it"
        )
    return [*(Revision(name, phase) for phase, name in earlier_branches(run).items()), Revision(MAIN, run.last_phase)]


def earlier_branches(run: Run) -> dict[str, str]:
    """Phase or average whose model lies in a run's folder -> its branch, in order; without the last phase, `main`."""
    *earlier, last = run.schedule
    counts: Counter[str] = Counter()
    names = {}
    for planned in earlier:
        kind = planned["kind"]
        counts[kind] += 1
        names[phase_name(planned)] = kind if counts[kind] == 1 else f"{kind}-{counts[kind]}"
    names |= {f"{phase_name(last)}-{kind}": kind for kind in run.summary.get("weight_averages", ())}
    models = set(run.finished_models) - set(run.lost_models)
    return {phase: name for phase, name in names.items() if phase in models}


def release_tag() -> str:
    """The tag of a publication: the package's version, `v0.1.0`."""
    return f"v{version('hf-dsd')}"


def read_model_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model's folder; empty where there is no file, a ValueError names a damaged one."""
    return read_json(path, "restore it, or train the phase again") or {}
