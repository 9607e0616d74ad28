"""DeepSpeech 2, under its own name; its files are beside DeepSpeech's, with which it shares all but its layers."""

from hf_dsd.models.deepspeech.configuration_deepspeech2 import DeepSpeech2Config
from hf_dsd.models.deepspeech.modeling_deepspeech2 import DeepSpeech2ForCTC

__all__ = ["DeepSpeech2Config", "DeepSpeech2ForCTC"]
