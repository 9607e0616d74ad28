"""NeuralTalk: configuration, model, tokenizer and processor."""

from hf_dsd.models.neuraltalk.configuration_neuraltalk import NeuralTalkConfig
from hf_dsd.models.neuraltalk.modeling_neuraltalk import NeuralTalkForConditionalGeneration, NeuralTalkOutput
from hf_dsd.models.neuraltalk.processing_neuraltalk import NeuralTalkProcessor
from hf_dsd.models.neuraltalk.tokenization_neuraltalk import build_caption_tokenizer, encode_caption

__all__ = [
    "NeuralTalkConfig",
    "NeuralTalkForConditionalGeneration",
    "NeuralTalkOutput",
    "NeuralTalkProcessor",
    "build_caption_tokenizer",
    "encode_caption",
]
