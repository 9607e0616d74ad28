"""Run folders and comparisons as finished runs leave them, without training, for cards."""

import json
from pathlib import Path
from typing import Any

from hf_dsd.metrics import score_transcripts
from hf_dsd.runs.scores import PhaseScores, ScoredExample

REFERENCES = ["one two three four", "five six seven eight", "nine zero one two"]
PLANNED = ("index", "start", "end", "sparsity")
LAYER = {"name": "a.weight", "shape": [30, 20], "weights": 600, "pruned": 300, "sparsity": 0.5, "threshold": 0.1}
SPARSITY = {"dsd": 0.5, "dense": 0.0}
# Wrong words of 12 on the test split, by seed: after each phase.
DSD_ERRORS = {1: (8, 7, 4), 2: (8, 6, 6), 3: (8, 7, 3)}
DENSE_ERRORS = {1: (8, 7, 6), 2: (8, 7, 7), 3: (8, 6, 6)}


def write_run(folder: Path, errors: tuple[int, ...], arm: str = "dsd", seed: int = 1, **changes: Any) -> Path:
    """A run of 40 steps, 10 an epoch, in three phases; the test split has 12 words, `errors` of them wrong."""
    folder.mkdir(parents=True)
    kinds = ["dense", "sparse" if arm == "dsd" else "dense", "dense"]
    records = [_phase(index, kind, 0.5 if kind == "sparse" else 0.0) for index, kind in enumerate(kinds)]
    summary = {
        "model": "DeepSpeech2ForCTC",
        "arm": arm,
        "seed": seed,
        "world_size": 1,
        "optimizer": "AdamW",
        "lr_scheduler_type": "linear",
        "batch_size": 16,
        "steps_per_epoch": 10,
        "mask_criterion": "magnitude",
        "reset_optimizer_state": "masked",
        "schedule": [
            {key: one[key] for key in PLANNED} | {"kind": kind} for one, kind in zip(records, kinds, strict=True)
        ],
        "phases": records,
        "evaluations": {},
        "parameters": [
            {"name": "a.weight", "shape": [30, 20], "weights": 600, "override": None, "dense_reason": None},
            {"name": "a.bias", "shape": [20], "weights": 20, "override": None, "dense_reason": "bias or vector"},
        ],
        "command": ["run_speech.py", "--data_dir", "/home/me/data/digits", "--output_dir=/home/me/runs/x"],
        "versions": {"python": "3.11.7", "torch": "2.13.0", "sacrebleu": None},
    }
    (folder / "dsd_summary.json").write_text(json.dumps({**summary, **changes}))
    model_folder = folder / records[-1]["name"]
    model_folder.mkdir()
    (model_folder / "config.json").write_text(json.dumps({"model_type": "deepspeech2"}))
    for record, wrong in zip(records, errors, strict=True):
        _write_scores(folder, record["name"], wrong)
    return folder


def write_comparison(out: Path, seeds: int = 3) -> Path:
    """DSD and its control over seeds: DSD makes 2, 1 and 3 fewer of 12 errors."""
    for seed in range(1, seeds + 1):
        write_run(out / f"seed-{seed}" / "dsd", DSD_ERRORS[seed], "dsd", seed)
        write_run(out / f"seed-{seed}" / "dense", DENSE_ERRORS[seed], "dense", seed)
    return out


def _phase(index: int, kind: str, sparsity: float) -> dict[str, Any]:
    start, end = [(0, 20), (20, 30), (30, 40)][index]
    return {
        "index": index,
        "name": f"phase-{index}-{kind}",
        "start": start,
        "end": end,
        "learning_rate": [1e-3, 1e-3, 1e-4][index],
        "sparsity": sparsity,
        "seconds": 60.0,
        "finished": True,
        "metrics": {"eval_wer": 0.5 - index / 10, "eval_loss": 1.5, "eval_runtime": 3.0, "epoch": end / 10},
        "layers": [LAYER] if sparsity else [],
    }


def _write_scores(folder: Path, phase: str, wrong: int) -> None:
    words = " ".join(REFERENCES).split()
    words[:wrong] = ["x"] * wrong
    heard = [" ".join(words[start : start + 4]) for start in (0, 4, 8)]
    scores = score_transcripts(heard, REFERENCES, n_bootstrap=100)
    rows = zip("abc", heard, REFERENCES, strict=True)
    PhaseScores(
        phase, "test", "wer", False, scores, 1.25, [ScoredExample(name, text, [r]) for name, text, r in rows]
    ).write(folder, None)
