"""Where a script's data comes from: one source, and no argument that it would ignore."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from .splits import SPLITS

SOURCES = ("data_dir", "image_dir", "train_file", "dataset_name")
"""Arguments that name data; without any of them a script makes a set on the spot."""


@dataclass
class SplitArguments:
    """A script's options for the names that the splits have in data of one's own."""

    train_split: str | None = field(
        default=None,
        metadata={"help": "The data's name of the split to train on, several with +; found if it can be."},
    )
    validation_split: str | None = field(default=None, metadata={"help": "The same of the validation split."})
    test_split: str | None = field(default=None, metadata={"help": "The same of the test split."})

    @property
    def split_names(self) -> dict[str, str | None]:
        """Our split -> the data's name of it; None where it is to be found."""
        return {split: getattr(self, f"{split}_split") for split in SPLITS}


SPLIT_OPTIONS = tuple(option.name for option in fields(SplitArguments))
"""Their names."""


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
    for option in fields(arguments):
        value = getattr(arguments, option.name)
        default = option.default if option.default_factory is MISSING else option.default_factory()
        # Sets that are made on the spot have splits of their own.
        needed = only_with.get(option.name, "data_dir" if source is None and option.name in SPLIT_OPTIONS else source)
        if needed != source and value != default:
            belongs = f"belongs to {needed}" if needed else "belongs to the set that is made without a source"
            raise ValueError(
                f"{option.name} {belongs}, got {value!r} with {source or 'no source'}, which ignores it; leave one out"
            )
    seed = getattr(arguments, "train_size_seed", 0)
    if seed and (source is None or arguments.train_size is None):
        raise ValueError(
            f"train_size_seed {seed} draws a part of a training split: name a source and a train_size, or leave it out"
        )
    return source
