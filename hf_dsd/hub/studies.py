"""Further comparisons of a card: a sweep over sparsities, optimizers, lengths; one table each.

Layer: the comparison.
"""

from dataclasses import dataclass, field, replace

from huggingface_hub.dataclasses import strict

from hf_dsd.compare import Comparison

from .public_comparison import public_comparison


@strict
@dataclass
class Study:
    """One question beside the main comparison.

    Attributes:
        title: Its heading.
        text: What a person says about it, in markdown.
        comparisons: Setting -> its comparison, each with its own equal-budget control: `30 %`, `50 %`.
        columns: Headings of a table that no comparison makes.
        rows: Its cells.
    """

    title: str
    text: str = ""
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def parse_study(argument: str) -> tuple[str, str, str]:
    """Splits `TITLE: SETTING=FOLDER` into its three parts; without a colon the setting is the title.

    Raises:
        ValueError: If a part is empty.
    """
    name, equals, folder = argument.partition("=")
    title, colon, setting = (part.strip() for part in name.partition(":"))
    if not (title and equals and folder) or (colon and not setting):
        raise ValueError(f"--study must be 'TITLE: SETTING=FOLDER' or 'TITLE=FOLDER', got {argument!r}")
    return title, setting or title, folder


def with_comparison(studies: list[Study], title: str, setting: str, comparison: Comparison) -> list[Study]:
    """The studies with a comparison put under a title, in place of the one that had this setting; texts stay."""
    public = public_comparison(comparison)
    if title not in [study.title for study in studies]:
        return [*studies, Study(title, comparisons={setting: public})]
    return [
        replace(study, comparisons={**study.comparisons, setting: public}) if study.title == title else study
        for study in studies
    ]
