"""What users import: complete, documented."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import hf_dsd

PACKAGE = Path(hf_dsd.__file__).parent
SUBPACKAGES = [
    ".".join(("hf_dsd", *file.parent.relative_to(PACKAGE).parts)) for file in sorted(PACKAGE.rglob("__init__.py"))
]
FILES = sorted(PACKAGE.rglob("*.py"))


def public_names(module: ModuleType) -> set[str]:
    """Names without an underscore that hold something of ours, submodules aside."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and str(getattr(value, "__module__", "hf_dsd")).startswith("hf_dsd")
    }


@pytest.mark.parametrize("name", SUBPACKAGES)
def test_all_names_each_public_name_once(name):
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])  # a room within has none: its files are not what users import
    for public in names:
        getattr(module, public)  # a name may be loaded when it is first used
    assert set(names) <= set(dir(module))
    assert len(names) == len(set(names))  # their order is the linter's business (RUF022)
    assert set(names) == public_names(module)


def test_names_that_users_type():
    stable = {
        "DSD",
        "DSDTrainer",
        "DSDTrainingArguments",
        "DSDSeq2SeqTrainer",
        "DSDSeq2SeqTrainingArguments",
        "Schedule",
    }
    assert stable <= set(hf_dsd.__all__)


def undocumented(tree: ast.Module) -> list[str]:
    """Public functions, classes and methods without a docstring."""
    found = [] if ast.get_docstring(tree) else ["module"]
    scopes: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree)]
    while scopes:
        prefix, scope = scopes.pop()
        for node in scope.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if any(getattr(decorator, "id", "") == "overload" for decorator in node.decorator_list):
                continue  # the function itself says it
            if not ast.get_docstring(node):
                found.append(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                scopes.append((f"{prefix}{node.name}.", node))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_everything_public_has_a_docstring(file):
    assert undocumented(ast.parse(file.read_text(encoding="utf-8"))) == []


def test_missing_docstrings_are_seen():
    source = (
        '"""M."""\ndef a(): ...\ndef _b(): ...\nclass C:\n    """C."""\n    def d(self): ...\n    def _e(self): ...\n'
    )
    assert undocumented(ast.parse(source)) == ["a", "C.d"]


def run(code: str, *arguments: object) -> str:
    """What a fresh process prints that runs `code`."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


LOADED = "; import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
HEAVY = {"transformers", "datasets", "accelerate", "evaluate", "matplotlib", "scipy"}


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("from hf_dsd import DSD, Schedule, Phase, PhaseKind", HEAVY),
        ("import hf_dsd", HEAVY | {"torch", "numpy"}),
        ("import hf_dsd; dir(hf_dsd)", HEAVY | {"torch"}),
        ("import hf_dsd.cli, hf_dsd.files", HEAVY | {"torch", "numpy"}),
        (
            "import typer.testing, hf_dsd.cli as cli; typer.testing.CliRunner().invoke(cli.app, '--help')",
            HEAVY | {"torch"},
        ),
        (
            "import typer.testing, hf_dsd.cli as cli; typer.testing.CliRunner().invoke(cli.app, 'inspect --help')",
            HEAVY | {"torch"},
        ),
    ],
)
def test_what_is_not_needed_is_not_loaded(code, absent):
    loaded = set(json.loads(run(code + LOADED).splitlines()[-1]))
    assert "hf_dsd" in loaded
    assert loaded & absent == set()


def test_unknown_names_are_refused_and_rooms_are_found():
    with pytest.raises(AttributeError, match="^module 'hf_dsd' has no attribute 'DSDTrainr'$"):
        hf_dsd.DSDTrainr  # noqa: B018
    assert hf_dsd.metrics.BLEU.__name__ == "BLEU"
    assert {"DSD", "DSDTrainer", "metrics", "__version__"} <= set(dir(hf_dsd))


# Each loads a folder of ours through one Auto class alone; `folder` is a DeepSpeech, `captioner` a NeuralTalk, `writer`
# an LSTM.
AUTO_USES = {
    "AutoConfig": "from transformers import AutoConfig as A; found = A.from_pretrained(folder)",
    "AutoModel": "from transformers import AutoModel as A; found = A.from_pretrained(folder)",
    "AutoModelForCTC": "from transformers import AutoModelForCTC as A; found = A.from_pretrained(folder)",
    "AutoModelForCausalLM": "from transformers import AutoModelForCausalLM as A; found = A.from_pretrained(writer)",
    "AutoModelForImageTextToText": (
        "from transformers import AutoModelForImageTextToText as A; found = A.from_pretrained(captioner)"
    ),
    "AutoProcessor": "from transformers import AutoProcessor as A; found = A.from_pretrained(folder)",
    "AutoFeatureExtractor": "from transformers import AutoFeatureExtractor as A; found = A.from_pretrained(folder)",
    "pipeline": (
        "from transformers import pipeline; found = pipeline('automatic-speech-recognition', model=folder).model"
    ),
}
FIRST = {
    "hf_dsd first": "import hf_dsd; {use}",
    "transformers first": "import transformers; import hf_dsd; {use}",
    "Auto class first": "from transformers import AutoModel, AutoProcessor, AutoTokenizer; import hf_dsd; {use}",
    "a modeling file first": "import hf_dsd, transformers.modeling_layers, transformers.models.vit.modeling_vit; {use}",
    "DSDTrainer first": "from hf_dsd import DSDTrainer; {use}",
}


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_the_auto_classes_know_our_models_whatever_comes_first(first, tmp_path):
    from hf_dsd.models import (
        DeepSpeechConfig,
        DeepSpeechFeatureExtractor,
        DeepSpeechForCTC,
        DeepSpeechProcessor,
        LstmConfig,
        LstmForCausalLM,
        NeuralTalkConfig,
        NeuralTalkForConditionalGeneration,
        build_character_tokenizer,
    )

    DeepSpeechForCTC(DeepSpeechConfig(hidden_size=4)).save_pretrained(tmp_path / "speech")
    processor = DeepSpeechProcessor(DeepSpeechFeatureExtractor(), build_character_tokenizer())
    processor.save_pretrained(tmp_path / "speech")
    sizes = {"vocab_size": 6, "image_feature_size": 3, "hidden_size": 3, "word_embedding_size": 3}
    NeuralTalkForConditionalGeneration(NeuralTalkConfig(**sizes)).save_pretrained(tmp_path / "captioner")
    LstmForCausalLM(LstmConfig(hidden_size=4)).save_pretrained(tmp_path / "writer")
    # Every scenario begins with another Auto class, and tries them all.
    names = list(AUTO_USES)
    turn = list(FIRST.values()).index(first)
    code = "import sys\nfolder, captioner, writer = sys.argv[1:]\n" + first.format(use=AUTO_USES[names[turn]]) + "\n"
    code += "".join(f"{AUTO_USES[name]}; print(type(found).__name__)\n" for name in names[turn:] + names[:turn])
    expected = [
        "DeepSpeechConfig",
        "DeepSpeechModel",
        "DeepSpeechForCTC",
        "LstmForCausalLM",
        "NeuralTalkForConditionalGeneration",
        "DeepSpeechProcessor",
        "DeepSpeechFeatureExtractor",
        "DeepSpeechForCTC",
    ]
    folders = (tmp_path / name for name in ("speech", "captioner", "writer"))
    assert run(code, *folders).split() == expected[turn:] + expected[:turn]
