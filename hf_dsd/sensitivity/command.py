"""What `hf-dsd sensitivity` does with its arguments: measure, print, draw, write.

Layer: the package next door; typer for the exit status.
"""

from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console

from hf_dsd.command_error import errors_end_command
from hf_dsd.trainer.argument_types import read_field

from .evaluation import load_evaluation
from .figure import draw_sensitivity
from .measurement import SPARSITIES, measure_sensitivity
from .table import print_sensitivity

INTERRUPTED = 130


def sensitivity_command(
    model: str,
    data: str | None,
    out: Path,
    sparsities: str | None,
    dense_modules: Sequence[str] | None,
    sparsity_overrides: str,
    metric: str,
    tolerance: float,
    examples: int,
    feature_columns: str | None,
    *,
    bleu: bool,
) -> None:
    """Measures, prints, and writes `sensitivity.json` and `sensitivity.png`; ends with 130 if interrupted, 2 if wrong.

    Args:
        model: As at `load_evaluation`, like `data`, `examples`, `bleu` and `feature_columns`.
        data: See there.
        out: Folder of the two files.
        sparsities: Fractions, separated by spaces or commas; None measures 0.1 to 0.9.
        dense_modules: As at `measure_sensitivity`, like `metric` and `tolerance`.
        sparsity_overrides: Regex -> fraction as JSON.
        metric: See there.
        tolerance: See there.
        examples: See there.
        feature_columns: See there.
        bleu: See there.
    """
    console = Console()
    try:
        with errors_end_command({ValueError: 2, OSError: 2}, console):
            out.mkdir(parents=True, exist_ok=True)
            fractions = SPARSITIES if sparsities is None else _fractions(sparsities)
            overrides = read_field("sparsity_overrides", sparsity_overrides)
            evaluation = load_evaluation(model, data, examples, bleu=bleu, feature_columns=feature_columns)
            if metric not in evaluation.metrics:
                raise ValueError(
                    f"metric must be one of {', '.join(evaluation.metrics)} for this model, got {metric!r}"
                )
            result = measure_sensitivity(
                evaluation.model,
                evaluation.evaluate,
                fractions,
                dense_modules=dense_modules,
                sparsity_overrides=overrides,
                metric=metric,
                greater_is_better=evaluation.metrics[metric],
                tolerance=tolerance,
                name=model,
                data=evaluation.data,
                console=console,
            )
    except KeyboardInterrupt:
        console.print("stopped: nothing was written, and the model is as it was")
        raise typer.Exit(INTERRUPTED) from None
    others = {name: greater for name, greater in evaluation.metrics.items() if name != metric}
    print_sensitivity(result, console, others)
    written, drawn = result.write(out), draw_sensitivity(result, out, others)
    console.print(f"Written to {written}, drawn in {drawn}.", highlight=False)


def _fractions(text: str) -> list[float]:
    words = text.replace(",", " ").split()
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise ValueError(f"sparsities must be fractions such as '0.2 0.4 0.6', got {text!r}") from error
