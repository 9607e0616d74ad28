"""Measures the model in a card's folder, by its files alone, and writes what it finds into the card.

    python tests/benchmarks/measure_card.py model_cards/deepspeech2-an4 --data_dir an4 --seed 1

Scores are those of the test split, with the files' own settings of generation; beside them stands what the model says
of the recordings or pictures under examples/. `--seed` is that of the run that trained it.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import soundfile
import torch
from transformers import AutoModelForCTC, AutoModelForImageTextToText, AutoProcessor, pipeline

from hf_dsd.data import load_captions, load_speech
from hf_dsd.hub import Results
from hf_dsd.hub.card_command import refresh_card
from hf_dsd.hub.card_facts import ShippedModel
from hf_dsd.hub.staging import weights_digest
from hf_dsd.metrics import caption_scorer, score_transcripts

SCORES = ("wer", "cer", "bleu1", "bleu2", "bleu3", "bleu4")
EXAMPLES = {"automatic-speech-recognition": "recordings", "image-text-to-text": "pictures"}
BATCH = 100


@torch.no_grad()
def score_speech(folder: Path, data_dir: Path) -> dict[str, Any]:
    """WER and CER, one utterance at a time."""
    model, processor = AutoModelForCTC.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    utterances = load_speech(data_dir, split_names={"train": None, "test": None}, required_splits=["test"]).split(
        "test"
    )
    heard = []
    for utterance in utterances:
        audio, rate = soundfile.read(data_dir / utterance.name, dtype="float32")
        heard += processor.transcribe(model(**processor(audio, sampling_rate=rate, return_tensors="pt")).logits)
    return score_transcripts(heard, [utterance.transcript for utterance in utterances], decoding="greedy")


@torch.no_grad()
def score_captions(folder: Path, data_dir: Path) -> dict[str, Any]:
    """BLEU of captions of the data's vectors, of which the model reads the first columns."""
    model, processor = AutoModelForImageTextToText.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    data = load_captions(data_dir, feature_columns=f"0:{model.config.image_feature_size}")
    split = data.split("test")
    captions = []
    for rows in torch.as_tensor(split.feature_rows).split(BATCH):
        captions += processor.batch_decode(model.generate(image_features=data.features[rows]), skip_special_tokens=True)
    return dict(caption_scorer(processor.tokenizer, split.images, split.captions).score(captions))


def say(folder: Path, task: str) -> dict[str, list[str]]:
    """What the pipeline says of each example, and what its metadata say."""
    ask = pipeline(task, model=str(folder))
    examples = Path("examples") / EXAMPLES[task]
    answers = {}
    for line in (examples / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        file = examples / row["file_name"]
        if task == "image-text-to-text":
            said = ask(str(file), text="")[0]["generated_text"]
        else:
            audio, rate = soundfile.read(file, dtype="float32")
            said = ask({"raw": audio, "sampling_rate": rate})["text"]
        answers[file.as_posix()] = [said, row["text"].lower()]
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("card", type=Path)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    results, folder = Results.read(arguments.card), arguments.card
    score: Callable[[Path, Path], dict[str, Any]] = (
        score_captions if results.model.model_type == "neuraltalk" else score_speech
    )
    scores = {name: value for name, value in score(folder, arguments.data_dir).items() if name in SCORES}
    print(scores)
    shipped = ShippedModel(
        folder.as_posix(),
        weights_digest(folder),
        arguments.seed,
        "test",
        scores,
        " ".join(["python tests/benchmarks/measure_card.py", folder.as_posix(), "--data_dir", arguments.data_dir.name]),
        say(folder, results.model.task or ""),
    )
    replace(results, shipped=shipped).write(folder)
    refresh_card(folder)


if __name__ == "__main__":
    main()
