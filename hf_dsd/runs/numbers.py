"""A number as text: every score, difference, p value and share that a person reads is written here."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from .metric_names import is_rate, plain_name, short_title

ALPHA = 0.05
"""Below it a difference counts; no p value is rounded onto it."""


def score_text(value: float, metric: str) -> str:
    """A score in its heading's unit: `31.42` of a WER of 0.3142, `17.52` BLEU, `2.1034` of a loss, `0.8125`."""
    shown = 100 * value if is_rate(metric) else value
    return f"{shown:.{_digits(value, metric)}f}"


def score_with_unit(value: float, metric: str) -> str:
    """`31.42 %` of an error rate; other scores have no unit."""
    return f"{score_text(value, metric)}{' %' if is_rate(metric) else ''}"


def signed_text(value: float, metric: str) -> str:
    """A difference in its heading's unit, with its sign: `+0.30`; what rounds to zero has none."""
    size = score_text(abs(value), metric)
    return size if not float(size) else f"{'+' if value > 0 else '-'}{size}"


def difference_text(value: float, metric: str) -> str:
    """What a sentence says of a difference: `-0.40 points of WER`, `+1.70 BLEU-4`, `-0.0312 loss`."""
    return f"{signed_text(value, metric)} {size_unit(metric)}"


def size_unit(metric: str) -> str:
    """The unit of a difference in a sentence: `points of WER`, `BLEU-4`."""
    return f"points of {short_title(metric)}" if is_rate(metric) else short_title(metric)


def mean_text(mean: float, sd: float | None, metric: str) -> str:
    """`11.73 ± 0.91`; one seed has no spread."""
    return score_text(mean, metric) + (f" ± {score_text(sd, metric)}" if sd is not None else "")


def spread_text(values: Sequence[float], metric: str) -> str:
    """`11.73 ± 0.91` of the values of several seeds; `-` without any."""
    return mean_text(fmean(values), stdev(values) if len(values) > 1 else None, metric) if values else "-"


def interval_text(interval: Sequence[float] | None, metric: str) -> str:
    """`-0.66 .. +0.32` of a difference; `-` where there is none."""
    return " .. ".join(signed_text(end, metric) for end in interval) if interval is not None else "-"


def p_text(value: float | None) -> str:
    """A p value in three digits, in more where three would round it onto the line; `-` where there is none."""
    if value is None:
        return "-"
    if value < 0.001:
        return "< 0.001"
    digits = 3
    while float(f"{value:.{digits}f}") == ALPHA and digits < 8:
        digits += 1
    return f"{value:.{digits}f}" if digits < 8 else f"{value:.3f}"


def percent(fraction: float) -> str:
    """`80 %`, `33.3 %`, `1,000 %`."""
    return f"{significant(100 * fraction, 3)} %"


def count_text(value: float | None) -> str:
    """A number of epochs or steps: `12.5`, `4800`; `-` where it is not known."""
    return "-" if value is None else significant(value, 4) if value < 999.5 else f"{value:.0f}"


def significant(value: float, digits: int) -> str:
    """A number in so many significant digits, or as a whole one, never by a power of ten: `0.4`, `33.3`, `4,000`."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    text = f"{value:,.{max(digits - 1 - math.floor(math.log10(abs(value))), 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def short_number(value: float) -> str:
    """Three digits of a weight or a rate, `0.0123`, `4,000`; below 0.0001 by a power of ten, `3e-05`."""
    return f"{value:.3g}" if abs(value) < 1e-4 else significant(value, 3)


def _digits(value: float, metric: str) -> int:
    """Two where people read no more: percent, BLEU, and what is greater than 1; four for a loss and for fractions."""
    name = plain_name(metric)
    if is_rate(name) or name.startswith("bleu"):
        return 2
    return 4 if name.endswith("loss") or abs(value) < 1 else 2
