"""What every demo does: train DSD, its control and early stopping, show what each says, and end with the verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL.Image import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch.utils.data import Dataset
from transformers import PrinterCallback, TrainerCallback

from hf_dsd.compare import ARMS as LABELS
from hf_dsd.compare import Comparison, compare, read_runs
from hf_dsd.compare.table import verdict_text
from hf_dsd.metrics import TextScorer
from hf_dsd.report import write_report
from hf_dsd.runs.folder import EARLY
from hf_dsd.runs.metric_names import score_title
from hf_dsd.runs.numbers import percent, score_text
from hf_dsd.runs.run import Run
from hf_dsd.runs.scores import PhaseScores, ScoredExample
from hf_dsd.trainer.scoring import score_phases
from hf_dsd.trainer.trainer import DSDMixin

from .figure import draw_captioned_scenes

ARMS = ("dense", EARLY, "sparse", "dsd")
SHOWN = 6
"""Test examples that the terminal and the picture show."""

MarkedText = Sequence[tuple[str, bool]]
"""Words, and whether each is wrong."""


@dataclass(frozen=True)
class DemoTask:
    """One task of the demo.

    Attributes:
        make_trainer: Builds a trainer of a new model (see `hf_dsd.compare.compare`).
        test_set: The rows that every model is scored on, once.
        scorer: How they are scored.
        mark: From a test example and a text about it, the text's words and which of them are wrong.
        own_data: The command that does the same with data of one's own.
        seeds: Of the runs.
        pictures: From a test example's name to its picture, where examples are pictures.
    """

    make_trainer: Callable[[dict[str, Any], str, int], DSDMixin]
    test_set: Dataset[Any]
    scorer: TextScorer
    mark: Callable[[ScoredExample, str], MarkedText]
    own_data: str
    seeds: Sequence[int] = (0,)
    pictures: Callable[[str], Image] | None = None


def run_demo(make_task: Callable[[], DemoTask], output_dir: Path, console: Console | None = None) -> Comparison:
    """Trains the arms, prints what came out and where everything lies, and returns the comparison.

    A demo that was interrupted goes on with the first run that has not finished.
    """
    console = console or Console()
    say = partial(console.print, highlight=False, soft_wrap=True)  # paths and commands are copied
    say("[bold]1 of 3[/bold] Making the data.")
    task = make_task()
    say("[bold]2 of 3[/bold] Training; what has been trained before is kept.")
    make_trainer = partial(_make_speaking_trainer, task.make_trainer, console)
    comparison = compare(
        make_trainer, ARMS, task.seeds, output_dir, score=partial(_score, task, console), console=console
    )
    say("[bold]3 of 3[/bold] Writing the report.")
    models = scored_models(read_runs(output_dir))
    shown = chosen_examples(next(iter(models.values()))[0].examples)
    texts = {example.id: _texts(task, example, models) for example in shown}
    places = [f"The runs are in {output_dir}.", f"The report is in {write_report(output_dir)}."]
    if task.pictures is not None:
        path = draw_captioned_scenes(list(map(task.pictures, texts)), list(texts.values()), output_dir / "captions.png")
        places.append(f"The captioned pictures are in {path}.")
    for name, lines in texts.items():
        say(f"\n[bold]{escape(name)}[/bold]", *map(_in_markup, lines), sep="\n  ")
    say("\nIn [red]\\[brackets][/red]: what is wrong. People make mistakes, too.", _table(task, models), sep="\n")
    say(*map(escape, places), sep="\n")
    say(f"\n[bold]{escape(verdict_text(comparison))}[/bold]\n\nNow your own: {escape(task.own_data)}")
    return comparison


class _NamesPhases(TrainerCallback):
    """Prints what is trained before it begins."""

    def __init__(self, trainer: DSDMixin, seed: int, console: Console) -> None:
        self._trainer, self._seed, self._console, self._last = trainer, seed, console, ""

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """The engine has begun the step: it knows the phase."""
        phase = getattr(self._trainer.dsd, "phase", None)
        if phase is None or phase.name == self._last:
            return
        self._last = phase.name
        arm = "for all" if phase.index == 0 else LABELS[Path(self._trainer.args.output_dir).name]
        pruned = f", {percent(phase.sparsity)} of every layer at zero" if phase.is_sparse else ""
        self._console.print(
            f"  seed {self._seed}, {arm}: phase {phase.index + 1}, {phase.kind.value}{pruned}, {phase.steps} steps",
            highlight=False,
        )


def _make_speaking_trainer(
    make_trainer: Callable[[dict[str, Any], str, int], DSDMixin],
    console: Console,
    arm_options: dict[str, Any],
    output_dir: str,
    seed: int,
) -> DSDMixin:
    trainer: Any = make_trainer(arm_options, output_dir, seed)
    trainer.remove_callback(PrinterCallback)  # its losses are in the report
    trainer.add_callback(_NamesPhases(trainer, seed, console))
    return trainer  # type: ignore[no-any-return]


def _score(task: DemoTask, console: Console, trainer: Any) -> object:
    trainer.save_state()  # the losses over time, for the report
    console.print(f"  seed {trainer.args.seed}: scoring on the test split", highlight=False)
    return score_phases(trainer, task.test_set, task.scorer)


def scored_models(runs: Sequence[Run], split: str = "test") -> Mapping[str, Sequence[PhaseScores]]:
    """What each row of the demo's table is called -> its model's scores, one per seed; `read_runs` gives the runs."""
    found: dict[str, list[PhaseScores]] = {}
    for run in runs:
        own = run.phase_scores(split)
        if not own:  # it has failed
            continue
        if run.arm == "dsd":
            rows = {"sparse": own[-2], "DSD": own[-1]}
        else:
            early = run.find_scores(f"{run.last_phase}-{EARLY}", split)
            rows = {
                "first dense phase": own[0],
                "dense control": own[-1],
                **({"stopped early": early} if early else {}),
            }
        for label, scores in rows.items():
            found.setdefault(label, []).append(scores)
    return found


def chosen_examples(examples: Sequence[ScoredExample]) -> Sequence[ScoredExample]:
    """Every n-th example, `SHOWN` in all: nobody has picked them."""
    return examples[:: max(len(examples) // SHOWN, 1)][:SHOWN]


def _texts(task: DemoTask, example: ScoredExample, models: Mapping[str, Sequence[PhaseScores]]) -> list[MarkedText]:
    """What a person and each model, of the first seed, said about an example."""
    said = {"a person": example.references[0]}
    for label, (scores, *_) in models.items():
        said[label] = next(row.prediction for row in scores.examples if row.id == example.id)
    return [[(f"{who}:", False), *task.mark(example, text)] for who, text in said.items()]


def _in_markup(text: MarkedText) -> str:
    return " ".join(f"[red]\\[{escape(word)}][/red]" if wrong else escape(word) for word, wrong in text)


def _table(task: DemoTask, models: Mapping[str, Sequence[PhaseScores]]) -> Table:
    """Score, loss and texts without a mistake of each model on the test split, on average over the seeds."""
    metric = task.scorer.metric
    table = Table(box=SIMPLE_HEAD, title=f"test split, {len(task.scorer.ids)} examples, {len(task.seeds)} seed(s)")
    for heading in ("model", score_title(metric), "loss", "without a mistake"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for label, scores in models.items():
        right = fmean(is_right(task, example) for one in scores for example in one.examples)
        value, loss = fmean(one.value for one in scores), fmean(one.loss for one in scores)
        table.add_row(label, score_text(value, metric), f"{loss:.3f}", percent(right))
    return table


def is_right(task: DemoTask, example: ScoredExample) -> bool:
    """True if no word that the example's model said is wrong."""
    return not any(wrong for _, wrong in task.mark(example, example.prediction))
