"""What a demo prints: one honest table, some examples, and where the files are."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from hf_dsd.report import write_report

from .captioning import CaptioningDemo
from .figure import draw_captioned_scenes
from .speech import SpeechDemo
from .two_arms import ArmResult, TwoArmDemo

SHOWN = 6


def run_captioning_demo(output_dir: Path, console: Console | None = None) -> None:
    """Runs the captioning demo and prints its table, some captions, and where run and picture are."""
    console = console or Console()
    demo = CaptioningDemo(output_dir)
    results = demo.run()
    console.print(results_table(demo, results))
    shown = _print_examples(console, results)
    figure = output_dir / "captions.png"
    draw_captioned_scenes([demo.scenes.image(name) for name in shown], list(shown.values()), figure)
    console.print(f"\nThe run is in {output_dir}, the captioned pictures in {figure}.")
    console.print(f"The report is in {write_report(output_dir)}.")


def run_speech_demo(output_dir: Path, console: Console | None = None) -> None:
    """Runs the speech demo and prints its table, some transcripts, and where the run is."""
    console = console or Console()
    demo = SpeechDemo(output_dir)
    results = demo.run()
    console.print(results_table(demo, results))
    _print_examples(console, results)
    console.print(f"\nThe run is in {output_dir}.")
    console.print(f"The report is in {write_report(output_dir)}.")


def results_table(demo: TwoArmDemo, results: list[ArmResult]) -> Table:
    """One row per model: scores on the test split, loss, epochs and seconds of training."""
    table = Table(title=demo.title, caption=results[0].scores.scores["signature"])
    table.add_column("model")
    for heading in (*(heading for heading, _ in demo.columns.values()), "loss", "epochs", "seconds"):
        table.add_column(heading, justify="right")
    for result in results:
        scores = [format(result.scores.scores[name], form) for name, (_, form) in demo.columns.items()]
        cells = [*scores, f"{result.scores.loss:.3f}", f"{result.epochs:g}", f"{result.seconds:.0f}"]
        table.add_row(result.label, *cells)
    return table


def _print_examples(console: Console, results: list[ArmResult]) -> dict[str, list[str]]:
    """Prints every n-th example of the test split, SHOWN in all; returns name -> what each said."""
    shown = {}
    count = len(results[0].scores.examples)
    for row in range(0, count, max(count // SHOWN, 1))[:SHOWN]:
        example = results[0].scores.examples[row]
        lines = [f"{result.label}: {result.scores.examples[row].prediction}" for result in results]
        shown[example.id] = [f"a person: {example.references[0]}", *lines]
        console.print(f"\n[bold]{example.id}[/bold]", *shown[example.id], sep="\n  ")
    return shown
