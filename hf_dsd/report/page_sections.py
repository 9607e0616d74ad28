"""What each section of the page says, as plain data for the template: the numbers are made here, the words there."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from hf_dsd.compare.table import comparison_table, verdict_text
from hf_dsd.runs.metric_names import score_title
from hf_dsd.runs.run import Run
from hf_dsd.runs.scores import PhaseScores

from .draw_weights import draw_fate, draw_moments
from .example_choice import ExampleChoice, choose_examples
from .landscape import Landscape, draw_landscapes, landscape_height
from .report_folder import ReportFolder
from .sparse_layer import add_fates, five_moments
from .svg_figure import arm_styles, render_figure
from .timeline import MAX_POINTS, draw_timeline, find_metric, read_curves, timeline_height
from .weights import read_run_weights

LANDSCAPE_SCRIPTS = ("run_captioning.py", "run_speech_recognition_ctc.py")
"""The example scripts that have the flag `--landscape`: advice that names it would crash any other."""


def headline(report: ReportFolder) -> dict[str, Any]:
    """The top of the page: what this is, what came out, and how far it is."""
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
    failed = {one.folder for one in comparison.runs if one.status == "failed"} if comparison is not None else set()
    begun = len(report.runs) + len(failed - {f"seed-{found.seed}/{found.arm}" for found in report.runs})
    state = f"{finished} of {begun} runs finished" if begun > 1 else _state(run)
    verdict = comparison.verdict if comparison is not None else None
    return {
        "title": f"{model}: {', '.join(phase['kind'] for phase in run.schedule) or 'dense, sparse, dense'}",
        "folder": report.folder.resolve().name,
        "state": state,
        "facts": facts,
        "verdict": verdict_text(comparison) if comparison is not None else "",
        "outcome": verdict.outcome if verdict is not None else "",
        "outcomes": verdict.headline if verdict is not None else "",
        "table": comparison_table(comparison) if comparison is not None else None,
        "comparison_note": report.comparison_note,
    }


def timeline_section(report: ReportFolder, figures: Path) -> dict[str, Any]:
    """Draws all runs over the same steps; the figure is None where none has left a log or a metric."""
    metric = find_metric(report.runs)
    curves = [found for run in report.runs if not (found := read_curves(run, metric)).is_empty]
    section = {"figure": None, "sources": [(run.label, run.sources) for run in report.runs]}
    if not curves:
        return section
    primary = next((found for found in curves if found.run is report.primary), curves[0])
    shown = f", {score_title(metric)}" if metric is not None else ""
    alt = f"Loss{shown} and learning rate over the optimizer steps of {len(curves)} run(s), with their phases"
    draw = draw_timeline(curves, primary, metric, arm_styles(run.arm for run in report.runs))
    figure = render_figure("timeline", alt, draw, timeline_height(curves), figures)
    return section | {
        "figure": figure,
        "primary": primary.run.label,
        "has_planned_rates": any(found.peaks for found in curves),
        "has_seeds": len({found.run.arm for found in curves}) < len(curves),
        "thinned": any(len(run.log) > MAX_POINTS for run in report.runs),
    }


def weights_section(report: ReportFolder, figures: Path, wanted: str | None) -> dict[str, Any]:
    """Figure 2 of one layer, the fate of its pruned weights, and the tables of all layers, of the primary run.

    A wanted layer that cannot be drawn is a ValueError.
    """
    run = report.primary
    weights = read_run_weights(run, wanted)
    no_layers = "No layer has been pruned in this run yet." if run.prunes else "This run prunes no layer."
    section: dict[str, Any] = {
        "run": run.label,
        "weights": weights,
        "models": list(run.models),
        "dense": [entry for entry in run.summary.get("parameters", ()) if entry["dense_reason"]],
        "no_layers": "" if weights.phases else no_layers,
        "moments": None,
    }
    if weights.layer is None or weights.round is None:
        return section
    name, phases = weights.layer.name, [model.phase for model in weights.round.models]
    fate = next(row.fate for row in weights.rows if row.name == name)
    moments = five_moments(weights.layer)[: 3 if weights.round.is_last else None]  # then no weight is restored
    titles = ", ".join(moment.title for moment in moments)
    alt = f"Histograms of the weights of {name} at {len(moments)} moments: {titles}"
    height = (2.7, 1.35 * len(moments) + 0.5)
    after = f"Magnitudes of the weights of {name} after re-dense training, and where the pruned ones went"
    rest = "" if name == max(weights.rows, key=lambda row: row.weights).name else " that the files hold"
    not_finite = [int(np.count_nonzero(~np.isfinite(state))) for state in weights.layer.states]
    return section | {
        "chosen_by": f"the largest pruned layer{rest}" if wanted is None else "chosen by --layer",
        "moments": render_figure("weights", alt, draw_moments(moments), height, figures),
        "fate_figure": render_figure("fate", after, draw_fate(weights.layer), (2.9, 5.4), figures) if fate else None,
        "fate": fate,
        "fate_of_all": add_fates(row.fate for row in weights.rows),
        "not_finite": [(phase, number) for phase, number in zip(phases, not_finite, strict=False) if number],
        "extra_zeros": sum(abs(row.miscounted) for row in weights.rows),
    }


def scores_section(report: ReportFolder) -> list[dict[str, Any]]:
    """Every scored model of every run; models that were scored differently stand in tables of their own."""
    tables: dict[tuple[str, str, str], list[tuple[str, PhaseScores]]] = {}
    for run in report.runs:
        for scores in run.scored:
            alike = (scores.metric, scores.split, str(scores.scores.get("signature", "")))
            tables.setdefault(alike, []).append((run.label, scores))
    test_first = sorted(tables.items(), key=lambda table: table[0][1] != "test")
    return [
        {"metric": metric, "split": split, "signature": signature, "rows": rows}
        for (metric, split, signature), rows in test_first
    ]


def examples_section(report: ReportFolder) -> tuple[str, int | None, ExampleChoice | None]:
    """The split, the lowest seed and its arms side by side, of a single run its phases; None without texts."""
    run = report.primary
    split = run.scored_split
    own = run.phase_scores(split) if split is not None else []
    if split is None or not own:
        return "", run.seed, None
    models = [(run.arm, own[-1])]
    for other in report.runs:
        if other is not run and other.seed == run.seed and (scored := other.phase_scores(split)):
            models.append((other.arm, scored[-1]))
    if len(models) == 1:
        models = [(scores.phase, scores) for scores in own]
        return split, run.seed, choose_examples(models, 0, len(models) - 1)
    baseline = next((index for index, (arm, _) in enumerate(models) if arm == "dense"), 1)
    return split, run.seed, choose_examples(models, baseline, 0)


def landscape_section(report: ReportFolder, figures: Path) -> dict[str, Any]:
    """Draws what `landscape.json` files hold, and says which of them cannot be read."""
    measured: list[tuple[Run, Landscape]] = []
    problems = []
    for run in report.runs:
        try:
            measured.append((run, Landscape.read(run.folder)))
        except FileNotFoundError:  # nobody measured it
            continue
        except ValueError as error:
            problems.append(f"{run.label}: {error}")
    by_flag = Path(next(iter(report.primary.summary.get("command", ())), "")).name in LANDSCAPE_SCRIPTS
    section: dict[str, Any] = {"figure": None, "problems": problems, "by_flag": by_flag}
    if not measured:
        return section
    several_seeds = len({run.seed for run, _ in measured}) > 1
    labels = {run.folder: run.label if several_seeds else run.arm for run, _ in measured}
    found = {labels[run.folder]: landscape for run, landscape in measured}
    primary = labels.get(report.primary.folder, next(iter(found)))
    styles = arm_styles(run.arm for run in report.runs)
    draw = draw_landscapes(found, primary, {labels[run.folder]: styles[run.arm] for run, _ in measured})
    alt = f"Loss along the straight lines between the phases' models of {primary}, and the sharpness of every model"
    return section | {
        "figure": render_figure("landscape", alt, draw, landscape_height(found), figures),
        "primary": primary,
        "found": found,
        "radii": sorted({radius for landscape in found.values() for radius in landscape.radii}),
    }


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
    own = [f"{run.label}: {line}" for run in report.runs for line in run.problems]
    weights = [f"{report.primary.label}: {line}" for line in report.primary.unreadable_models]
    return [*report.problems, *own, *weights]


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
    words = []
    for phase in run.schedule:
        kind = f"S {phase['sparsity']:.0%}" if phase["kind"] == "sparse" else "D"
        words.append(f"{kind} {phase['end'] - phase['start']:,}")
    return " → ".join(words) + " steps"
