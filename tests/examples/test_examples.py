"""The scripts under examples/ and the code in the README run as they stand."""

import json
import math
import re
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from safetensors.torch import load_file, save_file
from scripts import ROOT, run
from tiny import TinyLSTM, build, classification_rows
from torch.utils.data import DataLoader

from hf_dsd import NeuralTalkConfig, NeuralTalkForConditionalGeneration, NeuralTalkProcessor
from hf_dsd.models import build_caption_tokenizer
from hf_dsd.trainer.script_arguments import parse_arguments


@pytest.fixture
def caption_folder(tmp_path: Path) -> Path:
    """Twelve images with vectors that tell their two captions' colour."""
    colours = ["red", "green", "blue"]
    folder = tmp_path / "captions"
    folder.mkdir()
    images = [f"{i}.jpg" for i in range(12)]
    lines = [
        {
            "image": image,
            "split": "train" if i < 6 else "validation" if i < 9 else "test",
            "captions": [
                f"A plain {colours[i % 3]} square on white paper .",
                f"One {colours[i % 3]} square drawn on paper .",
            ],
        }
        for i, image in enumerate(images)
    ]
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "image_ids.json").write_text(json.dumps(images))
    save_file({"features": torch.eye(3).repeat(4, 2).half()}, folder / "features.safetensors")
    return folder


def test_captioning_from_files_by_accelerate(tmp_path: Path, caption_folder: Path) -> None:
    script = ROOT / "examples" / "run_captioning.py"
    out = tmp_path / "out"
    launch = [Path(sys.executable).with_name("accelerate"), "launch", "--cpu", "--num_processes", "1"]
    options = "--feature_columns 0:3 --min_count 1 --hidden_size 16 --word_embedding_size 16 --seed 1"
    options += " --encoder_dropout 0 --decoder_dropout 0"
    options += " --generation_num_beams 2 --phase_epochs 60 20 20 --learning_rate 2e-2"
    options += " --sparsity 0.3 --per_device_train_batch_size 4"
    options += " --eval_strategy no --save_strategy no --report_to none --disable_tqdm true --use_cpu true"
    options += " --landscape true"
    run(*launch, script, "--data_dir", caption_folder, "--output_dir", out, *options.split())
    summary = json.loads((out / "dsd_summary.json").read_text())
    assert [phase["name"] for phase in summary["phases"]] == ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]
    assert [layer["sparsity"] for layer in summary["phases"][1]["layers"]] == pytest.approx([0.3] * 4, abs=0.01)
    scores = json.loads((out / "test_phase-2-dense.json").read_text())
    assert (scores["metric"], scores["scores"]["bleu4"]) == ("bleu4", pytest.approx(100.0))  # three colours are learnt
    assert scores["scores"]["bleu4_ci"] == pytest.approx([100.0, 100.0])
    assert scores["scores"]["signature"].startswith("nrefs:2|bs:1000")
    assert [example["id"] for example in scores["examples"]] == ["9.jpg", "10.jpg", "11.jpg"]
    assert summary["evaluations"]["test_phase-2-dense_bleu4"] == pytest.approx(100.0)
    at_ends = {phase["name"]: phase["metrics"]["eval_loss"] for phase in summary["phases"]}
    assert json.loads((out / "landscape.json").read_text())["losses"] == pytest.approx(at_ends, rel=1e-4)
    assert (out / "model.safetensors").exists()
    assert (out / "tokenizer.json").exists()


def test_captioning_goes_on_with_a_models_own_words(tmp_path: Path, caption_folder: Path) -> None:
    """A model that learnt other captions keeps its vocabulary: word 5 must not become another word."""
    script, model, out = ROOT / "examples" / "run_captioning.py", tmp_path / "model", tmp_path / "out"
    tokenizer = build_caption_tokenizer(["one blue square drawn on paper"] * 2 + ["a red square"], min_count=1)
    config = NeuralTalkConfig(vocab_size=len(tokenizer), image_feature_size=3, hidden_size=4, word_embedding_size=4)
    NeuralTalkForConditionalGeneration(config).save_pretrained(model)
    NeuralTalkProcessor(tokenizer=tokenizer).save_pretrained(model)
    options = "--feature_columns 0:3 --min_count 1 --phase_steps 1 1 1 --sparsity 0.3 --per_device_train_batch_size 4"
    options += " --eval_strategy no --save_strategy no --report_to none --disable_tqdm true --use_cpu true"
    options += " --do_predict false --model_name_or_path"
    run(sys.executable, script, "--data_dir", caption_folder, "--output_dir", out, *options.split(), model)
    written = NeuralTalkProcessor.from_pretrained(out / "phase-2-dense").tokenizer
    assert written.get_vocab() == tokenizer.get_vocab()


def test_image_classification_from_folders(tmp_path: Path) -> None:
    """Red and blue pictures, which two classes of a small ResNet tell apart; a third of every layer goes."""
    random = np.random.default_rng(0)
    for split, count in (("train", 24), ("validation", 6), ("test", 8)):
        for channel, name in ((0, "red"), (2, "blue")):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 80, (32, 32, 3), dtype=np.uint8)
                pixels[..., channel] += 150
                Image.fromarray(pixels).save(tmp_path / "data" / split / name / f"{number}.png")
    out = tmp_path / "out"
    options = "--image_size 32 --phase_epochs 8 4 4 --sparsity 0.33 --per_device_train_batch_size 8 --seed 1"
    options += " --eval_strategy no --save_strategy no --report_to none --disable_tqdm true --use_cpu true"
    script = ROOT / "examples" / "run_image_classification.py"
    files = ["--data_dir", tmp_path / "data", "--output_dir", out]
    text = run(sys.executable, script, *files, *options.split(), HF_DATASETS_CACHE=str(tmp_path / "cache"))
    printed = re.findall(r"^(phase-\d-\w+): test top-1 error (\S+) \[", text, re.MULTILINE)
    assert printed == [(phase, "0.00%") for phase in ("phase-0-dense", "phase-1-sparse", "phase-2-dense")]
    scores = json.loads((out / "test_phase-2-dense.json").read_text())
    assert (scores["metric"], scores["greater_is_better"], scores["scores"]["examples"]) == ("error", False, 16)
    assert {example["prediction"] for example in scores["examples"]} == {"red", "blue"}
    summary = json.loads((out / "dsd_summary.json").read_text())
    dense = {p["name"]: p["dense_reason"] for p in summary["parameters"] if p["dense_reason"]}
    assert dense["resnet.embedder.embedder.convolution.weight"] == "first convolution"
    weights = load_file(out / "phase-1-sparse" / "model.safetensors")
    for layer in summary["phases"][1]["layers"]:
        assert int((weights[layer["name"]] == 0).sum()) == layer["pruned"] == round(0.33 * layer["weights"])


def test_language_modelling_on_two_processes(tmp_path: Path) -> None:
    """The README's CPU line, on a text of two sentences: its perplexity is known."""
    out = tmp_path / "out"
    for name, lines in (("train", 64), ("validation", 16)):
        (tmp_path / f"{name}.txt").write_text("one two three four five six\nseven eight nine ten\n" * lines)
    config = ROOT / "examples" / "accelerate_configs" / "cpu_ddp.yaml"
    launch = [Path(sys.executable).with_name("accelerate"), "launch", "--config_file", config]
    files = ["--train_file", tmp_path / "train.txt", "--validation_file", tmp_path / "validation.txt"]
    options = "--block_size 16 --vocab_size 290 --phase_epochs 10 5 5 --learning_rate 1e-2 --sparsity 0.5 --seed 1"
    options += " --per_device_train_batch_size 4 --eval_strategy no --save_strategy no --report_to none"
    options += " --disable_tqdm true --weight_averages ema"
    script = ROOT / "examples" / "run_clm.py"
    cache = str(tmp_path / "cache")
    text = run(
        *launch,
        script,
        "--output_dir",
        out,
        *files,
        *options.split(),
        ACCELERATE_USE_CPU="true",
        HF_DATASETS_CACHE=cache,
    )
    printed = re.findall(r"^(phase-\d-[\w-]+): perplexity (\S+) \[", text, re.MULTILINE)
    models = ["phase-0-dense", "phase-1-sparse", "phase-2-dense-ema", "phase-2-dense"]
    assert [model for model, _ in printed] == models  # by one process
    assert all((out / f"validation_{model}.json").is_file() for model in models)
    summary = json.loads((out / "dsd_summary.json").read_text())
    assert (summary["world_size"], summary["batch_size"]) == (2, 8)
    layers = summary["phases"][1]["layers"]
    weights = load_file(out / "phase-1-sparse" / "model.safetensors")
    assert [(layer["name"], layer["sparsity"]) for layer in layers] == [
        (f"transformer.h.{n}.{part}.weight", 0.5)
        for n in (0, 1)
        for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    assert all(int((weights[layer["name"]] == 0).sum()) == layer["pruned"] for layer in layers)
    scores = json.loads((out / "validation_phase-2-dense.json").read_text())
    assert scores["scores"]["perplexity"] == pytest.approx(math.exp(scores["loss"]), rel=1e-3)
    assert 1.0 < scores["scores"]["perplexity"] < 1.5  # nearly every token follows from the one before
    low, high = scores["scores"]["perplexity_ci"]
    assert low <= scores["scores"]["perplexity"] <= high


def test_a_named_test_split_is_scored_by_a_language_model(tmp_path: Path) -> None:
    for name, lines in (("train", 64), ("dev", 16), ("test", 24)):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{name}.txt").write_text("one two three four five six\nseven eight nine ten\n" * lines)
    options = "--block_size 16 --vocab_size 290 --phase_steps 1 1 1 --sparsity 0.5 --test_split test --use_cpu true"
    options += " --eval_strategy no --save_strategy no --report_to none --disable_tqdm true"
    files = ["--dataset_name", tmp_path / "data", "--output_dir", tmp_path / "out"]
    script, cache = ROOT / "examples" / "run_clm.py", str(tmp_path / "cache")
    run(sys.executable, script, *files, *options.split(), HF_DATASETS_CACHE=cache)
    assert not list((tmp_path / "out").glob("validation_*.json"))
    scores = json.loads((tmp_path / "out" / "test_phase-2-dense.json").read_text())
    assert (scores["split"], scores["metric"]) == ("test", "perplexity")
    assert scores["scores"]["signature"] == "block:16|tokens:289|blocks:18"  # of the dev split, 12
    assert 20 < scores["scores"]["perplexity"] < 290  # three steps of a model that guesses among 290


def test_a_character_model_is_scored_on_a_test_file(tmp_path: Path) -> None:
    """An LSTM of 257 tokens: two lines are 28 and 16 bytes, of which ï is two, and two ends."""
    for name, lines in (("train", 64), ("validation", 16), ("test", 24)):
        (tmp_path / f"{name}.txt").write_text("one two three four five sïx\nseven eight nine\n" * lines)
    options = "--model_type lstm --vocab_size 257 --block_size 16 --phase_epochs 12 4 4 --learning_rate 2e-2 --seed 1"
    options += " --per_device_train_batch_size 8 --sparsity 0.5 --use_cpu true --eval_strategy no --save_strategy no"
    options += " --report_to none --disable_tqdm true --config_overrides"
    files = [word for name in ("train", "validation", "test") for word in (f"--{name}_file", tmp_path / f"{name}.txt")]
    files += ["--output_dir", tmp_path / "out"]
    script, cache = ROOT / "examples" / "run_clm.py", str(tmp_path / "cache")
    run(sys.executable, script, *files, *options.split(), '{"hidden_size": 32}', HF_DATASETS_CACHE=cache)
    assert not list((tmp_path / "out").glob("validation_*.json"))
    scores = json.loads((tmp_path / "out" / "test_phase-2-dense.json").read_text())
    assert (scores["split"], scores["metric"]) == ("test", "perplexity")
    assert scores["scores"]["signature"] == f"block:16|tokens:257|blocks:{24 * (28 + 1 + 16 + 1) // 16}"
    assert scores["scores"]["perplexity"] == pytest.approx(math.exp(scores["loss"]), rel=1e-3)
    assert 1.0 < scores["scores"]["perplexity"] < 1.5  # nearly every byte follows from those before
    weights = load_file(tmp_path / "out" / "phase-1-sparse" / "model.safetensors")
    for name, shape in (("lstm.weight_hh_l1", (128, 32)), ("lm_head.weight", (257, 32))):
        assert (weights[name].shape, int((weights[name] == 0).sum())) == (shape, math.prod(shape) // 2)
    assert int((weights["word_embedding.weight"] == 0).sum()) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--model_type rnn", "argument --model_type/--model-type: invalid choice: 'rnn' (choose from "),
        ("--model_type lstm --config_name x", "model_type belongs to what is new here, got 'lstm' with x; leave one"),
        ("--vocab_size 300 --tokenizer_name x", "vocab_size belongs to what is new here, got 300 with x; leave one"),
        ("--config_name y --model_name_or_path x", "config_name belongs to what is new here, got 'y' with x; leave"),
        ("--vocab_size 256", "vocab_size must be at least 257, 256 bytes and the end of text, got 256"),
    ],
)
def test_a_contradictory_language_model_is_refused(options: str, message: str) -> None:
    module = runpy.run_path(str(ROOT / "examples" / "run_clm.py"))
    groups = [module[f"{kind}Arguments"] for kind in ("Model", "Data", "Training")]
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        parse_arguments(*groups, arguments=["--output_dir", "x", "--use_cpu", "true", *options.split()])


@pytest.mark.parametrize(
    ("model_type", "overrides", "weights"),
    [("lstm", {}, 521_192), ("gpt2", {}, 532_992), ("gpt2", {"n_layer": 1}, 334_720)],
)
def test_the_small_language_models_are_of_one_size(model_type: str, overrides: dict, weights: int) -> None:
    module = runpy.run_path(str(ROOT / "examples" / "run_clm.py"))
    texts = Dataset.from_dict({"text": [f"{number:x} and {7919 * number:x}" for number in range(20_000)]})
    arguments = module["ModelArguments"](model_type=model_type, config_overrides=json.dumps(overrides))
    tokenizer = module["load_tokenizer"](arguments, texts)
    model = module["build_model"](arguments, tokenizer, block_size=64)
    assert (model.config.model_type, len(tokenizer), model.num_parameters()) == (model_type, 1000, weights)
    assert model.config.eos_token_id == model.config.bos_token_id == tokenizer.eos_token_id == 0
    misspelt = replace(arguments, config_overrides='{"hidden_droput": 0.2, "n_layr": 3}')
    with pytest.raises(ValueError, match="^config_overrides has 'hidden_droput', which is no field of "):
        module["build_model"](misspelt, tokenizer, block_size=64)


def test_loop_under_accelerate_resumes(tmp_path: Path) -> None:
    """A run continued from the checkpoint inside its sparse phase ends with the unbroken run's weights."""
    script = ROOT / "examples" / "no_trainer_captioning.py"
    options = "--train_size 40 --min_count 1 --hidden_size 16 --batch_size 64 --num_beams 1 --phase_epochs 1 2 1"
    options += " --total_limit 9"
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    text = run(sys.executable, script, "--output_dir", whole, *options.split(), ACCELERATE_USE_CPU="true")
    ends = [int(step) for step in re.findall(r"^step (\d+): phase-\d-\w+ loss", text, re.MULTILINE)]
    assert ends == [4, 12, 16]  # 40 scenes with 5 captions, most of them used, are 4 batches
    assert sorted(path.name for path in whole.iterdir()) == [
        *sorted(f"checkpoint-{step}" for step in (4, 8, 12, 16)),
        *(f"phase-{name}" for name in ("0-dense", "1-sparse", "2-dense")),
    ]
    sparse = load_file(whole / "phase-1-sparse" / "model.safetensors")
    assert int((sparse["lstm.weight_hh_l0"] == 0).sum()) == sparse["lstm.weight_hh_l0"].numel() // 2
    shutil.copytree(whole / "checkpoint-8", broken / "checkpoint-8")
    run(sys.executable, script, "--output_dir", broken, *options.split(), "--resume", "true", ACCELERATE_USE_CPU="true")
    final = [load_file(folder / "phase-2-dense" / "model.safetensors") for folder in (whole, broken)]
    assert all(torch.equal(weight, final[1][name]) for name, weight in final[0].items())
    assert not (broken / "phase-0-dense").exists()


def test_plain_loop() -> None:
    text = run(sys.executable, ROOT / "examples" / "plain_loop.py")
    assert re.search(r"^step  400: phase-1-sparse, 50% of 33216 weights pruned$", text, re.MULTILINE)
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", text)]
    assert len(losses) == 6
    assert losses[-1] < losses[0] / 2


def test_the_readme_loop_runs() -> None:
    found = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    blocks = [block for block in found if "dsd.begin_step" in block]
    assert len(blocks) == 1
    model = build(TinyLSTM)
    loader = DataLoader(classification_rows(12), batch_size=4)
    names = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "loader": loader,
        "loss": lambda batch: model(**batch)["loss"],
    }
    exec(blocks[0].replace("[500, 500, 500]", "[1, 1, 1]"), names)  # noqa: S102
    assert names["dsd"].phase.index == 2


def test_sentences_from_files_with_classes_by_name(tmp_path: Path) -> None:
    """Two words tell the classes apart; a third of every layer goes, and the embeddings stay."""
    for split, count in (("train", 40), ("validation", 10), ("test", 20)):
        rows = [
            {"words": f"number {row} is {'odd' if row % 2 else 'even'}", "kind": "b" if row % 2 else "a"}
            for row in range(count)
        ]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    options = "--text_column words --label_column kind --phase_epochs 24 6 6 --sparsity 0.33 --seed 1 --train_size 30"
    options += " --per_device_train_batch_size 8 --eval_strategy no --save_strategy no --report_to none"
    options += " --disable_tqdm true --use_cpu true"
    script = ROOT / "examples" / "run_text_classification.py"
    files = ["--data_dir", tmp_path, "--output_dir", out]
    text = run(sys.executable, script, *files, *options.split(), HF_DATASETS_CACHE=str(tmp_path / "cache"))
    printed = re.findall(r"^(phase-\d-\w+): test error (\S+) \[.*F1 (\S+)$", text, re.MULTILINE)
    assert printed == [(phase, "0.00%", "1.000") for phase in ("phase-0-dense", "phase-1-sparse", "phase-2-dense")]
    summary = json.loads((out / "dsd_summary.json").read_text())
    assert summary["steps_per_epoch"] == 4  # 30 sentences in batches of 8
    dense = {p["name"] for p in summary["parameters"] if p["dense_reason"] == "embedding"}
    assert "bert.embeddings.word_embeddings.weight" in dense
    weights = load_file(out / "phase-1-sparse" / "model.safetensors")
    for layer in summary["phases"][1]["layers"]:
        assert int((weights[layer["name"]] == 0).sum()) == layer["pruned"] == round(0.33 * layer["weights"])
    scores = json.loads((out / "test_phase-2-dense.json").read_text())
    assert {example["prediction"] for example in scores["examples"]} == {"a", "b"}
