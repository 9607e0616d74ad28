"""What the page says of the weights: Figure 2, the fate of the pruned ones, and the layers one by one.

Layer: the readers, counters and drawings next door.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .draw_weights import draw_fate, draw_moments
from .layer_table import DenseRow, LayerStatistics, PrunedPhase, dense_rows, layer_statistics, pruned_phases
from .missing_weights import why_no_weights
from .pruned_fate import Fate, add_fates
from .report_folder import ReportFolder
from .svg_figure import PageFigure, render_figure
from .weight_moments import SparseLayer, SparseRound, find_sparse_round, five_moments, read_chosen_layer


@dataclass(frozen=True)
class DrawnLayer:
    """Figure 2 of one layer, and the fate of its pruned weights.

    Attributes:
        found: The sparse phase.
        layer: The layer's weights around it.
        chosen_by: Why this layer.
        moments: Figure 2.
        fate_figure: None before the weights are trained again.
        fate: Likewise.
        fate_of_all: Of all layers that the phase prunes, likewise.
        extra_zeros: How many more or fewer zeros all layers have than the run recorded as pruned.
        not_finite: (phase, how many of the layer's weights are NaN or infinite after it), only where there are any.
    """

    found: SparseRound
    layer: SparseLayer
    chosen_by: str
    moments: PageFigure
    fate_figure: PageFigure | None
    fate: Fate | None
    fate_of_all: Fate | None
    extra_zeros: int
    not_finite: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class WeightsSection:
    """What happened to the weights of a run; without `drawn`, `missing` says why.

    Attributes:
        run: Its label.
        drawn: The layer that is drawn.
        missing: What its folder lacks, or "".
    """

    run: str
    drawn: DrawnLayer | None
    missing: str = ""


@dataclass(frozen=True)
class LayersSection:
    """The layer tables.

    Attributes:
        phases: The columns of mean and standard deviation.
        pruned: The sparse phases with their layers; `missing` says why there are none.
        statistics: Of every pruned layer.
        dense: The parameters that stay dense.
        missing: Or "".
        problems: The models that could not be read, a line each.
    """

    phases: Sequence[str]
    pruned: Sequence[PrunedPhase]
    statistics: LayerStatistics
    dense: Sequence[DenseRow]
    missing: str
    problems: Sequence[str]


def weights_section(
    report: ReportFolder, figures: Path, wanted: str | None, pruned: Sequence[PrunedPhase]
) -> WeightsSection:
    """Draws Figure 2 of one layer and the fate of its pruned weights; `pruned` has the counts of all layers.

    Raises:
        ValueError: If the wanted layer cannot be drawn.
    """
    run = report.primary
    found = find_sparse_round(run)
    if found is None:
        missing = why_no_weights(run)
        if wanted is not None:
            raise ValueError(f"layer {wanted!r} cannot be drawn: {missing} Leave --layer out.")
        return WeightsSection(run.label, None, missing)
    layer = read_chosen_layer(found, wanted)
    if layer is None:
        missing = f"The weights of {found.phase['name']} hold none of the pruned layers under their names."
        return WeightsSection(run.label, None, missing)
    phase = next(phase for phase in pruned if phase.name == found.phase["name"])
    return WeightsSection(run.label, _drawn(found, layer, phase, wanted, figures))


def _drawn(found: SparseRound, layer: SparseLayer, phase: PrunedPhase, wanted: str | None, figures: Path) -> DrawnLayer:
    fate = next(row.fate for row in phase.rows if row.name == layer.name)
    models = [model.phase for model in (found.dense, found.sparse, found.redense) if model is not None]
    largest = max(found.layers, key=lambda entry: entry["weights"])["name"]
    by_size = "the largest pruned layer" if layer.name == largest else "the largest pruned layer that the files hold"
    return DrawnLayer(
        found=found,
        layer=layer,
        chosen_by="chosen by --layer" if wanted is not None else by_size,
        moments=_moments_figure(layer, figures),
        fate_figure=_fate_figure(layer, figures) if fate is not None else None,
        fate=fate,
        fate_of_all=add_fates(row.fate for row in phase.rows),
        extra_zeros=sum(abs(row.miscounted) for row in phase.rows),
        not_finite=[(name, count) for name, count in zip(models, layer.not_finite, strict=False) if count],
    )


def _moments_figure(layer: SparseLayer, figures: Path) -> PageFigure:
    moments = five_moments(layer)
    titles = ", ".join(moment.title for moment in moments)
    alt = f"Histograms of the weights of {layer.name} at {len(moments)} moments: {titles}"
    return render_figure("weights", alt, draw_moments(moments), (2.7, 1.35 * len(moments) + 0.5), figures)


def _fate_figure(layer: SparseLayer, figures: Path) -> PageFigure:
    alt = f"Magnitudes of the weights of {layer.name} after re-dense training, and where the pruned ones went"
    return render_figure("fate", alt, draw_fate(layer), (2.9, 5.4), figures)


def layers_section(report: ReportFolder) -> LayersSection:
    """The layer tables of the primary run."""
    run = report.primary
    pruned = pruned_phases(run)
    names = list(dict.fromkeys(row.name for phase in pruned for row in phase.rows))
    missing = (
        "" if pruned else "No layer has been pruned in this run yet." if run.prunes else "This run prunes no layer."
    )
    problems = [f"{run.label}: {line}" for line in run.unreadable_models]
    return LayersSection(list(run.models), pruned, layer_statistics(run, names), dense_rows(run), missing, problems)
