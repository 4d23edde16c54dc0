"""A small random model of any architecture that transformers has: its default config with every size turned down.

Enters: a ``model_type``. Leaves: a folder with config, weights and a fast tokenizer of whole words.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

WORDS = "rain fell on the tin roof while a kettle whistled and nine grey boats left".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LIMIT = 96  # pieces
CHARACTERS = 256  # of models whose pieces these are
VOCABULARY = 384  # the last pieces are no words
WIDTH, HEAD = 64, 16

_MOST = 50_000_000  # parameters

_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_INDEXED = {
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "indexer_head_dim": HEAD,
    "indexer_budget": 16,
    "indexer_compress_ratio": 4,
}
# Tokenizers that need no files, of models that were made for them; "byt5" is a T5 of its own vocabulary.
_OF_CHARACTERS = {"canine": "CanineTokenizer", "byt5": "ByT5Tokenizer"}
_KNOWN_AS = {"byt5": "t5"}
# What no rule gives: settings that must fit together, or that have no default.
_FITTING: Dict[str, Dict[str, Any]] = {
    "align": {"vision_config": {"width_coefficient": 0.1, "depth_coefficient": 0.1}},
    "apertus1p5": {"text_config": {"vocab_size": 270_000}},  # those of sound stand behind
    "canine": {"max_position_embeddings": CHARACTERS},
    "chameleon": {"vocabulary_map": {"<image>": 5}},
    "cohere_compass": {"text_config": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}}},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "clip_qkv": 8.0}},
    "deepseek_ocr2": {"text_config": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "diffusion_gemma": {"text_config": {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 96}},
    "dory": {
        "layer_types": ["full_attention", "mlp"] * 3,
        "num_hidden_layers": 6,
        "n_input_layers": 2,
        "n_recurrent_layers": 2,
        "n_output_layers": 2,
    },
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note": {"text_config": {"head_dim": 2 * HEAD}},
    "dots3_note_text": {"head_dim": 2 * HEAD},
    "emu3": {"vocabulary_map": {"<image>": 5, "<|extra_200|>": 6, "<|visual token 000000|>": 7}},
    "esm": {"vocab_size": VOCABULARY, "mask_token_id": VOCABULARY - 1, "pad_token_id": 0},
    "florence2": {"vision_config": {"depths": [1] * 4, "embed_dim": [32] * 4, "num_heads": [4] * 4}},
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": WIDTH // 4}},
    "funnel": {"block_sizes": [1, 1], "block_repeats": None, "num_decoder_layers": 1},
    "gemma3n_text": {"intermediate_size": [96, 96], "num_kv_shared_layers": 0, "activation_sparsity_pattern": None},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granite4_vision": {"deepstack_layer_map": [], "spatial_target_layers": [], "downsample_rate": "1/2"},
    "hunyuan_v1_dense": {"head_dim": HEAD},
    "hunyuan_v1_moe": {"head_dim": HEAD},
    "hunyuan_vl": {"text_config": {"head_dim": HEAD}},
    "hunyuan_vl_text": {"head_dim": HEAD},
    "layoutlmv3": {"coordinate_size": 8, "shape_size": 16},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "lilt": {"hidden_size": 48},
    "mamba2": {"num_heads": 4, "head_dim": 2 * WIDTH // 4},
    "ministral": {"head_dim": HEAD},
    "mistral4": {"head_dim": 2 * HEAD},
    "mistral_large4": {"text_config": {"kv_source_layers": [0, 1]}},
    "mistral_large4_text": {"kv_source_layers": [0, 1]},
    "molmo2": {"adapter_config": {"vision_feature_layer": [1, 0]}},
    "nemotron": {"num_key_value_heads": 2},
    "perceiver": {"d_latents": WIDTH, "num_latents": 8},
    "qwen4_exp": {"text_config": _INDEXED},
    "qwen4_exp_text": _INDEXED,
    "reformer": {
        "axial_pos_embds_dim": [16, WIDTH - 16],
        "axial_pos_shape": [8, 16],
        "attention_head_size": HEAD,
        "max_position_embeddings": 128,
    },
    "step3p7": {"text_config": {"sliding_window": 16}},
    "tipsv2": {"vision_config": {"out_features": None, "out_indices": None}},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "num_hidden_layers": 4,
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "attention_hidden_size": 2 * WIDTH,
        "attention_head_dim": 2 * HEAD,
    },
    "zamba2": {"attention_hidden_size": 2 * WIDTH, "attention_head_dim": 2 * HEAD},
}
# Model types whose positions are of three kinds -> the share of each in half a head (of what of it turns).
_SECTIONS: Dict[str, List[int]] = {
    "ernie4_5_vl_moe": [3, 3, 2],
    "glm46v": [2, 3, 3],
    "glm4v": [2, 3, 3],
    "glm4v_moe": [1, 1, 2],
    "glm4v_moe_text": [1, 1, 2],
    "glm4v_text": [2, 3, 3],
    "glm_image": [2, 3, 3],
    "glm_image_text": [2, 3, 3],
    "glm_ocr": [2, 3, 3],
    "glm_ocr_text": [2, 3, 3],
    "glmga": [2, 3, 3],
    "hunyuan_vl": [2, 2, 2, 2],
    "hunyuan_vl_text": [2, 2, 2, 2],
    "paddleocr_vl": [2, 3, 3],
    "qwen2_5_omni_thinker": [2, 3, 3],
    "qwen2_5_vl": [2, 3, 3],
    "qwen2_5_vl_text": [2, 3, 3],
    "qwen2_vl": [2, 3, 3],
    "qwen2_vl_text": [2, 3, 3],
}

# Name of a setting -> its small value; the first pattern that fits counts.
_SIZES: List[Tuple[str, int]] = [
    (r"vocab|n_vocab|.*_vocab|.*vocab_size|vocab_size_per_layer_input", VOCABULARY),
    (r".*(token_id|token_index|pad_idx|(bos|eos|unk|sep|cls)_(idx|index))", VOCABULARY - 1),
    (r"max_(encoder_|source_|decoder_|target_)?positions?(_embeddings)?|n_positions|n_ctx|max_seq.*len.*", LIMIT),
    (r"original_max_position_embeddings", LIMIT),
    (r"num_key_value_heads|num_kv_heads|n_kv_heads|num_k_heads", 2),
    (r".*(num|n)_.*heads?|.*_heads|n_head|num_head", 4),
    (r"qk_head_dim", 2 * HEAD),
    (r".*head_dim.*|d_kv|d_head|head_size|attention_head_size|qk_.*dim|v_head_dim", HEAD),
    (r"num_feat_extract_layers", 16),
    (r"rotary_dim", 8),
    (r"context_size|base_channels", 32),
    (r".*lora_rank|(q|o|decay|a|gate|aaa|v)_.*rank", 8),
    (r"num_experts_per_tok(en)?|top_k|moe_k|topk|moe_topk|experts_per_token|moe_top_k|top_k_experts", 2),
    (r"(mamba_)?n_groups|group_norm_size", 2),
    (r"n_group|num_expert_group|topk_group|n_shared_experts|num_shared_experts|num_nextn_predict_layers", 1),
    (r".*num.*experts.*|n_routed_experts", 4),
    (r"first_k_dense_replace|num_dense_layers|num_hash_layers", 1),
    (r".*intermediate_size|.*ffn_dim|d_ff|d_inner|n_inner|.*ffn_hidden_size|.*mlp_hidden_size|.*mlp_dim|ff_dim", 96),
    (
        r".*(hidden_size(_global)?|hidden_dim|d_model|n_embd|embed_dim|embedding_size|embed_size|emb_dim|proj_dim|_width)",
        WIDTH,
    ),
    (
        r"dim|width|model_dim|.*bottleneck_size|(.*_)?codebook_dim|condition_dim|adapter_(in|out)(put)?_(dim|size)",
        WIDTH,
    ),
    (r"(num|n)_.*(layers?|blocks)|.*num_hidden_layers|.*_layers|n_layers?|depth|num_layers", 2),
    (r"sliding_window|local_attention|attention_window|window_size|attention_chunk_size|chunk_size", 16),
    (r"image_size", 32),
    (r"patch_size", 16),
]


class NoTextError(Exception):
    """No part of the model takes piece ids: it reads pictures, sound or numbers."""


class FixtureError(Exception):
    """The tokenizer that transformers opens with the model does not know the words."""


def make(kind: str, folder: Path) -> str:
    """Write a small random model.

    :param kind: its ``model_type``.
    :param folder: where to.
    :return: name of the class that ``AutoModel`` makes of it.
    :raises NoTextError: if it does not read text.
    :raises FixtureError: if its tokenizer is another one than was written, and does not know the words.
    :raises ValueError: if it is not small.
    """
    import torch
    import transformers
    from transformers import AutoModel

    config = _small(_KNOWN_AS.get(kind, kind))
    n_parameters = _count_parameters(config)
    if n_parameters > _MOST:
        raise ValueError(f"{n_parameters:,} parameters are not small")
    torch.manual_seed(0)
    model = AutoModel.from_config(config)
    if not _reads_text(model):
        raise NoTextError
    for parameter in model.parameters():
        if parameter.is_floating_point():  # what scales is left near 1, so that all that is beneath it counts
            scale = parameter.ndim == 1 and bool((parameter == 1).all())
            parameter.data.normal_(1.0 if scale else 0.0, 0.1)
    model.float().save_pretrained(folder)
    if kind in _OF_CHARACTERS:
        getattr(transformers, _OF_CHARACTERS[kind])(model_max_length=CHARACTERS).save_pretrained(folder)
    else:
        _write_tokenizer(folder)
    return type(model).__name__


def _count_parameters(config: Any) -> int:
    # Before there is memory for them; 0 where the model can't be made without.
    import torch
    from transformers import AutoModel

    try:
        with torch.device("meta"):
            return sum(p.numel() for p in AutoModel.from_config(config).parameters())
    except Exception:
        return 0


def _reads_text(model: Any) -> bool:
    parts = [model.get_encoder()] if getattr(model.config, "is_encoder_decoder", False) else model.modules()
    return any("input_ids" in inspect.signature(part.forward).parameters for part in parts)


def _write_tokenizer(folder: Path) -> None:
    # Of whole words; where transformers insists on a class of its own for this model, such a one, taught the words.
    from transformers import AutoTokenizer

    written = _tokenizer()
    written.save_pretrained(folder)
    opened = AutoTokenizer.from_pretrained(folder)
    if type(opened) is not type(written):
        lines = [*WORDS, *(f" {word}" for word in WORDS)] * 9
        type(opened)().train_new_from_iterator(lines, VOCABULARY - 8).save_pretrained(folder)
        opened = AutoTokenizer.from_pretrained(folder)
    fault = _fault(opened)
    if fault:
        raise FixtureError(f"{type(opened).__name__} {fault}")


def _fault(tokenizer: Any) -> str:
    # What it does not do for a text of all words: give pieces for each, at their places, all known.
    text = " ".join(WORDS)
    try:
        encoded = tokenizer(text, return_offsets_mapping=True)
    except Exception as error:
        return f"fails on them ({error})"
    pieces = [text[start:end].strip() for start, end in encoded["offset_mapping"]]
    if "".join(pieces) != "".join(WORDS):
        return f"makes {pieces} of them"
    if len(pieces) > 2 * len(WORDS):
        return f"makes {len(pieces)} pieces of {len(WORDS)} words"
    known = len(tokenizer) <= VOCABULARY and tokenizer.unk_token_id not in encoded["input_ids"]
    return "" if known else "does not know them"


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
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    config_class = CONFIG_MAPPING[kind]
    default = config_class().to_dict()
    settings = _merged(_turned_down(default), _FITTING.get(kind, {}))
    if kind in _SECTIONS:
        turning = {"rope_parameters": {**_ROPE, "mrope_section": _SECTIONS[kind]}}
        settings = _merged(settings, {"text_config": turning} if "text_config" in default else turning)
    wanted = _changed(default, settings)
    config = config_class(**wanted)
    classes = MODEL_MAPPING[config_class]
    if isinstance(classes, (tuple, list)):  # AutoModel has a choice
        config.architectures = [classes[0].__name__]
    return config


def _merged(settings: Dict[str, Any], others: Dict[str, Any]) -> Dict[str, Any]:
    merged = dict(settings)
    for key, value in others.items():
        inside = merged.get(key)
        both = isinstance(value, dict) and isinstance(inside, dict)
        merged[key] = _merged(inside, value) if both else value
    return merged


def _changed(default: Dict[str, Any], settings: Dict[str, Any]) -> Dict[str, Any]:
    return {key: value for key, value in settings.items() if value != default.get(key) and key != "model_type"}


def _turned_down(settings: Dict[str, Any]) -> Dict[str, Any]:
    small: Dict[str, Any] = {}
    for key, value in settings.items():
        if key in _BY_LAYER:
            small[key] = _BY_LAYER[key](value) if value else value
        elif isinstance(value, dict) and value and all(isinstance(name, str) for name in value):
            small[key] = _turned_down(value)
        elif isinstance(value, bool) or not isinstance(value, int):
            small[key] = value
        else:
            small[key] = _small_size(key, value)
    n_heads = settings.get("num_attention_heads")
    if isinstance(n_heads, int) and settings.get("num_key_value_heads") == n_heads:  # some must be as many
        small["num_key_value_heads"] = small["num_attention_heads"]
    return small


def _small_size(name: str, size: int) -> int:
    new = next((new for pattern, new in _SIZES if re.fullmatch(pattern, name)), size)
    return size if size <= 0 else new if new == LIMIT else min(new, size)


def _two_kinds(types: List[Any]) -> List[Any]:
    # Two layers, of different kinds where there are.
    other = next((kind for kind in types if kind != types[0]), types[0])
    return [types[0], other]


def _of_the_second(by_number: Dict[Any, Any]) -> Dict[str, Any]:
    return {"1": _turned_down(next(iter(by_number.values())))}


# Settings with a value for each layer -> their value for two layers.
_BY_LAYER: Dict[str, Callable[[Any], Any]] = {
    "layer_types": _two_kinds,
    "mlp_layer_types": _two_kinds,
    "layers_block_type": _two_kinds,
    "per_layer_config": _of_the_second,
    "mrope_section": lambda _: [2, 3, 3],
}
