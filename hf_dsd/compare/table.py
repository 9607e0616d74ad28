"""A comparison as a table for the terminal and as markdown for a card; both say the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hf_dsd.runs.metric_names import rate_unit
from hf_dsd.runs.numbers import count_text, interval_text, mean_text, p_text, score_text, signed_text

from .comparison import CONTROL, ArmSummary, Comparison, Difference

_NOTES = (
    "Difference: arm - dense control, paired by seed, with its 95 % interval (Student's t). p (seeds): paired t over "
    "seeds, two-sided; p (Holm): the same, adjusted for all arms that are tested; it alone decides the verdict.",
    "p (examples): smallest and largest over the seeds, of approximate randomisation; it compares two models, not two "
    "methods.",
    "Epochs and steps are those of the whole run, the first dense phase that the arms share included; so is the time. "
    "An arm that has trained for less than the control is not tested against it.",
)


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Prints the table, what failed, and the verdict; fits a terminal of 80 columns."""
    console = console or Console()
    console.print(f"[bold]{escape(_title(comparison))}[/bold]", highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    headings = ["arm", f"mean ± sd{rate_unit(comparison.metric)}", f"vs {CONTROL}\n95 % interval", "p seeds\nHolm"]
    for heading in [*headings, "p examples", "epochs", "steps", "min"]:
        table.add_column(heading, justify="right" if heading != "arm" else "left", no_wrap=heading.startswith("vs"))
    differences = _differences(comparison)
    for name, row in zip(comparison.arms, _rows(comparison), strict=True):
        _, _, _, n, difference, interval, _, p_seeds, p_holm, p_examples, *cost = row
        spread = mean_text(comparison.arms[name].mean, comparison.arms[name].sd, comparison.metric)
        cells = [name, f"{spread}\nn = {n}", f"{difference}\n{interval}", f"{p_seeds}\n{p_holm}", p_examples, *cost]
        table.add_row(*(escape(cell.replace("\n-", "") if cell.endswith("\n-") else cell) for cell in cells))
    console.print(table)
    for difference_of in differences.values():
        console.print(escape(_seed_by_seed(difference_of, comparison)), highlight=False)
    if comparison.signature:
        console.print(escape(comparison.signature), style="dim", highlight=False)
    for line in _remarks(comparison):
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
        [*_NOTES, *_remarks(comparison)],
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
        *(f"- {note}" for note in (*_NOTES, *_remarks(comparison))),
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


def _last_line(error: str | None) -> str:
    return (error or "").strip().rpartition("\n")[2]


def _remarks(comparison: Comparison) -> list[str]:
    """What this comparison in particular should be read with."""
    mixed = [f"{package} ({', '.join(found)})" for package, found in comparison.mixed_versions.items()]
    remarks = [f"The runs were made with different versions of {', '.join(mixed)}."] if mixed else []
    if comparison.passed_over:
        others = ", ".join(comparison.passed_over)
        remarks.append(f"Passed over: {others}; --metric and --split compare by another score.")
    return remarks


def _title(comparison: Comparison) -> str:
    direction = "greater" if comparison.greater_is_better else "smaller"
    seeds = ", ".join(map(str, comparison.seeds))
    return f"{comparison.metric} on {comparison.split}, {direction} is better; seeds {seeds}"


def _seed_by_seed(difference: Difference, comparison: Comparison) -> str:
    """`dsd - dense by seed: +0.53, +2.45, +1.54; better with 3 of 3`."""
    wins = sum((value > 0) == comparison.greater_is_better and value != 0 for value in difference.per_seed)
    shown = ", ".join(signed_text(value, comparison.metric) for value in difference.per_seed)
    return f"{difference.arm} - {difference.to} by seed: {shown}; better with {wins} of {difference.n}"


def _differences(comparison: Comparison) -> dict[str, Difference]:
    return {difference.arm: difference for difference in comparison.differences}


def _headings(comparison: Comparison) -> list[str]:
    headings = ["arm", f"mean{rate_unit(comparison.metric)}", "sd", "n", f"difference to {CONTROL}", "95 % interval"]
    return [*headings, "by seed", "p (seeds)", "p (Holm)", "p (examples)", "epochs", "steps", "minutes"]


def _rows(comparison: Comparison) -> list[list[str]]:
    differences = _differences(comparison)
    return [_row(comparison.metric, arm, differences.get(name)) for name, arm in comparison.arms.items()]


def _row(metric: str, arm: ArmSummary, difference: Difference | None) -> list[str]:
    against = ["-"] * 6
    if difference is not None:
        against = [
            signed_text(difference.mean, metric),
            interval_text(difference.interval, metric),
            ", ".join(signed_text(value, metric) for value in difference.per_seed),
            p_text(difference.p_seeds),
            p_text(difference.p_holm),
            _range(difference.p_examples),
        ]
    sd = score_text(arm.sd, metric) if arm.sd is not None else "-"
    minutes = f"{arm.seconds / 60:.1f}" if arm.seconds is not None else "-"
    cost = [count_text(arm.epochs), count_text(arm.steps), minutes]
    return [arm.label, score_text(arm.mean, metric), sd, str(arm.n), *against, *cost]


def _range(values: Sequence[float]) -> str:
    texts = list(dict.fromkeys(p_text(value) for value in (min(values), max(values)))) if values else ["-"]
    return "..".join(texts)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> list[str]:
    """The lines of a GitHub markdown table; the first `words` columns are aligned left, numbers to the right."""
    marks = ["---"] * words + ["---:"] * (len(headings) - words)
    return [_markdown_row(headings), _markdown_row(marks), *(_markdown_row(row) for row in rows)]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
