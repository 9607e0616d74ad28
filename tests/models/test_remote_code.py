"""A folder saved with its code gives the same numbers where hf_dsd is not installed."""

import json
import os
import site
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForCTC,
    AutoModelForImageTextToText,
    PreTrainedTokenizerBase,
    ResNetConfig,
    ResNetForImageClassification,
)

from hf_dsd.models import (
    DeepSpeech2Config,
    DeepSpeechConfig,
    DeepSpeechFeatureExtractor,
    DeepSpeechProcessor,
    LstmConfig,
    LstmForCausalLM,
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
    build_caption_tokenizer,
    build_character_tokenizer,
)
from hf_dsd.models.neuraltalk import build_image_processor
from hf_dsd.models.remote_code import MODELS as MODELS_WITH_CODE
from hf_dsd.models.remote_code import save_with_code

LITE = {
    "model_type": "efficientnet_lite",
    "stem_size": 4,
    "stages": [(1, 3, 1, 1, 4), (2, 5, 2, 2, 6)],
    "feature_size": 8,
}

# `python -I -S` reads neither PYTHONPATH nor .pth files, of which an editable install of ours is one.
WITHOUT_PACKAGE = """
import sys
sys.path += sys.argv[2:]
try:
    import hf_dsd
except ModuleNotFoundError as error:
    assert error.name == "hf_dsd", error
else:
    sys.exit("hf_dsd can be imported: this test would show nothing")
options = {"trust_remote_code": True}
"""
WITH_PACKAGE = "import sys, hf_dsd; options = {}"
LOAD = """
import numpy as np
import torch
from pathlib import Path
from PIL import Image
from transformers import AutoModelForCausalLM, AutoModelForCTC, AutoModelForImageTextToText, AutoProcessor, pipeline

scratch = Path(sys.argv[1])
picture, audio = Image.open(scratch / "picture.png"), np.load(scratch / "audio.npy")

def hear(folder):
    model = AutoModelForCTC.from_pretrained(folder, **options)
    processor = AutoProcessor.from_pretrained(folder, **options)
    output = model(**processor(audio, "a cat", sampling_rate=16_000, return_tensors="pt"))
    recognise = pipeline("automatic-speech-recognition", model=str(folder), **options)
    whole, chunked = recognise(audio.copy(), return_timestamps="char"), recognise(audio.copy(), chunk_length_s=0.5)
    texts = [whole["text"], whole["chunks"], chunked["text"], *processor.transcribe(output.logits, beam_width=4)]
    return model, [output.logits, output.loss], texts

def describe(folder):
    model = AutoModelForImageTextToText.from_pretrained(folder, **options)
    processor = AutoProcessor.from_pretrained(folder, **options)
    if model.vision_encoder is None:
        ids = processor(text="a dog", return_tensors="pt")["input_ids"]
        texts = processor.batch_decode(model.generate(image_features=torch.eye(8)))
        return model, [model(input_ids=ids, image_features=torch.ones(1, 8)).logits], texts
    inputs = processor(images=picture, text="", return_tensors="pt")
    caption = pipeline("image-text-to-text", model=str(folder), **options)
    texts = caption(picture, text="", generate_kwargs={"max_length": 6})
    return model, [model(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"]).logits], texts

def write(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, **options)
    texts = pipeline("text-generation", model=str(folder), **options)("a dog", max_new_tokens=6, do_sample=False)
    ids = torch.arange(6).unsqueeze(0)
    output = model(ids, labels=ids)
    return model, [output.logits, output.loss], texts

results = {}
for folder in sorted((scratch / "models").iterdir()):
    say = {"speech": hear, "captioner": describe, "language": write}[folder.name.split()[0]]
    model, scores, texts = say(folder)
    is_remote = type(model).__module__.startswith("transformers_modules.")
    results[folder.name] = {"is_remote": is_remote, "scores": scores, "texts": str(texts)}
torch.save(results, scratch / "results.pt")
"""


def captioner(encoder_config: dict | None = None) -> tuple[NeuralTalkForConditionalGeneration, NeuralTalkProcessor]:
    tokenizer = build_caption_tokenizer(["a dog runs", "a cat sits"], min_count=1)
    sizes = {"image_feature_size": 8, "hidden_size": 6, "word_embedding_size": 5}
    config = NeuralTalkConfig(vocab_size=len(tokenizer), encoder_config=encoder_config, **sizes)
    model = NeuralTalkForConditionalGeneration(config)
    for name, parameter in model.named_parameters():
        if not name.startswith("vision_encoder"):
            parameter.data.uniform_(-1, 1)
    model.decoder.bias.data[4:7] = 3.0  # so that a random model writes words
    return model.eval(), NeuralTalkProcessor(encoder_config and build_image_processor(), tokenizer)


def recogniser(config: DeepSpeechConfig | DeepSpeech2Config) -> tuple[torch.nn.Module, DeepSpeechProcessor]:
    model = AutoModelForCTC.from_config(config).eval()
    model.ctc_head.weight.data *= 8  # so that a random model says something
    return model, DeepSpeechProcessor(DeepSpeechFeatureExtractor(), build_character_tokenizer())


def language_model() -> tuple[LstmForCausalLM, PreTrainedTokenizerBase]:
    tokenizer = build_caption_tokenizer(["a dog runs", "a cat sits"], min_count=1)
    sizes = {"vocab_size": len(tokenizer), "embedding_size": 5, "hidden_size": 6, "eos_token_id": None}
    model = LstmForCausalLM(LstmConfig(**sizes)).eval()
    model.lm_head.weight.data *= 8
    return model, tokenizer


BUILDERS = {
    "language model": language_model,
    "captioner of vectors": captioner,
    "captioner of pictures": lambda: captioner(LITE),
    "speech model": lambda: recogniser(DeepSpeechConfig(hidden_size=24)),
    "speech model 2": lambda: recogniser(
        DeepSpeech2Config(conv_channels=[3, 3], hidden_size=12, num_hidden_layers=2, rnn_type="gru")
    ),
}
MODELS = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)


def noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * 0.1


def load_elsewhere(scratch: Path, *, with_package: bool) -> dict[str, dict[str, object]]:
    """Loads the folders in `scratch/models` in a process of its own with an empty cache; returns what they say."""
    flags, code = ([], WITH_PACKAGE) if with_package else (["-I", "-S"], WITHOUT_PACKAGE)
    command = [sys.executable, *flags, "-c", code + LOAD, str(scratch), *site.getsitepackages()]
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "HF_HOME": str(scratch / "home"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": root}
    result = subprocess.run(command, env=env, cwd=scratch, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return torch.load(scratch / "results.pt", weights_only=True)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Saves every model with its code; returns the folder, and what the models say without and with the package."""
    scratch = tmp_path_factory.mktemp("published")
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(picture).save(scratch / "picture.png")
    np.save(scratch / "audio.npy", noise())
    for name, build in BUILDERS.items():
        torch.manual_seed(0)
        save_with_code(*build(), scratch / "models" / name)
    return scratch, load_elsewhere(scratch, with_package=False), load_elsewhere(scratch, with_package=True)


def scores_here(model: torch.nn.Module, processor: object, scratch: Path) -> list[torch.Tensor]:
    if isinstance(processor, DeepSpeechProcessor):
        output = model(**processor(noise(), "a cat", sampling_rate=16_000, return_tensors="pt"))
        return [output.logits, output.loss]
    if isinstance(model, LstmForCausalLM):
        ids = torch.arange(6).unsqueeze(0)
        output = model(ids, labels=ids)
        return [output.logits, output.loss]
    if model.vision_encoder is None:
        inputs = processor(text="a dog", return_tensors="pt")
        return [model(input_ids=inputs["input_ids"], image_features=torch.ones(1, 8)).logits]
    inputs = processor(images=Image.open(scratch / "picture.png"), text="", return_tensors="pt")
    return [model(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"]).logits]


@pytest.mark.parametrize("name", BUILDERS)
def test_a_folder_gives_the_same_with_and_without_the_package(name, published):
    scratch, without, with_package = published[0], published[1][name], published[2][name]
    assert (without["is_remote"], with_package["is_remote"]) == (True, False)
    torch.manual_seed(0)
    model, processor = BUILDERS[name]()
    # Loaded here too: convolutions over weights at another alignment in memory can differ in the last bit.
    loaded = type(model).from_pretrained(scratch / "models" / name)
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())
    expected = scores_here(loaded, processor, scratch)
    assert expected[0].std() > 0.1
    for scores in (without["scores"], with_package["scores"]):
        assert len(scores) == len(expected)
        assert all(map(torch.equal, scores, expected))
    assert without["texts"] == with_package["texts"]
    assert len(without["texts"]) > 10


@MODELS
def test_code_is_saved_once_and_not_again(build, tmp_path):
    model, processor = build()
    save_with_code(model, processor, tmp_path / "with")
    model.save_pretrained(tmp_path / "plain")
    processor.save_pretrained(tmp_path / "plain")
    type(model.config)().save_pretrained(tmp_path / "other")
    assert sorted(path.name for path in (tmp_path / "with").glob("*.py"))
    assert not list((tmp_path / "plain").glob("*.py"))
    for file in [*(tmp_path / "plain").glob("*.json"), *(tmp_path / "other").glob("*.json")]:
        assert "auto_map" not in file.read_text(), file
    assert all("_auto_class" not in vars(cls) or cls._auto_class is None for cls in map(type, (model, processor)))
    config = json.loads((tmp_path / "with" / "config.json").read_text())
    del config["auto_map"]
    assert config == json.loads((tmp_path / "plain" / "config.json").read_text())


def test_every_published_file_imports_its_siblings_and_libraries_only(tmp_path):
    for name, build in BUILDERS.items():
        save_with_code(*build(), tmp_path / name)
        files = list((tmp_path / name).glob("*.py"))
        assert len(files) >= (2 if name == "language model" else 4)
        assert [file.name for file in files if "hf_dsd" in file.read_text()] == []


def test_the_process_is_left_as_it_was_when_saving_fails(tmp_path):
    model, processor = captioner()
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "processor_config.json").mkdir()  # the model is written, its processor cannot be
    with pytest.raises(OSError, match="processor_config"):
        save_with_code(model, processor, tmp_path / "folder")
    model.save_pretrained(tmp_path / "plain")
    assert "auto_map" not in (tmp_path / "plain" / "config.json").read_text()


def test_a_folder_loaded_with_the_package_keeps_its_auto_map(tmp_path):
    model, processor = captioner()
    save_with_code(model, processor, tmp_path / "first")
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path / "first")
    assert type(loaded) is NeuralTalkForConditionalGeneration
    save_with_code(loaded, processor, tmp_path / "second")
    first, second = ((tmp_path / name / "config.json").read_text() for name in ("first", "second"))
    assert json.loads(first)["auto_map"] == json.loads(second)["auto_map"]
    assert {file.name for file in (tmp_path / "first").iterdir()} == {f.name for f in (tmp_path / "second").iterdir()}


def test_another_model_is_saved_plainly(tmp_path):
    config = ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], layer_type="basic")
    save_with_code(ResNetForImageClassification(config), None, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert "auto_map" not in (tmp_path / "config.json").read_text()


def test_every_published_model_is_covered():
    assert {type(build()[0]) for build in BUILDERS.values()} == set(MODELS_WITH_CODE)
