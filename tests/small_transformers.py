"""Small random Hugging Face models of many kinds, written to disk with a tokenizer of whole words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Sequence

WORDS = "rain fell on the tin roof while a kettle whistled and nine grey boats left".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
SIZES: Dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}


def write_model(folder: Path, kind: str, *, limit: int = 64, **settings: Any) -> Path:
    """Write a model of an architecture that is found by its type."""
    from transformers import AutoConfig, AutoModel

    sizes = settings if settings.pop("bare", False) else {**SIZES, **settings}
    config = AutoConfig.for_model(kind, vocab_size=len(SPECIAL) + len(WORDS), **sizes)
    return write(folder, AutoModel.from_config(config), limit=limit)


def write(folder: Path, model: Any, *, limit: int = 64) -> Path:
    """Write a model with weights large enough that every dependence shows."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    model.save_pretrained(folder)
    write_tokenizer(folder, limit=limit)
    return folder


def write_tokenizer(
    folder: Path, single: str = "[CLS] $A [SEP]", words: Sequence[str] = WORDS, limit: int = 64
) -> Path:
    """Write a tokenizer whose special pieces stand where a template says."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(piece, vocabulary[piece]) for piece in SPECIAL]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=limit
    )
    fast.save_pretrained(folder)
    return folder
