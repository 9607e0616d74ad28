"""Publishing: a run's models as revisions of one repository on the Hub, with a card made from what was measured.

The only code of hf_dsd that uploads.
"""

from .card import render_card, render_index, render_studies
from .contents import Revision, plan_revisions
from .publish import publish, publish_card
from .push_trainer import publish_trainer
from .repository import PublishError
from .results import Results
from .words import Words

__all__ = [
    "PublishError",
    "Results",
    "Revision",
    "Words",
    "plan_revisions",
    "publish",
    "publish_card",
    "publish_trainer",
    "render_card",
    "render_index",
    "render_studies",
]
