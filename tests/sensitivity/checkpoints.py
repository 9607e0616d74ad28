"""Saved models of every kind that the command knows, with random weights, and data for them."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from hf_dsd import (
    DeepSpeech2Config,
    DeepSpeech2ForCTC,
    DeepSpeechProcessor,
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
)
from hf_dsd.models import DeepSpeechFeatureExtractor, build_caption_tokenizer, build_character_tokenizer

COLOURS = ("red", "green", "blue")
SPLITS = ("train", "validation", "test")


def write_captions(folder: Path) -> Path:
    """Fifteen images; a validation image i has 1 + i % 3 captions, of different lengths."""
    folder.mkdir()
    images = [f"{i}.jpg" for i in range(15)]
    lines = [
        {
            "image": image,
            "split": SPLITS[i // 5],
            "captions": [
                " ".join(["one", COLOURS[i % 3], "square", *["and another"] * more]) for more in range(1 + i % 3)
            ],
        }
        for i, image in enumerate(images)
    ]
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "image_ids.json").write_text(json.dumps(images))
    save_file({"features": torch.eye(3).repeat(5, 2)}, folder / "features.safetensors")
    return folder


def save_captioner(folder: Path, captions: list[str], features: int = 6) -> NeuralTalkForConditionalGeneration:
    tokenizer = build_caption_tokenizer(captions, min_count=1)
    config = NeuralTalkConfig(
        vocab_size=len(tokenizer), image_feature_size=features, hidden_size=8, word_embedding_size=8
    )
    model = NeuralTalkForConditionalGeneration(config)
    with torch.no_grad():
        model.decoder.weight.normal_()
    model.save_pretrained(folder)
    NeuralTalkProcessor(tokenizer=tokenizer).save_pretrained(folder)
    return model.eval()


def write_speech(folder: Path) -> Path:
    """Five utterances in each split, of different lengths."""
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        lines = []
        for row in range(5):
            noise = np.random.default_rng(row).normal(size=8000 + 1600 * ((3 * row) % 5))
            soundfile.write(folder / split / f"{row}.flac", 0.1 * noise, 16_000)
            lines.append(json.dumps({"file_name": f"{row}.flac", "text": "HO" + "HA" * row}))
        (folder / split / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def save_deepspeech2(folder: Path) -> DeepSpeech2ForCTC:
    tokenizer = build_character_tokenizer()
    config = DeepSpeech2Config(
        vocab_size=len(tokenizer),
        conv_channels=[2],
        conv_kernel_sizes=[[5, 5]],
        conv_strides=[[2, 2]],
        hidden_size=8,
        num_hidden_layers=1,
    )
    model = DeepSpeech2ForCTC(config)
    model.save_pretrained(folder)
    DeepSpeechProcessor(DeepSpeechFeatureExtractor(), tokenizer).save_pretrained(folder)
    return model.eval()


def write_text(path: Path) -> Path:
    path.write_text("one two three four five six\nseven eight nine ten\n\n" * 8)
    return path


def save_gpt2(folder: Path, text: Path) -> GPT2LMHeadModel:
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(text.read_text().splitlines(), 270, special_tokens=["<|endoftext|>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, eos_token="<|endoftext|>")
    fast.save_pretrained(folder)
    end = fast.eos_token_id
    config = partial(GPT2Config, n_layer=1, n_embd=8, n_head=2, n_positions=16, bos_token_id=end, eos_token_id=end)
    model = GPT2LMHeadModel(config(vocab_size=len(fast)))
    model.save_pretrained(folder)
    return model.eval()
