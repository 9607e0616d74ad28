# ruff: noqa: E402, I001 (as in configuration_neuraltalk.py)
"""NeuralTalk's processor: the caption tokenizer, with an image processor when the model reads pixels."""

from typing import Any

from transformers.utils.versions import require_version

require_version("transformers>=5.20", "NeuralTalk's processor needs it: pip install -U 'transformers>=5.20,<6'")

from transformers import AutoImageProcessor, BatchFeature, ProcessorMixin


class NeuralTalkProcessor(ProcessorMixin):
    """Prepares images and prompts, and turns generated ids back into captions (`decode`, `batch_decode`).

    Leave `image_processor` out for a model fed with image vectors; the saved files are then the tokenizer's and a
    processor_config.json.

    Args:
        image_processor: Prepares pixels as the model's encoder expects them, or None.
        tokenizer: From `build_caption_tokenizer`, or any fast tokenizer with bos, eos and pad tokens.

    Raises:
        TypeError: If the tokenizer is missing or one of the two is of the wrong kind.
    """

    def __init__(self, image_processor: Any = None, tokenizer: Any = None) -> None:
        super().__init__(tokenizer)
        if image_processor is not None:
            self.check_argument_for_proper_class("image_processor", image_processor)
        self.image_processor = image_processor

    def __call__(self, images: Any = None, text: Any = None, **kwargs: Any) -> BatchFeature:
        """Prepares the inputs of `generate()`.

        Args:
            images: One image or a list: PIL, array `(height, width, channels)` or tensor `(channels, height, width)`.
            text: One prompt or a list, the beginning of the caption; "" or None starts from nothing.
            **kwargs: The image processor's and the tokenizer's own options, e.g. `return_tensors="pt"`.

        Returns:
            `pixel_values` `(B, channels, height, width)` given images; `input_ids`, starting with `<s>`, and
            `attention_mask` given text.

        Raises:
            ValueError: If neither images nor text is given, or images without an image processor.
        """
        if images is None and text is None:
            raise ValueError("images or text must be given, got neither; pass at least one of them")
        if images is not None and self.image_processor is None:
            raise ValueError(
                "images needs an image_processor, got None; build NeuralTalkProcessor with one, or give the model "
                "image_features"
            )
        return super().__call__(images=images, text=text, **kwargs)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the inputs that calling the processor can produce."""
        images = [] if self.image_processor is None else self.image_processor.model_input_names
        return [*images, *self.tokenizer.model_input_names]

    @classmethod
    def get_attributes(cls) -> list[str]:
        """Names the parts that are always present; the optional image processor lives in processor_config.json."""
        return ["tokenizer"]

    @classmethod
    def from_args_and_dict(cls, args: list[Any], processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Builds the processor from its loaded parts; see `ProcessorMixin.from_args_and_dict`."""
        # `args` holds the image processor itself; its settings in the file would replace it.
        settings = {name: value for name, value in processor_dict.items() if name != "image_processor"}
        return super().from_args_and_dict(args, settings, **kwargs)

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: str, processor_dict: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        (tokenizer,) = super()._get_arguments_from_pretrained(pretrained_model_name_or_path, processor_dict, **kwargs)
        if not (processor_dict or {}).get("image_processor"):
            return [None, tokenizer]
        # Where torchvision is installed, transformers would take its resize, which gives other pixels.
        kwargs.setdefault("backend", "pil")
        return [AutoImageProcessor.from_pretrained(pretrained_model_name_or_path, **kwargs), tokenizer]


__all__ = ["NeuralTalkProcessor"]
