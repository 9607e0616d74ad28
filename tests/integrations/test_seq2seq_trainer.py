"""transformers' `Seq2SeqTrainer` with an encoder-decoder that generates at every evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorForSeq2Seq, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from hf_dsd import DSDSeq2SeqTrainer, DSDSeq2SeqTrainingArguments
from hf_dsd.metrics import TextScorer
from hf_dsd.trainer.scoring import score_phases


def build_t5(vocab_size: int, seed: int = 0) -> T5ForConditionalGeneration:
    torch.manual_seed(seed)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
    ids = {"pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": 3}
    return T5ForConditionalGeneration(T5Config(vocab_size=vocab_size, **sizes, **ids))


def test_zeros_hold_while_it_generates(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], options: dict[str, Any], tmp_path: Path, count_zeros: Any
) -> None:
    rows = [{"input_ids": ids, "labels": [*reversed(ids), 3]} for ids in tokenizer(texts)["input_ids"]]
    model = build_t5(len(tokenizer))
    seen: list[tuple[float, int]] = []

    def compute_metrics(evaluation: Any) -> dict[str, float]:
        weight = model.decoder.block[0].layer[1].EncDecAttention.q.weight
        seen.append((float((weight == 0).float().mean()), len(evaluation.predictions)))
        return {"length": float(np.mean([len(row) for row in evaluation.predictions]))}

    generation = {"predict_with_generate": True, "generation_num_beams": 2, "generation_max_length": 6}
    evaluation = {"eval_strategy": "steps", "eval_steps": 2}
    trainer = DSDSeq2SeqTrainer(
        model,
        DSDSeq2SeqTrainingArguments(**(options | generation | evaluation | {"save_strategy": "no"})),
        train_dataset=rows,
        eval_dataset=rows[:6],
        data_collator=DataCollatorForSeq2Seq(tokenizer, model),
        processing_class=tokenizer,
        compute_metrics=compute_metrics,
    )
    zeros = count_zeros(trainer)
    trainer.train()
    names = [layer["name"] for layer in trainer.summary.phases[1]["layers"]]
    attention = [
        f"{kind}.{part}" for kind in ("encoder", "decoder") for part in ("SelfAttention.q", "DenseReluDense.wi")
    ]
    assert all(
        any(name.startswith(a.split(".")[0]) and a.split(".", 1)[1] in name for name in names) for a in attention
    )
    assert {zeros.steps[5][name] for name in names} == {0.5}
    assert {zeros.steps[12][name] for name in names} == {0.0}
    evaluated = [line["step"] for line in trainer.state.log_history if "eval_length" in line]
    assert evaluated == [2, 3, 4, 6, 7, 8, 10, 12]
    assert seen == [(0.5 if 3 < step <= 7 else 0.0, 6) for step in evaluated]
    restored = T5ForConditionalGeneration.from_pretrained(tmp_path / "out" / "phase-2-dense")
    assert all(torch.equal(p, model.state_dict()[n]) for n, p in restored.state_dict().items())


def test_scoring_generates_whatever_the_evaluations_in_training_do(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], options: dict[str, Any]
) -> None:
    rows = [{"input_ids": ids, "labels": [*reversed(ids), 3]} for ids in tokenizer(texts)["input_ids"]][:6]
    model = build_t5(len(tokenizer))
    evaluation = {"eval_strategy": "epoch", "generation_max_length": 5, "save_strategy": "no"}
    trainer = DSDSeq2SeqTrainer(
        model,
        DSDSeq2SeqTrainingArguments(**(options | evaluation)),
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer, model),
        processing_class=tokenizer,
    )
    trainer.train()
    seen: list[Any] = []

    def decode(predictions: Any) -> list[str]:
        seen.append(predictions)
        return list(tokenizer.batch_decode(np.where(predictions < 0, 0, predictions), skip_special_tokens=True))

    names = [f"row {row}" for row in range(len(rows))]
    scorer = TextScorer("wer", False, names, [[text] for text in texts[:6]], decode, lambda said: {"wer": len(said)})
    results = score_phases(trainer, rows, scorer)
    assert [result.value for result in results] == [6, 6, 6]
    batch = trainer.data_collator([dict(row) for row in rows])
    expected = model.eval().generate(batch["input_ids"], attention_mask=batch["attention_mask"], max_length=5)
    assert np.array_equal(seen[-1][:, : expected.shape[1]], expected.numpy())  # the last phase's model is loaded
    assert trainer.args.predict_with_generate is False
