"""Which files of a phase's folder are its model's: what is sent, and what of an earlier publication is replaced.

Layer: names only.
"""

ADAPTER = "adapter_config.json"
"""Of PEFT: names the base model."""

# A list of what may go, not of what may not: optimizer states, pickled arguments, masks and whatever a later version of
# the Trainer writes stay at home.
MODEL_FILES = (
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "adapter_model.safetensors",
    ADAPTER,
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "normalizer.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "target.spm",
    "chat_template.jinja",
    # sentence-transformers
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "[0-9]_*/config.json",
    "[0-9]_*/model.safetensors",
)
"""Patterns of paths below the folder."""

CODE_FILES = ("*.py",)
"""Of a model whose configuration names code of its own (`auto_map`)."""

VOCABULARY_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")
"""Whose entries may look like folders and are none."""
