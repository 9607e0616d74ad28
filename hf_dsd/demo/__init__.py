"""`hf-dsd demo`: the whole method on sets that the code makes itself, in minutes, without a download.

A small model is trained dense, sparse, dense, and by the equal-budget dense control: the same epochs and learning rates
without a mask.
"""

from .captioning import CaptioningDemo
from .figure import draw_captioned_scenes
from .report import results_table, run_captioning_demo, run_speech_demo
from .speech import SpeechDemo
from .two_arms import ArmResult, TwoArmDemo

__all__ = [
    "ArmResult",
    "CaptioningDemo",
    "SpeechDemo",
    "TwoArmDemo",
    "draw_captioned_scenes",
    "results_table",
    "run_captioning_demo",
    "run_speech_demo",
]
