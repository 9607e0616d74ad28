"""Whether a greater or a smaller score is better, as far as its name tells.

Layer: plain Python.
"""

import re

_SMALLER = """loss wer cer per ter mer wil eer der hter error errors err mse rmse msle rmsle mae mape smape nll ppl
perplexity bpc bpb bpd ece brier crps fid kid lpips entropy distance deviance substitutions insertions deletions
runtime"""
_GREATER = """accuracy acc bleu sacrebleu chrf rouge rougel rougelsum meteor cider spice f precision recall auc auroc
auprc map mrr ndcg r iou miou dice jaccard psnr ssim match mcc kappa pearson pearsonr spearman spearmanr comet bertscore
mauve second"""
_DIRECTIONS = dict.fromkeys(_SMALLER.split(), False) | dict.fromkeys(_GREATER.split(), True)


def greater_is_better(metric: str) -> bool | None:
    """Known names in both directions: `eval_accuracy`, `bleu4`, `word_error_rate`; None for any other name.

    A name is known by its words, which must not contradict each other.
    """
    words = [word.rstrip("0123456789") for word in re.split(r"[\W_]+", metric.lower())]
    if "per" in words and "second" in words:  # samples_per_second: no phone error rate
        words.remove("per")
    directions = {_DIRECTIONS[word] for word in words if word in _DIRECTIONS}
    directions |= {False for word in words if word.endswith("loss")}
    return directions.pop() if len(directions) == 1 else None
