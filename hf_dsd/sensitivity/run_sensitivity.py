"""The sensitivity of a run's model, measured by the trainer that has its data: `sensitivity.json` and its figure."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset as HubDataset
from rich.console import Console
from torch import Tensor
from torch.utils.data import Dataset, Subset

from hf_dsd.files import parse_json
from hf_dsd.runs.metric_names import greater_is_better
from hf_dsd.runs.run import Run, is_run
from hf_dsd.trainer.loading import kept_weights
from hf_dsd.trainer.trainer import DSDMixin

from .bench import Evaluate
from .figure import draw_sensitivity
from .measurement import SPARSITIES, TOLERANCE, measure_sensitivity, quiet
from .result import Sensitivity
from .table import print_sensitivity


@dataclass(frozen=True)
class SensitivityOptions:
    """What to measure; a script's `--sensitivity` takes it as JSON, `{}` for the defaults."""

    # Which of the run's models to prune, such as `phase-0-dense`; None takes the first phase that the run has finished,
    # or where it has trained nothing the model as the script loaded it.
    phase: str | None = None
    sparsities: tuple[float, ...] = SPARSITIES  # fractions in [0, 1)
    metric: str = "loss"  # or a score of the trainer's own evaluation such as `bleu4`, which evaluates all examples
    greater_is_better: bool | None = None  # None where the metric's name tells
    tolerance: float = TOLERANCE  # how much worse the metric may become, as a fraction of the dense model's
    examples: int = 128  # for the loss, at the most, spread evenly over the set; their batches stay on the device
    out: str | None = None  # the folder for the two files; None takes the run's

    @classmethod
    def parse(cls, text: str) -> "SensitivityOptions":
        """Reads the JSON of a command line.

        Raises:
            ValueError: If it is no JSON object, or names an unknown option.
        """
        try:
            given = parse_json(text)
        except ValueError as error:
            example = '{} or {"tolerance": 0.1}'
            raise ValueError(f"sensitivity must be JSON such as {example}, got {text!r:.80} ({error})") from error
        known = {field.name for field in fields(cls)}
        if not isinstance(given, dict) or not given.keys() <= known:
            raise ValueError(f"sensitivity takes {', '.join(sorted(known))}, got {text!r}")
        if "sparsities" in given:
            given["sparsities"] = tuple(given["sparsities"])
        return cls(**given)


def measure_run_sensitivity(
    trainer: DSDMixin,
    dataset: Dataset[Any],
    options: SensitivityOptions | str = "{}",
    *,
    console: Console | None = None,
) -> Sensitivity:
    """Prunes a model of the run layer by layer and all at once, prints the table, and writes and draws the result.

    The trainer's model is as before afterwards; nothing is trained. What stays dense, and layers with a sparsity of
    their own, are the trainer's arguments.

    Args:
        trainer: The trainer of the run.
        dataset: Validation rows with labels: a test split is to be read once.
        options: What to measure, or the JSON of it.
        console: Where to print; None takes the terminal.

    Raises:
        FileNotFoundError: If the run has not finished the phase asked for.
        ValueError: If an option is out of range, or the evaluation has no such metric (see `measure_sensitivity`).
    """
    chosen = SensitivityOptions.parse(options) if isinstance(options, str) else options
    direction = False if chosen.metric == "loss" else chosen.greater_is_better
    direction = greater_is_better(chosen.metric) if direction is None else direction
    if direction is None:
        raise ValueError(f"greater_is_better must be given for metric {chosen.metric!r}: its name does not tell")
    if chosen.examples < 2:
        raise ValueError(f"examples must be at least 2, got {chosen.examples}")
    console = console or Console()
    phase = chosen.phase or _first_model(trainer.run_folder)
    rows, count = (spread(dataset, chosen.examples), chosen.examples) if chosen.metric == "loss" else (dataset, None)
    total = len(dataset)  # type: ignore[arg-type]
    with _model_of(trainer, phase), quiet(trainer):
        result = measure_sensitivity(
            trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False),
            _evaluation(trainer, rows, chosen.metric),
            chosen.sparsities,
            dense_modules=trainer.args.dense_modules,
            sparsity_overrides=trainer.args.sparsity_overrides,
            metric=chosen.metric,
            greater_is_better=direction,
            tolerance=chosen.tolerance,
            name=str(trainer.run_folder / phase) if phase is not None else _untrained_name(trainer),
            data=f"{min(total, count or total)} of {total} evaluation examples",
            console=console,
        )
    print_sensitivity(result, console)
    out = Path(chosen.out) if chosen.out is not None else trainer.run_folder
    out.mkdir(parents=True, exist_ok=True)
    written, drawn = result.write(out), draw_sensitivity(result, out)
    console.print(f"Written to {written}, drawn in {drawn}.", highlight=False, markup=False, soft_wrap=True)
    return result


def _untrained_name(trainer: DSDMixin) -> str:
    """Who reads the table must know: of a model that nothing has trained the numbers mean nothing."""
    return f"{type(trainer.model).__name__} as the script built it: {trainer.run_folder} holds no trained phase"


def spread(dataset: Dataset[Any], examples: int) -> Dataset[Any]:
    """At most `examples` rows of a dataset, evenly spread: neighbours in a file are often alike."""
    total = len(dataset)  # type: ignore[arg-type]
    count = min(total, examples)
    rows = [row * total // count for row in range(count)]
    # The Trainer drops columns that the model does not take of this class alone.
    return dataset.select(rows) if isinstance(dataset, HubDataset) else Subset(dataset, rows)


def _evaluation(trainer: DSDMixin, rows: Dataset[Any], metric: str) -> Evaluate:
    """Evaluates by the trainer; for the loss on batches that are collated once, and stay on the device."""
    if metric == "loss":
        batches = list(trainer.get_eval_dataloader(rows))
        model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
        return lambda: {"loss": batch_losses(trainer, model, batches)}
    return lambda: {
        name.removeprefix("eval_"): value
        for name, value in trainer.evaluate(rows).items()
        if isinstance(value, int | float)
    }


def batch_losses(trainer: DSDMixin, model: torch.nn.Module, batches: Sequence[Any]) -> Tensor:
    """The mean loss of each batch (batches,), scaled so that their mean is the mean over examples."""
    losses, sizes = [], []
    for inputs in batches:
        loss, _, _ = trainer.prediction_step(model, inputs, prediction_loss_only=True)
        if loss is None:
            raise ValueError("the model gave no loss: its evaluation rows need labels")
        losses.append(loss.mean().double().cpu())
        sizes.append(_rows_in(inputs))
    weights = torch.tensor(sizes, dtype=torch.float64)
    return torch.stack(losses) * weights * (len(sizes) / weights.sum())


def _rows_in(inputs: Mapping[str, Any]) -> int:
    return next(len(value) for value in inputs.values() if isinstance(value, Tensor) and value.dim())


def _first_model(folder: Path) -> str | None:
    """The phase whose model is the run's first; of one that is lost there is a warning. None without a run."""
    run = Run.read(folder) if is_run(folder) else None
    return None if run is None else next((name for name in run.finished_phases if name not in run.lost_models), None)


@contextmanager
def _model_of(trainer: DSDMixin, phase: str | None) -> Iterator[None]:
    """Within the block the trainer holds the model of a phase, afterwards its own weights again."""
    if phase is None:
        yield
        return
    with kept_weights(trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)):
        trainer.load_phase(phase)
        yield
