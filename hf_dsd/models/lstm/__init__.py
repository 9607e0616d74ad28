"""A recurrent language model: its configuration and the model."""

from .configuration_lstm import LstmConfig
from .modeling_lstm import LstmForCausalLM

__all__ = ["LstmConfig", "LstmForCausalLM"]
