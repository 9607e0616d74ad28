"""Writes run folders as a finished run leaves them, without training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_dsd.metrics import score_transcripts
from hf_dsd.runs.scores import PhaseScores, ScoredExample

REFERENCES = ["one two three four", "five six seven eight", "nine zero one two"]
STEPS = [20, 10, 10]
_FINISHED = {"finished": True, "left_early": False, "learning_rate": 1e-3, "metrics": {}, "layers": []}
_UNPRUNED = ("dense", "dropout")


def write_run(out: Path, seed: int, arm: str, texts: Mapping[str, list[str]] | None = None, **summary: Any) -> Path:
    """A run of 40 steps, 10 per epoch, scored by WER where `texts` (phase -> what the model heard) are given."""
    folder = out / f"seed-{seed}" / arm
    folder.mkdir(parents=True)
    kinds = ("dense", "dense" if arm in _UNPRUNED else "sparse", "dense")
    ends = [sum(STEPS[: index + 1]) for index in range(3)]
    phases = [
        {"index": index, "kind": kind, "start": end - steps, "end": end, "sparsity": 0.5 * (kind == "sparse")}
        for index, (kind, steps, end) in enumerate(zip(kinds, STEPS, ends, strict=True))
    ]
    records = [
        {**phase, "name": f"phase-{phase['index']}-{phase['kind']}", "seconds": 60.0, **_FINISHED} for phase in phases
    ]
    content = {"schedule": phases, "phases": records, "steps_per_epoch": 10, "evaluations": {}, "versions": {"a": "1"}}
    (folder / "dsd_summary.json").write_text(json.dumps({**content, **summary}))
    for phase, heard in (texts or {}).items():
        scores = score_transcripts(heard, REFERENCES, n_bootstrap=100)
        rows = zip("abc", heard, REFERENCES, strict=True)
        examples = [ScoredExample(name, text, [reference]) for name, text, reference in rows]
        PhaseScores(phase, "test", "wer", False, scores, 1.5, examples).write(folder, None)
    return folder


def heard(errors: int) -> list[str]:
    """The references with so many of the 12 words wrong."""
    words = " ".join(REFERENCES).split()
    words[:errors] = ["x"] * errors
    return [" ".join(words[start : start + 4]) for start in (0, 4, 8)]
