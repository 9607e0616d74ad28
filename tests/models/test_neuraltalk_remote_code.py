"""A published NeuralTalk works for people who do not have hf_dsd."""

import json
import os
import subprocess
import sys
from pathlib import Path

SAVE = """
import sys, torch
from hf_dsd.models import NeuralTalkConfig, NeuralTalkForConditionalGeneration, NeuralTalkProcessor
from hf_dsd.models import build_caption_tokenizer
tokenizer = build_caption_tokenizer(["a dog runs", "a cat sits"], min_count=1)
tokenizer.save_pretrained("plain")
NeuralTalkConfig().save_pretrained("plain")
NeuralTalkConfig.register_for_auto_class()
NeuralTalkForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")
NeuralTalkProcessor.register_for_auto_class("AutoProcessor")
torch.manual_seed(0)
sizes = {"vocab_size": len(tokenizer), "image_feature_size": 3, "hidden_size": 6, "word_embedding_size": 5}
model = NeuralTalkForConditionalGeneration(NeuralTalkConfig(**sizes)).eval()
model.decoder.bias.data[4:7] = 3.0
model.save_pretrained(sys.argv[1])
NeuralTalkProcessor(tokenizer=tokenizer).save_pretrained(sys.argv[1])
rows = model.generate(image_features=torch.eye(3))
"""

LOAD = """
import sys, torch
from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("plain")
model = AutoModelForImageTextToText.from_pretrained(sys.argv[1], trust_remote_code=True)
processor = AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
rows = model.generate(image_features=torch.eye(3))
assert not any(name.split(".")[0] == "hf_dsd" for name in sys.modules)
assert processor.batch_decode(rows) == tokenizer.batch_decode(rows)
"""

PRINT = "import json; print(json.dumps([rows.tolist(), tokenizer('a dog')['input_ids']]))"


def run(code: str, folder: Path) -> list[object]:
    """Runs `code` in a process of its own with an empty Hugging Face cache; returns the JSON it prints last."""
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": root}
    command = [sys.executable, "-c", code + PRINT, str(folder / "model")]
    result = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_model_tokenizer_and_processor_load_without_hf_dsd(tmp_path):
    saved = run(SAVE, tmp_path)
    assert (tmp_path / "model" / "modeling_neuraltalk.py").exists()
    assert run(LOAD, tmp_path) == saved
    assert saved[1] == [2, 4, 6]
