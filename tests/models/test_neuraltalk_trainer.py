import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    EvalPrediction,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainingArguments,
)

CAPTIONS = [[4, 5, 6, 7, 8, 3], [9, 3], [10, 3], [4, 3]]


def pad(rows: list[list[int]]) -> torch.Tensor:
    """Labels `(rows, longest)`, padded with -100."""
    length = max(map(len, rows))
    return torch.tensor([row + [-100] * (length - len(row)) for row in rows])


def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
    """One batch of images, each with one or several captions."""
    counts = torch.tensor([len(row["captions"]) for row in rows])
    return {
        "image_features": torch.stack([row["image_features"] for row in rows]),
        "labels": pad([caption for row in rows for caption in row["captions"]]),
        "image_index": torch.arange(len(rows)).repeat_interleave(counts),
    }


@pytest.fixture
def rows():
    return [{"image_features": torch.randn(6), "captions": [caption]} for caption in CAPTIONS]


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, object]:
    return {
        "output_dir": str(tmp_path),
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "save_strategy": "no",
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
    }


def test_accumulated_step_equals_the_mean_over_all_tokens(make_model, rows, arguments):
    model = make_model(encoder_dropout=0.0, decoder_dropout=0.0)
    expected = copy.deepcopy(model)
    batch = collate(rows)
    expected(**batch).loss.backward()
    with torch.no_grad():
        for parameter in expected.parameters():
            parameter -= 0.5 * parameter.grad
    args = TrainingArguments(
        **arguments,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        max_steps=1,
        learning_rate=0.5,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
    )
    Trainer(model, args, train_dataset=rows, data_collator=collate).train()
    for (name, parameter), reference in zip(model.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter, reference, atol=1e-5, rtol=0, msg=name)


def test_evaluation_hands_out_logits_only_and_the_mean_loss(make_model, rows, arguments):
    model = make_model()
    seen: list[EvalPrediction] = []

    def keep(prediction: EvalPrediction) -> dict[str, float]:
        seen.append(prediction)
        return {}

    args = TrainingArguments(**arguments, per_device_eval_batch_size=4)
    trainer = Trainer(model, args, eval_dataset=rows, data_collator=collate, compute_metrics=keep)
    metrics = trainer.evaluate()
    assert isinstance(seen[0].predictions, np.ndarray)
    assert seen[0].predictions.shape == (4, 6, 11)
    assert metrics["eval_loss"] == pytest.approx(model(**collate(rows)).loss.item(), abs=1e-6)


def test_unused_columns_are_removed_and_inputs_kept(make_model, rows, arguments):
    rows = [{"image_features": r["image_features"], "labels": CAPTIONS[0], "file": "a.jpg"} for r in rows]
    seen: list[set[str]] = []

    def look(batch: list[dict]) -> dict[str, torch.Tensor]:
        seen.append(set(batch[0]))
        return {"image_features": torch.stack([r["image_features"] for r in batch]), "labels": pad(CAPTIONS)}

    args = TrainingArguments(**{**arguments, "remove_unused_columns": True, "per_device_eval_batch_size": 4})
    Trainer(make_model(), args, eval_dataset=rows, data_collator=look).evaluate()
    assert seen == [{"image_features", "labels"}]


def test_predict_with_generate_is_beam_search(make_captioner, rows, arguments):
    model = make_captioner()
    images = [{**row, "captions": CAPTIONS} for row in rows[:3]]
    args = Seq2SeqTrainingArguments(
        **arguments,
        per_device_train_batch_size=2,
        per_device_eval_batch_size=1,
        max_steps=2,
        learning_rate=1e-3,
        predict_with_generate=True,
        generation_num_beams=3,
        generation_max_length=9,
    )
    trainer = Seq2SeqTrainer(model, args, train_dataset=rows, eval_dataset=images, data_collator=collate)
    trainer.train()
    output = trainer.predict(images)
    rows_of_ids = torch.from_numpy(output.predictions)
    expected = model.eval().generate(image_features=collate(images)["image_features"], num_beams=3, max_length=9)
    assert rows_of_ids[:, 0].tolist() == [2, 2, 2]
    assert torch.equal(rows_of_ids[:, : expected.shape[1]], expected)
    assert output.label_ids.shape[0] == 12
    assert output.metrics["test_loss"] == pytest.approx(model(**collate(images)).loss.item(), abs=1e-5)


def test_saved_checkpoint_generates_the_same(make_captioner, rows, arguments, tmp_path):
    model = make_captioner()
    args = TrainingArguments(**{**arguments, "save_strategy": "steps"}, save_steps=1, max_steps=1)
    Trainer(model, args, train_dataset=rows, data_collator=collate).train()
    loaded = type(model).from_pretrained(tmp_path / "checkpoint-1")
    features = collate(rows)["image_features"]
    model.eval()
    assert torch.equal(loaded.generate(image_features=features), model.generate(image_features=features))
