"""A text that no file gets to hold: the Trainer pickles its arguments beside every model, `hub_token` and all.

Those pickles lie in every checkpoint, and `push_to_hub` uploads one.
"""

from typing import Any


class SecretText(str):
    """A string that is pickled as None; copies within the process keep it."""

    def __reduce_ex__(self, protocol: Any) -> tuple[type, tuple[()]]:
        return type(None), ()

    def __copy__(self) -> "SecretText":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "SecretText":
        return self


def keep_out_of_pickles(owner: Any, field: str) -> None:
    """Makes a text field of an object one that is pickled as None."""
    value = getattr(owner, field)
    if value is not None:
        setattr(owner, field, SecretText(value))
