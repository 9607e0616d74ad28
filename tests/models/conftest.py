"""Small NeuralTalk models: one with large random weights, one trained for a moment so that its captions end."""

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch

from hf_dsd.models import NeuralTalkConfig, NeuralTalkForConditionalGeneration

collect_ignore = ["test_named_classifier.py"] if find_spec("torchvision") else []
SMALL = {"vocab_size": 11, "image_feature_size": 6, "hidden_size": 7, "word_embedding_size": 5}


@pytest.fixture
def make_model() -> Callable[..., NeuralTalkForConditionalGeneration]:
    """Returns a builder of models in evaluation mode with weights uniform in +-1."""

    def build(**fields: object) -> NeuralTalkForConditionalGeneration:
        torch.manual_seed(0)
        model = NeuralTalkForConditionalGeneration(NeuralTalkConfig(**{**SMALL, **fields}))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if not name.startswith("vision_encoder"):
                    parameter.uniform_(-1, 1)
        return model.eval()

    return build


@pytest.fixture
def make_captioner() -> Callable[..., NeuralTalkForConditionalGeneration]:
    """Returns a builder of half-trained models in evaluation mode: captions of 1 to 8 words, beam and greedy differ."""

    def build(seed: int = 0, **fields: object) -> NeuralTalkForConditionalGeneration:
        torch.manual_seed(seed)
        config = NeuralTalkConfig(**{**SMALL, "encoder_dropout": 0.0, "decoder_dropout": 0.0, **fields})
        model = NeuralTalkForConditionalGeneration(config)
        features = torch.randn(40, config.image_feature_size)
        labels = torch.full((40, 9), -100)
        for row in labels:
            words = int(torch.randint(1, 8, ()))
            row[:words] = torch.randint(4, config.vocab_size, (words,)).sort().values
            row[words] = config.eos_token_id
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2)
        for _ in range(60):
            model(image_features=features, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return model.eval()

    return build
