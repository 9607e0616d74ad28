"""Publishing: a run's models as revisions of one repository on the Hub, with a card made from what was measured.

The only code of hf_dsd that uploads.
"""

from .card import render_card, render_index
from .publish import publish
from .push_trainer import publish_trainer
from .repository import PublishError
from .results import DatasetFacts, Prose, Results
from .revisions import Revision, plan_revisions
from .studies import Study

__all__ = [
    "DatasetFacts",
    "Prose",
    "PublishError",
    "Results",
    "Revision",
    "Study",
    "plan_revisions",
    "publish",
    "publish_trainer",
    "render_card",
    "render_index",
]
