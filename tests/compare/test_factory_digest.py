"""What tells one make_trainer from another: its source, its defaults, what it closes over."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hf_dsd import DSDTrainer
from hf_dsd.compare import compare
from hf_dsd.compare.recipe import digest, factory_recipe

Factory = Callable[..., Any]


def plain(options: dict[str, Any], folder: str, seed: int) -> Any:
    return options, folder, seed


def closing(sparsity: Any, inner: Any = None) -> Factory:
    def make_trainer(options: dict[str, Any], folder: str, seed: int) -> Any:
        return sparsity, inner

    return make_trainer


def with_defaults(value: Any) -> Factory:
    def make_trainer(options: Any, folder: str, seed: int = value, *, rate: Any = value) -> Any:
        return options, folder, seed, rate

    return make_trainer


def recursive() -> Factory:
    def make_trainer(depth: int) -> Any:
        return make_trainer(depth - 1)

    return make_trainer


def test_a_function_by_itself_has_no_values() -> None:
    text = "def plain(options: dict[str, Any], folder: str, seed: int) -> Any:\n    return options, folder, seed\n"
    assert factory_recipe(plain) == factory_recipe(partial(plain)) == {"script": ["plain"], "source": digest(text)}
    assert factory_recipe(partial(plain, {})).keys() == {"script", "source", "values"}


def factory_values(factory: Factory) -> dict[str, str]:
    return factory_recipe(factory)["values"]


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        (closing(0.3), closing(0.9), ["sparsity"]),
        (closing({"b": [1, (2, None)]}), closing({"b": [1, (2, False)]}), ["sparsity"]),
        (closing(1), closing(True), ["sparsity"]),
        (closing(DSDTrainer), closing(Path), ["sparsity"]),
        (closing(0.3, closing(1)), closing(0.3, closing(2)), ["inner"]),
        (closing(0.3, plain), closing(0.3, with_defaults(1)), ["inner"]),
        (with_defaults(1), with_defaults(2), ["rate", "seed"]),
        (partial(plain, seed=1), partial(plain, seed=2), ["seed"]),
        (partial(plain, {"a": 1}), partial(plain, {"a": 2}), ["argument 1"]),
        (partial(closing(0.3), seed=1), partial(closing(0.4), seed=1), ["sparsity"]),
    ],
)
def test_other_values_are_seen(one: Factory, other: Factory, names: list[str]) -> None:
    found, others = factory_values(one), factory_values(other)
    assert sorted(name for name in found if found[name] != others[name]) == names


def test_the_same_values_are_the_same() -> None:
    same = {"b": {"x", "y", "z"}, "a": [Path("p"), 1e-3]}
    assert factory_values(closing(same)) == factory_values(closing(dict(reversed(same.items()))))
    assert factory_values(closing(object())) == factory_values(closing(object()))  # not plain: known by its type
    assert factory_values(recursive()) == factory_values(recursive())


def test_a_secret_that_it_closes_over_is_not_readable() -> None:
    assert "hf_secret" not in str(factory_values(closing("hf_secret")))


class Callee:
    """Something to call that is no function."""

    def __call__(self, options: Any, folder: str, seed: int) -> Any:
        return None


def test_what_is_no_function_is_refused(tmp_path: Path) -> None:
    message = "make_trainer must be a function, or functools.partial of one, since its source tells one recipe from "
    for factory in (Callee(), partial(Callee(), {}), eval("lambda options, folder, seed: None")):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            compare(factory, ["dsd"], [1], tmp_path, console=Console(quiet=True))


def test_another_closure_is_another_recipe(tmp_path: Path) -> None:
    def failing(rate: float) -> Callable[[dict[str, Any], str, int], DSDTrainer]:
        def make_trainer(options: dict[str, Any], folder: str, seed: int) -> DSDTrainer:
            raise RuntimeError(f"rate {rate}")

        return make_trainer

    for _ in range(2):
        with pytest.raises(FileNotFoundError, match=r"RuntimeError: rate 0\.3"):
            compare(failing(0.3), ["dsd"], [1], tmp_path, console=Console(quiet=True))
    with pytest.raises(ValueError, match=r"runs of another recipe \(make_trainer's rate changed\)"):
        compare(failing(0.9), ["dsd"], [1], tmp_path, console=Console(quiet=True))
