"""Random models in the layouts that are published: without tokenizer.json, with code of their own, in subfolders."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Dict, List

LINES = [
    "The bank of the river was green in spring. I sat on the bank and gave him money.",
    "Apples fall from the tree, and dogs bark. New York is a big city that never sleeps.",
    "She can't believe it's unbelievable! Running water flows over the stones (slowly).",
    "In 1998 he paid $3.50 for 2 coffees: one for me, one for you. Über allen Gipfeln ist Ruh.",
]

OWN_CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from .tiny_layers import TinyBlock


class TinyConfig(PretrainedConfig):
    model_type = "tiny-of-my-own"

    def __init__(self, vocab_size=100, hidden_size=16, num_hidden_layers=2, **others):
        self.vocab_size, self.hidden_size, self.num_hidden_layers = vocab_size, hidden_size, num_hidden_layers
        super().__init__(**others)


class TinyModel(PreTrainedModel):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.words = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = torch.nn.ModuleList(TinyBlock(config.hidden_size) for _ in range(config.num_hidden_layers))
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, (torch.nn.Embedding, torch.nn.Linear)):
            module.weight.data.normal_()

    def get_input_embeddings(self):
        return self.words

    def forward(self, input_ids=None, attention_mask=None, output_hidden_states=False, **others):
        states = [self.words(input_ids)]
        for block in self.blocks:
            states.append(block(states[-1]))
        hidden = tuple(states) if output_hidden_states else None
        return BaseModelOutput(last_hidden_state=states[-1], hidden_states=hidden)
"""

OWN_LAYERS = """
import torch


class TinyBlock(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = torch.nn.Linear(width, width)

    def forward(self, x):
        return torch.tanh(self.linear(x)) + x
"""

OWN_TOKENIZER = """
from transformers import PreTrainedTokenizerFast


class TinyTokenizerFast(PreTrainedTokenizerFast):
    pass
"""


def sentencepiece_model(**settings: Any) -> bytes:
    """Train a SentencePiece model on :data:`LINES`."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    settings = {"vocab_size": 200, "hard_vocab_limit": False, "minloglevel": 2, **settings}
    SentencePieceTrainer.train(sentence_iterator=iter(LINES * 20), model_writer=model, **settings)
    return model.getvalue()


def small(kind: str, **settings: Any) -> Any:
    """Make a random model of a type that transformers knows."""
    import torch
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    return AutoModel.from_config(AutoConfig.for_model(kind, **{**SIZES[kind], "vocab_size": 800, **settings}))


def write_words(folder: Path) -> List[str]:
    """Write a tokenizer.json of whole words, as the models with code of their own have it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[UNK]", "[PAD]", *sorted({word for line in LINES for word in line.lower().split()})]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return words


def write_own_code(folder: Path, *, code: str = "", tokenizer: bool = False) -> Path:
    """Write a model whose code is in the folder, or, where ``code`` names one, in another repository."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    words = write_words(folder)
    torch.manual_seed(0)
    tensors = {"words.weight": torch.randn(len(words), 16)}
    for i in range(2):
        tensors[f"blocks.{i}.linear.weight"], tensors[f"blocks.{i}.linear.bias"] = torch.randn(16, 16), torch.randn(16)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    where = f"{code}--" if code else ""
    change(
        folder / "config.json",
        model_type="tiny-of-my-own",
        architectures=["TinyModel"],
        vocab_size=len(words),
        auto_map={"AutoConfig": f"{where}modeling_tiny.TinyConfig", "AutoModel": f"{where}modeling_tiny.TinyModel"},
    )
    if not code:
        write_code(folder)
    if tokenizer:
        (folder / "tokenization_tiny.py").write_text(OWN_TOKENIZER)
        own = [None, "tokenization_tiny.TinyTokenizerFast"]
        change(folder / "tokenizer_config.json", tokenizer_class="TinyTokenizer", auto_map={"AutoTokenizer": own})
    return folder


def write_code(folder: Path) -> None:
    """Write the code of the tiny model, in two files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "modeling_tiny.py").write_text(OWN_CODE)
    (folder / "tiny_layers.py").write_text(OWN_LAYERS)


def change(file: Path, **values: Any) -> None:
    """Change keys of a JSON file, which need not be there; ``None`` takes one out."""
    content: Dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    content.update(values)
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


_BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
SIZES: Dict[str, Dict[str, Any]] = {
    "albert": {**_BERT, "embedding_size": 8},
    "bert": _BERT,
    "camembert": _BERT,
    "canine": {**_BERT, "num_hash_buckets": 64, "downsampling_rate": 4},
    "deberta-v2": _BERT,
    "gemma": {**_BERT, "num_key_value_heads": 2, "head_dim": 8},
    "llama": _BERT,
    "rag": {},
    "rembert": {**_BERT, "input_embedding_size": 16},
    "roberta": _BERT,
    "t5": _T5,
    "xlm-roberta": _BERT,
    "xlm-roberta-xl": _BERT,
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32},
}
