"""What scores are called and in which unit people read them.

Layer: plain Python.
"""

_RATES = {"wer": "WER", "cer": "CER", "error": "top-1 error"}
_TITLES = {"bleu4_without_penalty": "BLEU-4 without it", "brevity_penalty": "brevity penalty"}


def plain_name(metric: str) -> str:
    """`wer` of `eval_wer`."""
    return metric.removeprefix("eval_").removeprefix("test_")


def is_rate(metric: str) -> bool:
    """True for error rates kept as fractions, which people read in percent."""
    return plain_name(metric) in _RATES


def rate_unit(metric: str) -> str:
    """` [%]`: what a heading says after the name of an error rate; "" for other scores."""
    return " [%]" if is_rate(metric) else ""


def short_title(metric: str) -> str:
    """`WER`, `top-1 error`, `BLEU-4`, `loss`: what a sentence calls a score."""
    name = plain_name(metric)
    if name.startswith("bleu") and name[4:].isdigit():
        return f"BLEU-{name[4:]}"
    return _RATES.get(name) or _TITLES.get(name, name.replace("_", " "))


def score_title(metric: str) -> str:
    """`WER [%]`, `BLEU-4`, `loss`: a heading with its unit."""
    return f"{short_title(metric)}{rate_unit(metric)}"
