"""`trainer.push_to_hub()`: a finished run's revisions from the trainer that has just trained it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi
from rich.console import Console

from .publish import publish
from .repository import who_am_i

if TYPE_CHECKING:
    from hf_dsd.trainer.trainer import DSDMixin

logger = logging.getLogger(__name__)
_OF_THE_CARD = ("license", "language", "dataset")


def publish_trainer(
    trainer: DSDMixin,
    *,
    message: str | None = None,
    blocking: bool = True,
    token: str | None = None,
    private: bool | None = None,
    **card: Any,
) -> Any:
    """Publishes the trainer's run folder after `train()`; call it on the main process only.

    Args:
        trainer: The trainer.
        message: Message of `main`'s commit.
        blocking: False publishes in the background.
        token: None takes the arguments' `hub_token`, HF_TOKEN or the login.
        private: Make a new repository private; None takes `hub_private_repo`.
        card: Of `create_model_card`'s arguments `license`, `language` and `dataset` count; the rest of the card is made
            from the run.

    Returns:
        `main`'s commit, or a future of it.
    """
    unused = sorted(name for name, value in card.items() if value is not None and name not in _OF_THE_CARD)
    if unused:
        logger.warning("the card is made from the run: %s have no effect", ", ".join(unused))
    if trainer.summary.best_model is not None:
        logger.warning("main is the last phase's model, not the best one that load_best_model_at_end has loaded")
    args = trainer.args
    api = HfApi(token=token or args.hub_token)
    is_ours = trainer.hub_model_id is not None  # the Trainer has made it, or taken it, for this run
    name = trainer.hub_model_id or args.hub_model_id or Path(args.output_dir).resolve().name
    repo_id = name if "/" in name else f"{who_am_i(api)}/{name}"

    def run() -> Any:
        done = publish(
            trainer.run_folder,
            repo_id,
            private=args.hub_private_repo if private is None else private,
            message=message,
            token=token or args.hub_token,
            is_ours=is_ours,
            console=Console(stderr=True),
            **{key: card[key] for key in _OF_THE_CARD if key in card},
        )
        trainer.hub_model_id = repo_id
        return done

    return run() if blocking else api.run_as_future(run)
