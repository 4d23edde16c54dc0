"""BERT and every other Hugging Face encoder: one row per token in the context of its Doc.

The whole text of a Doc is cut into word pieces by the model's own tokenizer, the pieces into windows that the
model can read; each token gets the pieces that share a character with it (Devlin et al. 2018, arXiv:1810.04805,
section 5.3, uses the first piece; ``subword_pooling`` has the choice).
"""

from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d

from spacy_ctx_embed.encoders.bert.adapter import find_adapter, load_adapter
from spacy_ctx_embed.encoders.bert.frame import find_frame
from spacy_ctx_embed.encoders.bert.frozen import check_int8, freeze
from spacy_ctx_embed.encoders.bert.network import OWNER, BertNetwork
from spacy_ctx_embed.encoders.bert.settings import BertSettings
from spacy_ctx_embed.encoders.bert.source import read_source
from spacy_ctx_embed.encoders.bert.text_part import find_encoder
from spacy_ctx_embed.encoders.contextual.model import make_contextual


def make_bert_v1(
    *,
    name: str,
    revision: Optional[str] = None,
    layers: Union[str, List[int]] = "all",
    layer_mix: str = "last",
    subword_pooling: str = "mean",
    trainable: bool = False,
    precision: str = "float32",
    max_batch_tokens: int = 2048,
    window: Optional[int] = None,
    overlap: Optional[int] = None,
    sentence_windows: bool = False,
    tokenizer_config: Optional[Dict[str, Any]] = None,
    transformer_config: Optional[Dict[str, Any]] = None,
    prompt_name: Optional[str] = None,
    adapter: Optional[str] = None,
    learn_rate_factor: float = 1.0,
    layer_decay: float = 1.0,
    unfreeze_steps: int = 0,
) -> Model[List[Doc], List[Floats2d]]:
    """Build an encoder over a Hugging Face model. Opens no file.

    :param name: model name: a path, an alias, ``package:…``, ``hub:org/repo`` or a bare hub id.
    :param revision: branch, tag or commit of a hub repository.
    :param layers: ``"all"`` or layer numbers; 0 is the embedding layer, negative ones count from the end.
    :param layer_mix: "last", "mean", "sum", "concat" or "scalar_mix" of those layers.
    :param subword_pooling: "mean", "first", "last", "max" or "sum" of a token's word pieces.
    :param trainable: whether gradients reach the model; else no graph is built.
    :param precision: "float32", "bfloat16" or "float16" weights and activations, or "int8": on the CPU, products and
        large tables in 8-bit integers, and weights saved so; rows are float32. With ``trainable``, "float32", or
        "bfloat16" activations with float32 weights.
    :param max_batch_tokens: word pieces per forward pass, padding included where the model needs it; results do not
        depend on it.
    :param window: word pieces per window, special pieces included; null for the model's own limit.
    :param overlap: word pieces of context on each side where a Doc needs several windows; null for an eighth of the
        window.
    :param sentence_windows: whether windows begin and end with the sentences of a Doc that has them, so that no
        sentence that a window can hold is cut.
    :param tokenizer_config: arguments for ``AutoTokenizer.from_pretrained``; ``split_special_tokens``, true here where
        it is not set, makes text of a spelled "[SEP]".
    :param transformer_config: arguments for ``AutoModel.from_pretrained``.
    :param prompt_name: with ``doc_pooling = "model"``, which of the prompts in the model's
        ``config_sentence_transformers.json`` is put before a text, such as "query"; null for its default.
    :param adapter: a peft adapter of the model, named as a model is (no alias), or null; merged into the weights, or
        with ``trainable`` what alone learns.
    :param learn_rate_factor: with ``trainable``, times the optimizer's learning rate: what is learnt from scratch wants
        20 to 100 times the rate of what is fine-tuned.
    :param layer_decay: with ``trainable``, a block's learning rate is that of the block above times this.
    :param unfreeze_steps: with ``trainable``, the top block learns first and after each so many steps one more, the
        embeddings last; 0 for all at once.
    :return: the encoder, Docs to ``(n_tokens, width)`` rows.
    :raises ValueError: if a setting has a value that is not accepted.
    """
    return make_contextual(BertSettings(**locals()), open_bert)


def open_bert(settings: BertSettings, directory: Optional[Path], ops: Ops) -> BertNetwork:
    """Open the network.

    :param settings: the config values.
    :param directory: folder written by the network's ``save``; ``None`` to find ``settings.name``.
    :param ops: the ops whose device the network goes to.
    :return: the network.
    :raises ModelNotFoundError: if the name leads nowhere.
    :raises ModelFormatError: if a file is missing or broken.
    :raises EncoderError: if the model is no text encoder, or gives no rows as they are asked for, or the adapter is of
        another model.
    """
    import torch

    from spacy_ctx_embed.models.checksum import stamp
    from spacy_ctx_embed.models.places import find_model
    from spacy_ctx_embed.models.transformer.code import trusts_code
    from spacy_ctx_embed.models.transformer.files import read_transformer
    from spacy_ctx_embed.models.transformer.pieces import pieces_of
    from spacy_ctx_embed.networks.device import torch_device
    from spacy_ctx_embed.networks.transformer.text_part import longest_input

    tokenizer_config, transformer_config = settings.tokenizer_config or {}, settings.transformer_config or {}
    files = None
    adapter, learnt = find_adapter(settings, directory), None
    named, source = directory is None, None if directory is None else read_source(directory)
    if directory is None:
        trusted = trusts_code(tokenizer_config, transformer_config)
        revision = settings.revision
        directory = find_model("bert", settings.name, owner=OWNER, revision=revision, own_code=trusted).path
        files = (stamp(directory), *settings.made_by)
    model, tokenizer = read_transformer(directory, tokenizer_config, transformer_config)
    frame = find_frame(pieces_of(tokenizer))
    device, precision = torch_device(ops), settings.precision
    if precision == "int8":
        check_int8(device.type)
    if adapter is not None:
        model, learnt = load_adapter(settings, adapter, model)
    if settings.trainable or precision in ("float32", "int8"):
        model.float()
    module, verdict = find_encoder(OWNER, settings.name, model, tokenizer, frame, files)
    module.eval()
    if learnt is None:
        module.requires_grad_(bool(settings.trainable))
    if settings.trainable:
        module.to(device=device, dtype=torch.float32)
        module.activations = None if precision == "float32" else getattr(torch, precision)
    else:
        freeze(module, precision, device, frame.around(np.zeros(1, dtype=np.int64)))
    limit = longest_input(model, module.model, getattr(tokenizer, "model_max_length", None))
    network = BertNetwork(module, model, tokenizer, settings, directory, frame, verdict, limit)
    network.learnt, network.source_checksum = learnt, source
    network.adapter = adapter if named else None
    return network
