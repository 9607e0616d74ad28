"""The models of the DSD paper as transformers classes; importing this registers them with the Auto classes."""

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForCTC,
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
    AutoProcessor,
    PilBackend,
)

from hf_dsd.models.deepspeech import (
    DeepSpeech2Config,
    DeepSpeech2ForCTC,
    DeepSpeech2Model,
    DeepSpeechConfig,
    DeepSpeechFeatureExtractor,
    DeepSpeechForCTC,
    DeepSpeechModel,
    DeepSpeechProcessor,
    Hypothesis,
    build_character_tokenizer,
    decode_beam,
    encode_transcript,
    find_characters,
    unknown_characters,
)
from hf_dsd.models.lstm import LstmConfig, LstmForCausalLM
from hf_dsd.models.neuraltalk import (
    EfficientNetLiteConfig,
    EfficientNetLiteModel,
    ImageEncoder,
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkModel,
    NeuralTalkProcessor,
    attach_image_encoder,
    build_caption_tokenizer,
    encode_caption,
    load_image_encoder,
)
from hf_dsd.models.torchvision import (
    TorchvisionConfig,
    TorchvisionForImageClassification,
    build_image_processor,
    build_named_classifier,
    load_pretrained_weights,
)

AutoConfig.register(NeuralTalkConfig.model_type, NeuralTalkConfig)
AutoModel.register(NeuralTalkConfig, NeuralTalkModel)
AutoModelForImageTextToText.register(NeuralTalkConfig, NeuralTalkForConditionalGeneration)
AutoProcessor.register(NeuralTalkConfig, NeuralTalkProcessor)

AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel)

AutoConfig.register(DeepSpeechConfig.model_type, DeepSpeechConfig)
AutoConfig.register(DeepSpeech2Config.model_type, DeepSpeech2Config)
AutoModel.register(DeepSpeechConfig, DeepSpeechModel)
AutoModel.register(DeepSpeech2Config, DeepSpeech2Model)
AutoModelForCTC.register(DeepSpeechConfig, DeepSpeechForCTC)
AutoModelForCTC.register(DeepSpeech2Config, DeepSpeech2ForCTC)
for _config in (DeepSpeechConfig, DeepSpeech2Config):
    AutoFeatureExtractor.register(_config, DeepSpeechFeatureExtractor)
    AutoProcessor.register(_config, DeepSpeechProcessor)

AutoConfig.register(LstmConfig.model_type, LstmConfig)
AutoModelForCausalLM.register(LstmConfig, LstmForCausalLM)

AutoConfig.register(TorchvisionConfig.model_type, TorchvisionConfig)
AutoModelForImageClassification.register(TorchvisionConfig, TorchvisionForImageClassification)
AutoImageProcessor.register(  # of which transformers otherwise says, without torchvision, that torchvision replaces it
    TorchvisionConfig, image_processor_classes=dict.fromkeys(("pil", "torchvision"), PilBackend)
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
    "EfficientNetLiteConfig",
    "EfficientNetLiteModel",
    "Hypothesis",
    "ImageEncoder",
    "LstmConfig",
    "LstmForCausalLM",
    "NeuralTalkConfig",
    "NeuralTalkForConditionalGeneration",
    "NeuralTalkModel",
    "NeuralTalkProcessor",
    "TorchvisionConfig",
    "TorchvisionForImageClassification",
    "attach_image_encoder",
    "build_caption_tokenizer",
    "build_character_tokenizer",
    "build_image_processor",
    "build_named_classifier",
    "decode_beam",
    "encode_caption",
    "encode_transcript",
    "find_characters",
    "load_image_encoder",
    "load_pretrained_weights",
    "unknown_characters",
]
