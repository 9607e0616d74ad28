"""Captioned images: loading, batching, and a set of drawn scenes that needs no download."""

from .caption_files import load_captions
from .caption_hub import load_caption_dataset
from .captioning import CaptionData, CaptionEvaluationSet, CaptionSplit, CaptionTrainingSet
from .collators import CaptionCollator
from .scene_content import Scene, ShapeGroup
from .scene_drawing import draw_scene
from .scenes import SceneSet, make_scenes

__all__ = [
    "CaptionCollator",
    "CaptionData",
    "CaptionEvaluationSet",
    "CaptionSplit",
    "CaptionTrainingSet",
    "Scene",
    "SceneSet",
    "ShapeGroup",
    "draw_scene",
    "load_caption_dataset",
    "load_captions",
    "make_scenes",
]
