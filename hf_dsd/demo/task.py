"""What every demo does: compare DSD with its equal-budget dense control, show texts, and write the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image
from rich.console import Console
from rich.markup import escape
from torch.utils.data import Dataset

from hf_dsd.compare import Comparison, compare, print_comparison
from hf_dsd.metrics import TextScorer
from hf_dsd.report import write_report
from hf_dsd.trainer.scoring import score_phases
from hf_dsd.trainer.trainer import DSDMixin

from .figure import draw_captioned_scenes

ARMS = ("dense", "sparse", "dsd")
SEED = 0
SHOWN = 6
"""Test examples that the terminal and the picture show."""


@dataclass(frozen=True)
class DemoTask:
    """One task of the demo.

    Attributes:
        make_trainer: Builds a trainer of a new model (see `hf_dsd.compare.compare`).
        test_set: The rows that every model is scored on, once.
        scorer: How they are scored.
        pictures: From a test example's name to its picture, where examples are pictures.
    """

    make_trainer: Callable[[dict[str, Any], str, int], DSDMixin]
    test_set: Dataset[Any]
    scorer: TextScorer
    pictures: Callable[[str], Image] | None = None


def run_demo(task: DemoTask, output_dir: Path, console: Console | None = None) -> Comparison:
    """Trains both arms, prints their table, some texts and where everything lies, and returns the comparison.

    A demo that was interrupted goes on from its last checkpoint.
    """
    console = console or Console()
    console.print("Training the dense control and DSD; both share the first dense phase.", highlight=False)
    comparison = compare(task.make_trainer, ARMS, [SEED], output_dir, score=_score(task), console=console)
    print_comparison(comparison, console)
    shown = chosen_texts(comparison)
    for name, lines in shown.items():
        console.print(f"\n[bold]{escape(name)}[/bold]", *map(escape, lines), sep="\n  ", highlight=False)
    console.print(f"\nThe runs are in {output_dir}.", highlight=False)
    if task.pictures is not None:
        path = draw_captioned_scenes(
            [task.pictures(name) for name in shown], list(shown.values()), output_dir / "captions.png"
        )
        console.print(f"The captioned pictures are in {path}.", highlight=False)
    console.print(f"The report is in {write_report(output_dir)}.", highlight=False)
    return comparison


def _score(task: DemoTask) -> Callable[[DSDMixin], object]:
    def score(trainer: DSDMixin) -> object:
        trainer.save_state()  # the losses over time, for the report
        return score_phases(trainer, task.test_set, task.scorer)

    return score


def chosen_texts(comparison: Comparison) -> Mapping[str, Sequence[str]]:
    """Test example -> what a person wrote and what each model said, of every n-th example, `SHOWN` in all."""
    runs = [run for run in comparison.runs if run.examples]
    if not runs:
        return {}
    count = len(runs[0].examples)
    rows = range(0, count, max(count // SHOWN, 1))[:SHOWN]
    return {
        runs[0].examples[row].id: [
            f"a person: {runs[0].examples[row].references[0]}",
            *(f"{run.arm}: {run.examples[row].prediction}" for run in runs),
        ]
        for row in rows
    }
