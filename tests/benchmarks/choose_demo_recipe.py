"""Chooses a demo's recipe on the validation split, by seeds that the demo itself does not use.

    python tests/benchmarks/choose_demo_recipe.py captioning FOLDER

Each candidate is trained with five seeds, dense control and DSD, and scored on the validation split alone; chosen is
the best score of DSD. All train a seed in under four CPU minutes on one core, which longer ones do not.
"""

import sys
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from hf_dsd.compare import compare, read_runs
from hf_dsd.demo.captioning import captioning_task
from hf_dsd.demo.speech import speech_task
from hf_dsd.demo.task import ARMS, scored_models
from hf_dsd.metrics import caption_scorer, transcript_scorer
from hf_dsd.trainer.scoring import score_phases

SEEDS = range(10, 15)
TASKS = {"captioning": captioning_task, "speech": speech_task}
CANDIDATES: dict[str, dict[str, dict[str, Any]]] = {
    "captioning": {
        "the demo's": {},
        "50 %": {"sparsity": 0.5},
        "higher rates": {"phase_learning_rates": [6e-3, 2e-3, 4e-4]},
    },
    "speech": {
        "the demo's": {},
        "half the recordings, twice as long": {
            "sizes": {"train": 600, "validation": 80, "test": 80},
            "phase_epochs": [16, 6, 4],
            "phase_learning_rates": [4e-3, 2e-3, 4e-4],
        },
        "the same at half the rates": {
            "sizes": {"train": 600, "validation": 80, "test": 80},
            "phase_epochs": [16, 6, 4],
            "phase_learning_rates": [2e-3, 1e-3, 2e-4],
        },
    },
}


def score_validation(trainer: Any) -> object:
    """Scores on the split that the trainer validates on."""
    rows, tokenizer = trainer.eval_dataset, trainer.processing_class.tokenizer
    if hasattr(rows, "images"):
        scorer = caption_scorer(tokenizer, rows.images, rows.references)
    else:
        utterances = rows.utterances
        scorer = transcript_scorer(tokenizer, [row.name for row in utterances], [row.transcript for row in utterances])
    return score_phases(trainer, rows, scorer, split="validation")


def main(name: str, folder: Path) -> None:
    """Trains the candidates of a task, resumably, and prints a line for each."""
    torch.set_num_threads(1)
    for label, recipe in CANDIDATES[name].items():
        out, began = folder / label.replace("/", "-"), time.process_time()
        compare(TASKS[name](**recipe).make_trainer, ARMS, SEEDS, out, score=score_validation, split="validation")
        found = scored_models(read_runs(out), "validation")
        models = {row: [scores.value for scores in of_seeds] for row, of_seeds in found.items()}
        gains = [dsd - dense for dsd, dense in zip(models["DSD"], models["dense control"], strict=True)]
        means = ", ".join(f"{row} {fmean(values):.4g}" for row, values in models.items())
        print(
            f"{label}: {means}; DSD - control {fmean(gains):+.3g} ± {stdev(gains):.2g} "
            f"({', '.join(f'{gain:+.3g}' for gain in gains)}); {time.process_time() - began:.0f} CPU s",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
