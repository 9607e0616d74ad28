"""The models of the DSD paper as transformers classes; importing this registers them with the Auto classes."""

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from hf_dsd.models.neuraltalk import (
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
    build_caption_tokenizer,
    encode_caption,
)

AutoConfig.register(NeuralTalkConfig.model_type, NeuralTalkConfig)
AutoModelForImageTextToText.register(NeuralTalkConfig, NeuralTalkForConditionalGeneration)
AutoProcessor.register(NeuralTalkConfig, NeuralTalkProcessor)

__all__ = [
    "NeuralTalkConfig",
    "NeuralTalkForConditionalGeneration",
    "NeuralTalkProcessor",
    "build_caption_tokenizer",
    "encode_caption",
]
