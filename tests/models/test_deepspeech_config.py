import json
import re

import pytest
from transformers import AutoConfig

from hf_dsd.models import DeepSpeech2Config, DeepSpeechConfig


def test_defaults_are_the_papers_sizes():
    config = DeepSpeechConfig()
    assert (config.feature_size, 2 * config.context_frames + 1, config.hidden_size, config.vocab_size) == (
        161,
        11,
        1024,
        29,
    )
    config = DeepSpeech2Config()
    assert (config.feature_size, config.hidden_size, config.num_hidden_layers, config.rnn_type) == (161, 1760, 7, "rnn")
    assert config.conv_channels == [32, 32]
    assert config.conv_kernel_sizes == [[41, 11], [21, 11]]
    assert config.conv_strides == [[2, 2], [2, 1]]
    assert config.shared_input_projection is True


def test_samples_per_logit_frame():
    assert DeepSpeechConfig().inputs_to_logits_ratio == 160
    assert DeepSpeechConfig(context_stride=2).inputs_to_logits_ratio == 320
    assert DeepSpeech2Config().inputs_to_logits_ratio == 320
    assert DeepSpeech2Config(conv_strides=[[2, 2], [2, 3]], samples_per_frame=80).inputs_to_logits_ratio == 480


COMMON = [
    ({"vocab_size": 1}, "vocab_size must be >= 2, got 1; leave it out for the paper's own value"),
    ({"feature_size": 0}, "feature_size must be >= 1, got 0; leave it out"),
    ({"hidden_size": -1}, "hidden_size must be >= 1, got -1; leave it out"),
    ({"samples_per_frame": 0}, "samples_per_frame must be >= 1, got 0; leave it out"),
    ({"relu_clip": 0}, "relu_clip must be > 0, got 0; leave it out"),
    ({"hidden_dropout": 1.0}, "hidden_dropout must be in [0, 1), got 1.0; 0 switches dropout off"),
    ({"pad_token_id": 29}, "pad_token_id must be in [0, vocab_size=29), got 29; take it and len(tokenizer)"),
    ({"ctc_loss_reduction": "none"}, "ctc_loss_reduction must be 'mean' or 'sum', got 'none'; use 'mean'"),
]
ONE = [
    ({"context_frames": -1}, "context_frames must be >= 0, got -1; leave it out"),
    ({"context_stride": 0}, "context_stride must be >= 1, got 0; leave it out"),
    ({"num_dense_layers": -1}, "num_dense_layers must be >= 0, got -1; leave it out"),
]
TWO = [
    ({"num_hidden_layers": 0}, "num_hidden_layers must be >= 1, got 0; leave it out"),
    (
        {"conv_channels": [32]},
        "conv_channels, conv_kernel_sizes and conv_strides must have one entry per convolution, got 1, 2 and 2; give",
    ),
    (
        {"conv_channels": [], "conv_kernel_sizes": [], "conv_strides": []},
        "conv_channels, conv_kernel_sizes and conv_strides must have one entry per convolution, got 0, 0 and 0; give",
    ),
    ({"conv_channels": [32, 0]}, "conv_channels must be >= 1, got 0; leave it out"),
    (
        {"conv_kernel_sizes": [[41, 11], [21]]},
        "conv_kernel_sizes must hold [frequency, time] pairs >= 1, got [21]; the",
    ),
    ({"conv_kernel_sizes": [[41, 10], [21, 11]]}, "conv_kernel_sizes must be odd, got [[41, 10], [21, 11]]; add 1"),
    ({"conv_strides": [[2, 2], [2, 0]]}, "conv_strides must hold [frequency, time] pairs >= 1, got [2, 0]; the first"),
    ({"rnn_type": "GRU"}, "rnn_type must be one of ('rnn', 'gru', 'lstm'), got 'GRU'; the paper's is 'rnn'"),
    ({"batch_norm_momentum": 0.0}, "batch_norm_momentum must be in (0, 1], got 0.0; leave it out"),
    ({"batch_norm_eps": 0.0}, "batch_norm_eps must be > 0, got 0.0; leave it out"),
]
CASES = [(DeepSpeechConfig, *case) for case in COMMON + ONE] + [(DeepSpeech2Config, *case) for case in COMMON + TWO]


@pytest.mark.parametrize(
    ("config_class", "fields", "message"), CASES, ids=[f"{c.model_type}-{next(iter(f))}" for c, f, _ in CASES]
)
def test_bad_value_is_refused_by_name(config_class, fields, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        config_class(**fields)


@pytest.mark.parametrize(
    "config",
    [
        DeepSpeechConfig(hidden_size=8, context_stride=2, hidden_dropout=0.1, ctc_zero_infinity=True),
        DeepSpeech2Config(conv_channels=(4, 3), rnn_type="lstm", shared_input_projection=False, pad_token_id=3),
    ],
    ids=["deepspeech", "deepspeech2"],
)
def test_round_trip_through_files(config, tmp_path):
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is type(config)
    names = set(type(config).__annotations__)
    assert {name: getattr(loaded, name) for name in names} == {name: getattr(config, name) for name in names}
    assert loaded.inputs_to_logits_ratio == config.inputs_to_logits_ratio
    assert "inputs_to_logits_ratio" not in json.loads(config.to_json_string())
