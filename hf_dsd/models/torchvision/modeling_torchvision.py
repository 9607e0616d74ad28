"""Image classifiers of torchvision as transformers models. torchvision is imported when one is built.

Shape legend: B pictures, K classes, h and w height and width.
"""

from collections.abc import Iterable
from importlib import import_module
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention
from transformers.utils import can_return_tuple

from .configuration_torchvision import TorchvisionConfig

_DRAWS_ITS_WEIGHTS = ("googlenet", "inception_v3")  # these builders warn unless they are told to


def torchvision_models() -> Any:
    """The module `torchvision.models`.

    Raises:
        ImportError: If torchvision is not installed, or does not load beside this torch.
    """
    try:
        return import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # its operators are compiled for one version of torch
        raise ImportError(
            f"torchvision is not installed, or not the one that fits torch {torch.__version__} ({error}); "
            "pip install 'hf-dsd[vision]'"
        ) from error


def classifier_names() -> list[str]:
    """Names of torchvision's image classifiers.

    Raises:
        ImportError: As `torchvision_models`.
    """
    models = torchvision_models()
    return list(models.list_models(module=models))


def _build_network(config: TorchvisionConfig) -> nn.Module:
    models = torchvision_models()
    if config.architecture not in models.list_models(module=models):
        raise ValueError(
            f"architecture must be an image classifier of torchvision.models, got {config.architecture!r}; "
            "classifier_names() lists them"
        )
    own = {"init_weights": True} if config.architecture in _DRAWS_ITS_WEIGHTS else {}
    network: nn.Module = models.get_model(
        config.architecture, weights=None, num_classes=config.num_labels, **own, **(config.model_args or {})
    )
    return network


class TorchvisionForImageClassification(PreTrainedModel):
    """An image classifier of torchvision, with the weights that torchvision itself draws.

    What a checkpoint lacks, or holds in another size (`ignore_mismatched_sizes=True`), such as the head of other
    classes, is drawn anew as torchvision draws it.

    Args:
        config: Names the network.

    Raises:
        ImportError: If torchvision is missing.
        ValueError: If torchvision has no such classifier.
    """

    config: TorchvisionConfig
    config_class = TorchvisionConfig
    base_model_prefix = ""
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    accepts_loss_kwargs = False  # the loss is a mean over the batch

    def __init__(self, config: TorchvisionConfig) -> None:
        super().__init__(config)
        self.network = _build_network(config)
        _mark_as_drawn(tensor for tensor in _tensors(self.network).values() if not tensor.is_meta)
        self.post_init()

    @can_return_tuple
    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, **kwargs: Any
    ) -> ImageClassifierOutputWithNoAttention:
        """Classifies pictures.

        Args:
            pixel_values: `(B, 3, h, w)` float, normalised; `h` and `w` as large as the network needs (63 for AlexNet).
            labels: `(B,)` int64, in [0, K); with them the output has a loss, which in training includes the auxiliary
                classifiers' by `auxiliary_loss_weight`.
            **kwargs: `return_dict`; what else transformers passes to every model is ignored.

        Returns:
            `logits` `(B, K)` of the main classifier and, given labels, the scalar `loss`.
        """
        outputs = self.network(pixel_values)
        # In training GoogLeNet and Inception v3 give a tuple: the main logits first, None for heads left out.
        logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = None
        if labels is not None:
            losses = [
                self.loss_function(labels, each, self.config) for each in (logits, *auxiliary) if each is not None
            ]
            loss = losses[0] + sum(self.config.auxiliary_loss_weight * each for each in losses[1:])
        return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Copies all that nobody has set from a network drawn anew: how a head is drawn only its network knows."""
        tensors = _tensors(self.network)
        missing = {name: tensor for name, tensor in tensors.items() if not (tensor.is_meta or _is_drawn(tensor))}
        if missing:  # at the first module that lacks something; the others find it done
            with torch.device("cpu"):
                drawn = _tensors(_build_network(self.config))
            for name, tensor in missing.items():
                tensor.copy_(drawn[name])
            _mark_as_drawn(missing.values())


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, also those that are not saved."""
    return dict(chain(network.named_parameters(), network.named_buffers()))


def _is_drawn(tensor: Tensor) -> bool:
    """True if transformers is to leave a tensor as it is; from_pretrained marks what it loads."""
    return getattr(tensor, "_is_hf_initialized", False)


def _mark_as_drawn(tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        tensor._is_hf_initialized = True  # type: ignore[attr-defined]


__all__ = ["TorchvisionForImageClassification", "classifier_names", "torchvision_models"]
