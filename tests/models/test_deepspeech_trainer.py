"""Both speech models under the Trainer, and under DSDTrainer through a sparse phase and a resume."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import arguments
from torch import Tensor
from transformers import EvalPrediction, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from hf_dsd import DSDTrainer
from hf_dsd.models import DeepSpeech2Config, DeepSpeech2ForCTC, DeepSpeechConfig, DeepSpeechForCTC

LAYER = ("input_projection.weight", "recurrence.weight_hh", "recurrence.weight_hh_reverse")


def build_one(seed: int = 0, **fields: object) -> DeepSpeechForCTC:
    torch.manual_seed(seed)
    sizes = {"vocab_size": 6, "feature_size": 5, "context_frames": 2, "hidden_size": 7}
    return DeepSpeechForCTC(DeepSpeechConfig(**sizes, **fields))


def build_two(seed: int = 0, **fields: object) -> DeepSpeech2ForCTC:
    torch.manual_seed(seed)
    sizes = {"vocab_size": 6, "feature_size": 9, "conv_channels": [3, 2], "conv_kernel_sizes": [[5, 3], [3, 5]]}
    return DeepSpeech2ForCTC(DeepSpeech2Config(**sizes, hidden_size=7, num_hidden_layers=2, **fields))


def build_gru(seed: int = 0, **fields: object) -> DeepSpeech2ForCTC:
    return build_two(seed, rnn_type="gru", **fields)


def build_fused(seed: int = 0, **fields: object) -> DeepSpeech2ForCTC:
    return build_two(seed, rnn_type="lstm", shared_input_projection=False, **fields)


PRUNED = {
    build_one: {"dense.0.weight", "dense.1.weight", "output_dense.weight", *(f"recurrent.{part}" for part in LAYER)},
    build_two: {"dense.weight", *(f"recurrent.{i}.{part}" for i in (0, 1) for part in LAYER)},
    build_gru: {"dense.weight", *(f"recurrent.{i}.{part}" for i in (0, 1) for part in LAYER)},
    build_fused: {
        "dense.weight",
        *(f"recurrent.{i}.recurrence.weight_{k}_l0{d}" for i in (0, 1) for k in ("ih", "hh") for d in ("", "_reverse")),
    },
}
EVERY_MODEL = pytest.mark.parametrize("build", PRUNED, ids=["deepspeech", "deepspeech2", "gru", "fused lstm"])
BOTH_MODELS = pytest.mark.parametrize("build", [build_one, build_two], ids=["deepspeech", "deepspeech2"])


def utterances(model: PreTrainedModel, rows: int) -> list[dict[str, Tensor]]:
    """Random utterances of 8 to 20 frames with 1 to 3 symbols, all padded to one size."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for row in range(rows):
        frames, symbols = 8 + 3 * (row % 5), 1 + row % 3
        labels = torch.full((3,), -100)
        labels[:symbols] = torch.randint(1, 6, (symbols,), generator=generator)
        features = torch.randn(20, model.config.feature_size, generator=generator)
        found.append(
            {"input_features": features, "attention_mask": (torch.arange(20) < frames).long(), "labels": labels}
        )
    return found


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, object]:
    options = {"report_to": "none", "disable_tqdm": True, "use_cpu": True, "save_strategy": "no"}
    return {"output_dir": str(tmp_path), **options}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_accumulated_step_equals_one_large_batch(reduction, plain):
    model = build_one(ctc_loss_reduction=reduction)
    rows = utterances(model, 4)
    expected = copy.deepcopy(model)
    expected(**{name: torch.stack([row[name] for row in rows]) for name in rows[0]}).loss.backward()
    with torch.no_grad():
        for parameter in expected.parameters():
            parameter -= 0.05 * parameter.grad
    args = TrainingArguments(
        **plain,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=4,
        max_steps=1,
        learning_rate=0.05,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
    )
    Trainer(model, args, train_dataset=rows).train()
    for (name, parameter), reference in zip(model.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter, reference, atol=1e-5, rtol=1e-5, msg=name)


@BOTH_MODELS
def test_evaluation_hands_out_logits_only_and_the_mean_loss(build, plain):
    model = build().eval()
    rows = utterances(model, 4)
    seen: list[EvalPrediction] = []

    def keep(prediction: EvalPrediction) -> dict[str, float]:
        seen.append(prediction)
        return {}

    args = TrainingArguments(**plain, per_device_eval_batch_size=4)
    metrics = Trainer(model, args, eval_dataset=rows, compute_metrics=keep).evaluate()
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    output = model(**batch)
    assert isinstance(seen[0].predictions, np.ndarray)
    np.testing.assert_allclose(seen[0].predictions, output.logits.detach(), atol=1e-6)
    assert metrics["eval_loss"] == pytest.approx(output.loss.item(), abs=1e-5)


class Watch(TrainerCallback):
    """Notes, after every optimizer step, which parameters have how many exact zeros."""

    def __init__(self) -> None:
        self.zeros: dict[int, dict[str, int]] = {}

    def on_step_end(self, args: object, state: object, control: object, model: PreTrainedModel, **_: object) -> None:
        self.zeros[state.global_step] = {
            name: int((p == 0).sum()) for name, p in model.named_parameters() if p.dim() > 1
        }


def make_trainer(folder: Path, model: PreTrainedModel, **options: object) -> DSDTrainer:
    defaults = {"save_strategy": "steps", "save_steps": 1, "weight_decay": 0.1, "learning_rate": 1e-3}
    rows = utterances(model, 20)
    return DSDTrainer(model, arguments(folder, **defaults | options), train_dataset=rows, eval_dataset=rows[:4])


@EVERY_MODEL
def test_dsd_keeps_exact_zeros_and_resumes_bit_equal_inside_the_sparse_phase(build, tmp_path):
    whole = make_trainer(tmp_path / "whole", build(hidden_dropout=0.2))
    watch = Watch()
    whole.add_callback(watch)
    whole.train()
    sizes = {name: p.numel() for name, p in whole.model.named_parameters()}
    assert sorted(watch.zeros) == list(range(1, 13))
    for step, zeros in watch.zeros.items():
        expected = {name: round(0.5 * sizes[name]) if name in PRUNED[build] and 4 <= step <= 7 else 0 for name in zeros}
        assert step > 7 or zeros == expected, step
    assert sum(watch.zeros[12][name] for name in PRUNED[build]) < sum(sizes[name] for name in PRUNED[build]) / 20

    resumed = make_trainer(tmp_path / "resumed", build(seed=9, hidden_dropout=0.2))
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-5"))
    got, want = resumed.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(got[name], want[name]) for name in want)
    losses = [[line["loss"] for line in t.state.log_history if "loss" in line][-7:] for t in (resumed, whole)]
    assert losses[0] == losses[1]


@BOTH_MODELS
def test_phase_folders_load_as_models(build, tmp_path):
    trainer = make_trainer(tmp_path, build(), save_strategy="no")
    trainer.train()
    sparse = type(trainer.model).from_pretrained(tmp_path / "phase-1-sparse")
    sizes = {name: p.numel() for name, p in sparse.named_parameters()}
    zeros = {name: int((p == 0).sum()) for name, p in sparse.named_parameters() if p.dim() > 1}
    assert {name for name, count in zeros.items() if count} == PRUNED[build]
    assert all(zeros[name] == round(0.5 * sizes[name]) for name in PRUNED[build])
