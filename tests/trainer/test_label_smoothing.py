"""Label smoothing replaces a model's loss by a cross entropy: it is refused, by name, where the model has another."""

from pathlib import Path

import pytest
import torch
from tiny import CLASSES, arguments, language_rows
from torch import Tensor, nn
from torch.utils.data import default_collate
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
)

from hf_dsd import DSDTrainer
from hf_dsd.models import (
    DeepSpeechConfig,
    DeepSpeechForCTC,
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
)


def build_gpt2(dropout: float = 0.1) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    sizes = {"vocab_size": 11, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8}
    rates = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}
    return GPT2LMHeadModel(GPT2Config(**sizes, **rates, bos_token_id=0, eos_token_id=0))


class OneBatch(torch.utils.data.Dataset):
    """A batch that is given as a whole, eight times."""

    def __init__(self, batch: dict[str, Tensor]) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.batch


def train(folder: Path, model: nn.Module, batch: dict[str, Tensor], **options: object) -> DSDTrainer:
    fields = {"label_smoothing_factor": 0.1, "per_device_train_batch_size": 1, "remove_unused_columns": False}
    trainer = DSDTrainer(
        model,
        arguments(folder, **fields),
        train_dataset=OneBatch(batch),
        data_collator=lambda rows: dict(rows[0]),
        **options,
    )
    trainer.train()
    return trainer


def ctc_batch(frames: int, labels: list[list[int]]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "input_features": torch.randn(2, frames, 5),
        "attention_mask": torch.ones(2, frames, dtype=torch.long),
        "labels": torch.tensor(labels),
    }


def deepspeech() -> DeepSpeechForCTC:
    torch.manual_seed(0)
    return DeepSpeechForCTC(DeepSpeechConfig(vocab_size=6, feature_size=5, context_frames=2, hidden_size=7))


CTC_LABELS = [[[1, 2, -100], [3, 4, 5]], [[1], [2]], [[1, 2, 3, 4, 5, 1, 2]] * 2]


@pytest.mark.parametrize("labels", CTC_LABELS, ids=["padded", "one symbol", "seven symbols"])
def test_ctc_has_its_own_loss(tmp_path: Path, labels: list[list[int]]) -> None:
    """Also where a cross entropy of the frames' logits and the transcript can be computed, without padding."""
    model = deepspeech()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"^label_smoothing_factor must be 0 for DeepSpeechForCTC, got 0\.1: "):
        train(tmp_path, model, ctc_batch(8, labels))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_other_peoples_ctc_has_its_own_loss(tmp_path: Path) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    convolutions = {"conv_dim": (4,), "conv_kernel": (4,), "conv_stride": (4,), "num_conv_pos_embeddings": 2}
    model = Wav2Vec2ForCTC(
        Wav2Vec2Config(**sizes, **convolutions, num_conv_pos_embedding_groups=1, vocab_size=6, mask_time_prob=0.0)
    )
    batch = {"input_values": torch.randn(2, 32), "labels": torch.randint(1, 6, (2, 8))}
    with pytest.raises(ValueError, match=r"^label_smoothing_factor must be 0 for Wav2Vec2ForCTC"):
        train(tmp_path, model, batch)


def test_labels_that_are_also_input(tmp_path: Path) -> None:
    """NeuralTalk reads the words from the labels, which smoothing takes away."""
    model = NeuralTalkForConditionalGeneration(
        NeuralTalkConfig(vocab_size=12, image_feature_size=6, hidden_size=5, word_embedding_size=5)
    )
    batch = {"image_features": torch.randn(2, 6), "labels": torch.tensor([[4, 5, 3], [6, 3, -100]])}
    with pytest.raises(ValueError, match=r"^label_smoothing_factor must be 0 for NeuralTalkForConditionalGeneration"):
        train(tmp_path, model, batch)


def test_labels_of_other_names(tmp_path: Path) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = BertForQuestionAnswering(BertConfig(**sizes, vocab_size=11, max_position_embeddings=8))
    batch = {
        "input_ids": torch.randint(0, 11, (2, 8)),
        "start_positions": torch.tensor([1, 2]),
        "end_positions": torch.tensor([3, 4]),
    }
    with pytest.raises(ValueError, match=r"^label_smoothing_factor 0\.1 has no effect for BertForQuestionAnswering"):
        train(tmp_path, model, batch)


def test_a_loss_function_of_the_users(tmp_path: Path) -> None:
    batch = default_collate(language_rows(2))

    def squares(outputs: dict[str, Tensor], labels: Tensor, num_items_in_batch: Tensor | None = None) -> Tensor:
        return outputs["logits"].square().mean()

    with pytest.raises(ValueError, match=r"^label_smoothing_factor 0\.1 has no effect with compute_loss_func"):
        train(tmp_path, build_gpt2(), batch, compute_loss_func=squares)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_language_model_is_smoothed_as_by_the_plain_trainer(tmp_path: Path, accumulation: int) -> None:
    """Bit for bit, with dropout: the trial of the first batch draws no random numbers."""
    rows = language_rows(16)
    options = {
        "label_smoothing_factor": 0.2,
        "gradient_accumulation_steps": accumulation,
        "max_steps": 4,
        "lr_scheduler_type": "constant",
    }
    ours = DSDTrainer(
        build_gpt2(), arguments(tmp_path / "ours", phase_steps=None, dsd_control=True, **options), train_dataset=rows
    )
    args = ours.args
    plain_args = TrainingArguments(
        str(tmp_path / "plain"),
        learning_rate=args.learning_rate,
        per_device_train_batch_size=args.per_device_train_batch_size,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **options,
    )
    plain = Trainer(build_gpt2(), plain_args, train_dataset=rows)
    losses = []
    for trainer in (ours, plain):
        torch.manual_seed(0)
        trainer.train()
        losses.append([line["loss"] for line in trainer.state.log_history if "loss" in line][:2])  # before lr/10
    assert losses[0] == losses[1]


class Logits(PreTrainedModel):
    """A classifier without a loss of its own."""

    config_class = BertConfig

    def __init__(self) -> None:
        super().__init__(BertConfig())
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(x)}


def test_a_model_that_leaves_the_loss_to_the_trainer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trainer = train(tmp_path, Logits(), {"x": torch.randn(3, 4), "labels": torch.tensor([0, 1, 0])})
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert losses[-1] < losses[0]
