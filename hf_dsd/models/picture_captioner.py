"""A captioner of image vectors becomes a captioner of pictures, from folder to folder."""

from pathlib import Path

from hf_dsd.models.neuraltalk import (
    WEIGHTS_PACKAGE,
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
    attach_image_encoder,
)
from hf_dsd.models.read_config import read_config
from hf_dsd.models.remote_code import save_with_code


def save_picture_captioner(source: str | Path, target: str | Path, *, packaged: bool = False) -> None:
    """Saves a trained captioner together with the encoder that made its vectors, EfficientNet-Lite0, and its code.

    Args:
        source: Folder of a NeuralTalk captioner and its tokenizer, such as a phase's.
        target: Made if it does not exist; `pipeline("image-text-to-text", model=target)` then takes pictures.
        packaged: Name the package that holds the encoder instead of saving its weights, which are five times larger
            than the captioner's; whoever gives it a picture needs that package.

    Raises:
        OSError: If `source` holds no model, or no tokenizer.
        ValueError: If its model is no NeuralTalk captioner, or not of this encoder's vectors.
        ImportError: If the encoder's weights are not installed.
    """
    config = read_config(source)
    if not isinstance(config, NeuralTalkConfig):
        raise ValueError(f"{source} holds a {config.model_type}, got no neuraltalk: give the folder of a captioner")
    captioner = NeuralTalkForConditionalGeneration.from_pretrained(source, dtype="auto")
    processor = NeuralTalkProcessor.from_pretrained(source)
    attach_image_encoder(captioner, processor)
    if packaged:
        captioner.vision_encoder = captioner.config.encoder_config = None
        captioner.config.encoder_package = WEIGHTS_PACKAGE
    save_with_code(captioner, processor, target)
