"""Writes run folders as DSD runs leave them, from numbers written down here."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from hf_dsd.metrics import score_transcripts
from hf_dsd.runs.scores import PhaseScores, ScoredExample

DENSE = {
    "big.weight": torch.tensor([[0.1, -0.2, 0.3, -0.4], [1.0, -2.0, 3.0, -4.0]]),
    "small.weight": torch.tensor([[0.5, -5.0], [6.0, -7.0]]),
    "bias": torch.tensor([1.0]),
}
SPARSE = {
    "big.weight": torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.5, -2.5, 3.5, -4.5]]),
    "small.weight": torch.tensor([[0.0, -5.0], [6.0, -7.0]]),
    "bias": torch.tensor([1.0]),
}
REDENSE = {
    "big.weight": torch.tensor([[0.5, -0.1, -0.2, 0.0], [2.0, -3.0, 4.0, -5.0]]),
    "small.weight": torch.tensor([[0.1, -5.0], [6.0, -7.0]]),
    "bias": torch.tensor([1.0]),
}
LAYERS = [
    {"name": "small.weight", "shape": [2, 2], "weights": 4, "pruned": 1, "sparsity": 0.25, "threshold": 0.5},
    {"name": "big.weight", "shape": [2, 4], "weights": 8, "pruned": 4, "sparsity": 0.5, "threshold": 0.4},
]
REFERENCES = ["one two three four", "five six seven eight", "nine zero one two", "three four five six"]


def write_dsd_run(
    folder: Path, *, arm: str = "dsd", heard: Sequence[str] | None = None, seed: int = 7, finished: int = 3
) -> Path:
    """A run of 10 + 5 + 5 steps with two pruned layers, evaluated at its phases' ends, without a log.

    Args:
        folder: Where to write.
        arm: `dsd`, or `dense`: the control, which prunes nothing.
        heard: What the last model heard of `REFERENCES`; no score file if None.
        seed: Of the run.
        finished: How many phases have ended.
    """
    kinds = ("dense", "dense" if arm == "dense" else "sparse", "dense")
    ends, starts = (10, 15, 20), (0, 10, 15)
    sparsities = (0.0, 0.0 if arm == "dense" else 0.5, 0.0)
    schedule = [
        {"index": index, "kind": kind, "start": start, "end": end, "sparsity": sparsity, "learning_rate": 0.1}
        for index, (kind, start, end, sparsity) in enumerate(zip(kinds, starts, ends, sparsities, strict=True))
    ]
    phases = [
        {
            **entry,
            "name": f"phase-{entry['index']}-{entry['kind']}",
            "seconds": 61.0,
            "finished": True,
            "left_early": False,
            "metrics": {"eval_loss": 2.0 - entry["index"] / 2, "eval_wer": 0.5 - entry["index"] / 10, "epoch": 1.0},
            "layers": LAYERS if entry["kind"] == "sparse" else [],
        }
        for entry in schedule[:finished]
    ]
    for phase, weights in zip(phases, (DENSE, DENSE if arm == "dense" else SPARSE, REDENSE), strict=False):
        (folder / phase["name"]).mkdir(parents=True)
        save_file(weights, folder / phase["name"] / "model.safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    write_summary(folder, arm=arm, seed=seed, schedule=schedule, phases=phases)
    if heard is not None:
        write_scores(folder, phases[-1]["name"], heard)
    return folder


def write_comparison(out: Path) -> Path:
    """DSD and its control with two seeds: DSD hears everything, its control makes one error and two."""
    for seed in (1, 2):
        for arm in ("dsd", "dense"):
            heard = (
                REFERENCES if arm == "dsd" else ["x " * seed + " ".join(REFERENCES[0].split()[seed:]), *REFERENCES[1:]]
            )
            write_dsd_run(out / f"seed-{seed}" / arm, arm=arm, heard=heard, seed=seed)
    return out


def write_summary(folder: Path, **facts: Any) -> None:
    """A `dsd_summary.json` with the parameters of `DENSE`."""
    rows = [("big.weight", [2, 4], 8, None, None), ("small.weight", [2, 2], 4, 0.25, None)]
    rows += [("bias", [1], 1, None, "bias or vector")]
    keys = ("name", "shape", "weights", "override", "dense_reason")
    content = {
        "model": "TinyLSTM",
        "optimizer": "AdamW",
        "batch_size": 4,
        "steps_per_epoch": 5,
        "parameters": [dict(zip(keys, row, strict=True)) for row in rows],
        "evaluations": {},
        "seconds": 183.0,
        "command": ["train.py", "--sparsity", "0.5"],
        "versions": {"python": "3.11", "torch": "2.13"},
    }
    (folder / "dsd_summary.json").write_text(json.dumps({**content, **facts}))


def write_scores(folder: Path, phase: str, heard: Sequence[str]) -> None:
    """A `test_PHASE.json` of what a model heard."""
    scores = score_transcripts(list(heard), REFERENCES, n_bootstrap=50)
    rows = zip("abcd", heard, REFERENCES, strict=True)
    examples = [ScoredExample(name, text, [reference]) for name, text, reference in rows]
    PhaseScores(phase, "test", "wer", False, scores, 1.5, examples).write(folder, None)


def change_summary(folder: Path, **facts: Any) -> dict[str, Any]:
    """Gives a run's summary other facts, and returns it."""
    path = folder / "dsd_summary.json"
    summary: dict[str, Any] = json.loads(path.read_text()) | facts
    path.write_text(json.dumps(summary))
    return summary


def write_iterative_run(folder: Path) -> Path:
    """A run of five phases that prunes twice, harder the second time."""
    kinds = ("dense", "sparse", "dense", "sparse", "dense")
    schedule = [
        {
            "index": index,
            "kind": kind,
            "start": 5 * index,
            "end": 5 * index + 5,
            "sparsity": 0.25 * (index + 1) / 2 if kind == "sparse" else 0.0,
            "learning_rate": 0.1,
        }
        for index, kind in enumerate(kinds)
    ]
    facts = {"seconds": 61.0, "finished": True, "left_early": False, "metrics": {}}
    small, big = LAYERS
    layers = {
        1: [small, {**big, "pruned": 2, "sparsity": 0.25, "threshold": 0.2}],
        3: [small, big],
    }
    phases = [
        {**entry, **facts, "name": f"phase-{entry['index']}-{entry['kind']}", "layers": layers.get(entry["index"], [])}
        for entry in schedule
    ]
    first = {**SPARSE, "big.weight": torch.tensor([[0.0, 0.0, 0.3, -0.4], [1.5, -2.5, 3.5, -4.5]])}
    for phase, weights in zip(phases, (DENSE, first, DENSE, SPARSE, REDENSE), strict=True):
        (folder / phase["name"]).mkdir(parents=True)
        save_file(weights, folder / phase["name"] / "model.safetensors")
    write_summary(folder, arm="iterative", seed=7, schedule=schedule, phases=phases)
    return folder
