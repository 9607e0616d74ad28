"""Scores as a card shows them: their order, units and digits.

Layer: the comparison's own formats.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

from hf_dsd.compare.verdict import format_value
from hf_dsd.runs.metric_names import is_rate, plain_name

_ORDER = ("bleu1", "bleu2", "bleu3", "bleu4", "brevity_penalty", "bleu4_without_penalty", "wer", "cer", "error")


def in_order(names: Iterable[str]) -> list[str]:
    """Names of scores as a table has them: the known ones first, `loss` last."""
    found = set(names)
    known = [name for name in _ORDER if name in found]
    return known + sorted(found - set(known) - {"loss"}) + (["loss"] if "loss" in found else [])


def score_text(value: float, metric: str) -> str:
    """A value in its heading's unit: `11.73`; four digits for what the formats of comparisons do not know, under 1."""
    name = plain_name(metric)
    known = is_rate(name) or name.startswith("bleu") or abs(value) >= 1
    return format_value(value, name).removesuffix(" %") if known else f"{value:.4f}"


def spread_text(values: Sequence[float], metric: str) -> str:
    """`11.73 ± 0.91` over seeds; one seed has no spread."""
    if len(values) < 2:
        return "".join(score_text(value, metric) for value in values) or "-"
    return f"{score_text(fmean(values), metric)} ± {score_text(stdev(values), metric)}"


def signed_text(value: float, metric: str) -> str:
    """`+0.30`: a difference in its heading's unit."""
    size = score_text(abs(value), metric)
    return size if not float(size) else f"{'+' if value > 0 else '-'}{size}"


def percent(fraction: float) -> str:
    """`80 %`, `33.3 %`."""
    return f"{100 * fraction:.3g} %"
