"""`hf-dsd demo`: the whole method on sets that the code makes itself, in minutes, without a download.

A demo is a comparison of two arms: a small model trained dense, sparse, dense, and its equal-budget dense control, the
same epochs and learning rates without a mask, which also keeps the model that early stopping would have ended with.
"""

from .captioning import captioning_task
from .speech import speech_task
from .task import DemoTask, run_demo

__all__ = ["DemoTask", "captioning_task", "run_demo", "speech_task"]
