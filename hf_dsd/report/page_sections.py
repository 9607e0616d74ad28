"""What each section of the page says, as plain data for the template: the numbers are made here, the words there.

Layer: the readers, counters and drawings next door.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_dsd.compare.table import ComparisonTable, comparison_table, verdict_text
from hf_dsd.runs.metric_names import score_title
from hf_dsd.runs.run import Run
from hf_dsd.runs.scores import PhaseScores

from .draw_landscape import draw_landscapes, landscape_height
from .draw_timeline import draw_timeline, timeline_height
from .example_choice import ExampleChoice, choose_examples
from .landscape import LANDSCAPE_FILE_NAME, Landscape
from .report_folder import ReportFolder
from .svg_figure import PageFigure, render_figure
from .timeline import MAX_POINTS, find_metric, read_curves


@dataclass(frozen=True)
class Headline:
    """The top of the page: what this is, how far it is, and what came out."""

    title: str
    folder: str
    state: str
    facts: Sequence[tuple[str, str]]
    verdict: str
    outcome: str
    table: ComparisonTable | None
    comparison_note: str


@dataclass(frozen=True)
class TimelineSection:
    """The timeline; `figure` is None where no run has left a log or a metric; `thinned` where a log was too long."""

    figure: PageFigure | None
    primary: str
    sources: Sequence[tuple[str, Sequence[str]]]
    has_planned_rates: bool
    thinned: bool


@dataclass(frozen=True)
class ScoreRow:
    """One scored model."""

    run: str
    scores: PhaseScores
    interval: Sequence[float] | None


@dataclass(frozen=True)
class ScoreTable:
    """The models that were scored alike: by one metric, with one signature, on one split."""

    metric: str
    split: str
    signature: str
    rows: Sequence[ScoreRow]


@dataclass(frozen=True)
class ExamplesSection:
    """Side by side texts; `choice` is None where no model was scored on texts."""

    split: str
    choice: ExampleChoice | None


@dataclass(frozen=True)
class LandscapeSection:
    """Loss between the models and their sharpness; `figure` is None where nobody measured it."""

    figure: PageFigure | None
    primary: str
    found: Mapping[str, Landscape]
    problems: Sequence[str]

    @property
    def radii(self) -> Sequence[float]:
        """All radii that any run was measured at, rising."""
        return sorted({radius for landscape in self.found.values() for radius in landscape.radii})


def headline(report: ReportFolder) -> Headline:
    """Title, state and the comparison's verdict."""
    run, comparison = report.primary, report.comparison
    model = str(run.summary.get("model", "a model"))
    arms = list(dict.fromkeys(found.arm for found in report.runs))
    seeds = sorted({found.seed for found in report.runs if found.seed is not None})
    facts = [
        ("arms", ", ".join(arms)),
        ("seeds", ", ".join(map(str, seeds)) or "unknown"),
        ("phases", _phases_in_words(run)),
        ("optimizer", f"{run.summary.get('optimizer', 'unknown')}, batch {run.summary.get('batch_size', 'unknown')}"),
    ]
    finished = sum(found.is_finished for found in report.runs)
    state = f"{finished} of {len(report.runs)} runs finished" if len(report.runs) > 1 else _state(run)
    verdict = comparison.verdict if comparison is not None else None
    return Headline(
        title=f"{model}: dense, sparse, dense",
        folder=report.folder.resolve().name,
        state=state,
        facts=facts,
        verdict=verdict_text(comparison) if comparison is not None else "",
        outcome=verdict.outcome if verdict is not None else "",
        table=comparison_table(comparison) if comparison is not None else None,
        comparison_note=report.comparison_note,
    )


def timeline_section(report: ReportFolder, figures: Path) -> TimelineSection:
    """Draws all runs over the same steps."""
    metric = find_metric(report.runs)
    curves = [found for run in report.runs if not (found := read_curves(run, metric)).is_empty]
    sources = [(run.label, run.sources) for run in report.runs]
    if not curves:
        return TimelineSection(None, "", sources, has_planned_rates=False, thinned=False)
    primary = next((found for found in curves if found.run is report.primary), curves[0])
    shown = f", {score_title(metric)}" if metric is not None else ""
    alt = f"Loss{shown} and learning rate over the optimizer steps of {len(curves)} run(s), with their phases"
    figure = render_figure("timeline", alt, draw_timeline(curves, primary, metric), timeline_height(curves), figures)
    return TimelineSection(
        figure,
        primary.run.label,
        sources,
        has_planned_rates=any(found.peaks for found in curves),
        thinned=any(len(run.log) > MAX_POINTS for run in report.runs),
    )


def scores_section(report: ReportFolder) -> list[ScoreTable]:
    """Every scored model of every run; models that were scored differently stand in tables of their own."""
    tables: dict[tuple[str, str, str], list[ScoreRow]] = {}
    for run in report.runs:
        for scores in run.scored:
            alike = (scores.metric, scores.split, str(scores.scores.get("signature", "")))
            row = ScoreRow(run.label, scores, scores.scores.get(f"{scores.metric}_ci"))
            tables.setdefault(alike, []).append(row)
    test_first = sorted(tables, key=lambda alike: alike[1] != "test")
    return [ScoreTable(*alike, tables[alike]) for alike in test_first]


def examples_section(report: ReportFolder) -> ExamplesSection:
    """The arms of the lowest seed side by side; for a single run its phases."""
    run = report.primary
    split = run.scored_split
    own = run.phase_scores(split) if split is not None else []
    if split is None or not own:
        return ExamplesSection(split or "", None)
    models = [(run.arm, own[-1])]
    for other in report.runs:
        if other is not run and other.seed == run.seed and (scored := other.phase_scores(split)):
            models.append((other.arm, scored[-1]))
    if len(models) == 1:
        models = [(scores.phase, scores) for scores in own]
        return ExamplesSection(split, choose_examples(models, 0, len(models) - 1))
    baseline = next((index for index, (arm, _) in enumerate(models) if arm == "dense"), 1)
    return ExamplesSection(split, choose_examples(models, baseline, 0))


def landscape_section(report: ReportFolder, figures: Path) -> LandscapeSection:
    """Draws what `landscape.json` files hold."""
    measured, problems = _landscapes(report)
    if not measured:
        return LandscapeSection(None, "", {}, problems)
    several_seeds = len({run.seed for run, _ in measured}) > 1
    labels = [run.label if several_seeds else run.arm for run, _ in measured]
    found = {label: landscape for label, (_, landscape) in zip(labels, measured, strict=True)}
    primary = next(
        (label for label, (run, _) in zip(labels, measured, strict=True) if run is report.primary), labels[0]
    )
    alt = f"Loss along the straight lines between the phases' models of {primary}, and the sharpness of every model"
    figure = render_figure("landscape", alt, draw_landscapes(found, primary), landscape_height(found), figures)
    return LandscapeSection(figure, primary, found, problems)


def _landscapes(report: ReportFolder) -> tuple[list[tuple[Run, Landscape]], list[str]]:
    found, problems = [], []
    for run in report.runs:
        if (run.folder / LANDSCAPE_FILE_NAME).is_file():
            try:
                found.append((run, Landscape.read(run.folder)))
            except ValueError as error:
                problems.append(f"{run.label}: {error}")
    return found, problems


_RUN_FACTS = (
    *("seed", "data_seed", "world_size", "optimizer", "lr_scheduler_type", "batch_size", "steps_per_epoch"),
    *("mask_criterion", "reset_optimizer_state", "mask_gradients"),
)


def runs_section(report: ReportFolder) -> list[dict[str, Any]]:
    """Every run's facts, phases, versions and command."""
    return [
        {
            "label": run.label,
            "state": _state(run),
            "seconds": run.summary.get("seconds", sum(phase["seconds"] for phase in run.phases)),
            "facts": [(name, run.summary[name]) for name in _RUN_FACTS if run.summary.get(name) is not None],
            "phases": run.phases,
            "versions": {name: value for name, value in run.summary.get("versions", {}).items() if value},
            "command": shlex.join(run.summary.get("command", [])),
        }
        for run in report.runs
    ]


def page_problems(report: ReportFolder) -> list[str]:
    """What was left out of the page because a file is damaged, a line each."""
    return [*report.problems, *(f"{run.label}: {line}" for run in report.runs for line in run.problems)]


def _state(run: Run) -> str:
    if run.is_finished:
        return "finished"
    if not run.phases:
        return "in its first phase"
    last = run.phases[-1]
    at = f", newest checkpoint {run.checkpoint.name.rpartition('-')[2]}" if run.checkpoint is not None else ""
    return f"unfinished: {'after' if last['finished'] else 'in'} {last['name']}{at}"


def _phases_in_words(run: Run) -> str:
    if not run.schedule:
        return "unknown"
    words = [
        f"S {phase['sparsity']:.0%} {phase['end'] - phase['start']:,}"
        if phase["kind"] == "sparse"
        else f"D {phase['end'] - phase['start']:,}"
        for phase in run.schedule
    ]
    return " → ".join(words) + " steps"
