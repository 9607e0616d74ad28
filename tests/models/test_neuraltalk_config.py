import json
import re

import pytest
from transformers import AutoConfig, ResNetConfig

from hf_dsd.models import NeuralTalkConfig


def test_defaults_are_neuraltalk_on_flickr8k():
    config = NeuralTalkConfig()
    sizes = (config.vocab_size, config.image_feature_size, config.hidden_size, config.word_embedding_size)
    assert sizes == (2541, 4096, 256, 256)
    assert (config.encoder_dropout, config.decoder_dropout) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be > 0, got 0; leave it out for NeuralTalk's own value"),
        ({"image_feature_size": -1}, "image_feature_size must be > 0, got -1; leave it out"),
        ({"hidden_size": 0}, "hidden_size must be > 0, got 0; leave it out"),
        ({"word_embedding_size": 0}, "word_embedding_size must be > 0, got 0; leave it out"),
        ({"encoder_dropout": 1.0}, "encoder_dropout must be in [0, 1), got 1.0; 0 switches dropout off"),
        ({"decoder_dropout": -0.1}, "decoder_dropout must be in [0, 1), got -0.1; 0 switches dropout off"),
        ({"initializer_range": 0.0}, "initializer_range must be > 0, got 0.0; leave it out"),
        ({"encoder_config": {"depth": 1}}, "encoder_config must name its model_type, got the keys ['depth']; pass"),
        ({"bos_token_id": 2541}, "bos_token_id must be in [0, vocab_size=2541), got 2541; take the ids"),
        ({"pad_token_id": -1}, "pad_token_id must be in [0, vocab_size=2541), got -1; take the ids"),
        ({"eos_token_id": 1}, "pad_token_id, bos_token_id and eos_token_id must differ, got 1, 2 and 1; take"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings must be False, got True; leave it out"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_value_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        NeuralTalkConfig(**fields)


def test_round_trip_through_files(tmp_path):
    encoder = ResNetConfig(depths=[1, 1], hidden_sizes=[4, 8])
    config = NeuralTalkConfig(hidden_size=8, encoder_dropout=0, encoder_config=encoder)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is NeuralTalkConfig
    names = set(NeuralTalkConfig.__annotations__) - {"encoder_config"}
    assert {name: getattr(loaded, name) for name in names} == {name: getattr(config, name) for name in names}
    assert (loaded.hidden_size, loaded.encoder_dropout) == (8, 0)
    assert AutoConfig.for_model(**loaded.encoder_config).to_dict() == encoder.to_dict()


def test_the_state_is_no_prediction_and_no_setting():
    assert NeuralTalkConfig.keys_to_ignore_at_inference == ["state"]
    assert "keys_to_ignore_at_inference" not in json.loads(NeuralTalkConfig().to_json_string())
