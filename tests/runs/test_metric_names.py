"""Which way a metric is better is told by its name or by the user, never by a guess."""

import pytest

from hf_dsd.runs.metric_names import greater_is_better

# More names, in both directions, are in tests/compare/test_metric_direction.py.
SMALLER = """eval_rmse mae eval_mape nll eval_bpc test_word_error_rate eval_ctc_loss validation_cer top5_error
eval_edit_distance mean_absolute_percentage_error negative_log_likelihood eval_per per_token_loss brier_score"""
GREATER = "eval_accuracy macro_f1 balanced_accuracy word_accuracy recall@5 eval_tokens_per_second exact_match"
# A word that turns the meaning round, or that nobody knows: the user is asked.
UNKNOWN = """eval_words_without_error error_free_sentences mean_time_between_errors words_per_error
neg_mean_squared_error neg_log_loss error_reduction loss_reduction accuracy_drop accuracy_loss
one_minus_wer inverse_perplexity non_error_rate wer_improvement steps_to_error loss_scale errors_fixed
error_detection_rate brier_skill_score distance entropy inter_class_distance errors_per_second
accuracy_error eval_score accuracy_std log_likelihood_ratio no_errors unloss_ratio"""


@pytest.mark.parametrize(("names", "expected"), [(SMALLER, False), (GREATER, True), (UNKNOWN, None)])
def test_directions(names: str, expected: bool | None) -> None:
    assert {name: greater_is_better(name) for name in names.split()} == dict.fromkeys(names.split(), expected)
