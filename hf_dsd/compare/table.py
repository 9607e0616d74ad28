"""A comparison as a table for the terminal and as markdown for a card; both say the same.

Layer: rich, and the comparison next door.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hf_dsd.runs.metric_names import is_rate, rate_unit

from .comparison import CONTROL, ArmSummary, Comparison, Difference
from .verdict import format_p, format_value

_NOTES = (
    "Difference: arm - dense control, paired by seed, with its 95 % interval (Student's t). p (seeds): paired t over "
    "seeds, two-sided; it alone decides the verdict.",
    "p (examples): smallest and largest over the seeds, of approximate randomisation and of the paired bootstrap; they "
    "compare two models, not two methods.",
    "Epochs and steps are those of the whole run, the first dense phase that the arms share included; so is the time.",
)


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Prints the table, what failed, and the verdict; fits a terminal of 80 columns."""
    console = console or Console()
    console.print(f"[bold]{escape(_title(comparison))}[/bold]", highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    headings = ["arm", f"mean ± sd{rate_unit(comparison.metric)}", f"vs {CONTROL}\n95 % interval", "p seeds"]
    for heading in [*headings, "p examples\nrandomised\nbootstrap", "epochs", "steps", "min"]:
        table.add_column(heading, justify="right" if heading != "arm" else "left", no_wrap=heading.startswith("vs"))
    for name, row in zip(comparison.arms, _rows(comparison), strict=True):
        _, mean, sd, n, difference, interval, p_seeds, randomised, bootstrap, *cost = row
        spread = f"{mean} ± {sd}\nn = {n}" if sd != "-" else f"{mean}\nn = {n}"
        cells = [name, spread, f"{difference}\n{interval}", p_seeds, f"{randomised}\n{bootstrap}", *cost]
        table.add_row(*(escape(cell.replace("\n-", "") if cell.endswith("\n-") else cell) for cell in cells))
    console.print(table)
    if comparison.signature:
        console.print(escape(comparison.signature), style="dim", highlight=False)
    for line in _mixed_versions(comparison):
        console.print(f"[yellow]note[/yellow] {escape(line)}", highlight=False)
    for line in failures(comparison):
        console.print(f"[red]failed[/red] {escape(line)}", highlight=False)
    console.print(f"[bold]{escape(verdict_text(comparison))}[/bold]", highlight=False)


@dataclass(frozen=True)
class ComparisonTable:
    """The table as text, for whoever lays it out.

    Attributes:
        title: What is compared on which split, and the metric's direction.
        headings: Of the columns.
        arms: One key of `Comparison.arms` per row.
        rows: Cells, as many as headings.
        notes: How to read it.
        failures: One line per run that did not finish.
    """

    title: str
    headings: Sequence[str]
    arms: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    failures: Sequence[str]


def comparison_table(comparison: Comparison) -> ComparisonTable:
    """The numbers of a comparison, formatted."""
    return ComparisonTable(
        _title(comparison),
        _headings(comparison),
        list(comparison.arms),
        _rows(comparison),
        [*_NOTES, *_mixed_versions(comparison)],
        failures(comparison),
    )


def to_markdown(comparison: Comparison) -> str:
    """The same as GitHub markdown: title, table, verdict, notes, signature."""
    lines = [
        f"**{_title(comparison)}**",
        "",
        *markdown_table(_headings(comparison), _rows(comparison)),
        "",
        f"**{verdict_text(comparison)}**",
        "",
        *(f"- {note}" for note in (*_NOTES, *_mixed_versions(comparison))),
        *(f"- Failed: {line}" for line in failures(comparison)),
    ]
    if comparison.signature:
        lines.append(f"- Signature: `{comparison.signature}`")
    return "\n".join(lines) + "\n"


def verdict_text(comparison: Comparison) -> str:
    """The verdict, or why there is none."""
    if comparison.verdict is None:
        return "No verdict: it needs the dense control and another arm with the same seed."
    return comparison.verdict.text


def failures(comparison: Comparison) -> list[str]:
    """One line per run that did not finish."""
    failed = [run for run in comparison.runs if run.status == "failed"]
    return [f"{run.arm}, seed {run.seed}: {_last_line(run.error)} ({run.folder})" for run in failed]


def _mixed_versions(comparison: Comparison) -> list[str]:
    mixed = [f"{package} ({', '.join(found)})" for package, found in comparison.mixed_versions.items()]
    return [f"The runs were made with different versions of {', '.join(mixed)}."] if mixed else []


def _last_line(error: str | None) -> str:
    return (error or "").strip().rpartition("\n")[2]


def _title(comparison: Comparison) -> str:
    direction = "greater" if comparison.greater_is_better else "smaller"
    seeds = ", ".join(map(str, comparison.seeds))
    return f"{comparison.metric} on {comparison.split}, {direction} is better; seeds {seeds}"


def _headings(comparison: Comparison) -> list[str]:
    headings = ["arm", f"mean{rate_unit(comparison.metric)}", "sd", "n", f"difference to {CONTROL}", "95 % interval"]
    headings += ["p (seeds)", "p (examples), randomisation", "p (examples), bootstrap"]
    return [*headings, "epochs", "steps", "minutes"]


def _rows(comparison: Comparison) -> list[list[str]]:
    differences = {difference.arm: difference for difference in comparison.differences}
    return [_row(comparison.metric, arm, differences.get(name)) for name, arm in comparison.arms.items()]


def _row(metric: str, arm: ArmSummary, difference: Difference | None) -> list[str]:
    def show(value: float | None, sign: str = "") -> str:
        return (
            "-" if value is None else format(100 * value if is_rate(metric) else value, f"{sign}{_precision(metric)}")
        )

    against = ["-"] * 5
    if difference is not None:
        interval = difference.interval
        against = [
            show(difference.mean, "+"),
            f"{show(interval[0], '+')}..{show(interval[1], '+')}" if interval is not None else "-",
            format_p(difference.p_seeds),
            _range(difference.p_examples),
            _range(difference.p_bootstrap),
        ]
    minutes = f"{arm.seconds / 60:.1f}" if arm.seconds is not None else "-"
    cost = [_count(arm.epochs), _count(arm.steps), minutes]
    return [arm.label, show(arm.mean), show(arm.sd), str(arm.n), *against, *cost]


def _precision(metric: str) -> str:
    value = format_value(1.0, metric).removesuffix(" %")
    return f".{len(value.partition('.')[2])}f"


def _range(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, high = min(values), max(values)
    return format_p(low) if format_p(low) == format_p(high) else f"{format_p(low)}..{format_p(high)}"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if value < 1000 else f"{value:.0f}"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> list[str]:
    """The lines of a GitHub markdown table; the first `words` columns are aligned left, numbers to the right."""
    marks = ["---"] * words + ["---:"] * (len(headings) - words)
    return [_markdown_row(headings), _markdown_row(marks), *(_markdown_row(row) for row in rows)]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
