"""Model cards, and publishing on the Hub."""

from .card import render_card, render_index
from .results import DatasetFacts, Prose, Results
from .studies import Study

__all__ = ["DatasetFacts", "Prose", "Results", "Study", "render_card", "render_index"]
