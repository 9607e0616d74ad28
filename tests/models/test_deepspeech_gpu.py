"""What only a CUDA device can show of the speech models: `pytest -m gpu`."""

import warnings

import pytest
import torch

from hf_dsd import DSD, Schedule
from hf_dsd.models import DeepSpeech2Config, DeepSpeech2ForCTC, DeepSpeechConfig, DeepSpeechForCTC

pytestmark = pytest.mark.gpu
MODELS = {
    "deepspeech": lambda: DeepSpeechForCTC(DeepSpeechConfig(hidden_size=32)),
    **{
        f"{kind} {'shared' if shared else 'fused'}": lambda kind=kind, shared=shared: DeepSpeech2ForCTC(
            DeepSpeech2Config(
                conv_channels=[4, 4],
                hidden_size=32,
                num_hidden_layers=2,
                rnn_type=kind,
                shared_input_projection=shared,
            )
        )
        for kind in ("rnn", "gru", "lstm")
        for shared in (True, False)
    },
}
EVERY_MODEL = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)


def batch() -> dict[str, torch.Tensor]:
    mask = (torch.arange(60) < torch.tensor([60, 41, 35])[:, None]).long()
    labels = torch.tensor([[5, 6, 7, 8], [9, 9, -100, -100], [3, -100, -100, -100]])
    return {"input_features": torch.randn(3, 60, 161), "attention_mask": mask, "labels": labels}


@EVERY_MODEL
def test_cuda_equals_the_cpu(build):
    model, inputs = build().eval(), batch()
    expected = model(**inputs)
    model.cuda()
    got = model(**{name: value.cuda() for name, value in inputs.items()})
    torch.testing.assert_close(got.logits.cpu(), expected.logits, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(got.loss.cpu(), expected.loss, atol=1e-3, rtol=1e-3)


@EVERY_MODEL
def test_masked_in_place_without_cudnns_contiguous_chunk_warning(build):
    model = build().cuda().train()
    inputs = {name: value.cuda() for name, value in batch().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    dsd = DSD(model, optimizer, Schedule.from_steps([1, 3, 1], sparsity=0.5))
    places = {name: p.data_ptr() for name, p in model.named_parameters()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(5):
            dsd.begin_step(step)
            model(**inputs).loss.backward()
            optimizer.step()
            dsd.optimizer_step()
            optimizer.zero_grad()
            if dsd.masks:
                assert all(int((model.get_parameter(n) == 0).sum()) == int((~m).sum()) for n, m in dsd.masks.items())
    assert {name: p.data_ptr() for name, p in model.named_parameters()} == places
