"""Captioned images, transcribed speech, drawn shapes: loading, batching, and sets made on the spot, no download."""

from .captions.collator import CaptionCollator
from .captions.dataset import CaptionData, CaptionEvaluationSet, CaptionSplit, CaptionTrainingSet
from .captions.files import load_captions
from .captions.hub import load_caption_dataset
from .length_grouped_sampler import LengthGroupedSampler
from .sources import chosen_source
from .speech.audio import AudioHeader, BadUtteranceError, read_audio, read_header
from .speech.collator import SpeechCollator
from .speech.dataset import SpeechDataset
from .speech.files import load_speech
from .speech.hub import load_speech_dataset
from .speech.labels import required_frames
from .speech.spec_augment import SpecAugment
from .speech.utterances import SpeechData, Utterance
from .splits import SPLITS
from .toys.digit_content import DigitString, Speaker
from .toys.reviews import OPINIONS, Reviews, make_reviews
from .toys.scene_content import SHAPES, Scene, ShapeGroup
from .toys.scene_drawing import draw_scene
from .toys.scenes import DEFAULT_SPLIT_SIZES, SceneSet, ShapePictures, make_scenes, make_shape_pictures
from .toys.spoken_digits import DigitSet, make_spoken_digits

__all__ = [
    "DEFAULT_SPLIT_SIZES",
    "OPINIONS",
    "SHAPES",
    "SPLITS",
    "AudioHeader",
    "BadUtteranceError",
    "CaptionCollator",
    "CaptionData",
    "CaptionEvaluationSet",
    "CaptionSplit",
    "CaptionTrainingSet",
    "DigitSet",
    "DigitString",
    "LengthGroupedSampler",
    "Reviews",
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
    "chosen_source",
    "draw_scene",
    "load_caption_dataset",
    "load_captions",
    "load_speech",
    "load_speech_dataset",
    "make_reviews",
    "make_scenes",
    "make_shape_pictures",
    "make_spoken_digits",
    "read_audio",
    "read_header",
    "required_frames",
]
