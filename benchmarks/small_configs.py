"""A small random model of any architecture that transformers has: its default config with every size turned down.

Enters: a ``model_type``. Leaves: a folder with config, weights and a fast tokenizer of whole words.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Tuple

WORDS = "rain fell on the tin roof while a kettle whistled and nine grey boats left".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LIMIT = 96  # pieces
VOCABULARY = 32  # the last pieces are no words

# What no rule gives: settings that must fit together.
_FITTING: Dict[str, Dict[str, Any]] = {
    "reformer": {
        "axial_pos_embds_dim": [16, 32],
        "axial_pos_shape": [8, 16],
        "attention_head_size": 12,
        "max_position_embeddings": 128,
    },
    "funnel": {"block_sizes": [1, 1], "block_repeats": None, "num_decoder_layers": 1, "d_head": 12, "n_head": 4},
    "esm": {"vocab_size": VOCABULARY, "mask_token_id": VOCABULARY - 1, "pad_token_id": 0},
    "xmod": {"default_language": "en_XX"},
}

# Name of a setting -> its small value; the first pattern that fits counts.
_SIZES: List[Tuple[str, int]] = [
    (r"vocab|n_vocab|.*vocab_size", VOCABULARY),
    (r".*(token_id|token_index|pad_idx|(bos|eos|unk|sep|cls)_(idx|index))", VOCABULARY - 1),
    (r"max_(encoder_|source_|decoder_|target_)?positions?(_embeddings)?|n_positions|n_ctx|max_seq.*len.*", LIMIT),
    (r"original_max_position_embeddings", LIMIT),
    (r"num_key_value_heads|num_kv_heads|n_kv_heads|num_k_heads", 2),
    (r".*(num|n)_.*heads?|.*_heads|n_head|num_head", 4),
    (r".*head_dim.*|d_kv|d_head|head_size|attention_head_size|qk_.*dim|v_head_dim", 12),
    (r".*lora_rank|(q|o|decay|a|gate|aaa|v)_.*rank", 8),
    (r"num_experts_per_tok(en)?|top_k|topk|moe_topk|experts_per_token|moe_top_k|top_k_experts", 2),
    (r"n_group|topk_group|n_shared_experts|num_shared_experts|num_nextn_predict_layers", 1),
    (r".*num.*experts.*|n_routed_experts", 4),
    (r"first_k_dense_replace|num_dense_layers|num_hash_layers", 1),
    (r".*intermediate_size|.*ffn_dim|d_ff|d_inner|n_inner|.*ffn_hidden_size|.*mlp_hidden_size|.*mlp_dim|ff_dim", 64),
    (r".*(hidden_size|hidden_dim|d_model|n_embd|embed_dim|embedding_size|embed_size|emb_dim|proj_dim|_width)", 48),
    (r"dim|width|model_dim|.*bottleneck_size", 48),
    (r"(num|n)_.*(layers?|blocks)|.*num_hidden_layers|.*_layers|n_layers?|depth|num_layers", 2),
    (r"sliding_window|local_attention|attention_window|window_size|attention_chunk_size|chunk_size", 16),
    (r"image_size", 32),
    (r"patch_size", 16),
]


def make(kind: str, folder: Path) -> str:
    """Write a small random model.

    :param kind: its ``model_type``.
    :param folder: where to.
    :return: name of the class that ``AutoModel`` makes of it.
    """
    import torch
    from transformers import AutoModel

    config = _small(kind)
    torch.manual_seed(0)
    model = AutoModel.from_config(config)
    n_parameters = sum(p.numel() for p in model.parameters())
    if n_parameters > 20_000_000:
        raise ValueError(f"{n_parameters:,} parameters are not small")
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data.normal_(0, 0.1)
    model.float().save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return type(model).__name__


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


def _small(kind: str) -> Any:
    from transformers import CONFIG_MAPPING

    config_class = CONFIG_MAPPING[kind]
    default = config_class().to_dict()
    settings = {**_turned_down(default), **_FITTING.get(kind, {})}
    wanted = {key: value for key, value in settings.items() if value != default.get(key)}
    wanted.pop("model_type", None)
    return config_class(**wanted)


def _turned_down(settings: Dict[str, Any]) -> Dict[str, Any]:
    small: Dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value and all(isinstance(name, str) for name in value):
            small[key] = _turned_down(value)
        elif isinstance(value, bool) or not isinstance(value, (int, list)):
            small[key] = value
        elif isinstance(value, list):
            small[key] = _two_kinds(value) if key in ("layer_types", "mlp_layer_types", "layers_block_type") else value
            small[key] = [2, 2, 2] if key == "mrope_section" else small[key]
        else:
            fits = (new for pattern, new in _SIZES if re.fullmatch(pattern, key))
            small[key] = min(value, next(fits, value)) if value > 0 else value
    return small


def _two_kinds(types: List[Any]) -> List[Any]:
    # Two layers, of different kinds where there are.
    other = next((kind for kind in types if kind != types[0]), types[0])
    return [types[0], other]
