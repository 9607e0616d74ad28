"""The card is what the code renders from results.json, for every card of this repository and for a user's own run."""

import ast
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from card_runs import results_of, write_comparison, write_run
from huggingface_hub import ModelCard
from PIL import Image
from transformers import ResNetConfig
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
from typer.testing import CliRunner

from hf_dsd import (
    DeepSpeech2Config,
    DeepSpeech2ForCTC,
    DeepSpeechConfig,
    DeepSpeechForCTC,
    DeepSpeechProcessor,
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
)
from hf_dsd.cli import app
from hf_dsd.compare import Comparison
from hf_dsd.hub import Results, Words, render_card, render_studies
from hf_dsd.hub.card import LINE_WIDTH, command_lines, render_pages
from hf_dsd.hub.card_command import refresh_card
from hf_dsd.hub.card_facts import ModelFacts
from hf_dsd.hub.tables import index_table, study_table
from hf_dsd.models import DeepSpeechFeatureExtractor, build_caption_tokenizer, build_character_tokenizer

CARDS = Path(__file__).parents[2] / "model_cards"
FOLDERS = sorted(path.parent for path in CARDS.glob("*/results.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_card_is_rendered_from_its_results(folder: Path) -> None:
    for name, text in render_pages(Results.read(folder)).items():
        assert (folder / name).read_text(encoding="utf-8") == text, f"run: hf-dsd card model_cards/{folder.name}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_hub_reads_every_card(folder: Path) -> None:
    data = ModelCard.load(folder / "README.md", ignore_metadata_errors=False).data.to_dict()
    results = [result for model in data.get("model-index", []) for result in model["results"]]
    names = [metric["name"] for result in results for metric in result["metrics"]]
    # Those of the model whose files lie beside the card, and no others.
    assert bool(names) == (folder / "model.safetensors").is_file()
    assert all(name.endswith("(this model)") for name in names)


def test_every_folder_has_both_files() -> None:
    cards = sorted(path.parent for path in CARDS.glob("*/README.md"))
    assert [folder for folder in cards if folder.name != "evidence"] == FOLDERS  # which is about no model


def test_the_table_of_all_results_is_rendered_from_them(tmp_path: Path) -> None:
    text = (CARDS / "README.md").read_text(encoding="utf-8")
    written = refresh_card(shutil.copytree(CARDS, tmp_path / "cards"))
    assert text == written[-1].read_text(encoding="utf-8"), "run: hf-dsd card model_cards"
    assert [line.startswith("| [") for line in text.splitlines()].count(True) == len(FOLDERS)


def test_a_run_without_a_control_says_so(tmp_path: Path) -> None:
    results = results_of(write_run(tmp_path / "run", (8, 7, 4)))
    text = render_card(results)
    assert "**No equal-budget control was run, so these numbers do not say whether DSD helped.**" in text
    assert "Verdict" not in text
    assert "| phase-1-sparse | 1 | 10 | 0.001 | 50 % | 300 |" in text
    assert "| phase-2-dense | 33.33 |" in text
    assert "weights.png" not in text
    assert "--data_dir digits" in render_studies(results)
    assert "\n\n\n" not in text + render_studies(results)


def test_a_run_with_a_control_has_table_and_verdict(tmp_path: Path) -> None:
    out = write_comparison(tmp_path)
    results = results_of(out / "seed-2" / "dsd", repo_id="me/x", comparison=out)
    text, studies = render_card(results), render_studies(results)
    assert "**Verdict: dsd and dense are not distinguishable with 3 seeds: -16.67 points of WER" in text
    assert "| DSD | 36.11 ± 12.73 | -16.67 | -37.37 .. +4.03 | 0.074 |" in text
    assert "| dense control (same budget) | 52.78 ± 4.81 | - | - | - |" in text
    assert "Means over 3 seeds, smaller is better. The difference is to dense control (same budget)" in text
    assert "| DSD | --dsd_control false --sparsity 0.5 | 36.11 | 12.73 | 3 | " in studies
    row = "| dsd - dense | -16.67 | -37.37 .. +4.03 | -16.67, -8.33, -25.00 | 3 of 3 | 0.074 | 0.074 | -2.00 ("
    assert row in studies
    assert "| DSD - dense control, seed 1 / 2 / 3 | -16.67 / -8.33 / -25.00 |" in studies
    assert "| first dense phase, shared by the arms | 66.67 ± 0.00 |" in studies
    assert "| DSD | mean ± sd | 50.00 ± 0.00 | 40.00 ± 0.00 | 30.00 ± 0.00 |" in studies
    assert "Ends of sparse phases: DSD phase 1 (50 %)." in studies
    assert 'model="me/x"' in text
    assert "FOLDER" not in text
    assert re.search(r"\(bootstrap over 3 examples\) is about ±\d+\.\d\d points of WER", text)
    assert results.comparison is not None
    compared = replace(results.comparison, signature="bs:1000|seed:0|drawn:speakers|case:lc")
    assert "(bootstrap over the speakers of 3 examples) is" in render_card(replace(results, comparison=compared))


def test_a_control_of_other_seeds_is_no_control(tmp_path: Path) -> None:
    write_run(tmp_path / "seed-1" / "dsd", (8, 7, 4))
    write_run(tmp_path / "seed-2" / "dense", (8, 7, 4), "dense", 2)
    text = render_card(Results.from_comparison(tmp_path))
    assert "**No verdict: it needs the dense control and another arm with the same seed.**" in text
    assert "No equal-budget control" not in text


def test_the_control_does_not_pass_for_dsd(tmp_path: Path) -> None:
    text = render_card(results_of(write_run(tmp_path / "run", (8, 7, 6), "dense")))
    assert "# DeepSpeech2ForCTC on digits, the equal-budget dense control" in text
    assert "These are the weights of the dense control" in text


def test_words_studies_and_figure(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", (8, 7, 4))
    (run / "figures").mkdir()
    (run / "figures" / "weights.png").write_bytes(b"png")
    sections = {"Description": "What | it is.", "Findings": "- Found.", "Paper": "The paper: 1.", "Training": "Tuned."}
    sections |= {"Limits": "- Small.", "Commands": "Run `make`.", "Study: Sparsity": "Why."}
    two = Comparison.from_folder(write_comparison(tmp_path / "out", 2))
    results = replace(results_of(run), words=Words(sections=sections))
    results = replace(results, studies={"Sparsity": {"50 %": two}})
    text, studies = render_card(results), render_studies(results)
    assert [part for part in ("What | it is.", "The paper: 1.", "- Small.") if f"\n{part}\n" not in text] == []
    parts = ["- Found.", "Tuned.", "Run `make`.", "## Sparsity", "Why."]
    assert [part for part in parts if f"\n{part}\n" not in studies or f"\n{part}\n" in text] == []
    assert "](figures/weights.png)" in text
    row = "| 50 % | DSD | test WER [%] | 54.17 ± 5.89 | 41.67 ± 11.79 | -12.50 | -65.44 .. +40.44 | 0.205 | 0.205 | 2 |"
    assert row in studies


def test_the_settings_of_a_study_are_one_family_of_tests(tmp_path: Path) -> None:
    two, three = (Comparison.from_folder(write_comparison(tmp_path / str(count), count)) for count in (2, 3))
    one = Comparison.from_folder(write_comparison(tmp_path / "1", 1))
    rows = study_table({"a": three, "b": one, "c": two})
    assert [row.split(" | ")[-3:] for row in rows if row.startswith("| a") or " DSD " in row] == [
        ["0.074", "0.148", "3 |"],  # twice the smaller of two
        ["-", "-", "1 |"],  # one seed has no test, so it is none of the family
        ["0.205", "0.205", "2 |"],
    ]


def test_the_table_of_all_results_has_the_p_values_of_the_cards(tmp_path: Path) -> None:
    results = Results.from_comparison(write_comparison(tmp_path))
    assert results.comparison is not None
    against = replace(results.comparison.differences[0], p_holm=0.222)
    results = replace(results, comparison=replace(results.comparison, differences=[against]))
    heading, _, row = index_table({"a": ("A", results)})
    assert (heading.split(" | ")[-1], row.split(" | ")[-1]) == ("p (Holm) |", "0.222 |")
    assert "| 0.222 |" in render_card(results)


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (
            ModelFacts("GPT2LMHeadModel", "gpt2", "transformers", "text-generation"),
            'pipeline("text-generation", model="a/b")',
        ),
        (ModelFacts("GPT2Model", "gpt2", "transformers"), 'GPT2Model.from_pretrained("a/b")'),
        (ModelFacts("Mine", "mine"), 'Mine.from_pretrained("a/b")'),
        (ModelFacts("Mine"), 'load_model(model, hf_hub_download("a/b", "model.safetensors"))'),
        (ModelFacts("PeftModel", base_model="me/gpt2"), 'PeftModel.from_pretrained(base_model, "a/b")'),
    ],
)
def test_how_to_use_other_models(tmp_path: Path, facts: ModelFacts, line: str) -> None:
    found = replace(results_of(write_run(tmp_path / "run", (8, 7, 4))), model=facts, repo_id="a/b")
    assert line in render_card(found)


def test_an_adapter_names_its_base_model(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", (8, 7, 4), model="PeftModelForCausalLM")
    (run / "phase-2-dense" / "config.json").unlink()
    (run / "phase-2-dense" / "adapter_config.json").write_text('{"base_model_name_or_path": "me/gpt2"}')
    data = ModelCard(render_card(results_of(run)), ignore_metadata_errors=False).data
    assert (data.library_name, data.base_model) == ("peft", "me/gpt2")


def test_a_task_that_transformers_has_no_longer_is_not_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", (8, 7, 4), model="T5ForConditionalGeneration")
    (run / "phase-2-dense" / "config.json").write_text('{"model_type": "t5"}')
    facts = results_of(run).model
    assert (facts.source, facts.task) == ("transformers", None)


def test_runs_of_two_calls_are_two_commands() -> None:
    assert command_lines("hf-dsd compare --seeds 1 && hf-dsd compare --seeds 3") == (
        "hf-dsd compare --seeds 1\nhf-dsd compare --seeds 3"
    )


def test_commands_can_be_pasted() -> None:
    words = ["python", "run.py", "--a", "x y", *(f"--option{index}" for index in range(30)), "--a", "1"]
    text = command_lines(words)
    assert max(map(len, text.splitlines())) <= LINE_WIDTH
    assert text.replace(" \\\n   ", "").split(" --") == [
        "python run.py",
        "a 'x y'",
        *(f"option{i}" for i in range(30)),
        "a 1",
    ]
    assert command_lines("hf-dsd compare --out x -- run.py") == "hf-dsd compare --out x -- run.py"


def blocks(results: Results) -> list[str]:
    """The Python blocks of a card."""
    found = re.findall(r"```python\n(.*?)```", render_card(results), re.DOTALL)
    for block in found:
        ast.parse(block)
    return found


def write_speech(folder: Path, model: Any) -> None:
    model.save_pretrained(folder)
    tokenizer = build_character_tokenizer()
    DeepSpeechProcessor(DeepSpeechFeatureExtractor(), tokenizer).save_pretrained(folder)


def write_deepspeech(folder: Path) -> None:
    write_speech(folder, DeepSpeechForCTC(DeepSpeechConfig(hidden_size=8)))


def write_deepspeech2(folder: Path) -> None:
    write_speech(folder, DeepSpeech2ForCTC(DeepSpeech2Config(hidden_size=8, num_hidden_layers=1, conv_channels=[2, 2])))


def write_neuraltalk(folder: Path) -> None:
    tokenizer = build_caption_tokenizer(["a dog runs"] * 5)
    config = NeuralTalkConfig(vocab_size=len(tokenizer), image_feature_size=6, hidden_size=8, word_embedding_size=8)
    NeuralTalkForConditionalGeneration(config).save_pretrained(folder)
    NeuralTalkProcessor(tokenizer=tokenizer).save_pretrained(folder)


def write_picture_reader(folder: Path) -> None:
    tokenizer = build_caption_tokenizer(["a dog runs"] * 5)
    encoder = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    sizes = {"vocab_size": len(tokenizer), "image_feature_size": 8, "hidden_size": 8, "word_embedding_size": 8}
    NeuralTalkForConditionalGeneration(NeuralTalkConfig(encoder_config=encoder, **sizes)).save_pretrained(folder)
    NeuralTalkProcessor(ViTImageProcessorPil(size={"height": 16, "width": 16}), tokenizer).save_pretrained(folder)


@pytest.mark.parametrize("write", [write_deepspeech, write_deepspeech2, write_neuraltalk, write_picture_reader])
def test_the_lines_of_use_run(
    tmp_path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "model")
    soundfile.write(tmp_path / "speech.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 8000), 16000)
    Image.new("RGB", (20, 24)).save(tmp_path / "picture.jpg")
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "run", (8, 7, 4))
    shutil.copyfile(tmp_path / "model" / "config.json", run / "phase-2-dense" / "config.json")
    found = results_of(run, repo_id="a/b")
    assert "trust_remote_code=True" in blocks(found)[0]
    for block in blocks(found):
        exec(block.replace("a/b", "model"), {})
    assert len(capsys.readouterr().out.splitlines()) >= len(blocks(found))


def test_the_command_makes_refreshes_and_renders(tmp_path: Path) -> None:
    card = tmp_path / "cards" / "digits"
    two, three = (str(write_comparison(tmp_path / str(count), count)) for count in (2, 3))
    run = CliRunner()
    assert run.invoke(app, ["card", str(card), "--comparison", two]).exit_code == 0
    results = Results.read(card)
    assert results.comparison is not None
    assert results.comparison.seeds == [1, 2]
    assert "# Findings" in (card / "words.md").read_text()
    (card / "words.md").write_text("---\ntitle: 'Digits: long'\n---\n# Findings\n\n- Mine.\n")

    (card / "figures").mkdir()
    (card / "figures" / "weights.png").write_bytes(b"png")
    done = run.invoke(app, ["card", str(card), "--comparison", three])
    assert done.exit_code == 0
    assert "results.json" in done.output
    text = (card / "README.md").read_text()
    assert "# Digits: long" in text
    assert "- Mine." in (card / "STUDIES.md").read_text()
    assert "](figures/weights.png)" in text
    assert "with 3 seeds" in text

    before = (card / "results.json").read_text()
    assert (card / "words.md").read_text().endswith("- Mine.\n")
    (tmp_path / "cards" / "notes.md").write_text("About them all.\n")
    assert run.invoke(app, ["card", str(tmp_path / "cards")]).exit_code == 0
    index = (tmp_path / "cards" / "README.md").read_text()
    assert "| [Digits](digits/README.md) | 50 %, 3 seeds | test WER [%] | not distinguishable | 52.78 ± 4.81 |" in index
    assert "| 36.11 ± 12.73 | -16.67 | -37.37 .. +4.03 | 0.074 |" in index
    assert "About them all." in index
    assert (card / "results.json").read_text() == before

    assert run.invoke(app, ["card", str(card), "--run", f"{two}/seed-1/dsd"]).exit_code == 0
    text = (card / "README.md").read_text()
    assert "# Digits: long" in text
    assert "This model's run (seed 1) at the end of each phase" in text
    assert "with 3 seeds" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/none"], "is missing: make it by"),
        (["{tmp}/cards", "--comparison", "x"], "holds 1 cards: name the one"),
        (["{tmp}/cards/a", "--comparison", "{tmp}/none"], "holds no finished run"),
        (["{tmp}/cards/a", "--model", "{tmp}/none"], "none holds no model: give the folder of one, such as RUN/"),
    ],
)
def test_the_command_refuses(tmp_path: Path, arguments: list[str], message: str) -> None:
    refresh_card(tmp_path / "cards" / "a", comparison=write_comparison(tmp_path / "out", 1))
    before = (tmp_path / "cards" / "a" / "results.json").read_text()
    done = CliRunner().invoke(app, ["card", *(word.format(tmp=tmp_path) for word in arguments)])
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert (tmp_path / "cards" / "a" / "results.json").read_text() == before
