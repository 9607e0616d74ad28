"""What transformers expects of every model: Auto classes, hidden states, tuples, gradient checkpointing, versions."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, GenerationConfig, Trainer, TrainingArguments
from transformers.modeling_layers import GradientCheckpointingLayer

from hf_dsd.data import SpeechCollator
from hf_dsd.models import (
    DeepSpeech2Config,
    DeepSpeech2ForCTC,
    DeepSpeech2Model,
    DeepSpeechConfig,
    DeepSpeechForCTC,
    DeepSpeechModel,
    DeepSpeechProcessor,
    LstmConfig,
    LstmForCausalLM,
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkModel,
)
from hf_dsd.models.remote_code import save_with_code

TWO = {"vocab_size": 6, "feature_size": 9, "conv_channels": [3, 2], "conv_kernel_sizes": [[5, 3], [3, 5]]}
TWO |= {"hidden_size": 7, "num_hidden_layers": 2, "hidden_dropout": 0.2}
CAPTIONER = {"vocab_size": 9, "image_feature_size": 6, "hidden_size": 7, "word_embedding_size": 5}
SPEECH = {
    "deepspeech": lambda: DeepSpeechForCTC(
        DeepSpeechConfig(vocab_size=6, feature_size=9, context_frames=2, hidden_size=7, hidden_dropout=0.2)
    ),
    **{
        f"deepspeech2 {kind} {'shared' if shared else 'fused'}": lambda kind=kind, shared=shared: DeepSpeech2ForCTC(
            DeepSpeech2Config(**TWO, rnn_type=kind, shared_input_projection=shared)
        )
        for kind in ("rnn", "gru", "lstm")
        for shared in (True, False)
    },
}
LANGUAGE = {"vocab_size": 9, "embedding_size": 5, "hidden_size": 7, "hidden_dropout": 0.2}
MODELS = {
    **SPEECH,
    "neuraltalk": lambda: NeuralTalkForConditionalGeneration(NeuralTalkConfig(**CAPTIONER)),
    "lstm": lambda: LstmForCausalLM(LstmConfig(**LANGUAGE)),
}
EVERY_MODEL = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
EVERY_SPEECH_MODEL = pytest.mark.parametrize("build", SPEECH.values(), ids=SPEECH)


def rows(build) -> list[dict[str, torch.Tensor]]:
    """Four training rows of the model."""
    generator = torch.Generator().manual_seed(0)
    if build is MODELS["neuraltalk"]:
        labels = torch.tensor([4, 5, 3])
        return [{"image_features": torch.randn(6, generator=generator), "labels": labels} for _ in range(4)]
    if build is MODELS["lstm"]:
        ids = torch.tensor([4, 5, 3])
        return [{"input_ids": ids, "labels": ids} for _ in range(4)]
    frames, labels = (16, 12, 9, 16), ([1, 2], [3], [4, 4], [5, 1])
    return [
        {"input_features": torch.randn(n, 9, generator=generator), "labels": row}
        for n, row in zip(frames, labels, strict=True)
    ]


def collate(batch: list[dict], **options: object) -> dict[str, object]:
    if "input_features" in batch[0]:
        return SpeechCollator(**options)(batch)
    return {name: torch.stack([row[name] for row in batch]) for name in batch[0]}


@pytest.mark.parametrize(
    ("name", "body", "head"),
    [
        ("deepspeech", DeepSpeechModel, "ctc_head"),
        ("deepspeech2 gru shared", DeepSpeech2Model, "ctc_head"),
        ("neuraltalk", NeuralTalkModel, "decoder"),
    ],
)
def test_auto_model_loads_the_body_of_a_model_with_a_head(name, body, head, tmp_path):
    model = MODELS[name]().eval()
    model.save_pretrained(tmp_path)
    loaded, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is body
    assert info["missing_keys"] == set()
    assert {key.split(".")[0] for key in info["unexpected_keys"]} == {head}
    batch = collate(rows(MODELS[name])[:2])
    labels = batch.pop("labels")
    words = {"input_ids": labels} if name == "neuraltalk" else {}
    hidden = loaded(**batch, **words).last_hidden_state
    assert torch.equal(hidden, model(**batch, **words, output_hidden_states=True).hidden_states[-1])


@EVERY_MODEL
def test_hidden_states_come_when_asked_for(build):
    model = build().eval()
    batch = collate(rows(build))
    plain = model(**batch)
    assert "hidden_states" not in plain
    output = model(**batch, output_hidden_states=True)
    assert torch.equal(output.logits, plain.logits)
    assert all(len(state) == 4 for state in output.hidden_states)
    head = next(getattr(model, name) for name in ("decoder", "lm_head", "ctc_head") if hasattr(model, name))
    kept = batch["labels"][:, :1] >= 0  # the first position is valid in every row
    expected = head(output.hidden_states[-1])[:, :1][kept]
    torch.testing.assert_close(expected, output.logits[:, :1][kept], atol=1e-6, rtol=0)
    model.config.output_hidden_states = True
    assert len(model(**batch).hidden_states) == len(output.hidden_states) >= 2
    model.config.return_dict = False
    assert isinstance(model(**batch), tuple)


@EVERY_MODEL
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(build, reentrant):
    torch.manual_seed(0)
    plain = build().train()
    checkpointed = copy.deepcopy(plain)
    checkpointed.gradient_checkpointing_enable({"use_reentrant": reentrant})
    assert checkpointed.is_gradient_checkpointing
    batch = collate(rows(build))
    for model in (plain, checkpointed):
        torch.manual_seed(1)
        model(**batch).loss.backward()
    for (name, parameter), other in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)
    # Batch norms have seen the batch once. Last bits may differ: without gradients torch's LSTM runs another kernel.
    for (name, buffer), other in zip(plain.named_buffers(), checkpointed.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, rtol=1e-4, atol=1e-6, msg=name)


@EVERY_MODEL
def test_the_trainer_checkpoints_gradients(build, tmp_path):
    model = build()
    options = {"max_steps": 1, "use_cpu": True, "report_to": "none", "save_strategy": "no"}
    arguments = TrainingArguments(str(tmp_path), gradient_checkpointing=True, **options)
    Trainer(model, arguments, train_dataset=rows(build), data_collator=collate).train()
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    assert layers
    assert all(layer.gradient_checkpointing for layer in layers)


@EVERY_SPEECH_MODEL
def test_lengths_counted_by_the_collator_change_nothing(build):
    model = build().eval()
    batch = collate(rows(build), return_lengths=True)
    assert batch["input_lengths"] == [16, 12, 9, 16]
    assert batch["targets"] == [[1, 2], [3], [4, 4], [5, 1]]
    counted = model(**batch)
    del batch["input_lengths"], batch["targets"]
    plain = model(**batch)
    assert torch.equal(counted.logits, plain.logits)
    assert torch.equal(counted.loss, plain.loss)


def test_lengths_travel_through_the_trainer(tmp_path):
    model = SPEECH["deepspeech"]()
    seen: list[dict] = []
    model.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True)
    arguments = TrainingArguments(str(tmp_path), max_steps=1, use_cpu=True, report_to="none", save_strategy="no")
    build = SPEECH["deepspeech"]
    collator = SpeechCollator(return_lengths=True)
    trainer = Trainer(model, arguments, train_dataset=rows(build), eval_dataset=rows(build), data_collator=collator)
    trainer.train()
    trainer.evaluate()
    for kwargs in seen:
        assert sorted(kwargs["input_lengths"]) == [9, 12, 16, 16]
        assert len(kwargs["targets"]) == 4
    assert len(seen) == 2
    assert trainer.label_names == ["labels"]


def test_a_processor_says_what_its_models_collator_makes():
    assert SpeechCollator.for_processor(DeepSpeechProcessor.build()) == SpeechCollator(return_lengths=True)


def test_generation_settings_live_in_their_own_file(tmp_path):
    model = MODELS["neuraltalk"]()
    model.save_pretrained(tmp_path)
    settings = GenerationConfig.from_pretrained(tmp_path)
    assert (settings.num_beams, settings.max_length, settings.eos_token_id) == (5, 21, 3)
    settings.num_beams, settings.max_length = 2, 7
    settings.save_pretrained(tmp_path)
    loaded = NeuralTalkForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.generate(image_features=torch.randn(2, 6)).shape[1] <= 7
    assert loaded.generation_config.num_beams == 2
    assert "num_beams" not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize("name", ["deepspeech", "deepspeech2 rnn shared", "neuraltalk", "lstm"])
def test_published_code_names_the_transformers_that_it_needs(name, tmp_path):
    save_with_code(MODELS[name](), None, tmp_path / "model")
    # Metadata of an older version, found before the installed one's.
    info = tmp_path / "old" / "transformers-5.19.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 5.19.0\n")
    code = "import sys; sys.path.insert(0, sys.argv[2]); from transformers import AutoConfig as A\n"
    code += "A.from_pretrained(sys.argv[1], trust_remote_code=True)"
    command = [sys.executable, "-c", code, str(tmp_path / "model"), str(tmp_path / "old")]
    env = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(command, env=env, cwd=Path(tmp_path), capture_output=True, text=True, timeout=300)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()
    assert last[-2].startswith("ImportError: transformers>=5.20 is required"), result.stderr
    assert last[-1].endswith("needs it: pip install -U 'transformers>=5.20,<6'")
