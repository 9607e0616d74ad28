"""What holds for both speech models, and DeepSpeech's own layers."""

import re
from collections.abc import Callable

import pytest
import torch
from deepspeech_reference import score_deepspeech, score_deepspeech2
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForCTC, PreTrainedModel

from hf_dsd.models import DeepSpeech2Config, DeepSpeech2ForCTC, DeepSpeechConfig, DeepSpeechForCTC
from hf_dsd.models.deepspeech.recurrence import BidirectionalRecurrence

ONE = {"vocab_size": 6, "feature_size": 5, "context_frames": 2, "hidden_size": 7, "relu_clip": 2.0}
TWO = {"vocab_size": 6, "feature_size": 9, "conv_channels": [3, 2], "conv_kernel_sizes": [[5, 3], [3, 5]]}
TWO |= {"hidden_size": 7, "num_hidden_layers": 2, "relu_clip": 2.0}
LENGTHS = (21, 14, 1)


def build_one(**fields: object) -> DeepSpeechForCTC:
    """A small DeepSpeech in evaluation mode."""
    return DeepSpeechForCTC(DeepSpeechConfig(**{**ONE, **fields})).eval()


def build_two(**fields: object) -> DeepSpeech2ForCTC:
    """A small DeepSpeech 2 in evaluation mode, its batch norms away from their fresh values."""
    model = DeepSpeech2ForCTC(DeepSpeech2Config(**{**TWO, **fields})).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "norm" in name:
                tensor.uniform_(0.5, 1.5) if "running_var" in name else tensor.normal_()
    return model


MODELS: dict[str, Callable[..., PreTrainedModel]] = {
    "deepspeech": build_one,
    "deepspeech stride 2": lambda **fields: build_one(context_stride=2, **fields),
    "deepspeech2 rnn": build_two,
    "deepspeech2 gru": lambda **fields: build_two(rnn_type="gru", **fields),
    "deepspeech2 lstm": lambda **fields: build_two(rnn_type="lstm", **fields),
    "deepspeech2 fused rnn": lambda **fields: build_two(shared_input_projection=False, **fields),
    "deepspeech2 fused gru": lambda **fields: build_two(rnn_type="gru", shared_input_projection=False, **fields),
    "deepspeech2 fused lstm": lambda **fields: build_two(rnn_type="lstm", shared_input_projection=False, **fields),
}
EVERY_MODEL = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
BOTH_MODELS = pytest.mark.parametrize("build", [build_one, build_two], ids=["deepspeech", "deepspeech2"])


def batch(model: PreTrainedModel, extra: int = 0) -> dict[str, Tensor]:
    """Three utterances of 21, 14 and 1 frames with garbage on their padding, and labels."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(3, max(LENGTHS), model.config.feature_size, generator=generator)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    features[mask == 0] = 1e4
    labels = torch.tensor([[1, 1, 2], [3, 1, -100], [4, -100, -100]])
    return {
        "input_features": F.pad(features, (0, 0, 0, extra), value=-1e4),
        "attention_mask": F.pad(mask, (0, extra)),
        "labels": labels,
    }


def row_alone(inputs: dict[str, Tensor], row: int) -> dict[str, Tensor]:
    """One utterance of a batch without its padding and without a mask."""
    labels = inputs["labels"][[row]]
    return {"input_features": inputs["input_features"][[row], : LENGTHS[row]], "labels": labels[labels != -100][None]}


# The paper's tables


def test_deepspeechs_layers_equal_the_papers_table():
    with torch.device("meta"):
        model = DeepSpeechForCTC(DeepSpeechConfig())
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in model.named_modules()}
    assert counts["context"] == 1_814_528
    assert [counts["dense.0"], counts["dense.1"]] == [1_049_600, 1_049_600]
    assert counts["recurrent"] == 3 * 1024**2 + 1024 == 3_146_752
    assert counts["output_dense"] == 1_049_600
    assert counts["ctc_head"] == 29_725
    assert counts[""] == 8_139_805


def test_deepspeech2s_layers_equal_the_papers_table():
    with torch.device("meta"):
        model = DeepSpeech2ForCTC(DeepSpeech2Config())
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in model.named_modules()}
    assert counts["convolutions.0"] == 32 * 41 * 11 + 2 * 32 * 81 == 19_616
    assert counts["convolutions.1"] == 32 * 32 * 21 * 11 + 2 * 32 * 41 == 239_168
    assert counts["recurrent.0"] == 1312 * 1760 + 2 * 1760**2 + 2 * 1760 == 8_507_840
    assert [counts[f"recurrent.{i}"] for i in range(1, 7)] == [3 * 1760**2 + 2 * 1760] * 6 == [9_296_320] * 6
    assert counts["dense"] + counts["dense_norm"] == 1760**2 + 2 * 1760 == 3_101_120
    assert counts["ctc_head"] == 1760 * 29 + 29 == 51_069
    assert counts[""] == 67_696_733


@pytest.mark.parametrize(("rnn_type", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_other_units_are_wired_alike(rnn_type, gates):
    with torch.device("meta"):
        shared = DeepSpeech2ForCTC(DeepSpeech2Config(rnn_type=rnn_type, hidden_size=192, num_hidden_layers=2))
        fused = DeepSpeech2ForCTC(
            DeepSpeech2Config(rnn_type=rnn_type, hidden_size=192, num_hidden_layers=2, shared_input_projection=False)
        )
    count = lambda model: sum(p.numel() for p in model.recurrent[1].parameters())  # noqa: E731
    assert count(shared) == gates * (3 * 192**2 + 2 * 192)
    assert count(fused) == gates * 4 * 192**2 + 2 * 192


# What it computes


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_deepspeechs_logits_equal_the_written_out_model(stride):
    model = build_one(context_stride=stride)
    inputs = batch(model)
    logits = model(**inputs).logits
    for row, length in enumerate(LENGTHS):
        expected = score_deepspeech(model, inputs["input_features"][row, :length])
        assert len(expected) == model._get_feat_extract_output_lengths(length)
        torch.testing.assert_close(logits[row, : len(expected)], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rnn_type", ["rnn", "gru", "lstm"])
def test_deepspeech2s_logits_equal_the_written_out_model(rnn_type):
    model = build_two(rnn_type=rnn_type)
    inputs = batch(model)
    logits = model(**inputs).logits
    for row, length in enumerate(LENGTHS):
        expected = score_deepspeech2(model, inputs["input_features"][row, :length])
        assert len(expected) == model._get_feat_extract_output_lengths(length)
        torch.testing.assert_close(logits[row, : len(expected)], expected, atol=1e-5, rtol=0)


def test_clipping_matters_in_these_tests():
    for build in (build_one, build_two):
        model, open_model = build(), build(relu_clip=1e6)
        open_model.load_state_dict(model.state_dict())
        inputs = batch(model)
        assert (model(**inputs).logits - open_model(**inputs).logits).abs().max() > 1e-2


@EVERY_MODEL
def test_a_batch_equals_its_rows_one_by_one(build):
    model = build()
    inputs = batch(model)
    together = model(**inputs)
    losses = []
    for row, length in enumerate(LENGTHS):
        alone = model(**row_alone(inputs, row))
        frames = model._get_feat_extract_output_lengths(length)
        assert alone.logits.shape[1] == frames
        torch.testing.assert_close(together.logits[row, :frames], alone.logits[0], atol=1e-5, rtol=0)
        losses.append(alone.loss)
    symbols = (inputs["labels"] != -100).sum(1)
    expected = sum(loss * n for loss, n in zip(losses, symbols, strict=True)) / symbols.sum()
    torch.testing.assert_close(together.loss, expected, atol=1e-5, rtol=0)


@EVERY_MODEL
def test_more_padding_changes_nothing_in_training(build):
    results = []
    for extra in (0, 7):
        torch.manual_seed(0)
        model = build().train()
        output = model(**batch(model, extra))
        output.loss.backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        results.append((output, gradients, dict(model.named_buffers())))
    (short, short_gradients, short_buffers), (long, long_gradients, long_buffers) = results
    torch.testing.assert_close(long.logits[:, : short.logits.shape[1]], short.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(long.loss, short.loss, atol=1e-5, rtol=0)
    for name, gradient in short_gradients.items():
        torch.testing.assert_close(long_gradients[name], gradient, atol=1e-5, rtol=1e-5, msg=name)
    for name, buffer in short_buffers.items():
        torch.testing.assert_close(long_buffers[name], buffer, atol=1e-5, rtol=0, msg=name)


@EVERY_MODEL
def test_padded_frames_score_the_blank(build):
    model = build(pad_token_id=2)
    inputs = batch(model)
    del inputs["labels"]
    logits = model(**inputs).logits
    for row, length in enumerate(LENGTHS):
        rest = logits[row, model._get_feat_extract_output_lengths(length) :]
        assert rest.log_softmax(-1)[:, 2].abs().max() == 0 if len(rest) else row == 0


@EVERY_MODEL
def test_gradient_reaches_every_weight(build):
    model = build().train()
    model(**batch(model)).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@BOTH_MODELS
def test_mask_may_be_bool_or_absent(build):
    model = build()
    inputs = batch(model)
    as_int = model(**inputs).logits
    inputs["attention_mask"] = inputs["attention_mask"].bool()
    assert torch.equal(model(**inputs).logits, as_int)
    whole = inputs["input_features"][:1]
    assert torch.equal(
        model(whole).logits, model(whole, attention_mask=torch.ones(1, max(LENGTHS), dtype=torch.int32)).logits
    )


@BOTH_MODELS
def test_output_lengths_of_tensors(build):
    model = build()
    lengths = torch.tensor(LENGTHS)
    expected = [model._get_feat_extract_output_lengths(n) for n in LENGTHS]
    assert model._get_feat_extract_output_lengths(lengths).tolist() == expected


@BOTH_MODELS
def test_tuple_output(build):
    model = build()
    inputs = batch(model)
    loss, logits = model(**inputs, return_dict=False)
    assert torch.equal(loss, model(**inputs).loss)
    assert set(model(**inputs)) == {"loss", "logits"}
    del inputs["labels"]
    (alone,) = model(**inputs, return_dict=False)
    assert torch.equal(alone, logits)


@BOTH_MODELS
def test_loss_options_come_from_the_config(build):
    model = build()
    inputs = batch(model)
    mean = model(**inputs).loss
    torch.testing.assert_close(model(**inputs, num_items_in_batch=12).loss, mean / 2)
    model.config.ctc_loss_reduction = "sum"
    torch.testing.assert_close(model(**inputs, num_items_in_batch=12).loss, mean * 6)
    inputs["labels"] = torch.tensor([[1, 1, 2], [3, 1, -100], [4, 4, -100]])  # the last row has one frame
    with pytest.raises(ValueError, match=r"^labels row 2 needs 3 frames \(2 symbols, 1 repeated\), its audio has 1; "):
        model(**inputs)
    model.config.ctc_zero_infinity = True
    other_rows = {name: value[:2] for name, value in inputs.items()}
    torch.testing.assert_close(model(**inputs).loss, model(**other_rows).loss)


@BOTH_MODELS
def test_dropout_acts_in_training_only(build):
    model = build(hidden_dropout=0.5)
    inputs = batch(model)
    assert len({model(**inputs).loss.item() for _ in range(3)}) == 1
    model.train()
    assert len({model(**inputs).loss.item() for _ in range(3)}) == 3


@BOTH_MODELS
def test_bfloat16_model_and_float64_features(build):
    model = build()
    inputs = batch(model)
    full = model(**inputs)
    doubled = model(**{**inputs, "input_features": inputs["input_features"].double()})
    torch.testing.assert_close(doubled.logits, full.logits, atol=1e-6, rtol=0)
    half = model.bfloat16()(**inputs)
    assert half.logits.dtype is torch.bfloat16
    assert half.loss.item() == pytest.approx(full.loss.item(), rel=0.1)


@BOTH_MODELS
def test_autocast_trains(build):
    model = build().train()
    inputs = batch(model)
    model(**inputs).loss.backward()
    expected = model.ctc_head.weight.grad.clone()
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**inputs).loss
    loss.backward()
    assert F.cosine_similarity(model.ctc_head.weight.grad.flatten(), expected.flatten(), dim=0) > 0.99


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"input_features": torch.ones(3, 21)},
            "input_features must have shape (rows, frames, feature_size=5), got (3, 21); prepare audio with",
        ),
        (
            {"input_features": torch.ones(3, 21, 4)},
            "input_features must have shape (rows, frames, feature_size=5), got (3, 21, 4); prepare audio with",
        ),
        (
            {"attention_mask": torch.ones(3, 20)},
            "attention_mask must have the shape of input_features' rows and frames (3, 21), got (3, 20); pass both",
        ),
        (
            {"attention_mask": torch.arange(21).repeat(3, 1)},
            "attention_mask must be ones, at least one, then zeros, got another row 0; pad on the right and drop",
        ),
        (
            {"attention_mask": torch.tensor([[1] * 21, [0] * 21, [1] * 21])},
            "attention_mask must be ones, at least one, then zeros, got another row 1; pad on the right and drop",
        ),
        (
            {"labels": torch.tensor([[1, 2]])},
            "labels must have shape (rows of input_features=3, longest transcript), got (1, 2); pad the transcripts",
        ),
    ],
    ids=["dimensions", "bins", "mask shape", "left padding", "empty row", "labels"],
)
def test_bad_input_is_refused_by_name(change, message):
    model = build_one()
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        model(**{**batch(model), **change})


# What it is made of


def test_dense_modules_are_the_input_layers_and_the_head():
    pruned = {}
    for name, build in (("one", build_one), ("two", build_two)):
        model = build()
        dense = [re.compile(pattern) for pattern in model.dsd_dense_modules]
        weights = {name for name, p in model.named_parameters() if p.dim() > 1}
        assert {n for n in weights if any(p.search(n) for p in dense)} == (
            {"context.weight", "ctc_head.weight"}
            if name == "one"
            else {"convolutions.0.convolution.weight", "convolutions.1.convolution.weight", "ctc_head.weight"}
        )
        pruned[name] = {n for n in weights if not any(p.search(n) for p in dense)}
    layer = ("input_projection.weight", "recurrence.weight_hh", "recurrence.weight_hh_reverse")
    assert pruned["one"] == {"dense.0.weight", "dense.1.weight", "output_dense.weight"} | {
        f"recurrent.{part}" for part in layer
    }
    assert pruned["two"] == {"dense.weight"} | {f"recurrent.{i}.{part}" for i in (0, 1) for part in layer}


@BOTH_MODELS
def test_fresh_weights(build):
    torch.manual_seed(0)
    model = type(build())(
        type(build().config)(hidden_size=96, **({} if build is build_one else {"num_hidden_layers": 2}))
    )
    for module in model.modules():
        if isinstance(module, BidirectionalRecurrence):
            for weight in module.parameters():
                torch.testing.assert_close(weight @ weight.t(), torch.eye(96), atol=1e-5, rtol=0)
            assert not torch.equal(module.weight_hh, module.weight_hh_reverse)
    first = model.context if build is build_one else model.convolutions[0].convolution
    fan_in = first.weight[0].numel()
    assert first.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
    assert all(p.abs().max() == 0 for name, p in model.named_parameters() if name.endswith("bias"))


def test_fresh_lstm_forgets_little():
    model = DeepSpeech2ForCTC(DeepSpeech2Config(**TWO, rnn_type="lstm"))
    shift = torch.cat([torch.zeros(7), torch.ones(7), torch.zeros(14)])
    assert all(torch.equal(layer.norm.bias, shift) for layer in model.recurrent)
    assert model.dense_norm.bias.abs().max() == 0


@EVERY_MODEL
def test_saved_model_comes_back_equal(build, tmp_path):
    model = build()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCTC.from_pretrained(tmp_path)
    assert type(loaded) is type(model)
    weights, expected = loaded.state_dict(), model.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    inputs = batch(model)
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


@BOTH_MODELS
def test_missing_weights_are_initialised_and_present_ones_kept(build, tmp_path):
    model = build()
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    missing = next(name for name in weights if name.endswith("weight_hh_reverse"))
    del weights[missing], weights["ctc_head.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = type(model).from_pretrained(tmp_path).state_dict()
    torch.testing.assert_close(loaded[missing] @ loaded[missing].t(), torch.eye(7), atol=1e-5, rtol=0)
    assert loaded["ctc_head.weight"].abs().max() > 0
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


@pytest.mark.parametrize(
    "model_and_fields",
    [
        (DeepSpeechForCTC, {**ONE, "hidden_size": 32, "relu_clip": 20.0}),
        (DeepSpeech2ForCTC, {**TWO, "hidden_size": 24, "relu_clip": 20.0}),
        (DeepSpeech2ForCTC, {**TWO, "hidden_size": 24, "rnn_type": "gru"}),
        (DeepSpeech2ForCTC, {**TWO, "hidden_size": 24, "rnn_type": "lstm", "shared_input_projection": False}),
    ],
    ids=["deepspeech", "deepspeech2 rnn", "deepspeech2 gru", "deepspeech2 fused lstm"],
)
def test_it_learns_four_utterances_by_heart(model_and_fields):
    model_class, fields = model_and_fields
    model = model_class(model_class.config_class(**fields))
    features = torch.randn(4, 24, model.config.feature_size)
    mask = (torch.arange(24) < torch.tensor([24, 20, 22, 18])[:, None]).long()
    labels = torch.tensor([[1, 2, 3, 4], [5, 5, 1, -100], [2, 4, 2, 3], [3, -100, -100, -100]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = model(features, mask, labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.05
    best = model(features, mask).logits.argmax(-1).tolist()
    spelled = [[s for s, last in zip(row, [0, *row], strict=False) if s not in (0, last)] for row in best]
    assert spelled == [[symbol for symbol in row if symbol != -100] for row in labels.tolist()]
