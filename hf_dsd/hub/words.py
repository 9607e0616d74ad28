"""`words.md`: what a person writes about a model; Markdown beside results.json, which code reads and never changes."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hf_dsd.files import written_whole

WORDS_FILE_NAME = "words.md"
HEADINGS = ("Description", "Training", "Paper", "Findings", "Data", "Limits", "Commands")
STUDY = "Study: "
"""Begins the heading of what is said about one study, `# Study: Sparsity`."""

_HEAD = re.compile(r"\A---\n(.*?)^---\n", re.DOTALL | re.MULTILINE)
_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


@dataclass(frozen=True)
class Words:
    """What a person says about a model and its numbers; empty where nobody has said anything.

    Attributes:
        title: The card's heading; "" takes the model's class and the data.
        dataset: The data's name for readers: `CMU AN4`; "" takes it from the recorded command.
        dataset_id: The Hub's name of it, or a short one: `an4`; letters, digits, `.`, `_`, `-`, at most one `/`.
        license: Of the weights, as the Hub calls it: `apache-2.0`; `other` where none of its own fits.
        license_name: Another licence's name.
        license_link: Where another licence's text is.
        language: Codes as the Hub has them: `en`.
        sections: Heading -> Markdown, the headings of `HEADINGS` and `Study: TITLE`.
    """

    title: str = ""
    dataset: str = ""
    dataset_id: str = ""
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    language: list[str] = field(default_factory=list)
    sections: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dataset_id and not _ID.fullmatch(self.dataset_id):
            raise ValueError(
                "dataset_id must be a name as on the Hub (letters, digits, '.', '_', '-', at most one '/'), got "
                f"{self.dataset_id!r}; give a short one such as 'an4'"
            )

    def section(self, heading: str) -> str:
        """The Markdown under a heading; "" without it."""
        return self.sections.get(heading, "")

    @classmethod
    def read(cls, folder: Path) -> "Words":
        """Reads a card's `words.md`; a folder without one says nothing.

        The file begins with YAML between two lines `---`, as a card does, with the attributes; the sections follow.

        Raises:
            ValueError: If the file cannot be read, or an entry or a heading is unknown or of the wrong kind.
        """
        path = folder / WORDS_FILE_NAME
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read ({type(error).__name__}: {error}): write it as UTF-8") from error
        found = _HEAD.match(text)
        try:
            head = _head(found[1]) if found is not None else {}
            return cls(**head, sections=_sections(text[found.end() :] if found is not None else text))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def write(self, folder: Path) -> Path:
        """Writes the file, atomically, with every heading in it, and returns its path."""
        head = {name: value for name, value in asdict(self).items() if name != "sections"}
        text = f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)}---\n"
        sections = {**dict.fromkeys(HEADINGS, ""), **self.sections}
        text += "".join(f"\n# {name}\n\n{body}\n" for name, body in sections.items())
        with written_whole(folder / WORDS_FILE_NAME) as partial:
            partial.write_text(re.sub(r"\n{3,}", "\n\n", text), encoding="utf-8")
        return folder / WORDS_FILE_NAME


def as_id(name: str) -> str:
    """A dataset's name as the Hub could have it: `CMU AN4` becomes `cmu-an4`; names that it could have stay."""
    if _ID.fullmatch(name):
        return name
    return re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-._") or "data"


def _head(text: str) -> dict[str, Any]:
    try:
        head = yaml.safe_load(text) or {}
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(
            f"its head is no YAML ({' '.join(str(error).split())}): put texts with a colon into quotes"
        ) from error
    known = [name for name in Words.__dataclass_fields__ if name != "sections"]
    if not isinstance(head, dict) or not head.keys() <= set(known):
        raise ValueError(f"its head must hold {', '.join(known)}, got {str(head)[:80]}")
    if isinstance(head.get("language"), str):
        head["language"] = [head["language"]]
    for name, value in head.items():
        texts = value if name == "language" and isinstance(value, list) else [value]
        if not all(isinstance(one, str) or (one is None and name.startswith("license")) for one in texts):
            raise ValueError(f"{name} must be text, got {value!r}: put it into quotes")
    return head


def _sections(text: str) -> dict[str, str]:
    """Heading -> what follows it, blank lines around it cut; a `#` inside a block of code is no heading."""
    sections: dict[str, list[str]] = {}
    name, is_code = "", False
    for line in text.splitlines():
        is_code ^= line.lstrip().startswith("```")
        if line.startswith("# ") and not is_code:
            name = line[2:].strip()
            if name in sections or not (name in HEADINGS or name.startswith(STUDY)):
                raise ValueError(f"heading {name!r} must be one of {', '.join(HEADINGS)}, {STUDY}TITLE, each once")
            sections[name] = []
        elif name:
            sections[name].append(line)
        elif line.strip():
            raise ValueError(f"text stands before the first heading: {line.strip()[:60]!r}")
    return {name: body for name, lines in sections.items() if (body := "\n".join(lines).strip())}
