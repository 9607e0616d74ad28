"""How a model uses its parameters, known without data: forwards of a hollow copy, whose tensors are shapes alone.

The copy has the model's modules and meta tensors. So nothing of the model is read or changed, no statistics move, no
random number is drawn, and a model of billions of weights takes about a second. The inputs are guessed from signature,
configuration and layers; of several guesses the one that gets furthest counts.
"""

import contextlib
import inspect
import math
import sys
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Set
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .random_states import kept_random_states
from .sharding import own_class

# DDP wraps only the root, so a submodule that happens to be called `module` deeper down keeps its name.
WRAPPED = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_MEDIA = {"pixel_values", "input_values", "input_features"}
_IDS = {"input_ids", "decoder_input_ids"}
_PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "convolution", "_grouped_mm"}
_COPIES = {"_to_copy", "clone"}
_REGISTERED = ("_parameters", "_buffers", "_modules")  # DeepSpeed's are of its own class
_GUESSES = 6  # layers whose input is tried as the model's


class Uses(NamedTuple):
    """What forwards do with parameters, by their ids."""

    seen: set[int]  # an operation took them
    multiplied: set[int]  # of them a matrix product or a convolution, transposed or cast at the most
    first: set[int]  # a convolution reads the model's input with them: no other weight matrix stands before it


def uses_of(model: nn.Module, shapes: Mapping[int, tuple[int, ...]], matrices: Set[int], wanted: Set[int]) -> Uses:
    """Watches forwards of a hollow copy until every wanted parameter was seen, or nothing is left to try.

    Args:
        model: Any module, wrapped, sharded or without weights in memory.
        shapes: Id -> whole shape of every parameter.
        matrices: Ids of the parameters whose use makes a tensor depend on a weight layer.
        wanted: Ids of the parameters whose use is asked for.
    """
    uses = Uses(set(), set(), set())
    with _nothing_left_behind(), contextlib.suppress(Exception):  # what foreign code cannot do, it cannot tell
        root, original = _hollow(model, shapes)
        matrices = matrices | (set(original.values()) - shapes.keys())
        parts = [module for module in root.modules() if module is root or hasattr(module, "main_input_name")]
        for part in parts:  # an image encoder inside a language model reads the model's input, too
            here = {original[_key(p)] for p in part.parameters() if _key(p) in original} & wanted
            if here <= uses.seen:
                continue
            best = _furthest(part, original, matrices, here)
            uses.first.update(best.first - uses.seen)
            uses.multiplied.update(best.multiplied)
            uses.seen.update(best.seen)
    return uses


def reads_ids_alone(model: nn.Module) -> bool:
    """True if a model says that its input is token ids, which no convolution can read."""
    parts = [module for module in model.modules() if hasattr(module, "main_input_name")]
    names = {name for part in parts for name in inspect.signature(part.forward).parameters}
    return bool(parts) and not names & _MEDIA and all(part.main_input_name == "input_ids" for part in parts)


def _furthest(part: nn.Module, original: Mapping[int, int], matrices: Set[int], wanted: Set[int]) -> Uses:
    """The uses that the best guess at a module's inputs shows."""
    best, most = Uses(set(), set(), set()), -1
    for arguments in _arguments(part):
        watch, finished = _Watch(original, matrices), False
        with watch, contextlib.suppress(Exception):
            part(**arguments)
            finished = True
        if (score := len(watch.uses.seen & wanted)) > most:
            best, most = watch.uses, score
        if wanted <= watch.uses.seen or (finished and score):  # what it did not see then, forwards leave out
            break
    return best


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows which parameters every tensor comes from. Storages stand for tensors: views and in-place writes count."""

    def __init__(self, original: Mapping[int, int], matrices: Set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.uses = Uses(set(), set(), set())
        self._itself = {key: {parameter} for key, parameter in original.items()}
        self._sources = {key: {parameter} & matrices for key, parameter in original.items()}
        self._alive: list[Any] = []  # a storage's address is its name: it must not be given to another

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        taken = [_key(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        given = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        parameters = set().union(*(self._itself.get(key, ()) for key in taken))
        sources = set().union(*(self._sources.get(key, ()) for key in taken))
        if name == "convolution" and not args[6] and not self._sources.get(_key(args[0])):  # args[6]: transposed
            self.uses.first.update(self._sources.get(_key(args[1]), ()))
        if not {_key(t) for t in given} <= set(taken):  # no mere view
            self.uses.seen.update(parameters)
            self.uses.multiplied.update(parameters if name in _PRODUCTS or func.namespace != "aten" else ())
        for tensor in given:
            self._alive.append(tensor.untyped_storage())
            self._sources[_key(tensor)] = self._sources.get(_key(tensor), set()) | sources
            if name in _COPIES:
                self._itself[_key(tensor)] = parameters
        return result


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


# The copy


def _hollow(model: nn.Module, shapes: Mapping[int, tuple[int, ...]]) -> tuple[nn.Module, dict[int, int]]:
    """A copy on the meta device without hooks and wrappers, and its storages -> ids of the model's parameters."""
    copies: dict[int, Any] = {}
    original: dict[int, int] = {}
    modules = list(model.modules())
    for module in modules:
        copies[id(module)] = object.__new__(own_class(module))
        for name, value in [*module._parameters.items(), *module._buffers.items(), *vars(module).items()]:
            if isinstance(value, Tensor) and id(value) not in copies:
                copy = torch.empty(shapes.get(id(value), value.shape), dtype=value.dtype, device="meta")
                copies[id(value)] = nn.Parameter(copy, requires_grad=False) if id(value) in shapes else copy
                if id(value) in shapes or {f"{name}_g", f"{name}_orig"} & module._parameters.keys():
                    original[_key(copy)] = id(value)  # or what an old-style weight_norm made of parameters
    for module in modules:
        held = vars(copies[id(module)])
        for name, value in vars(module).items():
            if name.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")):
                held[name] = OrderedDict()
            elif name != "forward":  # accelerate, DeepSpeed and torch.compile put their own here
                held[name] = _renewed(dict(value) if name in _REGISTERED else value, copies)
        held.update(training=False, _compiled_call_impl=None)
    for module in modules:
        children = copies[id(module)]._modules
        present = {name: child for name, child in children.items() if child is not None}
        children.update({name: _unwrapped(child, WRAPPED[1:]) for name, child in present.items()})
    return _unwrapped(copies[id(model)], WRAPPED), original


def _renewed(value: Any, copies: Mapping[int, Any]) -> Any:
    """A value with the model's modules and tensors replaced by their copies; the rest is shared."""
    if id(value) in copies:
        return copies[id(value)]
    if type(value) in (list, tuple):
        return type(value)(_renewed(one, copies) for one in value)
    if type(value) in (dict, OrderedDict):
        return {key: _renewed(one, copies) for key, one in value.items()}
    if isinstance(value, MethodType):
        return MethodType(value.__func__, _renewed(value.__self__, copies))
    return value


def _unwrapped(module: nn.Module, wrappers: tuple[str, ...]) -> nn.Module:
    """What the wrappers around a module hold; wrappers have no other child."""
    while len(module._modules) == 1 and (name := next(iter(module._modules))) in wrappers:
        module = module._modules[name]  # type: ignore[assignment]
    return module


@contextlib.contextmanager
def _nothing_left_behind() -> Iterator[None]:
    """Keeps random states, warnings and compilers out of it; new tensors are meta tensors."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept_random_states())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if "torch._dynamo" in sys.modules:  # else nothing can have been compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.device("meta"))
        yield


# The inputs


def _arguments(part: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Guesses at the arguments of a module's forward, the likeliest first."""
    taken = inspect.signature(part.forward).parameters.values()
    known = [p for p in taken if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    names = [p.name for p in known]
    required = [p.name for p in known if p.default is p.empty]
    ids = {name: torch.zeros(1, 16, dtype=torch.long) for name in names if name in {*required, *_IDS}}
    main = getattr(part, "main_input_name", None) or (required or names)[:1]
    main = [main] if isinstance(main, str) else main
    media = [name for name in names if name in _MEDIA or (name in main and name not in _IDS)]
    for shape in _shapes(part) if media else ():
        yield {**ids, **{name: torch.empty(shape) for name in media}}
    yield ids


def _shapes(part: nn.Module) -> Iterator[tuple[int, ...]]:
    """Shapes of inputs that the layers of a module could take, convolutions of few channels first."""
    image = _setting(part, "image_size", 224)
    size = tuple(image)[:2] if isinstance(image, list | tuple) else (image, image)
    bins, frames = _setting(part, "num_mel_bins", 80), _setting(part, "num_frames", 8)
    length = 2 * _setting(part, "max_source_positions", 512)
    convolutions = [c for c in part.modules() if isinstance(c, CONVOLUTIONS)]
    kinds = {(c.in_channels, len(c.kernel_size), c.in_channels * math.prod(c.kernel_size)) for c in convolutions}
    for channels, dimensions, patch in sorted(kinds)[:_GUESSES]:
        if dimensions == 1:
            yield from [(1, 16000)] if channels == 1 else []
            samples = 16000 if channels == 1 else length
            yield from [(1, channels, samples), (1, samples, channels)]
        elif dimensions == 2:
            yield from [(1, channels, *size), (1, frames, channels, *size), (1, *size, channels)]
            yield from [(1, _setting(part, "max_length", 1024), bins), (1, 1, 1024, bins)] if channels == 1 else []
        else:
            yield from [(1, channels, frames, *size), (1, frames, channels, *size)]
        yield (64, patch)  # patches cut out by the processor
    layers = [m for m in part.modules() if isinstance(m, nn.Linear | nn.RNNBase)]
    widths = dict.fromkeys(m.in_features if isinstance(m, nn.Linear) else m.input_size for m in layers)
    for width in list(widths)[:_GUESSES]:
        yield from [(1, 16, width), (1, width)]


def _setting(part: nn.Module, name: str, default: Any) -> Any:
    """A field of the first configuration in a module that has it."""
    configs = (getattr(module, "config", None) for module in part.modules())
    return next((value for config in configs if (value := getattr(config, name, None)) is not None), default)
