"""Tiny models of many architectures, their data, and what DSD must do with each of them.

Models are built from their own configuration classes with small sizes. `check` trains one and returns what it found;
`tests/trainer/test_families.py` asserts it for families of every kind, `tests/benchmarks/check_families.py` prints it
for all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from tiny import arguments
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl

from hf_dsd import DSDTrainer
from hf_dsd.models import DeepSpeech2ForCTC, DeepSpeechForCTC, LstmForCausalLM, NeuralTalkForConditionalGeneration

ROWS, LENGTH, VOCABULARY, CLASSES, SIDE = 8, 8, 24, 3, 32
_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "d_model": 16,
    "num_hidden_layers": 2,
    "num_layers": 1,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "num_decoder_layers": 1,
    "num_attention_heads": 2,
    "num_heads": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 16,
    "d_ff": 16,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 64,
    "num_labels": CLASSES,
    "image_size": SIDE,
    "patch_size": 16,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
_ALWAYS = {"num_labels", "decoder_start_token_id"}
"""Sizes that a configuration takes without naming them."""


@dataclass(frozen=True)
class Family:
    """An architecture.

    Attributes:
        name: For reports.
        build: A model with random weights, the same every time.
        rows: Its data.
        batch_loss: True if a row's loss depends on the other rows of its batch, so that accumulation cannot give the
            same step; it then must not be several times as large.
    """

    name: str
    build: Callable[[], nn.Module] = field(repr=False)
    rows: Callable[[], list[dict[str, Any]]] = field(repr=False)
    batch_loss: bool = False


def check(family: Family, folder: Path) -> dict[str, bool]:
    """Trains dense, sparse, dense, resumes in every phase, loads every phase, and takes a step in four parts."""
    whole = _trainer(family, folder / "whole", save_strategy="steps", save_steps=1)
    whole.train()
    return {
        "zeros": _has_zeros(whole),
        "load_phase": _loads_as_from_pretrained(family, whole),
        "resume": all(_resumes(family, whole, folder, step) for step in (1, 3, 5)),
        "accumulation": _accumulates(family, whole, folder),
    }


def _trainer(family: Family, folder: Path, seed: int = 0, **options: Any) -> DSDTrainer:
    torch.manual_seed(seed)
    model = family.build()
    defaults = {"phase_steps": [2, 2, 2], "logging_steps": 1, "remove_unused_columns": False, "learning_rate": 1e-3}
    args = arguments(folder, **(defaults | options))
    collator = _boxes_together if family.rows is _boxes else None
    return DSDTrainer(model, args, train_dataset=family.rows(), data_collator=collator)


def _has_zeros(whole: DSDTrainer) -> bool:
    """The sparse phase's model has exactly the zeros that its record says, and there are some."""
    whole.load_phase("phase-1-sparse")
    weights = dict(whole.model.named_parameters(remove_duplicate=False))
    layers = [layer for layer in whole.summary.phases[1]["layers"] if layer["pruned"]]
    return bool(layers) and all(int((weights[x["name"]] == 0).sum()) >= x["pruned"] for x in layers)


def _loads_as_from_pretrained(family: Family, whole: DSDTrainer) -> bool:
    tensors = whole.model.state_dict(keep_vars=True)
    places = {name: (id(tensor), tensor.data_ptr()) for name, tensor in tensors.items()}
    last = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    equal, moved = True, False
    for phase in whole.summary.phases:
        whole.load_phase(phase["name"])
        want = type(whole.model).from_pretrained(whole.run_folder / phase["name"]).state_dict()
        equal &= want.keys() == last.keys() and all(torch.equal(tensors[name], want[name]) for name in want)
        moved |= any(not torch.equal(tensor, last[name]) for name, tensor in tensors.items())
    found = whole.model.state_dict(keep_vars=True)
    return equal and moved and places == {name: (id(tensor), tensor.data_ptr()) for name, tensor in found.items()}


def _resumes(family: Family, whole: DSDTrainer, folder: Path, step: int) -> bool:
    """Other weights to begin with, the same at the end, to the bit."""
    resumed = _trainer(family, folder / f"from-{step}", seed=9)
    resumed.train(resume_from_checkpoint=str(whole.run_folder / f"checkpoint-{step}"))
    whole.load_phase("phase-2-dense")
    pairs = zip(resumed.model.state_dict().items(), whole.model.state_dict().items(), strict=True)
    return all(a == b and torch.equal(got, want) for (a, got), (b, want) in pairs)


def _accumulates(family: Family, whole: DSDTrainer, folder: Path) -> bool:
    """A step of four rows has the loss and the gradient of a step in four parts of one row."""
    parts = _trainer(family, folder / "parts", per_device_train_batch_size=1, gradient_accumulation_steps=4)
    parts.add_callback(_OneStep())
    parts.train()
    first = [[trainer.state.log_history[0][key] for key in ("loss", "grad_norm")] for trainer in (whole, parts)]
    if family.batch_loss:
        return first[1][0] < 2 * first[0][0] + 1e-3
    return all(abs(one - four) <= 2e-4 * abs(one) + 1e-6 for one, four in zip(*first, strict=True))


class _OneStep(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **kwargs: Any) -> None:
        control.should_log = control.should_training_stop = True


def _no_dropout(config: Any) -> None:
    for name, value in list(vars(config).items()):
        if ("drop" in name or name.startswith(("mask_time_prob", "mask_feature_prob"))) and isinstance(value, float):
            setattr(config, name, 0.0)
        elif isinstance(value, transformers.PreTrainedConfig):
            _no_dropout(value)


def _of(class_name: str, rows: Callable[[], list[dict[str, Any]]], *, batch_loss: bool = False, **sizes: Any) -> Family:
    """A family of transformers, named by its class."""

    def build() -> nn.Module:
        model_class = getattr(transformers, class_name)
        config_class = model_class.config_class
        known = set(getattr(config_class, "attribute_map", {})) | set(vars(config_class())) | _ALWAYS
        config = config_class(**({key: value for key, value in _SIZES.items() if key in known} | sizes))
        _no_dropout(config)
        model = model_class(config).train()
        if rows is _pairs:
            model.forward = partial(model.forward, return_loss=True)
        return model

    return Family(class_name, build, rows, batch_loss)


def _ids(rows: int = ROWS, length: int = LENGTH) -> Tensor:
    return torch.randint(3, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(0))


def _noise(*shape: int) -> Tensor:
    return torch.randn(ROWS, *shape, generator=torch.Generator().manual_seed(0))


def _texts() -> list[dict[str, Any]]:
    return [{"input_ids": ids, "labels": ids} for ids in _ids()]


def _labelled_texts() -> list[dict[str, Any]]:
    return [{"input_ids": ids, "labels": torch.tensor(row % CLASSES)} for row, ids in enumerate(_ids())]


def _long_texts() -> list[dict[str, Any]]:
    return [{"input_ids": ids, "labels": ids} for ids in _ids(length=64)]


def _pictures() -> list[dict[str, Any]]:
    return [{"pixel_values": x, "labels": torch.tensor(row % CLASSES)} for row, x in enumerate(_noise(3, SIDE, SIDE))]


def _bare_pictures() -> list[dict[str, Any]]:
    return [{"pixel_values": x} for x in _noise(3, SIDE, SIDE)]


def _boxes() -> list[dict[str, Any]]:
    box = torch.tensor([[0.5, 0.5, 0.4, 0.2]])
    return [
        {"pixel_values": x, "labels": {"class_labels": torch.tensor([row % CLASSES]), "boxes": box}}
        for row, x in enumerate(_noise(3, SIDE, SIDE))
    ]


def _boxes_together(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "pixel_values": torch.stack([row["pixel_values"] for row in rows]),
        "labels": [row["labels"] for row in rows],
    }


def _maps() -> list[dict[str, Any]]:
    labels = torch.randint(CLASSES, (ROWS, SIDE, SIDE), generator=torch.Generator().manual_seed(1))
    return [{"pixel_values": x, "labels": y} for x, y in zip(_noise(3, SIDE, SIDE), labels, strict=True)]


def _sounds() -> list[dict[str, Any]]:
    return [{"input_values": x, "labels": ids} for x, ids in zip(_noise(400), _ids(length=2), strict=True)]


def _labelled_sounds() -> list[dict[str, Any]]:
    return [{"input_values": x, "labels": torch.tensor(row % CLASSES)} for row, x in enumerate(_noise(400))]


def _spectra() -> list[dict[str, Any]]:
    return [{"input_features": x, "labels": ids} for x, ids in zip(_noise(8, 16), _ids(length=4), strict=True)]


def _frames() -> list[dict[str, Any]]:
    return [
        {"input_features": x, "attention_mask": torch.ones(20).long(), "labels": ids % 5 + 1}
        for x, ids in zip(_noise(20, 9), _ids(length=3), strict=True)
    ]


def _captions() -> list[dict[str, Any]]:
    return [{"image_features": x, "labels": ids} for x, ids in zip(_noise(6), _ids(length=5), strict=True)]


def _pairs() -> list[dict[str, Any]]:
    pictures = _noise(3, SIDE, SIDE)
    return [{"input_ids": ids, "pixel_values": x} for ids, x in zip(_ids(), pictures, strict=True)]


_TEXT = {"text_config": {k: v for k, v in _SIZES.items() if k not in ("image_size", "patch_size")}}
_VISION = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
_VISION |= {"image_size": SIDE, "patch_size": 16}
_CLIP = _VISION | {"model_type": "clip_vision_model", "projection_dim": 8}
_LLAMA = {
    key: _SIZES[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
}
_LLAMA |= {"model_type": "llama", "vocab_size": VOCABULARY, "intermediate_size": 16, "head_dim": 8}
_WAVES: dict[str, Any] = {
    "conv_dim": [8, 8],
    "conv_stride": [5, 4],
    "conv_kernel": [10, 4],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "ctc_loss_reduction": "mean",
    "ctc_zero_infinity": True,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8}

TESTED = [
    _of("BertForMaskedLM", _texts),
    _of("RobertaForSequenceClassification", _labelled_texts),
    _of("DistilBertForMaskedLM", _texts, dim=16, hidden_dim=16, n_heads=2, n_layers=1),
    _of("AlbertForMaskedLM", _texts, embedding_size=8),
    _of("GPT2LMHeadModel", _texts),
    _of("LlamaForCausalLM", _texts),
    _of("MistralForCausalLM", _texts),
    _of("MixtralForCausalLM", _texts, num_local_experts=4),
    _of("Qwen2MoeForCausalLM", _texts, shared_expert_intermediate_size=16, **_EXPERTS),
    _of("Gemma3ForCausalLM", _texts),
    _of("T5ForConditionalGeneration", _texts, d_kv=8),
    _of("BartForConditionalGeneration", _texts),
    _of("MambaForCausalLM", _texts, state_size=4, time_step_rank=2),
    _of("Mamba2ForCausalLM", _texts, state_size=4, num_heads=4, n_groups=1, expand=2, chunk_size=4),
    _of("RwkvForCausalLM", _texts, attention_hidden_size=16),
    _of("WhisperForConditionalGeneration", _spectra, num_mel_bins=8, max_source_positions=8, max_target_positions=16),
    _of("Wav2Vec2ForCTC", _sounds, **_WAVES),
    _of("HubertForCTC", _sounds, **_WAVES),
    _of("ViTForImageClassification", _pictures),
    _of(
        "ViTMAEForPreTraining",
        _bare_pictures,
        decoder_hidden_size=16,
        decoder_num_attention_heads=2,
        decoder_num_hidden_layers=1,
        decoder_intermediate_size=16,
    ),
    _of("ResNetForImageClassification", _pictures, batch_loss=True, layer_type="basic", **_STAGES),
    _of("ConvNextForImageClassification", _pictures, num_stages=2, hidden_sizes=[8, 16], depths=[1, 1]),
    _of(
        "SegformerForSemanticSegmentation",
        _maps,
        batch_loss=True,
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=8,
    ),
    _of("CLIPModel", _pairs, batch_loss=True, projection_dim=8, vision_config=_VISION, **_TEXT),
    _of("YolosForObjectDetection", _boxes, image_size=[SIDE, SIDE], num_detection_tokens=4),
    _of(
        "DetrForObjectDetection",
        _boxes,
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        num_queries=4,
        backbone_config=transformers.ResNetConfig(layer_type="basic", out_features=["stage2"], **_STAGES),
    ),
    Family(
        "NeuralTalkForConditionalGeneration",
        lambda: NeuralTalkForConditionalGeneration(
            NeuralTalkForConditionalGeneration.config_class(
                vocab_size=VOCABULARY, image_feature_size=6, hidden_size=8, encoder_dropout=0.0, decoder_dropout=0.0
            )
        ),
        _captions,
    ),
    Family(
        "LstmForCausalLM",
        lambda: LstmForCausalLM(LstmForCausalLM.config_class(vocab_size=VOCABULARY, embedding_size=6, hidden_size=8)),
        _texts,
    ),
    Family(
        "DeepSpeechForCTC",
        lambda: DeepSpeechForCTC(DeepSpeechForCTC.config_class(vocab_size=6, feature_size=9, hidden_size=8)),
        _frames,
    ),
    Family(
        "DeepSpeech2ForCTC",
        lambda: DeepSpeech2ForCTC(
            DeepSpeech2ForCTC.config_class(
                vocab_size=6,
                feature_size=9,
                conv_channels=[3, 2],
                conv_kernel_sizes=[[5, 3], [3, 5]],
                hidden_size=7,
                num_hidden_layers=2,
            )
        ),
        _frames,
        True,
    ),
]

OTHERS = [
    _of("ElectraForMaskedLM", _texts, embedding_size=8),
    _of("DebertaV2ForMaskedLM", _texts),
    _of("XLMRobertaForSequenceClassification", _labelled_texts),
    _of("CamembertForMaskedLM", _texts),
    _of("MPNetForMaskedLM", _texts),
    _of("ModernBertForMaskedLM", _texts),
    _of("RoFormerForMaskedLM", _texts, embedding_size=16),
    _of("ConvBertForMaskedLM", _texts, embedding_size=16, conv_kernel_size=3),
    _of("NystromformerForMaskedLM", _long_texts, segment_means_seq_len=64, num_landmarks=8),
    _of("XLNetLMHeadModel", _texts, n_layer=1, n_head=2, d_inner=16),
    _of("FNetForMaskedLM", _texts),
    _of("EsmForMaskedLM", _texts),
    _of("MegatronBertForMaskedLM", _texts),
    _of("RemBertForMaskedLM", _texts, input_embedding_size=8, output_embedding_size=8),
    _of("SqueezeBertForMaskedLM", _texts, embedding_size=16),
    _of("BigBirdForMaskedLM", _texts, attention_type="original_full"),
    _of("Qwen2ForCausalLM", _texts),
    _of("Qwen3ForCausalLM", _texts),
    _of("Qwen3MoeForCausalLM", _texts, **_EXPERTS),
    _of("OlmoeForCausalLM", _texts, **_EXPERTS),
    _of("GraniteMoeForCausalLM", _texts, num_local_experts=4),
    _of(
        "DeepseekV3ForCausalLM",
        _texts,
        n_routed_experts=4,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=1,
        moe_intermediate_size=16,
        kv_lora_rank=8,
        q_lora_rank=8,
        qk_rope_head_dim=4,
        v_head_dim=8,
        qk_nope_head_dim=4,
        head_dim=4,
        num_experts_per_tok=2,
    ),
    _of("GptOssForCausalLM", _texts, num_local_experts=4),
    _of("GemmaForCausalLM", _texts),
    _of("Gemma2ForCausalLM", _texts),
    _of("PhiForCausalLM", _texts),
    _of("Phi3ForCausalLM", _texts),
    _of("FalconForCausalLM", _texts),
    _of("BloomForCausalLM", _texts),
    _of("OPTForCausalLM", _texts, ffn_dim=16, word_embed_proj_dim=16),
    _of("GPTNeoXForCausalLM", _texts),
    _of("GPTJForCausalLM", _texts, rotary_dim=4),
    _of("CodeGenForCausalLM", _texts, num_attention_heads=4, rotary_dim=4),
    _of("GPTBigCodeForCausalLM", _texts),
    _of("MptForCausalLM", _texts, n_heads=2, n_layers=1, max_seq_len=64),
    _of("StableLmForCausalLM", _texts),
    _of("CohereForCausalLM", _texts),
    _of("Starcoder2ForCausalLM", _texts),
    _of("OlmoForCausalLM", _texts),
    _of("GraniteForCausalLM", _texts),
    _of(
        "JambaForCausalLM",
        _texts,
        num_experts=2,
        mamba_d_state=4,
        mamba_dt_rank=2,
        use_mamba_kernels=False,
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
    ),
    _of("MT5ForConditionalGeneration", _texts, d_kv=8),
    _of(
        "SwitchTransformersForConditionalGeneration",
        _texts,
        batch_loss=True,
        d_kv=8,
        num_experts=2,
        num_sparse_encoder_layers=1,
        num_sparse_decoder_layers=1,
    ),
    _of("PegasusForConditionalGeneration", _texts),
    _of("MBartForConditionalGeneration", _texts),
    _of("MarianMTModel", _texts),
    _of("M2M100ForConditionalGeneration", _texts),
    _of("WavLMForCTC", _sounds, **_WAVES),
    _of("UniSpeechForCTC", _sounds, **_WAVES),
    _of("Data2VecAudioForCTC", _sounds, **_WAVES),
    _of(
        "ASTForAudioClassification",
        lambda: [{"input_values": x, "labels": torch.tensor(row % CLASSES)} for row, x in enumerate(_noise(32, 16))],
        num_mel_bins=16,
        max_length=32,
        frequency_stride=8,
        time_stride=8,
        patch_size=8,
    ),
    _of(
        "Speech2TextForConditionalGeneration",
        lambda: [{"input_features": x, "labels": ids} for x, ids in zip(_noise(16, 8), _ids(length=4), strict=True)],
        input_feat_per_channel=8,
        conv_channels=8,
        conv_kernel_sizes=[3, 3],
        max_source_positions=16,
        max_target_positions=16,
    ),
    _of("DeiTForImageClassification", _pictures),
    _of("BeitForImageClassification", _pictures),
    _of("Dinov2ForImageClassification", _pictures),
    _of(
        "SwinForImageClassification",
        _pictures,
        embed_dim=8,
        depths=[1, 1],
        num_heads=[1, 2],
        num_attention_heads=[1, 2],
        window_size=2,
        patch_size=4,
    ),
    _of("ConvNextV2ForImageClassification", _pictures, num_stages=2, hidden_sizes=[8, 16], depths=[1, 1]),
    _of("RegNetForImageClassification", _pictures, batch_loss=True, groups_width=8, **_STAGES),
    _of("PoolFormerForImageClassification", _pictures, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1]),
    _of("BitForImageClassification", _pictures, batch_loss=True, num_groups=4, **_STAGES),
    _of("SiglipModel", _pairs, batch_loss=True, vision_config=_VISION, **_TEXT),
    _of("LlavaForConditionalGeneration", _texts, vision_config=_CLIP, text_config=_LLAMA, vision_feature_layer=-1),
    _of("LlavaNextForConditionalGeneration", _texts, vision_config=_CLIP, text_config=_LLAMA, vision_feature_layer=-1),
    _of(
        "VipLlavaForConditionalGeneration", _texts, vision_config=_CLIP, text_config=_LLAMA, vision_feature_layers=[-1]
    ),
    _of(
        "PaliGemmaForConditionalGeneration",
        _texts,
        vision_config=_CLIP | {"model_type": "siglip_vision_model"},
        text_config=_LLAMA | {"model_type": "gemma"},
    ),
    _of(
        "Qwen2VLForConditionalGeneration",
        _texts,
        text_config=_LLAMA
        | {"model_type": "qwen2_vl_text", "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}},
        vision_config={"depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 16},
    ),
    _of(
        "Zamba2ForCausalLM",
        _texts,
        mamba_d_state=4,
        mamba_headdim=8,
        n_mamba_heads=4,
        mamba_ngroups=1,
        chunk_size=4,
        layers_block_type=["mamba", "hybrid"],
        num_mem_blocks=1,
        adapter_rank=4,
    ),
    _of(
        "BambaForCausalLM",
        _texts,
        mamba_n_heads=4,
        mamba_d_head=8,
        mamba_d_state=4,
        mamba_n_groups=1,
        mamba_chunk_size=4,
        attn_layer_indices=[1],
    ),
    _of("RecurrentGemmaForCausalLM", _texts, lru_width=16, num_hidden_layers=3),
    _of("GPTNeoForCausalLM", _texts, attention_types=[[["global", "local"], 1]]),
    _of(
        "VideoMAEForVideoClassification",
        lambda: [
            {"pixel_values": x, "labels": torch.tensor(row % CLASSES)} for row, x in enumerate(_noise(2, 3, SIDE, SIDE))
        ],
        num_frames=2,
    ),
]
