"""A report's page as a reader sees it: its words, its tags and what they carry."""

import re
from html.parser import HTMLParser
from pathlib import Path


class Parsed(HTMLParser):
    """Text, tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.words.append(data)


def parse(path: Path) -> Parsed:
    """A page, read."""
    return Parsed(path.read_text(encoding="utf-8"))


def section(path: Path, name: str) -> str:
    """The text of one section of a page."""
    whole = path.read_text(encoding="utf-8")
    start = whole.index(f'<section id="{name}">')
    return Parsed(whole[start : whole.index("</section>", start)]).text
