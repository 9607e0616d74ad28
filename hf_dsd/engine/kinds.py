"""What a parameter is: a weight matrix, several in one tensor, or what no magnitude rule should judge, and why."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils import parametrize

from .sharding import local_part
from .uses import CONVOLUTIONS, Uses

_WEIGHT_LAYERS = (
    nn.Linear,
    *CONVOLUTIONS,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.RNNBase,
    nn.RNNCellBase,
)
_BIAS_NAME = re.compile(r"(?:^|_)bias(?:es)?(?:_|$)")
# Of bare parameters: transformers' families and timm call weights and tables so.
_WEIGHT_NAME = re.compile(r"^weight|(?:weight|proj|projection|kernel)s?_?\d*$")
_TABLE_NAME = re.compile(
    r"embed|(?:^|_)(?:emb|pos|position\w*|rel|relative|tokens?|latents?|queries|prompts?|codevectors?|codebooks?|"
    r"registers?|anchors?|prototypes?|table)(?:_|$)"
)
_VECTORS_NAME = re.compile(r"^(?:A|D|dt)$|(?:^|_)(?:scales?|shift|gain|gamma|beta|alpha|decay|temperature)(?:_|$)")
_GATE_NAME = re.compile(r"(?:^|_)gate$|gating|^wg$")


@dataclass(frozen=True)
class Owned:
    """A parameter with every place it sits in: tied weights have several (module, name) owners."""

    parameter: nn.Parameter
    names: tuple[str, ...]
    modules: tuple[nn.Module, ...]

    @property
    def name(self) -> str:
        """Its own name in its module; in a list of parameters the list's."""
        return next(
            part for part in reversed(self.names[0].split(".")) if not part.isdecimal() or part == self.names[0]
        )

    @property
    def is_bare(self) -> bool:
        """True if a module of no known kind of layer holds it, so that nothing but its name and use say what it is."""
        return not isinstance(
            self.modules[0], (*_WEIGHT_LAYERS, nn.MultiheadAttention, parametrize.ParametrizationList)
        )

    @property
    def is_expert(self) -> bool:
        """True within a mixture of experts."""
        return "expert" in self.names[0].lower() or "expert" in type(self.modules[0]).__name__.lower()


def whole_shape(parameter: Tensor) -> tuple[int, ...]:
    """A parameter's shape, () before a lazy module has one; ZeRO 3 leaves an empty tensor and the shape beside it."""
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        return ()
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def vector_reason(item: Owned) -> str:
    """Why a parameter can never be pruned: it is no matrix, a bias, or it belongs to a norm."""
    name = item.names[0].rpartition(".")[2]
    if _BIAS_NAME.search(name):  # gpt-oss keeps one per expert, as a matrix
        return "bias or vector"
    if isinstance(item.parameter, nn.parameter.UninitializedParameter):
        return ""
    shape, is_layer = whole_shape(item.parameter), isinstance(item.modules[0], _WEIGHT_LAYERS)
    if len(shape) < 2 or (sum(size > 1 for size in shape) < 2 and not (is_layer and name != "weight_g")):
        return "bias or vector"  # a (1, 1, d) token, a weight norm's (n, 1) gains; but Linear(n, 1) is a matrix
    if not is_layer and any("norm" in type(module).__name__.lower() for module in item.modules):
        return "norm"
    return ""


def embedding_reason(item: Owned) -> str:
    """Whether a parameter is looked up or added row by row: words, positions, class tokens, latent queries."""
    embeddings = [_is_embedding(module) for module in item.modules]
    if any(embeddings):
        return "embedding" if all(embeddings) else "embedding tied to a head"
    named = _TABLE_NAME.search(item.name) and not _WEIGHT_NAME.search(item.name)
    return "embedding" if item.is_bare and named and not item.is_expert else ""


def is_undecided(item: Owned) -> bool:
    """True if only a parameter's use can say whether it is a weight matrix."""
    known = item.is_expert or _WEIGHT_NAME.search(item.name) or item.name.endswith("_log") or embedding_reason(item)
    return item.is_bare and not known


def use_reason(item: Owned, uses: Uses) -> str:
    """Why a bare parameter is a stack of vectors (per-head scales, tables that broadcast) and no weight matrix."""
    if not is_undecided(item) or id(item.parameter) in uses.multiplied:
        return ""
    broadcasts = len(item.parameter.shape) > 2 and 1 in item.parameter.shape
    if id(item.parameter) in uses.seen or broadcasts or _VECTORS_NAME.search(item.name):
        return "no weight matrix: nothing is multiplied by it as one"
    return ""


def is_router(item: Owned, modules: Mapping[str, nn.Module]) -> bool:
    """True for what chooses among experts: under a module called router, or a gate beside experts."""
    path = item.names[0].split(".")
    if "router" in "".join([*path, type(item.modules[0]).__name__]).lower():
        return True
    for depth, part in enumerate(path):
        if _GATE_NAME.search(part):
            parent = modules.get(".".join(path[:depth]))
            siblings = () if parent is None else (*parent._modules, *parent._parameters)
            if any("expert" in name and not _GATE_NAME.search(name) for name in siblings):
                return True
    return False


def is_parametrised(item: Owned) -> bool:
    """True if the weight is computed from the parameter: torch's parametrizations, new and old, or exp(A_log)."""
    module, name = item.modules[0], item.names[0].rpartition(".")[2]
    stem, _, part = name.rpartition("_")
    old = part in ("v", "orig") and stem not in module._parameters and isinstance(getattr(module, stem, None), Tensor)
    return old or isinstance(module, parametrize.ParametrizationList) or name.endswith("_log")


def count_matrices(item: Owned) -> int:
    """Number of matrices stacked along a parameter's first dimension: fused experts, heads; else 1."""
    shape, module = whole_shape(item.parameter), item.modules[0]
    if not item.is_bare:
        return 1
    if len(shape) == 2 and item.is_expert:  # DBRX: the experts' rows one below the other
        counts = {n for key, n in vars(module).items() if re.search(r"num_.*experts$", key) and isinstance(n, int)}
        return next((n for n in counts if n > 0 and shape[0] % n == 0), 1)
    # XLNet's (width, heads, width of a head) is one matrix: its first dimension is the longest
    return shape[0] if len(shape) > 2 and (item.is_expert or shape[0] <= min(shape[1:])) else 1


def viewed_names(owned: Sequence[Owned]) -> dict[int, str]:
    """Id -> the larger parameter, or the earlier of two equals, whose memory a parameter shares: a view of it."""
    by_storage: dict[int, list[Owned]] = defaultdict(list)
    for item in owned:
        if isinstance(item.parameter, nn.parameter.UninitializedParameter):
            continue
        local = local_part(item.parameter.detach())
        if type(local) is Tensor and local.numel() and not local.is_meta:
            by_storage[local.untyped_storage()._cdata].append(item)
    views: dict[int, str] = {}
    for items in by_storage.values():
        items.sort(key=lambda item: -item.parameter.numel())
        for place, item in enumerate(items):
            start, stop = _extent(item.parameter)
            for larger in items[:place]:
                first, last = _extent(larger.parameter)
                if start < last and first < stop:
                    views.setdefault(id(item.parameter), larger.names[0])
    return views


def _extent(parameter: Tensor) -> tuple[int, int]:
    """Where in its storage a parameter begins and ends."""
    local = local_part(parameter.detach())
    reach = sum((size - 1) * stride for size, stride in zip(local.shape, local.stride(), strict=True))
    return int(local.storage_offset()), int(local.storage_offset() + reach + 1)


def _is_embedding(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding | nn.EmbeddingBag) or "embedding" in type(module).__name__.lower()
