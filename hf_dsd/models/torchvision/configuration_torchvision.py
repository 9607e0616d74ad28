"""The configuration of an image classifier of torchvision; torchvision itself is not needed for it."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class TorchvisionConfig(PreTrainedConfig):
    """Describes a :class:`TorchvisionForImageClassification`; `num_labels` or `id2label` says how many classes.

    Args:
        architecture: Name of a classification network in `torchvision.models`, such as `vgg16`.
        auxiliary_loss_weight: Weight of each auxiliary classifier's loss in training, at least 0; only GoogLeNet and
            Inception v3 have such classifiers.
        model_args: Further arguments of the network's builder, such as `{"dropout": 0.2}`.
        **kwargs: Fields common to every `PreTrainedConfig`.

    Raises:
        ValueError: If the weight is negative.

    References:
        The weight 0.3 is that of Szegedy et al., *Going Deeper with Convolutions*, CVPR 2015, section 5.
    """

    model_type = "torchvision"

    architecture: str = "resnet18"
    auxiliary_loss_weight: float | int = 0.3
    model_args: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Checks the weight, then lets `PreTrainedConfig` read the common fields."""
        if not self.auxiliary_loss_weight >= 0:
            raise ValueError(
                f"auxiliary_loss_weight must be at least 0, got {self.auxiliary_loss_weight!r}; 0 switches the "
                "auxiliary losses off"
            )
        super().__post_init__(**kwargs)


__all__ = ["TorchvisionConfig"]
