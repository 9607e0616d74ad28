"""DeepSpeech and DeepSpeech 2: configurations, models, feature extractor, tokenizer, processor and decoding.

The two models share a folder because published code must: transformers copies a modeling file and its relative imports
from the same folder, nothing further away.
"""

from hf_dsd.models.deepspeech.configuration_deepspeech import DeepSpeechConfig
from hf_dsd.models.deepspeech.configuration_deepspeech2 import DeepSpeech2Config
from hf_dsd.models.deepspeech.decoding_deepspeech import Hypothesis, decode_beam
from hf_dsd.models.deepspeech.feature_extraction_deepspeech import DeepSpeechFeatureExtractor
from hf_dsd.models.deepspeech.modeling_deepspeech import DeepSpeechForCTC, DeepSpeechModel
from hf_dsd.models.deepspeech.modeling_deepspeech2 import DeepSpeech2ForCTC, DeepSpeech2Model
from hf_dsd.models.deepspeech.processing_deepspeech import DeepSpeechProcessor
from hf_dsd.models.deepspeech.tokenization_deepspeech import (
    build_character_tokenizer,
    encode_transcript,
    find_characters,
    unknown_characters,
)

__all__ = [
    "DeepSpeech2Config",
    "DeepSpeech2ForCTC",
    "DeepSpeech2Model",
    "DeepSpeechConfig",
    "DeepSpeechFeatureExtractor",
    "DeepSpeechForCTC",
    "DeepSpeechModel",
    "DeepSpeechProcessor",
    "Hypothesis",
    "build_character_tokenizer",
    "decode_beam",
    "encode_transcript",
    "find_characters",
    "unknown_characters",
]
