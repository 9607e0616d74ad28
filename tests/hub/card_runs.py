"""Run folders and comparisons as finished runs leave them, without training, for cards."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from hf_dsd.hub import Results, Words
from hf_dsd.hub.contents import read_finished_run
from hf_dsd.metrics import score_transcripts
from hf_dsd.runs.scores import PhaseScores, ScoredExample

REFERENCES = ["one two three four", "five six seven eight", "nine zero one two"]
LAYER = {"name": "a.weight", "shape": [30, 20], "weights": 600, "pruned": 300, "sparsity": 0.5, "threshold": 0.1}
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
        "schedule": plan(kinds),
        "phases": records,
        "saved_phases": [record["name"] for record in records],
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


def publishable(run: Path) -> Path:
    """Gives a run of `write_run` what makes it one to publish: weights of all phases, and a report that is new."""
    for index, phase in enumerate(json.loads((run / "dsd_summary.json").read_text())["phases"]):
        (run / phase["name"]).mkdir(exist_ok=True)
        save_file({"a.weight": torch.full((30, 20), index + 1.0)}, run / phase["name"] / "model.safetensors")
    (run / "figures").mkdir()
    (run / "figures" / "weights.png").write_bytes(b"png")
    (run / "report.html").write_text("page")
    return run


def plan(kinds: list[str]) -> list[dict[str, Any]]:
    """A summary's schedule of phases of these kinds."""
    ends = [0, 20, *(30 + 10 * index for index in range(len(kinds)))]
    return [
        {
            "index": index,
            "kind": kind,
            "start": ends[index],
            "end": ends[index + 1],
            "sparsity": 0.5 * (kind == "sparse"),
        }
        for index, kind in enumerate(kinds)
    ]


def results_of(run: Path, **options: Any) -> Results:
    """A finished run's results; `dataset`, `license` and `language` are a person's words."""
    words = {name: options.pop(name) for name in ("dataset", "license", "language") if name in options}
    return Results.from_run(read_finished_run(run), **{"words": Words(**words), **options})


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
