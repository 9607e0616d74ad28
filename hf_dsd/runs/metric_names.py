"""What a metric's name tells: its title, the unit that people read it in, and whether a greater value is better."""

import re

_RATES = {"wer": "WER", "cer": "CER", "error": "top-1 error", "error_top5": "top-5 error"}
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


_SMALLER = """loss wer cer per ter mer wil eer der hter error errors err mse rmse msle rmsle mae mape smape nll ppl
perplexity bpc bpb bpd ece brier crps fid kid lpips deviance substitutions insertions deletions runtime"""
_GREATER = """accuracy acc bleu sacrebleu chrf rouge rougel rougelsum meteor cider spice f precision recall auc auroc
auprc map mrr ndcg r iou miou dice jaccard psnr ssim match mcc kappa pearson pearsonr spearman spearmanr comet bertscore
mauve"""
_DIRECTIONS = dict.fromkeys(_SMALLER.split(), False) | dict.fromkeys(_GREATER.split(), True)
_DIRECTIONS |= {"edit distance": False, "cross entropy": False, "negative log likelihood": False}
_DIRECTIONS |= {f"{what} per second": True for what in ("samples", "steps", "tokens")} | {"bleu without penalty": True}

_SPLITS = ("eval", "test", "val", "valid", "validation", "dev", "train", "training")
# Words that leave a direction as it is. Any other word may turn it round (`error_free`, `without_error`, `neg_loss`).
_NEUTRAL = """mean avg average median total overall macro micro weighted top at k word char character phone phoneme
token sentence sequence label class image exact edit squared square absolute root log relative percentage percent rate
score normalized greedy beam binary balanced clean other phase dense sparse ctc lm mlm cross"""
_NEUTRAL_WORDS = {"", *_NEUTRAL.split(), *_SPLITS}


def greater_is_better(metric: str) -> bool | None:
    """Known names in both directions: `eval_accuracy`, `bleu4`, `word_error_rate`; None for any other name.

    A name is known by its words. They must not contradict each other, and every one of them must be known: a caller who
    gets None asks the user, and a wrong answer would take the worst model for the best.
    """
    words = [word.rstrip("0123456789") for word in re.split(r"[\W_]+", metric.lower())]
    while words and words[0] in _SPLITS:
        del words[0]
    if (phrase := " ".join(words)) in _DIRECTIONS:
        return _DIRECTIONS[phrase]
    if "per" in words[1:-1]:  # no phone error rate: `words_per_error`
        return None
    directions = {_direction(word) for word in words if word not in _NEUTRAL_WORDS}
    return directions.pop() if len(directions) == 1 else None


def _direction(word: str) -> bool | None:
    return False if word.endswith("loss") else _DIRECTIONS.get(word)
