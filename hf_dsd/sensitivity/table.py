"""A sensitivity analysis for the terminal."""

import math

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hf_dsd.runs.metric_names import is_rate

from .result import Point, Sensitivity


def print_sensitivity(result: Sensitivity, console: Console) -> None:
    """Prints how much worse each layer makes the deciding metric, and the suggestion with its reasons."""
    console.print(f"[bold]{escape(result.model)}[/bold]", f"{escape(result.data)}\n", sep="\n", highlight=False)
    dense = _shown(result.dense[result.metric], result.metric)
    tolerance = f"{100 * result.tolerance:g}"
    console.print(f"{result.metric}: % worse than the dense model's {dense}, red beyond {tolerance}", highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("pruned", overflow="fold")
    for heading in (*(f"{point.sparsity:.3g}" for point in result.together.points[1:]), "up to"):
        table.add_column(heading, justify="right", no_wrap=True)
    for curve in (result.together, *result.layers):
        cells = [_relative(point, result) for point in curve.points[1:]]
        table.add_row(escape(curve.name), *cells, f"{curve.within(result.allowed).sparsity:.3g}")
    console.print(table)
    for reason in result.suggestion.reasons:
        console.print(f"- {escape(reason)}", highlight=False)
    if result.suggestion.flags:
        console.print(f"[bold]Suggested:[/bold] {escape(result.suggestion.flags)}", highlight=False, soft_wrap=True)
    else:
        console.print("[bold]Nothing suggested:[/bold] every measured sparsity costs too much.", highlight=False)


def _relative(point: Point, result: Sensitivity) -> str:
    """A difference in percent of the dense model's metric, red where it is not tolerated."""
    text = _three_digits(100 * point.worse_by / abs(result.dense[result.metric]))
    return text if point.worse_by <= result.allowed else f"[red]{text}[/red]"


def _three_digits(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if abs(value) < 9.95:
        return f"{round(value, 1) + 0.0:.1f}"  # -0.0 + 0.0 is 0.0
    return ">999" if value > 999.5 else f"{value:.0f}"


def _shown(value: float, metric: str) -> str:
    """A score in three or four digits; rates in percent."""
    if not math.isfinite(value):
        return str(value)
    if is_rate(metric):
        return f"{100 * value:.1f}"
    return f"{value:.3f}" if "loss" in metric else f"{value:.1f}" if metric.startswith("bleu") else f"{value:.3g}"
