"""The recipes under examples/recipes say what the paper's tables say, and what the published runs were given."""

import importlib.util
import math
import re
import runpy
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripts import ROOT
from transformers import HfArgumentParser

from hf_dsd.trainer.script_arguments import parse_arguments, read_recipe

# Epochs, rates and sparsity of the paper's tables; NaN where it leaves them open.
PAPER = {
    "googlenet": ([60, 11, 22], [1e-2, 1e-3, 1e-4], 0.3),
    "vgg16": ([74, 1.25, 18], [1e-2, 1e-4, 1e-5], 0.3),
    "resnet18": ([90, 45, 45], [1e-1, 1e-2, 1e-3], 0.3),
    "resnet50": ([90, 45, 45], [1e-1, 1e-2, 1e-3], 0.3),
    "squeezenet1_0": ([math.nan, math.nan, 20], [math.nan, math.nan, 1e-4], 2 / 3),
    "squeezenet1_1": ([math.nan, math.nan, 20], [math.nan, math.nan, 1e-4], 2 / 3),
    "alexnet": ([math.nan] * 3, [math.nan] * 3, math.nan),
    "resnet152": ([math.nan] * 3, [math.nan] * 3, math.nan),
}
RECIPES = sorted((ROOT / "examples" / "recipes").glob("*.yaml"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("script", ROOT / "examples" / "run_image_classification.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_network_of_the_paper_has_a_recipe() -> None:
    assert {*PAPER} <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("name", PAPER)
def test_a_recipe_is_the_papers(name: str, script: ModuleType, tmp_path: Path) -> None:
    parser = HfArgumentParser((script.ModelArguments, script.DataArguments, script.TrainingArguments))
    text = (ROOT / "examples" / "recipes" / f"{name}.yaml").read_text()
    (tmp_path / "recipe.yaml").write_text(f"{text}\noutput_dir: {tmp_path}\nuse_cpu: true\n")
    model, data, training = parser.parse_yaml_file(str(tmp_path / "recipe.yaml"))
    epochs, rates, sparsity = PAPER[name]
    for given, papers in ((training.phase_epochs, epochs), (training.phase_learning_rates, rates)):
        pairs = [(ours, theirs) for ours, theirs in zip(given, papers, strict=True) if not math.isnan(theirs)]
        assert all(ours == theirs for ours, theirs in pairs)
    assert math.isnan(sparsity) or training.sparsity == [pytest.approx(sparsity, abs=1e-3)]
    assert (model.model_name, model.image_size, model.resize_size) == (name, 224, 256)
    assert (data.augment in ("crop", "resized_crop"), training.optim_args) == (True, "momentum=0.9")


# The options that the runs were given, and what stands beside the recipe now; where there are two lines, of two arms.
FLICKR = "--data_dir flickr8k --train_size 250 --train_size_seed 11 --per_device_train_batch_size 25 --seed 11"
FLICKR_RECIPE = "--feature_columns 0:1280 --phase_epochs 20 12 8 --phase_learning_rates 3e-3 1e-3 3e-4 --sparsity 0.8"
FLICKR_RECIPE += (
    " --encoder_dropout 0 --decoder_dropout 0 --use_cpu true --report_to none --predict_with_generate false"
)
SENTENCES = "--model_name_or_path all-MiniLM-L6-v2 --data_dir sst2 --train_size_seed 1 --seed 1"
SENTENCES_RECIPE = "--train_size 250 --phase_epochs 6 3 3 --phase_learning_rates 1e-4 1e-4 2e-5 --sparsity 0.5"
SENTENCES_RECIPE += (
    " --per_device_train_batch_size 16 --per_device_eval_batch_size 16 --bf16 --use_cpu true --report_to none"
)
FASHION_RECIPE = "--train_size 2000 --train_size_seed 0 --image_size 28 --precompute true --phase_epochs 12 6 6"
FASHION_RECIPE += " --sparsity 0.3 --learning_rate 3e-3 --keep_early_stop true --eval_strategy epoch --logging_steps 63"
FASHION_RECIPE += " --report_to none --disable_tqdm true --use_cpu true"
DENSE = "--dsd_control true --keep_early_stop true --keep_phase_checkpoints 0 --eval_strategy epoch"
BRANCH = "--eval_strategy no --resume_from_checkpoint OUT/dense/phase-0-dense-checkpoint"
STUDY = "--data_dir flickr8k --save_strategy no --do_predict false --seed 1 --eval_steps 100000"
STUDY_RECIPE = "--feature_columns 0:1280 --encoder_dropout 0 --phase_epochs 19 10 6"
STUDY_RECIPE += (
    " --phase_learning_rates 2e-3 1e-3 2e-4 --bf16 true --use_cpu true --eval_strategy steps --report_to none"
)
RECORDINGS = "--data_dir an4 --train_size 211 --train_size_seed 1 --per_device_train_batch_size 8 --seed 1"
RECORDINGS_RECIPE = (
    '--model_type deepspeech2 --config_overrides {"hidden_size":128,"num_hidden_layers":2,"rnn_type":"gru",'
    '"conv_channels":[16,16],"conv_kernel_sizes":[[21,7],[11,5]],"conv_strides":[[4,2],[2,2]],"hidden_dropout":0.0} '
    "--spec_augment false --phase_epochs 40 16 12 --phase_learning_rates 4e-3 2e-3 4e-4 --warmup_steps 0.05 "
    "--sparsity 0.5 --per_device_eval_batch_size 52 --use_cpu true --report_to none"
)
CHARACTERS = "--train_file A --validation_file B --test_file C --seed 1"
CHARACTERS_RECIPE = (
    '--model_type lstm --vocab_size 257 --config_overrides {"hidden_size":256,"hidden_dropout":0.0} '
    "--phase_epochs 20 12 8 --phase_learning_rates 5e-3 1e-3 3e-4 --sparsity 0.8 --per_device_train_batch_size 8 "
    "--use_cpu true --report_to none"
)
PUBLISHED = [
    ("flickr8k-small", "run_captioning", f"{FLICKR} {DENSE}", f"{FLICKR_RECIPE} --save_strategy no"),
    ("flickr8k-small", "run_captioning", f"{FLICKR} {BRANCH}", f"{FLICKR_RECIPE} --save_strategy no"),
    ("minilm-sst2", "run_text_classification", f"{SENTENCES} {DENSE}", f"{SENTENCES_RECIPE} --save_strategy no"),
    ("minilm-sst2", "run_text_classification", f"{SENTENCES} {BRANCH}", f"{SENTENCES_RECIPE} --save_strategy no"),
    (
        "an4-small",
        "run_speech_recognition_ctc",
        f"{RECORDINGS} {DENSE} --metric_for_best_model wer",
        f"{RECORDINGS_RECIPE} --save_strategy no",
    ),
    ("an4-small", "run_speech_recognition_ctc", f"{RECORDINGS} {BRANCH}", f"{RECORDINGS_RECIPE} --save_strategy no"),
    ("lstm-shakespeare", "run_clm", f"{CHARACTERS} {DENSE}", f"{CHARACTERS_RECIPE} --save_strategy no"),
    (
        "resnet-fashion-mnist",
        "run_image_classification",
        "--data_dir fashion-mnist",
        f"{FASHION_RECIPE} --save_strategy no",
    ),
    # Bar and checkpoints of the recipe are not the studies': none was shown, none kept.
    (
        "neuraltalk-flickr8k",
        "run_captioning",
        f"{STUDY} --sparsity 0.5 --logging_steps 50",
        f"{STUDY_RECIPE} --save_steps 1500 --disable_tqdm true",
    ),
]


def parse(script: str, *options: str) -> dict[str, Any]:
    module = runpy.run_path(str(ROOT / "examples" / f"{script}.py"))
    groups = [module[f"{kind}Arguments"] for kind in ("Model", "Data", "Training")]
    parsed = parse_arguments(*groups, arguments=[*options, "--output_dir", "OUT"])
    return {option.name: getattr(group, option.name) for group in parsed for option in fields(group)}


@pytest.mark.parametrize(
    ("recipe", "script", "beside", "held"), PUBLISHED, ids=[f"{row}-{each[0]}" for row, each in enumerate(PUBLISHED)]
)
def test_a_recipe_and_the_rest_of_the_command_are_the_published_runs(
    recipe: str, script: str, beside: str, held: str
) -> None:
    path = f"{ROOT}/examples/recipes/{recipe}.yaml"
    short, full = parse(script, path, *beside.split()), parse(script, *held.split(), *beside.split())
    assert {name: value for name, value in short.items() if value != full[name]} == {}
    assert len(short) > 140
    if recipe != "neuraltalk-flickr8k":  # exactly what the runs share
        assert {*read_recipe(path)} == {*re.findall(r"--(\w+)", held)}
