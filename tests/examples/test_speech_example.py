"""examples/run_speech_recognition_ctc.py on recordings of two words, for all three kinds of model."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scripts import ROOT, run
from tiny import save_wav2vec2
from transformers import pipeline


@pytest.fixture
def speech_folder(tmp_path: Path) -> Path:
    """Nine recordings: two tones for one word, one tone for another."""
    folder = tmp_path / "speech"
    time = np.arange(6400) / 16_000
    sounds = {"HO": np.sin(2 * np.pi * np.where(time < 0.2, 400, 1600) * time), "A": np.sin(2 * np.pi * 3000 * time)}
    for split, count in (("train", 8), ("validation", 2), ("test", 4)):
        (folder / split).mkdir(parents=True)
        lines = []
        for row in range(count):
            text = ["HO", "A"][row % 2]
            noise = np.random.default_rng(row).normal(size=len(time))
            soundfile.write(folder / split / f"{row}.flac", 0.3 * sounds[text] + 0.01 * noise, 16_000)
            lines.append(json.dumps({"file_name": f"{row}.flac", "text": text}))
        (folder / split / "metadata.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def wav2vec2_folder(tmp_path: Path) -> Path:
    """A checkpoint of wav2vec 2.0 with random weights, and its processor with upper-case letters."""
    folder = tmp_path / "wav2vec2"
    save_wav2vec2(folder)
    return folder


SMALL = {
    "deepspeech": {"hidden_size": 16, "context_stride": 2},
    "deepspeech2": {"hidden_size": 16, "num_hidden_layers": 2, "rnn_type": "gru", "conv_channels": [2, 2]},
    "wav2vec2": {},
}
SPEECH_OPTIONS = "--per_device_train_batch_size 4 --save_strategy no --eval_strategy no --report_to none"
SPEECH_OPTIONS += " --disable_tqdm true --use_cpu true --sparsity 0.5"


@pytest.mark.parametrize("model_type", SMALL)
def test_speech_recognition_from_files(model_type: str, tmp_path: Path, speech_folder, wav2vec2_folder) -> None:
    script, out = ROOT / "examples" / "run_speech_recognition_ctc.py", tmp_path / "out"
    options = SPEECH_OPTIONS + " --phase_steps 40 20 20 --learning_rate 2e-2 --spec_augment false"
    name = wav2vec2_folder if model_type == "wav2vec2" else model_type
    config = ["--config_overrides", json.dumps(SMALL[model_type])]
    folders = ["--data_dir", speech_folder, "--output_dir", out, "--model_type", name]
    has_batch_norm = model_type == "deepspeech2"
    options += f" --landscape {str(has_batch_norm).lower()}"
    text = run(sys.executable, script, *folders, *config, *options.split())
    summary = json.loads((out / "dsd_summary.json").read_text())
    layers = summary["phases"][1]["layers"]
    assert all(layer["pruned"] == round(0.5 * layer["weights"]) for layer in layers)
    assert len(layers) >= 6
    scores = json.loads((out / "test_phase-2-dense.json").read_text())
    assert [example["id"] for example in scores["examples"]] == [f"test/{row}.flac" for row in range(4)]
    assert [example["references"] for example in scores["examples"]] == [["ho"], ["a"], ["ho"], ["a"]]
    assert (scores["metric"], scores["scores"]["words"]) == ("wer", 4)
    if model_type != "wav2vec2":  # from random weights it needs more than a test's few steps
        assert scores["scores"]["wer"] == 0.0, text
    assert re.search(r"phase-2-dense: WER \d+\.\d% CER \d+\.\d% nrefs:1\|.*decoding:greedy", text)
    assert (out / "vocab.json").exists()
    assert (out / "landscape.json").exists() == has_batch_norm
    if has_batch_norm:
        landscape = json.loads((out / "landscape.json").read_text())
        assert landscape["batch_norm"] == "statistics computed anew from 2 training batches for every loss"
        own = summary["phases"][2]["metrics"]["eval_loss"]  # by the running statistics of training
        assert landscape["losses"]["phase-2-dense"] == pytest.approx(own, abs=0.2)


def test_bad_recordings_are_named_or_skipped(tmp_path: Path, speech_folder) -> None:
    script = ROOT / "examples" / "run_speech_recognition_ctc.py"
    for bad in ("train/3.flac", "test/1.flac"):
        (speech_folder / bad).write_bytes(b"no sound")
    lines = (speech_folder / "train" / "metadata.jsonl").read_text().splitlines()
    lines[5] = json.dumps({"file_name": "5.flac", "text": "A" * 60})  # more letters than frames
    (speech_folder / "train" / "metadata.jsonl").write_text("\n".join(lines))
    options = SPEECH_OPTIONS + " --phase_steps 1 1 1 --spec_augment false --model_type deepspeech"
    command = [sys.executable, script, "--data_dir", speech_folder, "--output_dir", tmp_path / "out"]
    command += ["--config_overrides", json.dumps(SMALL["deepspeech"]), *options.split()]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert refused.returncode == 2
    assert re.match(r"error train/3.flac: .*skip_bad_examples", refused.stderr)
    skipped = subprocess.run(
        [*command, "--skip_bad_examples", "true"], capture_output=True, text=True, check=True, timeout=300
    )
    assert re.search(r"left out 1 of 8 utterances .*\n.*train/3.flac", skipped.stderr)
    assert re.search(r"left out 1 of 7 utterances .*\n.*train/5.flac: transcript must fit", skipped.stderr)
    scores = json.loads((tmp_path / "out" / "test_phase-2-dense.json").read_text())
    assert len(scores["examples"]) == 3
    assert "|skipped:1|" in scores["scores"]["signature"]  # a smaller test set is another test set


def test_ten_recordings_in_a_librispeech_tree(tmp_path: Path) -> None:
    """One's own alphabet, no validation split, no test split; then the pipeline hears one of them."""
    time = np.arange(6400) / 16_000
    sounds = {"\u00c4H\u00d6!": np.where(time < 0.2, 400, 1600), "\u0416": 3000}
    for row in range(10):
        text = list(sounds)[row % 2]
        chapter = tmp_path / "corpus" / "train-clean" / str(row // 5) / "1"
        chapter.mkdir(parents=True, exist_ok=True)
        sound = 0.3 * np.sin(2 * np.pi * sounds[text] * time) + 0.01 * np.random.default_rng(row).normal(size=len(time))
        soundfile.write(chapter / f"{row // 5}-1-{row:04}.flac", sound, 16_000)
        with (chapter / f"{row // 5}-1.trans.txt").open("a", encoding="utf-8") as lines:
            lines.write(f"{row // 5}-1-{row:04} {text}\n")
    script, out = ROOT / "examples" / "run_speech_recognition_ctc.py", tmp_path / "out"
    options = SPEECH_OPTIONS.replace("--eval_strategy no", "--eval_strategy epoch")
    options += " --phase_epochs 30 10 10 --learning_rate 2e-2 --spec_augment false --do_predict false"
    options += " --train_split train.clean --text_normalizer basic --train_size 8"
    command = [sys.executable, script, "--data_dir", tmp_path / "corpus", "--output_dir", out, *options.split()]
    command += ["--config_overrides", json.dumps(SMALL["deepspeech2"])]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert "must have a validation split, got ['train-clean'] without one; name it by" in refused.stderr
    text = run(*command, "--validation_share", "0.2")
    assert "vocabulary: 4 characters 'h\u00e4\u00f6\u0436', the blank and the space" in text
    sound, _ = soundfile.read(tmp_path / "corpus" / "train-clean" / "0" / "1" / "0-1-0000.flac", dtype="float32")
    assert pipeline("automatic-speech-recognition", model=str(out))(sound)["text"] == "\u00e4h\u00f6"
