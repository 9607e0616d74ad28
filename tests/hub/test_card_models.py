"""The models in the cards' folders: from a clone alone they transcribe and caption what lies under examples/."""

import json
import os
import re
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from transformers import AutoModelForCTC, AutoModelForImageTextToText, AutoProcessor, pipeline
from transformers.dynamic_module_utils import get_relative_import_files

import hf_dsd.models
from hf_dsd.hub import Results, render_card
from hf_dsd.hub.contents import MODEL_FILES
from hf_dsd.hub.staging import weights_digest
from hf_dsd.metrics import caption_scorer, score_transcripts

ROOT = Path(__file__).parents[2]
RECORDINGS, PICTURES = ROOT / "examples" / "recordings", ROOT / "examples" / "pictures"
LARGEST, ALL = 12_000_000, 35_000_000  # bytes of a file, and of all: whoever clones the repository gets them

# What each model says, right or wrong.
SAID = {
    "deepspeech2-an4": {
        "an391-mjwl-b.flac": "enter two nine eight one",
        "an407-fcaw-b.flac": "erase c q q f seven",
        "an428-fvap-b.flac": "on twer egh eight thirteen",
        "cen5-miry-b.flac": "p i t t s b u r g h",
    },
    "deepspeech-an4": {
        "an391-mjwl-b.flac": "enter two nine eight one",
        "an407-fcaw-b.flac": "er ase c qr qr s seven",
        "an428-fvap-b.flac": "ente eight thipreen",
        "cen5-miry-b.flac": "p i t t s b u r g h",
    },
    "neuraltalk-flickr8k": {
        "astronaut.jpg": "a man in a red shirt is playing a game",
        "camera.jpg": "a man and a woman in a blue shirt and a blue shirt and a blue shirt",
        "chelsea.jpg": "a little girl in a blue shirt is standing on the street",
        "coffee.jpg": "a brown and white dog is running through the grass",
    },
}
SPEECH, CAPTIONER = [name for name in SAID if "an4" in name], "neuraltalk-flickr8k"
# Wrong words among the four recordings' 24.
ERRORS = {"deepspeech2-an4": 3, "deepspeech-an4": 7}

# What is to be seen, for the score of captions; the first of each is the one of metadata.jsonl.
REFERENCES = {
    "astronaut": ["a woman in an orange suit is standing in front of a flag", "an astronaut is smiling at the camera"],
    "camera": ["a man in a black coat is standing on the grass", "a man is taking a picture with a camera on a tripod"],
    "chelsea": ["a brown and white cat looks to the side", "a close picture of a cat with long whiskers"],
    "coffee": ["a cup of coffee is standing on a wooden table", "a white cup with a spoon beside it"],
}
VECTORS = Path(__file__).with_name("caption_vectors.safetensors")
"""`features` (28, 1280) in float16: the encoder's vectors of seven views of each of the four pictures, see `views`."""

# `python -I -S` reads neither PYTHONPATH nor .pth files, of which an editable install of ours is one.
WITHOUT_PACKAGE = """
import json, sys
sys.path += sys.argv[2:]
import soundfile
from transformers import pipeline
said = {}
for folder in map(str, json.loads(sys.argv[1])):
    if "an4" in folder:
        audio, rate = soundfile.read("examples/recordings/an407-fcaw-b.flac", dtype="float32")
        ask = pipeline("automatic-speech-recognition", model=folder, trust_remote_code=True)
        said[folder] = ask({"raw": audio, "sampling_rate": rate})["text"]
    else:
        ask = pipeline("image-text-to-text", model=folder, trust_remote_code=True)
        said[folder] = ask("examples/pictures/chelsea.jpg", text="")[0]["generated_text"]
print(json.dumps([said, "hf_dsd" in sys.modules]))
"""


def folder_of(name: str) -> Path:
    return ROOT / "model_cards" / name


def read_metadata(folder: Path) -> dict[str, str]:
    """File -> what is right of it."""
    rows = map(json.loads, (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines())
    return {row["file_name"]: row["text"].lower() for row in rows}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_files_are_small() -> None:
    found = [path for name in SAID for pattern in MODEL_FILES for path in folder_of(name).glob(pattern)]
    assert len(found) >= 4 * len(SAID)
    assert max(path.stat().st_size for path in found) <= LARGEST
    assert sum(path.stat().st_size for path in found) <= ALL
    examples = [*PICTURES.iterdir(), *RECORDINGS.iterdir()]
    assert max(path.stat().st_size for path in examples) < 100_000


@pytest.mark.parametrize("name", SAID)
def test_the_card_speaks_of_these_files(name: str) -> None:
    shipped = Results.read(folder_of(name)).shipped
    assert shipped is not None
    assert (shipped.weights, shipped.folder) == (weights_digest(folder_of(name)), f"model_cards/{name}")
    examples = PICTURES if name == CAPTIONER else RECORDINGS
    right = {f"examples/{examples.name}/{file}": text for file, text in read_metadata(examples).items()}
    assert shipped.examples == {file: [SAID[name][Path(file).name], text] for file, text in right.items()}


@pytest.mark.parametrize("name", SAID)
def test_the_code_beside_the_weights_is_the_packages(name: str) -> None:
    package = Path(hf_dsd.models.__file__).parent / ("neuraltalk" if name == CAPTIONER else "deepspeech")
    files = sorted(folder_of(name).glob("*.py"))
    assert len(files) >= 4
    wrong = [path.name for path in files if path.read_bytes() != (package / path.name).read_bytes()]
    assert wrong == [], f"run: hf-dsd card model_cards/{name} --model model_cards/{name}"
    modelling = next(path for path in files if path.name.startswith("modeling_"))
    assert {Path(path).name for path in get_relative_import_files(modelling)} <= {path.name for path in files}


@pytest.mark.parametrize("name", SPEECH)
def test_a_recogniser_transcribes_the_recordings(name: str) -> None:
    model, processor = (of.from_pretrained(folder_of(name)) for of in (AutoModelForCTC, AutoProcessor))
    transcribe = pipeline("automatic-speech-recognition", model=f"model_cards/{name}")
    heard = {}
    for file in read_metadata(RECORDINGS):
        audio, rate = soundfile.read(RECORDINGS / file, dtype="float32")
        heard[file] = transcribe({"raw": audio, "sampling_rate": rate})["text"]
        logits = model(**processor(audio, sampling_rate=rate, return_tensors="pt")).logits
        assert processor.transcribe(logits) == [heard[file]]
    assert heard == SAID[name]
    scores = score_transcripts(list(heard.values()), list(read_metadata(RECORDINGS).values()))
    assert (scores["words"], scores["wer"]) == (24, pytest.approx(ERRORS[name] / 24))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the pipeline reads files by ffmpeg")
@pytest.mark.parametrize("name", SPEECH)
def test_a_recording_by_its_files_name(name: str) -> None:
    transcribe = pipeline("automatic-speech-recognition", model=f"model_cards/{name}")
    assert transcribe("examples/recordings/cen5-miry-b.flac")["text"] == SAID[name]["cen5-miry-b.flac"]


def test_the_captioner_describes_the_pictures() -> None:
    folder = folder_of(CAPTIONER)
    model, processor = (of.from_pretrained(folder) for of in (AutoModelForImageTextToText, AutoProcessor))
    caption = pipeline("image-text-to-text", model=f"model_cards/{CAPTIONER}")
    for file, text in SAID[CAPTIONER].items():
        assert caption(f"examples/pictures/{file}", text="")[0]["generated_text"] == text
        inputs = processor(images=Image.open(PICTURES / file), return_tensors="pt")
        assert processor.batch_decode(model.generate(**inputs), skip_special_tokens=True) == [text]


def views(picture: Image.Image) -> list[Image.Image]:
    """The whole, its four corners of 80 %, the whole and the first corner mirrored."""
    width, height = picture.size
    sides = [
        (left, top, left + round(0.8 * width), top + round(0.8 * height))
        for top in (0, height - round(0.8 * height))
        for left in (0, width - round(0.8 * width))
    ]
    found = [picture, *(picture.crop(side) for side in sides)]
    return [*found, *(ImageOps.mirror(view) for view in found[:2])]


def test_the_captioner_s_score_on_stored_vectors() -> None:
    model, processor = (of.from_pretrained(folder_of(CAPTIONER)) for of in (AutoModelForImageTextToText, AutoProcessor))
    features = load_file(VECTORS)["features"]
    assert (features.shape, features.dtype, VECTORS.stat().st_size < 100_000) == ((28, 1280), torch.float16, True)
    right = {Path(file).stem: [text, *REFERENCES[Path(file).stem]] for file, text in read_metadata(PICTURES).items()}
    texts = processor.batch_decode(model.generate(image_features=features.float()), skip_special_tokens=True)
    references = [captions for captions in right.values() for _ in range(7)]
    scores = caption_scorer(processor.tokenizer, [f"{row}" for row in range(28)], references).score(texts)
    assert {name: scores[name] for name in ("bleu1", "bleu4")} == pytest.approx(
        {"bleu1": 40.367, "bleu4": 8.989}, abs=1e-3
    )


def test_the_stored_vectors_are_those_of_the_pictures() -> None:
    model, processor = (of.from_pretrained(folder_of(CAPTIONER)) for of in (AutoModelForImageTextToText, AutoProcessor))
    pictures = [views(Image.open(PICTURES / file))[view] for file in SAID[CAPTIONER] for view in (0, 6)]
    vectors = model.encode_images(processor(images=pictures, return_tensors="pt")["pixel_values"])
    stored = load_file(VECTORS)["features"][[7 * row + view for row in range(4) for view in (0, 6)]]
    assert torch.allclose(vectors, stored.float(), atol=5e-3)


def test_they_run_where_the_package_is_not(tmp_path: Path) -> None:
    folders = [f"model_cards/{name}" for name in SAID]
    paths = [path for path in [*site.getsitepackages(), site.getusersitepackages()] if Path(path).is_dir()]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", WITHOUT_PACKAGE, json.dumps(folders), *paths],
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said, is_there = json.loads(done.stdout.splitlines()[-1])
    assert not is_there
    files = {name: "chelsea.jpg" if name == CAPTIONER else "an407-fcaw-b.flac" for name in SAID}
    assert said == {f"model_cards/{name}": SAID[name][file] for name, file in files.items()}


def test_the_lines_of_the_examples_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^## Trained models\n.*?```python\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    exec(block[1], {})
    said = [SAID["deepspeech2-an4"]["an407-fcaw-b.flac"], SAID[CAPTIONER]["chelsea.jpg"]]
    assert capsys.readouterr().out.splitlines() == said


@pytest.mark.parametrize("name", SAID)
def test_the_cards_code_runs_as_it_stands(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = re.findall(r"```python\n(.*?)```", render_card(Results.read(folder_of(name))), re.DOTALL)
    assert len(found) == 2
    for block in found:
        exec(block, {})
    first = next(iter(SAID[name].values()))
    assert capsys.readouterr().out.splitlines() == [first, str([first])]
