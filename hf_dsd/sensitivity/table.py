"""A sensitivity analysis for the terminal."""

import math
from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hf_dsd.runs.metric_names import is_rate, rate_unit

from .result import Point, Sensitivity


def print_sensitivity(result: Sensitivity, console: Console, others: Mapping[str, bool] | None = None) -> None:
    """Prints how much worse each layer makes the deciding metric, other scores below, and the suggestion with reasons.

    Args:
        result: What to print.
        console: Where.
        others: Other scores to print -> whether greater is better.
    """
    others = others or {}
    console.print(f"[bold]{escape(result.model)}[/bold]", f"{escape(result.data)}\n", sep="\n", highlight=False)
    dense = shown(result.dense[result.metric], result.metric)
    lines = [f"{result.metric}: % worse than the dense model's {dense}, red beyond {100 * result.tolerance:g}"]
    lines += [f"{name}{rate_unit(name)}: the dense model's is {shown(result.dense[name], name)}" for name in others]
    console.print(*lines, sep="\n", highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("pruned", overflow="fold")
    for heading in (*(f"{point.sparsity:.3g}" for point in result.together.points[1:]), "up to"):
        table.add_column(heading, justify="right", no_wrap=True)
    for curve in (result.together, *result.layers):
        cells = ["\n".join([_relative(p, result), *(shown(p.scores[m], m) for m in others)]) for p in curve.points[1:]]
        table.add_row(escape(curve.name), *cells, f"{curve.within(result.allowed).sparsity:.3g}")
    console.print(table)
    _print_suggestion(result, others, console)


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


def shown(value: float, metric: str) -> str:
    """A score in three or four digits; rates in percent."""
    if not math.isfinite(value):
        return str(value)
    if is_rate(metric):
        return f"{100 * value:.1f}"
    return f"{value:.3f}" if "loss" in metric else f"{value:.1f}" if metric.startswith("bleu") else f"{value:.3g}"


def _print_suggestion(result: Sensitivity, others: Mapping[str, bool], console: Console) -> None:
    suggestion = result.suggestion
    for reason in (*suggestion.reasons, *(_other(name, greater, result) for name, greater in others.items())):
        console.print(f"- {escape(reason)}", highlight=False)
    if suggestion.flags:
        console.print(f"[bold]Suggested:[/bold] {escape(suggestion.flags)}", highlight=False, soft_wrap=True)
    else:
        console.print("[bold]Nothing suggested:[/bold] every measured sparsity costs too much.", highlight=False)


def _other(name: str, greater_is_better: bool, result: Sensitivity) -> str:
    """What the suggestion does to a score that did not decide."""
    value, dense = result.suggestion.scores[name], result.dense[name]
    text = (
        f"With the suggestion {name}{rate_unit(name)} is {shown(value, name)}, the dense model's {shown(dense, name)}"
    )
    worse_by = dense - value if greater_is_better else value - dense
    return f"{text}." if worse_by <= result.tolerance * abs(dense) else f"{text}: to decide by it, --metric {name}."
