"""A comparison as tables for the terminal and as markdown for a card; both say the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

from hf_dsd.runs.folder import EARLY
from hf_dsd.runs.metric_names import rate_unit
from hf_dsd.runs.numbers import count_text, interval_text, mean_text, p_text, percent, score_text, signed_text

from .arms import BASELINE
from .comparison import ArmSummary, Comparison
from .differences import Difference


@dataclass(frozen=True)
class ComparisonTable:
    """The tables as text, for whoever lays them out.

    Attributes:
        title: What is compared on which split, and the metric's direction.
        headings: Of the table of arms.
        arms: One key of `Comparison.arms` per row.
        rows: Cells, as many as headings.
        difference_headings: Of the table of differences.
        difference_rows: Cells, one row per tested pair.
        notes: How to read them.
        failures: One line per run that did not finish.
    """

    title: str
    headings: Sequence[str]
    arms: Sequence[str]
    rows: Sequence[Sequence[str]]
    difference_headings: Sequence[str]
    difference_rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    failures: Sequence[str]


def comparison_table(comparison: Comparison) -> ComparisonTable:
    """The numbers of a comparison, formatted."""
    unit, shown = rate_unit(comparison.metric), [_arm_cells(arm, comparison.metric) for arm in comparison.arms.values()]
    headings = ["arm", "arguments", f"mean{unit}", "sd", "n", "epochs", "steps", "minutes"]
    kept = [index for index in range(len(headings)) if index != 1 or any(cells[1] != "-" for cells in shown)]
    difference_headings = ["tested", f"difference{unit}", "95 % interval", "by seed", "wins", "p (seeds)", "p (Holm)"]
    return ComparisonTable(
        _title(comparison),
        [headings[index] for index in kept],
        list(comparison.arms),
        [[cells[index] for index in kept] for cells in shown],
        [*difference_headings, "dz, 95 % interval", "95 % interval, other examples too", "steps"],
        [_difference_cells(one, comparison) for one in comparison.differences],
        [*_notes(comparison), *_remarks(comparison)],
        failures(comparison),
    )


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Prints the tables, what failed, and the verdict; fits a terminal of 80 columns."""
    console = console or Console()
    console.print(f"[bold]{escape(_title(comparison))}[/bold]", highlight=False)
    metric = comparison.metric
    arms = [
        [name, *cells[1:2], f"{mean_text(arm.mean, arm.sd, metric)}, n = {arm.n}", *cells[5:]]
        for (name, arm), cells in zip(
            comparison.arms.items(), (_arm_cells(arm, metric) for arm in comparison.arms.values()), strict=True
        )
    ]
    _print_table(["arm", "arguments", f"mean ± sd{rate_unit(metric)}", "epochs", "steps", "min"], arms, console)
    tests = []
    for one in comparison.differences:
        name, mean, interval, _, wins, p, p_holm, effect, over_examples, steps = _difference_cells(one, comparison)
        holm = f"\n{p_holm}" if p_holm != p else ""
        tests.append([name, mean, f"{interval}\n{over_examples}", wins, p + holm, effect.replace(" (", "\n("), steps])
    headings = ["tested", f"mean{rate_unit(metric)}", "95 % interval\nexamples, too", "wins", "p\nHolm", "dz", "steps"]
    if tests:
        _print_table(headings, tests, console)
    for difference in comparison.differences:
        console.print(escape(f"{_name(difference)} by seed: {_by_seed(difference, comparison)}"), highlight=False)
    if comparison.signature:
        console.print(escape(comparison.signature), style="dim", highlight=False)
    for line in _remarks(comparison):
        console.print(f"[yellow]note[/yellow] {escape(line)}", highlight=False)
    for line in failures(comparison):
        console.print(f"[red]failed[/red] {escape(line)}", highlight=False)
    console.print(f"[bold]{escape(verdict_text(comparison))}[/bold]", highlight=False)


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, heading in enumerate(headings):
        if any(row[index].strip("-\n") for row in rows):  # a column of dashes says nothing
            side: JustifyMethod = "left" if heading in ("arm", "arguments", "tested") else "right"
            table.add_column(heading, justify=side, no_wrap="interval" in heading)
        else:
            rows = [[*row[:index], "", *row[index + 1 :]] for row in rows]
    kept = [index for index in range(len(headings)) if any(row[index] for row in rows)]
    for row in rows:
        table.add_row(*(escape(row[index].removesuffix("\n-")) for index in kept))
    console.print(table)


def to_markdown(comparison: Comparison) -> str:
    """The same as GitHub markdown: title, tables, verdict, notes, signature."""
    table = comparison_table(comparison)
    words = 2 if "arguments" in table.headings else 1
    lines = [f"**{table.title}**", "", *markdown_table(table.headings, table.rows, words=words), ""]
    if table.difference_rows:
        lines += [*markdown_table(table.difference_headings, table.difference_rows), ""]
    lines += [f"**{verdict_text(comparison)}**", ""]
    lines += [*(f"- {note}" for note in table.notes), *(f"- Failed: {line}" for line in table.failures)]
    if comparison.signature:
        lines.append(f"- Signature: `{comparison.signature}`")
    return "\n".join(lines) + "\n"


def verdict_text(comparison: Comparison) -> str:
    """The verdict, or why there is none."""
    if comparison.verdict is not None:
        return comparison.verdict.text
    control = "the dense control" if comparison.baseline == BASELINE else comparison.baseline
    return f"No verdict: it needs {control} and another arm with the same seed."


def failures(comparison: Comparison) -> list[str]:
    """One line per run that did not finish."""
    failed = [run for run in comparison.runs if run.status == "failed"]
    return [f"{run.arm}, seed {run.seed}: {_last_line(run.error)} ({run.folder})" for run in failed]


def _last_line(error: str | None) -> str:
    return (error or "").strip().rpartition("\n")[2]


def _notes(comparison: Comparison) -> list[str]:
    """How to read the tables."""
    notes = [
        "Difference: arm - its rival, paired by seed, with its 95 % interval (Student's t). p (seeds): paired t over "
        "seeds, two-sided; p (Holm): the same, adjusted for all that is tested here; it alone decides the verdict. dz: "
        "the difference in standard deviations over seeds. Settings looked at: arms, of every recipe that this folder "
        "was asked for.",
    ]
    if any(one.example_interval for one in comparison.differences):
        notes.append(
            "Other examples too: where the difference would lie with other seeds and other test examples (speakers, "
            "where the data names them); of one seed it is about two models, not two methods."
        )
    notes.append(
        "Epochs and steps are those of the whole run, the first dense phase that arms share included; so is the time. "
        "Beside a difference steps are the arm's in percent of its rival's. The sparse phase of DSD is not tested: it "
        "has trained for less."
    )
    if EARLY in comparison.arms:
        notes.append(
            f"{EARLY}: {comparison.baseline} with the weights of its best validation evaluation. It trained for less, "
            "and needed the validation set, which the other arms did not: a rival, but no equal-budget control."
        )
    return notes


def _remarks(comparison: Comparison) -> list[str]:
    """What this comparison in particular should be read with."""
    remarks = list(comparison.remarks)
    finished: dict[str, list[int]] = {}
    for run in comparison.runs:
        if run.status == "finished":
            finished.setdefault(run.arm, []).append(run.seed)
    if len({tuple(sorted(seeds)) for seeds in finished.values()}) > 1:
        listed = "; ".join(f"{arm} {', '.join(map(str, sorted(seeds)))}" for arm, seeds in finished.items())
        remarks.append(f"The arms' means are over different seeds ({listed}); a difference is over those of both.")
    if EARLY in comparison.arms and comparison.split == "validation":
        remarks.append(
            f"{EARLY} is the best of its run's evaluations on this very split: its score here is too good, and what "
            "was compared with it should be judged on another split."
        )
    if comparison.mixed_versions:
        mixed = [f"{package} ({', '.join(found)})" for package, found in comparison.mixed_versions.items()]
        remarks.append(f"The runs were made with different versions of {', '.join(mixed)}.")
    if comparison.passed_over:
        others = ", ".join(comparison.passed_over)
        remarks.append(f"Passed over: {others}; --metric and --split compare by another score.")
    return remarks


def _title(comparison: Comparison) -> str:
    direction = "greater" if comparison.greater_is_better else "smaller"
    seeds = ", ".join(map(str, comparison.seeds))
    looked = f"; settings looked at: {comparison.settings}" if comparison.settings else ""
    return f"{comparison.metric} on {comparison.split}, {direction} is better; seeds {seeds}{looked}"


def _name(difference: Difference) -> str:
    return f"{difference.arm} - {difference.to}"


def _arm_cells(arm: ArmSummary, metric: str) -> list[str]:
    minutes = f"{arm.seconds / 60:.1f}" if arm.seconds is not None else "-"
    cost = [count_text(arm.epochs), count_text(arm.steps), minutes]
    sd = score_text(arm.sd, metric) if arm.sd is not None else "-"
    return [arm.label, arm.arguments or "-", score_text(arm.mean, metric), sd, str(arm.n), *cost]


def _difference_cells(one: Difference, comparison: Comparison) -> list[str]:
    metric = comparison.metric
    effect = "-"
    if one.effect is not None and one.effect_interval is not None:
        effect = f"{one.effect:+.2f} ({one.effect_interval[0]:+.2f} .. {one.effect_interval[1]:+.2f})"
    return [
        _name(one),
        signed_text(one.mean, metric),
        interval_text(one.interval, metric),
        _by_seed(one, comparison),
        f"{one.wins(greater_is_better=comparison.greater_is_better)} of {one.n}",
        p_text(one.p_seeds),
        p_text(one.p_holm),
        effect,
        interval_text(one.example_interval, metric),
        percent(one.budget) if one.budget is not None else "-",
    ]


def _by_seed(one: Difference, comparison: Comparison) -> str:
    """Its differences in the order of the title's seeds; where it lacks some, each with its own."""
    values = [signed_text(value, comparison.metric) for value in one.per_seed]
    if list(one.seeds) != list(comparison.seeds):
        values = [f"{value} (seed {seed})" for value, seed in zip(values, one.seeds, strict=True)]
    return ", ".join(values)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> list[str]:
    """The lines of a GitHub markdown table; the first `words` columns are aligned left, numbers to the right."""
    marks = ["---"] * words + ["---:"] * (len(headings) - words)
    return [_markdown_row(headings), _markdown_row(marks), *(_markdown_row(row) for row in rows)]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
