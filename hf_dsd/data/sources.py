"""Where a script's data comes from: one source, and no argument that it would ignore."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

SOURCES = ("data_dir", "image_dir", "train_file", "dataset_name")
"""Arguments that name data; without any of them a script makes a set on the spot."""


def chosen_source(arguments: Any, only_with: Mapping[str, str | None]) -> str | None:
    """Which source a script's arguments name; refuses arguments that would be ignored.

    Args:
        arguments: A dataclass with some of the fields of `SOURCES`, None where the source is not asked for.
        only_with: Field -> the one source that it belongs to; None for the set that is made on the spot.

    Returns:
        The name of the source's field; None for the set that is made on the spot.

    Raises:
        ValueError: If two sources are named, a field that belongs to another source was changed, or there is a
            `train_size_seed` and nothing to draw from.
    """
    named = [name for name in SOURCES if getattr(arguments, name, None) is not None]
    if len(named) > 1:
        raise ValueError(f"data must come from one source, got {' and '.join(named)}; leave one of them out")
    source = named[0] if named else None
    for field in fields(arguments):
        value = getattr(arguments, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        needed = only_with.get(field.name, source)
        if needed != source and value != default:
            belongs = f"belongs to {needed}" if needed else "belongs to the set that is made without a source"
            raise ValueError(
                f"{field.name} {belongs}, got {value!r} with {source or 'no source'}, which ignores it; leave one out"
            )
    seed = getattr(arguments, "train_size_seed", 0)
    if seed and (source is None or arguments.train_size is None):
        raise ValueError(
            f"train_size_seed {seed} draws a part of a training split: name a source and a train_size, or leave it out"
        )
    return source
