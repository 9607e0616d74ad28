"""Captioned images, transcribed speech, drawn shapes: loading, batching, and sets made on the spot, no download."""

from .caption_files import load_captions
from .caption_hub import load_caption_dataset
from .captioning import CaptionData, CaptionEvaluationSet, CaptionSplit, CaptionTrainingSet
from .collators import CaptionCollator
from .digit_content import DigitString, Speaker
from .length_grouping import LengthGroupedOrder
from .scene_content import SHAPES, Scene, ShapeGroup
from .scene_drawing import draw_scene
from .scenes import DEFAULT_SPLIT_SIZES, SceneSet, make_scenes
from .shape_pictures import ShapePictures, make_shape_pictures
from .spec_augment import SpecAugment
from .speech import SpeechData, Utterance
from .speech_audio import AudioHeader, BadUtteranceError, read_audio, read_header
from .speech_collator import SpeechCollator
from .speech_dataset import SpeechDataset
from .speech_files import load_speech
from .speech_hub import load_speech_dataset
from .speech_labels import required_frames, transcript_characters
from .spoken_digits import DigitSet, make_spoken_digits

__all__ = [
    "DEFAULT_SPLIT_SIZES",
    "SHAPES",
    "AudioHeader",
    "BadUtteranceError",
    "CaptionCollator",
    "CaptionData",
    "CaptionEvaluationSet",
    "CaptionSplit",
    "CaptionTrainingSet",
    "DigitSet",
    "DigitString",
    "LengthGroupedOrder",
    "Scene",
    "SceneSet",
    "ShapeGroup",
    "ShapePictures",
    "Speaker",
    "SpecAugment",
    "SpeechCollator",
    "SpeechData",
    "SpeechDataset",
    "Utterance",
    "draw_scene",
    "load_caption_dataset",
    "load_captions",
    "load_speech",
    "load_speech_dataset",
    "make_scenes",
    "make_shape_pictures",
    "make_spoken_digits",
    "read_audio",
    "read_header",
    "required_frames",
    "transcript_characters",
]
