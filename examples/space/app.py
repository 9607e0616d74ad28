"""A demo of Dense-Sparse-Dense training: what the dense, sparse and DSD models make of one picture or recording.

Models come from the environment, at least one of the two, as a name on the Hub whose branches `dense`, `sparse` and
`main` hold the three models, or as a folder with subfolders of these names:

    CAPTION_MODEL=user/neuraltalk-flickr8k-dsd SPEECH_MODEL=runs/an4/published python examples/space/app.py

Where hf_dsd is not installed, they are loaded with the code beside them: name only repositories whose code you trust.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import gcd
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import soundfile
from scipy.signal import resample_poly
from transformers import Pipeline, pipeline

with suppress(ModuleNotFoundError):
    import hf_dsd  # noqa: F401 (where it is installed, the folders of a run's phases load as they are)

CAPTION_VARIABLE, SPEECH_VARIABLE = "CAPTION_MODEL", "SPEECH_MODEL"
MODELS = {
    "dense": "Dense: trained as usual, where DSD starts from",
    "sparse": "Sparse: the smallest weights removed, the rest trained on",
    "main": "DSD: all weights trained again",
}
LONGEST_PIECE = 20  # seconds that a speech model hears at once; a longer recording is cut, with overlaps
NO_WORDS = "(no words)"
ABOUT = """# Dense-Sparse-Dense training
Three models of the same architecture and size, one after the other out of one training run
([Han et al., 2017](https://arxiv.org/abs/1607.04381)). A single example proves nothing: the model card has the scores.
"""


def load_pipelines(task: str, source: str) -> list[Pipeline]:
    """Loads the models of `MODELS`, in this order.

    Args:
        task: Name of a transformers pipeline.
        source: A folder with one subfolder per model, or a repository of the Hub with one branch per model.

    Raises:
        FileNotFoundError: If `source` is a folder without one of the subfolders.
    """
    folder = Path(source)
    if not folder.is_dir():
        return [pipeline(task, model=source, revision=name, trust_remote_code=True) for name in MODELS]
    missing = [name for name in MODELS if not (folder / name / "config.json").is_file()]
    if missing:
        raise FileNotFoundError(
            f"{source} must hold the models {list(MODELS)}, got no {missing}; save them there first"
        )
    return [pipeline(task, model=str(folder / name), trust_remote_code=True) for name in MODELS]


def caption(models: list[Pipeline], picture: Any) -> list[str]:
    """Describes a PIL picture, once per model."""
    if picture is None:
        raise gr.Error("Choose a picture first.", print_exception=False)
    return [model(picture, text="")[0]["generated_text"].strip() or NO_WORDS for model in models]


def transcribe(models: list[Pipeline], recording: str | None) -> list[str]:
    """Writes down what is said in an audio file, once per model."""
    if recording is None:
        raise gr.Error("Record or choose some speech first.", print_exception=False)
    rate = models[0].feature_extractor.sampling_rate
    audio = read_recording(recording, rate)
    # A copy for each: the pipeline changes the array that it is given.
    return [model(audio.copy(), chunk_length_s=LONGEST_PIECE)["text"] or NO_WORDS for model in models]


def read_recording(file: str, rate: int) -> np.ndarray:
    """Reads an audio file as mono `(samples,)` float32 at `rate` samples per second.

    Raises:
        gr.Error: If the file is not audio, or empty.
    """
    try:
        audio, file_rate = soundfile.read(file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise gr.Error("This file cannot be read; try WAV, FLAC, OGG or MP3.", print_exception=False) from error
    if not len(audio):
        raise gr.Error("This recording is empty.", print_exception=False)
    divisor = gcd(file_rate, rate)
    mono: np.ndarray = resample_poly(audio.mean(axis=1), rate // divisor, file_rate // divisor)
    return mono.astype(np.float32)


def add_tab(title: str, source: gr.components.Component, action: str, name: str, run: Callable[..., list[str]]) -> None:
    """Adds a tab: `source` and a button, one answer per model beside them; `name` is its HTTP endpoint."""
    with gr.Tab(title), gr.Row():
        with gr.Column():
            source.render()
            button = gr.Button(action, variant="primary")
        with gr.Column():
            answers = [gr.Textbox(label=label, interactive=False) for label in MODELS.values()]
    button.click(run, source, answers, api_name=name)


def build_app(caption_source: str | None, speech_source: str | None) -> gr.Blocks:
    """Builds the page, with a tab for each kind of model that is there.

    Raises:
        ValueError: If neither is there.
    """
    if not caption_source and not speech_source:
        raise ValueError(
            f"{CAPTION_VARIABLE} or {SPEECH_VARIABLE} must be set, got neither; name a folder or a Hub repository"
        )
    with gr.Blocks(title="Dense-Sparse-Dense training") as app:
        gr.Markdown(ABOUT)
        if caption_source:
            picture = gr.Image(type="pil", label="Picture", render=False)
            run = partial(caption, load_pipelines("image-text-to-text", caption_source))
            add_tab("Picture to caption", picture, "Describe", "caption", run)
        if speech_source:
            recording = gr.Audio(type="filepath", label="Recording", render=False)
            run = partial(transcribe, load_pipelines("automatic-speech-recognition", speech_source))
            add_tab("Speech to text", recording, "Write down", "transcribe", run)
    return app


if __name__ == "__main__":
    build_app(os.environ.get(CAPTION_VARIABLE), os.environ.get(SPEECH_VARIABLE)).launch()
