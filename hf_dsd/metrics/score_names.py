"""What scores are called and in which unit people read them.

Layer: plain Python.
"""

_TITLES = {"bleu4_without_penalty": "BLEU-4 without it", "brevity_penalty": "brevity penalty"}


def plain_name(metric: str) -> str:
    """`wer` of `eval_wer`."""
    return metric.removeprefix("eval_").removeprefix("test_")


def is_rate(metric: str) -> bool:
    """True for error rates kept as fractions, which people read in percent."""
    return plain_name(metric) in ("wer", "cer")


def rate_unit(metric: str) -> str:
    """` [%]`: what a heading says after the name of an error rate; "" for other scores."""
    return " [%]" if is_rate(metric) else ""


def score_title(metric: str) -> str:
    """`WER [%]`, `BLEU-4`, `loss`: a heading with its unit."""
    name = plain_name(metric)
    if is_rate(name):
        return f"{name.upper()}{rate_unit(name)}"
    if name.startswith("bleu") and name[4:].isdigit():
        return f"BLEU-{name[4:]}"
    return _TITLES.get(name, name.replace("_", " "))
