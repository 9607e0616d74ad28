"""The recurrent language model against plain torch: loss, padding, generation; and what it refuses."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, dropout, linear
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

from hf_dsd.models import LstmConfig, LstmForCausalLM

SIZES = {"vocab_size": 11, "embedding_size": 5, "hidden_size": 7, "num_hidden_layers": 2}


def build(**fields: object) -> LstmForCausalLM:
    """A model in evaluation mode whose weights are so large that its texts vary."""
    torch.manual_seed(0)
    model = LstmForCausalLM(LstmConfig(**{**SIZES, "eos_token_id": None, **fields}))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.uniform_(-1.5, 1.5)
    return model.eval()


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(11, (4, 9), generator=torch.Generator().manual_seed(1))


def plain_model(model: LstmForCausalLM) -> Callable[..., torch.Tensor]:
    """The same of torch's own layers, with dropout by Zaremba et al. between them, as a function of tokens."""
    weights = model.state_dict()
    lstm = nn.LSTM(5, 7, 2, batch_first=True, dropout=model.config.hidden_dropout).train(model.training)
    lstm.load_state_dict({name.removeprefix("lstm."): weights[name] for name in weights if name.startswith("lstm.")})

    def score(ids: torch.Tensor) -> torch.Tensor:
        options = {"p": model.config.hidden_dropout, "training": model.training}
        hidden = lstm(dropout(weights["word_embedding.weight"][ids], **options))[0]
        return linear(dropout(hidden, **options), weights["lm_head.weight"], weights["lm_head.bias"])

    return score


def test_the_loss_is_that_of_the_next_token(ids):
    model, labels = build(), ids.clone()
    labels[0, 3:6] = -100
    output = model(ids, labels=labels)
    torch.testing.assert_close(output.logits, plain_model(model)(ids), atol=1e-5, rtol=0)
    assert torch.equal(output.logits, model.lm_head(model.lstm(model.word_embedding(ids))[0]))
    targets = torch.cat([labels[:, 1:], torch.full((4, 1), -100)], dim=1)
    assert torch.equal(output.loss, cross_entropy(output.logits.flatten(0, 1), targets.flatten()))
    assert 2 < output.loss < 6


def test_the_gates_are_those_of_an_lstm(ids):
    model = build(num_hidden_layers=1)
    hidden = cell = torch.zeros(4, 7)
    for token in ids.T:
        inputs = model.word_embedding(token)
        gates = linear(inputs, model.lstm.weight_ih_l0, model.lstm.bias_ih_l0)
        gates = gates + linear(hidden, model.lstm.weight_hh_l0, model.lstm.bias_hh_l0)
        entering, kept, new, shown = gates.chunk(4, dim=1)
        cell = kept.sigmoid() * cell + entering.sigmoid() * new.tanh()
        hidden = shown.sigmoid() * cell.tanh()
    torch.testing.assert_close(model(ids).logits[:, -1], model.lm_head(hidden), atol=1e-5, rtol=0)


def test_dropout_is_on_embeddings_between_layers_and_before_the_head(ids):
    model = build(hidden_dropout=0.5).train()
    plain = plain_model(model)
    torch.manual_seed(2)
    dropped = model(ids).logits
    torch.manual_seed(2)
    torch.testing.assert_close(dropped, plain(ids), atol=1e-5, rtol=0)
    assert (dropped - model(ids).logits).abs().mean() > 0.5


def test_padding_anywhere_changes_no_score(ids):
    model, mask = build(), torch.ones(4, 9, dtype=torch.long)
    mask[0, :3], mask[1, 6:], mask[2, 4:6] = 0, 0, 0
    labels = ids.masked_fill(mask == 0, -100)
    read = model(ids, attention_mask=mask, labels=labels)
    other = model(ids.masked_fill(mask == 0, 7), attention_mask=mask, labels=labels)
    assert torch.equal(read.logits[mask == 1], other.logits[mask == 1])
    for row in range(4):
        alone = model(ids[row : row + 1, mask[row] == 1]).logits[0]
        torch.testing.assert_close(read.logits[row, mask[row] == 1], alone, atol=1e-5, rtol=0)


def test_parts_of_a_batch_add_up_to_its_gradient(ids, tmp_path):
    """Rows of unlike numbers of targets, one step in one part and in four."""
    labels = ids.clone()
    labels[0, 2:], labels[3, 5:] = -100, -100
    rows = [{"input_ids": row, "labels": label} for row, label in zip(ids, labels, strict=True)]
    weights = []
    for size in (4, 1):
        model = build()
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": 4 // size, "learning_rate": 1.0}
        options |= {"max_steps": 1, "optim": "sgd", "max_grad_norm": 0.0, "use_cpu": True, "report_to": "none"}
        arguments = TrainingArguments(str(tmp_path), save_strategy="no", disable_tqdm=True, **options)
        Trainer(model, arguments, train_dataset=rows).train()
        weights.append(model.state_dict())
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], atol=1e-5, rtol=1e-5, msg=name)
    assert not torch.equal(weights[0]["lm_head.weight"], build().state_dict()["lm_head.weight"])


@pytest.mark.parametrize("sampled", [False, True])
def test_generation_equals_a_loop(ids, sampled):
    model, expected = build(), ids
    plain = plain_model(model)
    torch.manual_seed(3)
    for _ in range(8):
        scores = plain(expected)[:, -1]
        new = torch.multinomial(scores.softmax(dim=-1), 1) if sampled else scores.argmax(dim=-1, keepdim=True)
        expected = torch.cat([expected, new], dim=1)
    torch.manual_seed(3)
    mask = torch.ones_like(ids)
    written = model.generate(ids, attention_mask=mask, max_new_tokens=8, do_sample=sampled, top_k=0)
    assert written.tolist() == expected.tolist()
    assert len(written[:, 9:].unique()) > 4


def test_padding_on_the_left_changes_no_text(ids):
    model, short = build(), ids[:1, 4:]
    batch, mask = torch.cat([ids[:1], ids[:1].masked_fill(torch.arange(9) < 4, 0)]), torch.ones(2, 9, dtype=torch.long)
    mask[1, :4] = 0
    together = model.generate(batch, attention_mask=mask, max_new_tokens=8, do_sample=False, pad_token_id=0)
    alone = model.generate(short, attention_mask=mask[1:, 4:], max_new_tokens=8, do_sample=False, pad_token_id=0)
    assert together[1, 4:].tolist() == alone[0].tolist()
    assert together[0, 9:].tolist() != together[1, 9:].tolist()


def test_a_text_ends_at_its_last_token(ids):
    model = build()
    free = model.generate(ids[:1], attention_mask=torch.ones(1, 9), max_new_tokens=8, do_sample=False)[0, 9:].tolist()
    model.generation_config.eos_token_id = free[3]
    ended = model.generate(ids[:1], attention_mask=torch.ones(1, 9), max_new_tokens=8, do_sample=False)[0, 9:].tolist()
    assert ended == free[: free.index(free[3]) + 1]


def test_a_saved_model_comes_back(ids, tmp_path):
    model = build(hidden_dropout=0.25)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded) is LstmForCausalLM
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert loaded.config.to_diff_dict() == model.config.to_diff_dict()
    model.resize_token_embeddings(13)
    assert model(ids).logits.shape == (4, 9, 13) == (4, 9, model.config.vocab_size)


def test_fresh_weights_are_torchs_and_remember():
    torch.manual_seed(0)
    model = LstmForCausalLM(LstmConfig(hidden_size=100))
    assert sum(parameter.numel() for parameter in model.parameters()) == 257 * 128 + 400 * (128 + 302 + 2) + 101 * 257
    for name, parameter in model.named_parameters():
        if name == "word_embedding.weight":
            assert parameter.std().item() == pytest.approx(1.0, abs=0.02)
        elif parameter.dim() > 1:
            assert 0.099 < parameter.abs().max() <= 0.1, name
        else:
            expected = [0.0, 1.0, 0.0, 0.0] if "bias_ih" in name else [0.0]
            assert parameter.unflatten(0, (len(expected), -1)).mean(dim=1).tolist() == expected, name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be > 0, got 0; leave it out"),
        ({"embedding_size": -1}, "embedding_size must be > 0, got -1; leave it out"),
        ({"hidden_size": 0}, "hidden_size must be > 0, got 0; leave it out"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be > 0, got 0; leave it out"),
        ({"hidden_dropout": 1.0}, "hidden_dropout must be in [0, 1), got 1.0; 0 switches dropout off"),
        ({"bos_token_id": 257}, "bos_token_id must be in [0, vocab_size=257), got 257; take the ids"),
        ({"eos_token_id": -1}, "eos_token_id must be in [0, vocab_size=257), got -1; take the ids"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings must be False, got True; leave it out"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_value_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        LstmConfig(**fields)
