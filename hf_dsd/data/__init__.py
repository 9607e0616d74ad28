"""Captioned images, transcribed speech, drawn shapes: loading, batching, and sets made on the spot, no download."""

from .captions.captioned_pictures import load_captioned_pictures
from .captions.collator import CaptionCollator
from .captions.dataset import CaptionData, CaptionEvaluationSet, CaptionSplit, CaptionTrainingSet
from .captions.files import load_captions
from .captions.hub import load_caption_dataset
from .hub_splits import load_files, load_splits, with_validation
from .images.augmentation import AUGMENTATIONS
from .images.idx import holds_idx, load_idx_pictures
from .images.picture_set import PictureSet
from .length_grouped_sampler import LengthGroupedSampler
from .sources import SPLIT_OPTIONS, SplitArguments, chosen_source
from .speech.audio import AudioHeader, AudioPart, BadUtteranceError, read_audio, read_header
from .speech.characters import check_characters
from .speech.collator import SpeechCollator
from .speech.dataset import SpeechDataset
from .speech.files import load_speech
from .speech.hub import load_speech_dataset
from .speech.labels import required_frames
from .speech.spec_augment import SpecAugment
from .speech.utterances import SpeechData, Utterance
from .splits import SPLITS, draw_rows
from .toys.digit_content import DigitString, Speaker
from .toys.reviews import OPINIONS, Reviews, make_reviews
from .toys.scene_content import SHAPES, Scene, ShapeGroup
from .toys.scene_drawing import draw_scene
from .toys.scenes import DEFAULT_SPLIT_SIZES, SceneSet, ShapePictures, make_scenes, make_shape_pictures
from .toys.spoken_digits import DEFAULT_DIGIT_SIZES, DigitSet, make_spoken_digits

__all__ = [
    "AUGMENTATIONS",
    "DEFAULT_DIGIT_SIZES",
    "DEFAULT_SPLIT_SIZES",
    "OPINIONS",
    "SHAPES",
    "SPLITS",
    "SPLIT_OPTIONS",
    "AudioHeader",
    "AudioPart",
    "BadUtteranceError",
    "CaptionCollator",
    "CaptionData",
    "CaptionEvaluationSet",
    "CaptionSplit",
    "CaptionTrainingSet",
    "DigitSet",
    "DigitString",
    "LengthGroupedSampler",
    "PictureSet",
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
    "SplitArguments",
    "Utterance",
    "check_characters",
    "chosen_source",
    "draw_rows",
    "draw_scene",
    "holds_idx",
    "load_caption_dataset",
    "load_captioned_pictures",
    "load_captions",
    "load_files",
    "load_idx_pictures",
    "load_speech",
    "load_speech_dataset",
    "load_splits",
    "make_reviews",
    "make_scenes",
    "make_shape_pictures",
    "make_spoken_digits",
    "read_audio",
    "read_header",
    "required_frames",
    "with_validation",
]
