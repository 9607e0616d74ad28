"""What a run's trainer sends to the Hub: while it trains the current model alone, at its end every phase's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from transformers import Trainer

from hf_dsd.files import write_json
from hf_dsd.runs.folder import SUMMARY_FILE_NAME
from hf_dsd.runs.privacy import without_paths
from hf_dsd.runs.summary_file import read_summary

from .lifecycle import Lifecycle

PUSH_FOLDER_NAME = "_pushed"


class PushMixin(Trainer):
    """The pushes of a `DSDMixin`.

    Attributes:
        publisher: The function that publishes a finished run, `package.module:function` as entry points are written. It
            is called with the trainer, and looked up by its name only then: publishing needs scores, reports and
            cards, which lie above the trainer.
        life: The current or last `train()`.
    """

    publisher = "hf_dsd.hub:publish_trainer"
    life: Lifecycle | None = None

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Publishes the run as `hf-dsd publish` does: the last phase's model as `main`, the earlier ones as branches.

        With a `revision`, or before the last phase has ended, the Trainer's own: the current model alone is pushed.

        Args:
            commit_message: Of `main`'s commit.
            blocking: False publishes in the background and returns a future.
            token: Write token; None takes `hub_token`, HF_TOKEN or the login.
            revision: Where to push the current model.
            private: Make a new repository private; None takes `hub_private_repo`.
            kwargs: `license`, `language` and `dataset` for the card.

        Returns:
            `main`'s commit, or a future of it; None on other processes than the main one.
        """
        revision = revision or self.args.hub_revision
        if revision is not None or self.life is None or not self.life.has_finished:
            if self.hub_model_id is None:  # by the name of the run's folder, which the block below exchanges
                self.init_hf_repo(token=token or self.args.hub_token, private=private)
            kwargs.setdefault("model_name", str(self.hub_model_id or "").rpartition("/")[2] or None)
            with self._pushing_model_only():
                return super().push_to_hub(commit_message, blocking, token, revision, private, **kwargs)
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        if not self.is_world_process_zero():
            return None
        self._finish_current_push()
        publish = resolve_name(self.publisher)
        return publish(self, message=commit_message, blocking=blocking, token=token, private=private, **kwargs)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """The Trainer's own, which takes a model without a name for a fine-tuned version of nothing."""
        config: Any = getattr(self.model, "config", None)
        if getattr(config, "_name_or_path", None) != "":
            super().create_model_card(*args, **kwargs)
            return
        config._name_or_path = os.curdir  # a folder is no base model
        try:
            super().create_model_card(*args, **kwargs)
        finally:
            config._name_or_path = ""

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        with self._pushing_model_only():
            super()._push_from_checkpoint(checkpoint_folder)

    @contextmanager
    def _pushing_model_only(self) -> Iterator[None]:
        """Has the Trainer push a folder of its own, where it puts the model, instead of all that the run has written.

        It would upload every phase's weights and masks into the root of `main`. The folder stays, for an upload in the
        background; its name keeps it out of pushes of the folder around it.
        """
        own = self.args.output_dir
        folder = Path(own) / PUSH_FOLDER_NAME
        if self.args.should_save:
            folder.mkdir(parents=True, exist_ok=True)
            phases = self.life.recorder.phases if self.life is not None else []
            if any(phase["finished"] for phase in phases):  # else the folder may have an older run's
                self._copy_summary(folder)
        self.args.output_dir = str(folder)
        try:
            yield
        finally:
            self.args.output_dir = own

    @property
    def run_folder(self) -> Path:
        """Where the run's phases and summary are."""
        raise NotImplementedError

    def _copy_summary(self, folder: Path) -> None:
        """Copies the summary without the folders of this machine, which its command names."""
        write_json(folder / SUMMARY_FILE_NAME, without_paths(read_summary(self.run_folder)))
