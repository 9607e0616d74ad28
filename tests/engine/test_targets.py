"""WHICH: golden lists of what is pruned, by architecture; patterns, overrides, refusals."""

import logging
import random
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.utils import parametrizations
from torch.testing._internal.two_tensor import TwoTensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CLIPVisionConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    ResNetConfig,
    ResNetForImageClassification,
    SamVisionConfig,
    SamVisionModel,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperForConditionalGeneration,
    Zamba2Config,
    Zamba2ForCausalLM,
    ZambaConfig,
    ZambaForCausalLM,
)

from hf_dsd import (
    DeepSpeech2Config,
    DeepSpeech2ForCTC,
    DeepSpeechConfig,
    DeepSpeechForCTC,
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
)
from hf_dsd.engine.targets import Target, canonical_name, log_changes, log_frozen, plan_targets
from hf_dsd.models import LstmConfig, LstmForCausalLM

SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}


def pruned(model: nn.Module, **options: object) -> list[str]:
    """Names of the parameters that are pruned."""
    return [target.name for target in plan_targets(model, **options) if target.is_pruned]


def reasons(model: nn.Module, **options: object) -> dict[str, str]:
    """Name -> why it stays dense, without biases and vectors."""
    plan = plan_targets(model, **options)
    return {t.name: t.dense_reason for t in plan if not t.is_pruned and t.dense_reason != "bias or vector"}


def names(prefix: str, parts: str) -> list[str]:
    """`prefix.part.weight` for every word of `parts`."""
    return [f"{prefix}.{part}.weight" for part in parts.split()]


def refused(message: str):
    """Expects a ValueError that says exactly this."""
    return pytest.raises(ValueError, match="^" + re.escape(message) + "$")


# Golden lists


def gpt2(**fields: object) -> GPT2LMHeadModel:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=11, n_embd=8, n_layer=1, n_head=2, n_positions=6, bos_token_id=0, eos_token_id=0, **fields
        )
    )


GPT2_WEIGHTS = names("transformer.h.0", "attn.c_attn attn.c_proj mlp.c_fc mlp.c_proj")


def test_gpt2_with_a_tied_head():
    model = gpt2()
    assert pruned(model) == GPT2_WEIGHTS
    assert reasons(model) == {
        "transformer.wte.weight": "embedding tied to a head",
        "transformer.wpe.weight": "embedding",
    }
    assert len(plan_targets(model)) == len(list(model.parameters()))  # the tied one once


def test_gpt2_with_its_own_head():
    model = gpt2(tie_word_embeddings=False)
    assert pruned(model) == [*GPT2_WEIGHTS, "lm_head.weight"]
    assert reasons(model)["transformer.wte.weight"] == "embedding"


def test_bert():
    model = BertForMaskedLM(BertConfig(vocab_size=11, max_position_embeddings=6, **SMALL))
    attention = "attention.self.query attention.self.key attention.self.value attention.output.dense"
    assert pruned(model) == [
        *names("bert.encoder.layer.0", f"{attention} intermediate.dense output.dense"),
        "cls.predictions.transform.dense.weight",
    ]
    embeddings = ["word_embeddings", "position_embeddings", "token_type_embeddings"]
    assert list(reasons(model)) == [f"bert.embeddings.{name}.weight" for name in embeddings]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_t5(tied):
    config = T5Config(vocab_size=11, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2)
    config.tie_word_embeddings = tied
    model = T5ForConditionalGeneration(config)
    encoder, decoder = "encoder.block.0.layer", "decoder.block.0.layer"
    assert pruned(model) == [
        *names(f"{encoder}.0.SelfAttention", "q k v o"),
        *names(f"{encoder}.1.DenseReluDense", "wi wo"),
        *names(f"{decoder}.0.SelfAttention", "q k v o"),
        *names(f"{decoder}.1.EncDecAttention", "q k v o"),
        *names(f"{decoder}.2.DenseReluDense", "wi wo"),
        *([] if tied else ["lm_head.weight"]),
    ]
    shared = ["shared"] if tied else ["shared", "encoder.embed_tokens", "decoder.embed_tokens"]
    assert reasons(model) == {
        **{f"{name}.weight": "embedding tied to a head" if tied else "embedding" for name in shared},
        f"{encoder}.0.SelfAttention.relative_attention_bias.weight": "embedding",
        f"{decoder}.0.SelfAttention.relative_attention_bias.weight": "embedding",
    }


def test_whisper():
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 12, "decoder_ffn_dim": 12, "d_model": 8}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    positions = {"max_source_positions": 6, "max_target_positions": 6, "num_mel_bins": 4}
    tokens = {"decoder_start_token_id": 1, "begin_suppress_tokens": None, "vocab_size": 11}
    model = WhisperForConditionalGeneration(WhisperConfig(**layers, **heads, **positions, **tokens, **IDS))
    attention = "k_proj v_proj q_proj out_proj"
    assert pruned(model) == [
        "model.encoder.conv2.weight",
        *names("model.encoder.layers.0.self_attn", attention),
        *names("model.encoder.layers.0", "fc1 fc2"),
        *names("model.decoder.layers.0.self_attn", attention),
        *names("model.decoder.layers.0.encoder_attn", attention),
        *names("model.decoder.layers.0", "fc1 fc2"),
    ]
    assert reasons(model) == {
        "model.encoder.conv1.weight": "first convolution",
        "model.encoder.embed_positions.weight": "embedding",
        "model.decoder.embed_tokens.weight": "embedding tied to a head",
        "model.decoder.embed_positions.weight": "embedding",
    }


def test_wav2vec2():
    convolutions = {"conv_dim": (4, 4), "conv_stride": (2, 2), "conv_kernel": (3, 3)}
    position = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    model = Wav2Vec2ForCTC(Wav2Vec2Config(vocab_size=11, **SMALL, **convolutions, **position))
    assert pruned(model) == [
        "wav2vec2.feature_extractor.conv_layers.1.conv.weight",
        "wav2vec2.feature_projection.projection.weight",
        *names("wav2vec2.encoder.layers.0.attention", "k_proj v_proj q_proj out_proj"),
        *names("wav2vec2.encoder.layers.0.feed_forward", "intermediate_dense output_dense"),
        "lm_head.weight",
    ]
    parametrised = "wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.original1"
    assert reasons(model) == {
        "wav2vec2.feature_extractor.conv_layers.0.conv.weight": "first convolution",
        parametrised: "parametrised: its magnitude is not the weight's",
    }


def test_vit_keeps_class_token_and_positions():
    model = ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, **SMALL))
    layer = names("vit.layers.0.attention", "q_proj k_proj v_proj o_proj") + names("vit.layers.0.mlp", "fc1 fc2")
    assert pruned(model) == [*layer, "classifier.weight"]
    assert reasons(model) == {
        "vit.embeddings.position_embeddings": "embedding",
        "vit.embeddings.patch_embeddings.projection.weight": "first convolution",
    }


def test_mixture_of_experts_prunes_three_dimensional_weights_but_no_bias():
    config = GptOssConfig(vocab_size=11, num_key_value_heads=1, num_local_experts=2, head_dim=4, **SMALL, **IDS)
    plan = {target.name: target for target in plan_targets(GptOssForCausalLM(config))}
    layer = "model.layers.0"
    assert [name for name, target in plan.items() if target.is_pruned] == [
        *names(f"{layer}.self_attn", "q_proj k_proj v_proj o_proj"),
        f"{layer}.mlp.experts.gate_up_proj",
        f"{layer}.mlp.experts.down_proj",
        "lm_head.weight",
    ]
    assert plan[f"{layer}.mlp.router.weight"].dense_reason == "router"
    experts = plan[f"{layer}.mlp.experts.gate_up_proj"]
    assert (experts.shape, experts.matrices) == ((2, 8, 24), 2)
    assert experts.pruned_count(0.3) == 2 * round(0.3 * 8 * 24)
    assert plan[f"{layer}.mlp.experts.gate_up_proj_bias"].shape == (2, 24)
    assert plan[f"{layer}.mlp.experts.gate_up_proj_bias"].dense_reason == "bias or vector"


def test_mamba_keeps_its_state_matrix():
    config = {"vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2, "state_size": 4, "use_mambapy": False}
    model = MambaForCausalLM(MambaConfig(**config))
    parts = "conv1d in_proj x_proj dt_proj out_proj"  # its convolutions read what in_proj makes of the embeddings
    assert pruned(model) == names("backbone.layers.0.mixer", parts) + names("backbone.layers.1.mixer", parts)
    assert reasons(model)["backbone.layers.0.mixer.A_log"] == "parametrised: its magnitude is not the weight's"


MAMBA = {"mamba_d_state": 4, "n_mamba_heads": 2, "num_attention_heads": 2, "intermediate_size": 12}


def test_zamba_keeps_the_vectors_of_its_heads():
    blocks = {"num_hidden_layers": 5, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 2}
    model = ZambaForCausalLM(ZambaConfig(vocab_size=11, hidden_size=8, **blocks, **MAMBA, **IDS))
    mixer = "model.layers.0.mamba"
    assert [name for name in pruned(model) if name.startswith(mixer)] == [
        f"{mixer}.x_proj_weight",
        f"{mixer}.dt_proj_weight",
        *names(mixer, "conv1d in_proj out_proj"),
    ]
    assert reasons(model)[f"{mixer}.D"].startswith("no weight matrix")
    plan = {target.name: target for target in plan_targets(model)}
    assert plan[f"{mixer}.x_proj_weight"].matrices == 2


def test_zamba2_has_no_first_convolution():
    blocks = {"num_hidden_layers": 2, "layers_block_type": ["mamba", "hybrid"], "hybrid_layer_ids": [1]}
    heads = {"num_key_value_heads": 2, "attention_head_dim": 8, "attention_hidden_size": 16, "kv_channels": 4}
    mamba = {"mamba_headdim": 8, "mamba_ngroups": 1, "num_mem_blocks": 1, "adapter_rank": 2}
    config = Zamba2Config(vocab_size=11, hidden_size=8, **blocks, **heads, **mamba, **MAMBA, **IDS)
    model = Zamba2ForCausalLM(config)
    assert reasons(model) == {"model.embed_tokens.weight": "embedding tied to a head"}
    assert pruned(model)[:3] == names("model.layers.0.mamba", "conv1d in_proj out_proj")


def test_sam_keeps_its_position_tables():
    sizes = {"hidden_size": 8, "output_channels": 8, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    layers = {"num_hidden_layers": 1, "window_size": 2, "global_attn_indexes": [0], "mlp_dim": 12}
    model = SamVisionModel(SamVisionConfig(**sizes, **layers))
    block = names("vision_encoder.layers.0", "attn.qkv attn.proj mlp.lin1 mlp.lin2")
    assert pruned(model) == [*block, *names("vision_encoder.neck", "conv1 conv2")]
    assert reasons(model) == {
        "vision_encoder.pos_embed": "embedding",
        "vision_encoder.patch_embed.projection.weight": "first convolution",
        "vision_encoder.layers.0.attn.rel_pos_h": "embedding",
        "vision_encoder.layers.0.attn.rel_pos_w": "embedding",
    }


def test_an_image_encoder_inside_a_language_model_reads_the_input():
    vision = CLIPVisionConfig(image_size=8, patch_size=4, **SMALL)
    text = LlamaConfig(vocab_size=11, num_key_value_heads=2, **SMALL)
    model = LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=text, image_token_index=3))
    dense = {name for name, reason in reasons(model).items() if reason == "first convolution"}
    assert dense == {"model.vision_tower.embeddings.patch_embedding.weight"}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("width", [3, 1], ids=["wide", "one-input"])
def test_recurrent_layers_lose_every_matrix_and_no_bias(kind, width):
    model = kind(width, 4, num_layers=2, bidirectional=True)
    matrices = [f"weight_{part}_l{n}{d}" for n in (0, 1) for d in ("", "_reverse") for part in ("ih", "hh")]
    assert pruned(model) == matrices
    assert {name for name, _ in model.named_parameters()} - set(matrices) == {
        name.replace("weight", "bias") for name in matrices
    }


def test_lstm_with_projection_and_cells():
    assert pruned(nn.LSTM(3, 4, proj_size=2)) == ["weight_ih_l0", "weight_hh_l0", "weight_hr_l0"]
    assert pruned(nn.LSTMCell(1, 4)) == ["weight_ih", "weight_hh"]


def test_multihead_attention():
    assert pruned(nn.MultiheadAttention(8, 2, add_bias_kv=True)) == ["in_proj_weight", "out_proj.weight"]
    separate = ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]
    assert pruned(nn.MultiheadAttention(8, 2, kdim=4, vdim=6)) == separate


def test_cnn_keeps_its_first_convolution_and_norms():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 1),
        nn.LayerNorm([4, 5, 5]),
        nn.Flatten(),
        nn.Linear(9, 1),
    )
    assert pruned(model) == ["2.weight", "5.weight"]
    assert reasons(model) == {"0.weight": "first convolution", "3.weight": "norm"}


class NormalisedLinear(nn.Linear):
    """A layer with a norm in its name."""


class TokenModel(nn.Module):
    """Bare parameters as timm and open_clip write them."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 8))
        self.query_tokens = nn.Parameter(torch.zeros(1, 3, 8))
        self.projection = nn.Parameter(torch.zeros(8, 4))
        self.r_w_bias = nn.Parameter(torch.zeros(2, 4))
        self.head = NormalisedLinear(8, 2)
        self.narrow = nn.Linear(8, 1)


def test_bare_parameters_go_by_what_they_are():
    model = TokenModel()
    assert pruned(model) == ["projection", "head.weight", "narrow.weight"]
    assert reasons(model) == {"pos_embed": "embedding", "query_tokens": "embedding"}
    assert pruned(model, dense_modules=[]) == [
        "pos_embed",
        "query_tokens",
        "projection",
        "head.weight",
        "narrow.weight",
    ]


@pytest.mark.filterwarnings("ignore:.*torch.nn.utils.weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    ("wrap", "direction"),
    [
        (parametrizations.weight_norm, "1.parametrizations.weight.original1"),
        (torch.nn.utils.weight_norm, "1.weight_v"),
        (parametrizations.spectral_norm, "1.parametrizations.weight.original"),
        (torch.nn.utils.spectral_norm, "1.weight_orig"),
    ],
    ids=["weight_norm", "old weight_norm", "spectral_norm", "old spectral_norm"],
)
@pytest.mark.parametrize("layer", [lambda: nn.Linear(4, 3), lambda: nn.Conv1d(4, 3, 2)], ids=["linear", "conv"])
def test_parametrised_weights_stay_dense(layer, wrap, direction):
    model = nn.Sequential(nn.Conv1d(4, 4, 1), wrap(layer()), nn.Linear(3, 3))
    assert pruned(model) == ["2.weight"]
    assert reasons(model) == {
        "0.weight": "first convolution",
        direction: "parametrised: its magnitude is not the weight's",
    }
    assert pruned(model, dense_modules=[]) == ["0.weight", direction, "2.weight"]  # gains are vectors


# What reads the input


class Branches(nn.Module):
    """As RepVGG: two convolutions read the input. The head and a later convolution are registered before them."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.late = nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(3)
        self.wide = nn.Conv2d(3, 4, 3, padding=1)
        self.narrow = nn.Conv2d(3, 4, 1)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = torch.dropout(self.norm(x), 0.5, train=True)
        y = self.wide(x) + self.narrow(x)
        return nn.functional.cross_entropy(self.head(self.late(self.depthwise(y)).mean((2, 3))), labels)


FIRST = {"wide.weight": "first convolution", "narrow.weight": "first convolution"}


def test_first_convolutions_are_those_that_read_the_input():
    model = Branches()
    assert pruned(model) == ["head.weight", "late.weight", "depthwise.weight"]
    assert reasons(model) == FIRST


def test_looking_for_them_leaves_nothing_behind():
    model = Branches().train()
    model.register_forward_hook(lambda *_: pytest.fail("the model itself ran"))
    model.wide.register_forward_pre_hook(lambda *_: pytest.fail("the model itself ran"))
    before = {name: (tensor.clone(), tensor._version) for name, tensor in model.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    assert reasons(model) == FIRST
    assert torch.equal(states[0], torch.get_rng_state())
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name][0]), name
        assert tensor._version == before[name][1], name
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize(
    "wrap",
    [
        DistributedDataParallel,
        torch.compile,
        lambda model: DistributedDataParallel(torch.compile(model)),
        checkpoint_wrapper,
        lambda model: fully_shard(model, mesh=init_device_mesh("cpu", (1,))),
    ],
    ids=["ddp", "compile", "ddp-compile", "checkpoint", "fsdp2"],
)
def test_wrapped_models_have_the_same_first_convolutions(wrap):
    model = Branches()
    model.late = checkpoint_wrapper(torch.compile(model.late))
    assert plan_targets(wrap(model)) == plan_targets(Branches())


class DictBatch(nn.Module):
    """Takes what no guess can be right about."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(4, 4, 3, groups=4)
        self.stem = nn.Conv1d(3, 4, 3)
        self.later = nn.Conv1d(4, 4, 3)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.later(self.depthwise(self.stem(batch["audio"])))


def test_without_a_forward_the_order_of_registration_decides_and_says_so(caplog):
    with caplog.at_level(logging.INFO, logger="hf_dsd.engine.targets"):
        assert reasons(DictBatch()) == {"stem.weight": "first convolution registered"}
    assert caplog.messages == [
        "no forward without data came to the convolutions of DictBatch: stem.weight counts as its first, being "
        "registered first"
    ]


class Convolved(nn.Module):
    """A text model: its convolution reads embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.conv = nn.Conv1d(8, 8, 3, groups=8)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.conv(self.words(input_ids).transpose(1, 2))


def test_a_convolution_over_embeddings_is_not_first():
    assert pruned(Convolved()) == ["conv.weight"]


def test_resnet():
    model = ResNetForImageClassification(
        ResNetConfig(embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], layer_type="basic")
    )
    assert reasons(model) == {"resnet.embedder.embedder.convolution.weight": "first convolution"}
    convolutions = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    assert len(pruned(model)) == len(convolutions)  # one of them stays dense, and the classifier is pruned


# What is no weight matrix


class Scaled(nn.Module):
    """Bare parameters with more than one dimension, of which two are weights."""

    def __init__(self) -> None:
        super().__init__()
        self.per_head = nn.Parameter(torch.ones(2, 4))
        self.rel_pos_h = nn.Parameter(torch.zeros(5, 4))
        self.latent_query = nn.Parameter(torch.zeros(4, 8))
        self.mixing = nn.Parameter(torch.zeros(8, 8))
        self.q = nn.Parameter(torch.zeros(8, 2, 4))
        self.out_proj = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = torch.einsum("bld,dhk->blhk", x @ self.mixing.t(), self.q) * self.per_head
        return self.out_proj(heads.flatten(2)) + self.latent_query.mean(0)


def test_bare_parameters_go_by_their_use():
    model = Scaled()
    assert pruned(model) == ["mixing", "q", "out_proj.weight"]
    assert reasons(model) == {
        "per_head": "no weight matrix: nothing is multiplied by it as one",
        "rel_pos_h": "embedding",
        "latent_query": "embedding",
    }
    assert "per_head" in pruned(model, sparsity_overrides={"per_head": 0.5})  # who asks by name may have it


ROUTED = {"vocab_size": 11, "num_key_value_heads": 1, "hidden_size": 8, "num_hidden_layers": 1}


def test_mixtral_prunes_every_expert_by_itself_and_no_router():
    config = MixtralConfig(num_attention_heads=2, intermediate_size=12, num_local_experts=3, **ROUTED, **IDS)
    plan = {target.name: target for target in plan_targets(MixtralForCausalLM(config))}
    mlp = "model.layers.0.mlp"
    assert {name: t.matrices for name, t in plan.items() if t.is_pruned and name.startswith(mlp)} == {
        f"{mlp}.experts.gate_up_proj": 3,
        f"{mlp}.experts.down_proj": 3,
    }
    assert plan[f"{mlp}.gate.weight"].dense_reason == "router"
    assert plan[f"{mlp}.experts.down_proj"].pruned_count(0.3) == 3 * round(0.3 * 8 * 12)


class Mixture(nn.Module):
    """A mixture of experts as one writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(4, 2)
        self.experts = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.glu = nn.ModuleDict({"gate": nn.Linear(4, 4), "up": nn.Linear(4, 4)})  # no experts beside: a weight


def test_qwen_moe_prunes_shared_experts_and_no_gate():
    experts = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 6}
    config = Qwen2MoeConfig(num_attention_heads=2, shared_expert_intermediate_size=6, **experts, **ROUTED, **IDS)
    model = Qwen2MoeForCausalLM(config)
    mlp = "model.layers.0.mlp"
    assert {name for name, reason in reasons(model).items() if reason == "router"} == {
        f"{mlp}.gate.weight",
        f"{mlp}.shared_expert_gate.weight",
    }
    shared = names(f"{mlp}.shared_expert", "gate_proj up_proj down_proj")
    assert set(pruned(model)) >= {*shared, f"{mlp}.experts.gate_up_proj", f"{mlp}.experts.down_proj"}


def test_a_gate_beside_experts_is_a_router():
    assert reasons(Mixture()) == {"gate.weight": "router"}
    assert pruned(Mixture(), dense_modules=[])[0] == "gate.weight"


@pytest.mark.parametrize(
    ("shape", "name", "matrices"),
    [((3, 8, 6), "experts_w1", 3), ((2, 8, 6), "x_proj_weight", 2), ((8, 2, 4), "weight", 1), ((8, 6), "weight", 1)],
)
def test_matrices_are_stacked_along_the_first_dimension(shape, name, matrices):
    model = nn.Module()
    model.register_parameter(name, nn.Parameter(torch.ones(shape)))
    (target,) = plan_targets(model)
    assert target.matrices == matrices
    assert target.pruned_count(0.45) == matrices * round(0.45 * target.numel / matrices)


# Views and changes


def test_a_view_of_another_parameter_is_that_parameters():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 4))
    model[1].weight = nn.Parameter(model[0].weight.data[2:])
    model[2].weight.data = model[0].weight.data
    assert pruned(model) == ["0.weight"]
    assert reasons(model) == {"1.weight": "view of 0.weight", "2.weight": "view of 0.weight"}
    flat = torch.zeros(32)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[0].weight.data, model[1].weight.data = flat[:16].view(4, 4), flat[16:].view(4, 4)
    assert pruned(model) == ["0.weight", "1.weight"]  # neighbours in one buffer share nothing


def test_changes_after_the_plan_are_said(caplog):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    plan = plan_targets(model)
    log_changes(plan, model)
    assert not caplog.messages
    model[0].requires_grad_(True)
    model.append(nn.Linear(2, 2, bias=False))
    log_changes(plan, model)
    remedy = "after DSD planned what to prune, and no sparse phase prunes them"
    assert [message.split(";")[0] for message in caplog.messages] == [
        f"1 parameter(s) came {remedy}: 2.weight",
        f"1 parameter(s) were unfrozen {remedy}: 0.weight",
    ]


# Ties


@pytest.mark.parametrize("pattern", ["wte", "lm_head"])
def test_tied_weights_are_found_by_either_alias(pattern):
    model = gpt2()
    assert pruned(model, dense_modules=[pattern]) == ["transformer.wpe.weight", *GPT2_WEIGHTS]
    plan = {target.name: target for target in plan_targets(model, sparsity_overrides={pattern: 0.25})}
    assert plan["transformer.wte.weight"].is_pruned
    assert plan["transformer.wte.weight"].sparsity(0.5) == 0.25
    with refused(
        f"sparsity_overrides pattern '{pattern}' and dense_modules pattern 'e' both match transformer.wte.weight: drop "
        "one of them"
    ):
        plan_targets(model, sparsity_overrides={pattern: 0.25}, dense_modules=["e"])


def test_one_parameter_under_two_names_of_one_module():
    model = nn.Module()
    model.first = model.second = nn.Parameter(torch.ones(2, 2))
    model.head = nn.Linear(2, 2)
    assert pruned(model) == ["first", "head.weight"]
    assert pruned(model, dense_modules=["second"]) == ["head.weight"]


def test_a_shared_module_is_one_target():
    embedding = nn.Embedding(2, 2)
    assert reasons(nn.Sequential(embedding, nn.Linear(2, 2), embedding)) == {"0.weight": "embedding"}
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(2, 2))
    assert [t.name for t in plan_targets(model)] == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert pruned(model, dense_modules=["^2"]) == ["3.weight"]


# Patterns and overrides


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.LSTM(4, 4), nn.Linear(4, 2))


def test_dense_modules_is_the_complete_list():
    model = nn.Sequential(nn.Embedding(4, 4), nn.Conv1d(4, 4, 2), nn.Linear(4, 2))
    assert pruned(model) == ["2.weight"]
    assert pruned(model, dense_modules=[r"^2\."]) == ["0.weight", "1.weight"]
    assert pruned(model, dense_modules=[]) == ["0.weight", "1.weight", "2.weight"]
    assert reasons(model, dense_modules=[r"^2\."]) == {"2.weight": r"dense_modules pattern '^2\.'"}


def test_patterns_with_a_plus_are_added_to_the_defaults():
    model = nn.Sequential(nn.Embedding(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    assert pruned(model, dense_modules=["^2"]) == ["0.weight", "1.weight"]
    assert pruned(model, dense_modules=["+^2"]) == ["1.weight"]
    assert reasons(model, dense_modules="+^2")["2.weight"] == "dense_modules pattern '+^2'"
    assert pruned(Listed(), dense_modules=["+^embedding"]) == ["hidden.weight"]  # to the class's own list, too
    with refused(
        "dense_modules must replace the default list, or add to it with a + before every pattern, got ['+^2', '^1']"
    ):
        plan_targets(model, dense_modules=["+^2", "^1"])
    with refused(
        "dense_modules pattern '+2.wieght' matches no parameter; the nearest names are ['2.weight', '1.weight', "
        "'0.weight']; patterns are searched in parameter names"
    ):
        plan_targets(model, dense_modules=["+2.wieght"])
    with refused("sparsity_overrides pattern '2' and dense_modules pattern '^2' both match 2.weight: drop one of them"):
        plan_targets(model, dense_modules=["+^2"], sparsity_overrides={"2": 0.5})


def test_one_pattern_may_come_without_its_list():
    assert pruned(two_layers(), dense_modules="weight_hh") == ["0.weight_ih_l0", "1.weight"]


def test_first_override_that_matches_decides():
    overrides = {"weight_hh": 0.7, "^0": 0.5, r"1\.weight": 0}
    plan = {t.name: t for t in plan_targets(two_layers(), sparsity_overrides=overrides)}
    sparsities = {name: target.sparsity(0.3) for name, target in plan.items() if target.is_pruned}
    assert sparsities == {"0.weight_ih_l0": 0.5, "0.weight_hh_l0": 0.7}
    assert plan["1.weight"].dense_reason == "sparsity_overrides sets 0"


def test_override_prunes_what_the_defaults_keep():
    model = nn.Sequential(nn.Embedding(4, 4), nn.Linear(4, 2))
    assert pruned(model, sparsity_overrides={"^0": 0.5}) == ["0.weight", "1.weight"]


def test_patterns_that_meet_only_at_a_bias_do_not_conflict():
    model = two_layers()
    assert pruned(model, sparsity_overrides={"^0": 0.5}, dense_modules=["bias"]) == [
        "0.weight_ih_l0",
        "0.weight_hh_l0",
        "1.weight",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dense_modules": [r"^0\.wieght_ih"]},
            r"dense_modules pattern '^0\\.wieght_ih' matches no parameter; the nearest names are ['0.weight_ih_l0', "
            "'0.weight_hh_l0', '1.weight']; patterns are searched in parameter names",
        ),
        (
            {"sparsity_overrides": {"lstm": 0.5}},
            "sparsity_overrides pattern 'lstm' matches no parameter; the nearest names are ['0.weight_ih_l0', "
            "'0.weight_hh_l0', '0.bias_ih_l0', '0.bias_hh_l0', '1.weight']; patterns are searched in parameter names",
        ),
        (
            {"dense_modules": ["("]},
            "dense_modules must hold regular expressions, got '(': missing ), unterminated subpattern at position 0",
        ),
        (
            {"sparsity_overrides": {"*": 0.5}},
            "sparsity_overrides must hold regular expressions, got '*': nothing to repeat at position 0",
        ),
        (
            {"sparsity_overrides": {"weight": 0.5, "weight_hh": 0.7}},
            "sparsity_overrides pattern 'weight_hh' has no effect, because patterns before it match the same "
            "parameters: put the narrower pattern first",
        ),
        (
            {"sparsity_overrides": {"bias": 0.5}},
            "sparsity_overrides pattern 'bias' decides only ['0.bias_ih_l0', '0.bias_hh_l0', '1.bias'], which cannot "
            "be pruned (bias or vector)",
        ),
        (
            {"sparsity_overrides": {"^0": 0.5}, "dense_modules": ["hh"]},
            "sparsity_overrides pattern '^0' and dense_modules pattern 'hh' both match 0.weight_hh_l0: drop one of "
            "them",
        ),
        ({"sparsity_overrides": {"^0": 1.0}}, "sparsity_overrides['^0'] must be a fraction in [0, 1), got 1"),
        ({"sparsity_overrides": {"^0": -0.1}}, "sparsity_overrides['^0'] must be a fraction in [0, 1), got -0.1"),
        ({"sparsity_overrides": {"^0": "0.5"}}, "sparsity_overrides['^0'] must be a fraction in [0, 1), got '0.5'"),
        ({"sparsity_overrides": {"^0": True}}, "sparsity_overrides['^0'] must be a fraction in [0, 1), got True"),
        ({"sparsity_overrides": {"^0": None}}, "sparsity_overrides['^0'] must be a fraction in [0, 1), got None"),
        (
            {"sparsity_overrides": {"^0": float("nan")}},
            "sparsity_overrides['^0'] must be a fraction in [0, 1), got nan",
        ),
        (
            {"dense_modules": ["."]},
            "no parameter is left to prune: all 6 are dense (bias or vector; dense_modules pattern '.'); loosen "
            "dense_modules or unfreeze layers",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_bad_patterns_are_refused_by_name(options, message):
    with refused(message):
        plan_targets(two_layers(), **options)


def test_a_model_without_matrices_is_refused():
    with refused(
        "no parameter is left to prune: all 0 are dense (the model has none); loosen dense_modules or unfreeze layers"
    ):
        plan_targets(nn.ReLU())


# The model class's own list


@pytest.mark.parametrize(
    ("model", "dense"),
    [
        (lambda: NeuralTalkForConditionalGeneration(NeuralTalkConfig(vocab_size=11)), "word_embedding"),
        (lambda: DeepSpeechForCTC(DeepSpeechConfig(hidden_size=10, num_dense_layers=1)), "context|ctc_head"),
        (lambda: DeepSpeech2ForCTC(DeepSpeech2Config(hidden_size=8)), "convolutions|ctc_head"),
    ],
    ids=["neuraltalk", "deepspeech", "deepspeech2"],
)
def test_our_models_keep_dense_what_their_papers_do(model, dense):
    model = model()
    matrices = [n for n, p in model.named_parameters() if p.dim() > 1]
    assert pruned(model) == [name for name in matrices if not re.search(dense, name)]
    assert set(reasons(model)) == {name for name in matrices if re.search(dense, name)}


def test_a_recurrent_language_model_is_pruned_but_for_its_embedding():
    model = LstmForCausalLM(LstmConfig(num_hidden_layers=2))
    gates = [f"lstm.weight_{kind}_l{layer}" for layer in (0, 1) for kind in ("ih", "hh")]
    assert pruned(model) == [*gates, "lm_head.weight"]
    assert reasons(model)["word_embedding.weight"] == "embedding"


class Listed(nn.Module):
    """A model that names what its paper leaves dense."""

    dsd_dense_modules = (r"^output\.", "not_in_this_configuration")

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 4)
        self.hidden = nn.Linear(4, 4)
        self.output = nn.Linear(4, 2)


def test_class_list_replaces_the_defaults():
    assert pruned(Listed()) == ["embedding.weight", "hidden.weight"]
    assert reasons(Listed()) == {"output.weight": r"dsd_dense_modules pattern '^output\.'"}
    assert pruned(Listed(), dense_modules=["hidden"]) == ["embedding.weight", "output.weight"]
    assert pruned(Listed(), sparsity_overrides={"output": 0.1}) == [
        "embedding.weight",
        "hidden.weight",
        "output.weight",
    ]


def test_class_list_may_be_one_pattern_or_empty():
    class One(Listed):
        dsd_dense_modules = "hidden"

    class Empty(Listed):
        dsd_dense_modules = ()

    assert pruned(One()) == ["embedding.weight", "output.weight"]
    assert pruned(Empty()) == ["embedding.weight", "hidden.weight", "output.weight"]


# Wrappers


@pytest.fixture
def process_group():
    """A process group of this process alone."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        DistributedDataParallel,
        DataParallel,
        torch.compile,
        lambda model: DistributedDataParallel(torch.compile(model)),
        lambda model: torch.compile(DistributedDataParallel(model)),
        checkpoint_wrapper,
    ],
    ids=["plain", "ddp", "data_parallel", "compile", "ddp-compile", "compile-ddp", "checkpoint"],
)
def test_wrappers_are_seen_through(wrap):
    wrapped = wrap(Listed())
    assert plan_targets(wrapped) == plan_targets(Listed())
    assert plan_targets(wrapped, dense_modules=["^hidden"]) == plan_targets(Listed(), dense_modules=["^hidden"])


def test_wrappers_inside_the_model_are_seen_through():
    model = Listed()
    model.hidden = checkpoint_wrapper(torch.compile(model.hidden))
    assert "hidden._checkpoint_wrapped_module._orig_mod.weight" in dict(model.named_parameters())
    assert plan_targets(model) == plan_targets(Listed())


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("module.fc.weight", "fc.weight"),
        ("_orig_mod.module.fc.weight", "fc.weight"),
        ("module._orig_mod.fc.weight", "fc.weight"),
        ("_fsdp_wrapped_module.layers.0._fsdp_wrapped_module._checkpoint_wrapped_module.weight", "layers.0.weight"),
        ("encoder.module.weight", "encoder.module.weight"),
        ("my_module.weight", "my_module.weight"),
        ("submodule._orig_mod.weight", "submodule.weight"),
        ("not_orig_mod.weight", "not_orig_mod.weight"),
        ("weight", "weight"),
    ],
    ids=lambda value: value,
)
def test_canonical_name(name, canonical):
    assert canonical_name(name) == canonical


class HasModule(nn.Module):
    """A model with a part that is really called `module`, and its own list."""

    dsd_dense_modules = ("head",)

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(4, 4)
        self.inner = nn.Sequential()
        self.inner.module = nn.Linear(4, 4)
        self.head = nn.Linear(4, 4)


@pytest.mark.usefixtures("process_group")
def test_a_part_called_module_has_one_name_with_and_without_ddp():
    assert pruned(HasModule()) == ["weight", "inner.module.weight"]
    assert plan_targets(DistributedDataParallel(HasModule())) == plan_targets(HasModule())


def test_two_parameters_of_one_plain_name_are_refused():
    model = HasModule()
    model.weight = nn.Parameter(torch.ones(4, 4))
    with refused(
        "two parameters are called weight once the prefixes of DDP and the like are gone, one of them module.weight: "
        "rename the submodule that is called like a wrapper's"
    ):
        plan_targets(model)


# Frozen, quantized, not yet there


def test_frozen_parameters_are_skipped_with_one_log_line(caplog):
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(12)])
    model[:10].requires_grad_(False)
    with caplog.at_level(logging.INFO, logger="hf_dsd.engine.targets"):
        assert pruned(model) == ["10.weight", "11.weight"]
        log_frozen(plan_targets(model))
    shown = ", ".join(f"{n}.weight" for n in range(8))
    assert caplog.messages == [f"DSD skips 10 frozen parameter(s): {shown}"]
    with refused(
        "sparsity_overrides pattern '^0' decides only ['0.weight', '0.bias'], which cannot be pruned (frozen)"
    ):
        plan_targets(model, sparsity_overrides={"^0": 0.5})
    with refused(
        "no parameter is left to prune: all 24 are dense (bias or vector; frozen); loosen dense_modules or unfreeze "
        "layers"
    ):
        plan_targets(model.requires_grad_(False))


class Int8Params(nn.Parameter):
    """Named like bitsandbytes' class."""


@pytest.mark.parametrize(
    ("weight", "described"),
    [
        (lambda: nn.Parameter(torch.ones(2, 2, dtype=torch.int8), requires_grad=False), "Parameter, torch.int8"),
        (lambda: nn.Parameter(torch.ones(2, 2).to(torch.float8_e4m3fn)), "Parameter, torch.float8_e4m3fn"),
        (lambda: nn.Parameter(torch.ones(2, 2, dtype=torch.complex64)), "Parameter, torch.complex64"),
        (lambda: Int8Params(torch.ones(2, 2)), "Int8Params, torch.float32"),
        (lambda: nn.Parameter(TwoTensor(torch.ones(2, 2), torch.ones(2, 2))), "TwoTensor, torch.float32"),
    ],
    ids=["int8", "float8", "complex", "bitsandbytes", "tensor-in-tensor"],
)
def test_quantized_weights_are_refused(weight, described):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].weight = weight()
    with refused(
        f"0.weight is quantized ({described}); DSD prunes real floating-point weights of 16 bits or more: load the "
        "model without quantization, or list it in dense_modules"
    ):
        plan_targets(model)
    assert pruned(model, dense_modules=["^0"]) == ["1.weight"]


@pytest.mark.usefixtures("process_group")
def test_sharded_weights_are_planned_by_their_whole_shape():
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    assert [target.shape for target in plan_targets(model) if target.is_pruned] == [(6, 4), (2, 6)]


@pytest.mark.usefixtures("process_group")
def test_flattened_weights_are_refused():
    with refused(
        "FSDP1 (FullyShardedDataParallel) flattens weights into vectors, which layerwise masks do not fit: use FSDP2 "
        "(fully_shard, or fsdp_version 2 in Accelerate)"
    ):
        plan_targets(FullyShardedDataParallel(nn.Sequential(nn.Linear(4, 6)), device_id=torch.device("cpu")))


def test_weights_that_are_not_there_yet_are_refused():
    message = "{} is not materialised: run one batch or load the weights before DSD starts"
    with refused(message.format("1.weight")):
        plan_targets(nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(2)))
    with refused(message.format("weight")):
        plan_targets(nn.Linear(2, 2, device="meta"))
    lazy = nn.Sequential(nn.LazyConv1d(2, 2), nn.Linear(2, 2))
    assert pruned(lazy) == ["1.weight"]  # the first convolution stays dense anyway
    assert pruned(nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(2)), dense_modules=["^1"]) == ["0.weight"]


def test_target_knows_its_numbers():
    target = Target("a", (3, 5))
    assert (target.numel, target.is_pruned, target.sparsity(0.3)) == (15, True, 0.3)
    assert Target("a", (3, 5), override=0.0).sparsity(0.3) == 0.0
    assert not Target("a", (3, 5), dense_reason="norm").is_pruned


class AdaptedLinear(nn.Linear):
    """A layer as peft makes it: the base weight, and the adapter's parts named in `adapter_layer_names`."""

    adapter_layer_names = ("down", "up", "unused")

    def __init__(self) -> None:
        super().__init__(6, 4)
        self.down = nn.ModuleDict({"default": nn.Linear(6, 2, bias=False)})
        self.up = nn.ModuleDict({"default": nn.Linear(2, 4, bias=False)})


def test_adapters_are_pruned_only_if_asked():
    model = nn.Sequential(AdaptedLinear())

    def pruned(**options):
        return [target.name for target in plan_targets(model, **options) if target.is_pruned]

    adapters = ["0.down.default.weight", "0.up.default.weight"]
    assert pruned() == ["0.weight"]
    assert pruned(dense_modules=[]) == ["0.weight", *adapters]
    assert pruned(sparsity_overrides={r"\.up\.": 0.5}) == ["0.weight", adapters[1]]
    assert {t.dense_reason for t in plan_targets(model) if t.name in adapters} == {"adapter"}
    model[0].weight.requires_grad_(False)
    with pytest.raises(ValueError, match=r"^no parameter is left to prune: .*\(adapter; bias or vector; frozen\)"):
        plan_targets(model)
    Adapted = type("Adapted", (nn.Sequential,), {"dsd_dense_modules": ["bias"]})  # a class's own list asks for nothing
    assert [t.name for t in plan_targets(Adapted(AdaptedLinear())) if t.is_pruned] == ["0.weight"]
