"""The recipes under examples/recipes say what the paper's tables say, in the script's own arguments."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest
from scripts import ROOT
from transformers import HfArgumentParser

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
