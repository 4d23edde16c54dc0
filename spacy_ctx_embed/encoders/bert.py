"""BERT and every other Hugging Face encoder: one row per token in the context of its Doc.

The whole text of a Doc is cut into word pieces by the model's own fast tokenizer, the pieces into windows that the
model can read; each token gets the pieces that share a character with it (Devlin et al. 2018, arXiv:1810.04805,
section 5.3, uses the first piece; ``subword_pooling`` has the choice).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d

from spacy_ctx_embed.data import Ints1d, LayerStack, PieceMap, Segment
from spacy_ctx_embed.encoders.contextual import make_contextual
from spacy_ctx_embed.encoders.settings import check_one_of, check_positive
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.align import align_pieces, keep_tokens
from spacy_ctx_embed.rows.pool import SUBWORD_POOLINGS, pool_pieces
from spacy_ctx_embed.rows.stitch import choose_windows
from spacy_ctx_embed.segments.layout import character_ranges
from spacy_ctx_embed.segments.spaces import whitespace
from spacy_ctx_embed.segments.windows import cut_windows

if TYPE_CHECKING:
    import torch

    from spacy_ctx_embed.networks.transformer import TransformerLayers

NAME = "spacy_ctx_embed.Bert.v1"
PRECISIONS = ("float32", "bfloat16", "float16")


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
    tokenizer_config: Optional[Dict[str, Any]] = None,
    transformer_config: Optional[Dict[str, Any]] = None,
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
    :param precision: "float32", "bfloat16" or "float16" weights and activations; rows are float32. With ``trainable``,
        "float32", or "bfloat16" activations with float32 weights.
    :param max_batch_tokens: padded word pieces per forward pass; results do not depend on it.
    :param window: word pieces per window, special pieces included; null for the model's own limit.
    :param overlap: word pieces of context on each side where a Doc needs several windows; null for an eighth of the
        window.
    :param tokenizer_config: arguments for ``AutoTokenizer.from_pretrained``.
    :param transformer_config: arguments for ``AutoModel.from_pretrained``.
    :param learn_rate_factor: with ``trainable``, times the optimizer's learning rate: what is learnt from scratch wants
        20 to 100 times the rate of what is fine-tuned.
    :param layer_decay: with ``trainable``, a block's learning rate is that of the block above times this.
    :param unfreeze_steps: with ``trainable``, the top block learns first and after each so many steps one more, the
        embeddings last; 0 for all at once.
    :return: the encoder, Docs to ``(n_tokens, width)`` rows.
    :raises ValueError: if a setting has a value that is not accepted.
    """
    settings = dict(locals())
    check_one_of(NAME, "subword_pooling", subword_pooling, SUBWORD_POOLINGS)
    check_positive(NAME, "window", window, minimum=3, optional=True)
    check_positive(NAME, "overlap", overlap, minimum=0, optional=True)
    return make_contextual(NAME, settings, open_bert, PRECISIONS, trainable_precisions=("float32", "bfloat16"))


@dataclass(frozen=True)
class _Frame:
    # The special pieces that a tokenizer puts around a text, and the token type ids of the three parts.
    prefix: Ints1d
    suffix: Ints1d
    prefix_types: Ints1d
    suffix_types: Ints1d
    text_type: int

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


@dataclass(frozen=True)
class _Windows:
    # Inputs of a Segment: its windows, and for each pair of piece and token where the piece stands in them.
    pieces: List[Ints1d]  # piece ids of each window, special pieces not included
    window: Ints1d  # (n_pairs,)
    position: Ints1d  # (n_pairs,) special pieces included
    token: Ints1d  # (n_pairs,) index into Segment.tokens


class BertNetwork:
    """A loaded transformer with its tokenizer: cuts Docs into windows, runs them, pools pieces to tokens."""

    kind = "bert"
    in_order = False
    by_sentences = False
    pickled_as_files = True  # transformers 5 puts hooks on a model that has been run, which can't be pickled
    mix = None

    def __init__(
        self, module: "TransformerLayers", whole: Any, tokenizer: Any, settings: Dict[str, Any], source: Path
    ) -> None:
        from spacy_ctx_embed.networks.transformer import longest_input

        self.module = module
        self._whole = whole  # what is saved: of an encoder-decoder model both halves
        self.tokenizer = tokenizer
        self.pooling: str = settings["subword_pooling"]
        self.width = int(module.model.config.hidden_size)
        self.n_layers = module.n_layers
        self._source = source
        self._pieces = tokenizer.backend_tokenizer
        self._pieces.no_truncation()
        self._pieces.no_padding()
        self._frame = _frame_of(self._pieces)
        limit = longest_input(module.model, getattr(tokenizer, "model_max_length", None))
        window = settings["window"] or limit
        if not len(self._frame) < window <= limit:
            accepted = f"{len(self._frame) + 1} to {limit} word pieces, or null, for this model"
            raise ValueError(Errors.E001.format(owner=NAME, key="window", value=window, accepted=accepted))
        self._window = window - len(self._frame)
        self._overlap = window // 8 if settings["overlap"] is None else settings["overlap"]
        if self._window <= 2 * self._overlap:
            most = (self._window - 1) // 2
            accepted = f"0 to {most} word pieces for a window of {window}"
            raise ValueError(Errors.E001.format(owner=NAME, key="overlap", value=self._overlap, accepted=accepted))

    @property
    def checksum(self) -> str:
        """SHA-256 of the model's files."""
        from spacy_ctx_embed.models.checksum import checksum

        return checksum(self._source)

    @property
    def device(self) -> "torch.device":
        """Where the network runs."""
        return next(self.module.model.parameters()).device

    def identity(self) -> List[Any]:
        """Give what the layers depend on besides the settings.

        :return: buffers of tokenizer, architecture and weights.
        """
        from spacy_ctx_embed.encoders.content_key import tensor_bytes

        config = self.module.model.config.to_diff_dict()
        config.pop("_name_or_path", None)
        texts = (self._pieces.to_str(), json.dumps(config, sort_keys=True, default=str))
        return [*(text.encode("utf8") for text in texts), *tensor_bytes(self.module.model.state_dict())]

    def save(self, directory: Path) -> None:
        """Write model and tokenizer in the layout of the Hugging Face Hub.

        :param directory: an existing folder.
        """
        from spacy_ctx_embed.models.transformer_files import write_transformer

        write_transformer(directory, self._whole, self.tokenizer)

    def depth(self, parameter: str) -> int:
        """Tell where a parameter is.

        :param parameter: its name in ``module``.
        :return: blocks above it; the number of blocks for the embeddings, 0 for what stands above all blocks.
        """
        n_blocks = self.n_layers - 1
        numbers = [int(part) for part in parameter.split(".") if part.isdigit()]
        if numbers:
            return max(n_blocks - 1 - numbers[0], 0)
        return n_blocks if "embedding" in parameter else 0

    def segment(self, docs: Sequence[Doc]) -> List[Segment]:
        """Cut Docs into windows of word pieces.

        :param docs: ``n_docs`` Docs.
        :return: segments; usually one window each.
        """
        return [segment for i, doc in enumerate(docs) for segment in self._segments_of(i, doc)]

    def run(self, segments: Sequence[Segment], layers: Sequence[int]) -> LayerStack:
        """Run windows and pool their pieces.

        :param segments: what :meth:`segment` made.
        :param layers: layer numbers wanted.
        :return: ``(len(layers), n_tokens, width)``, the tokens of the segments one after another.
        """
        import torch

        frame = self._frame
        windows = [np.concatenate([frame.prefix, p, frame.suffix]) for s in segments for p in s.inputs.pieces]
        types = [
            np.concatenate([frame.prefix_types, np.full(len(p), frame.text_type), frame.suffix_types])
            for s in segments
            for p in s.inputs.pieces
        ]
        hidden = self.module(windows, types, layers)  # (n_layers, n_windows, longest, width)
        n_layers, n_windows, longest, width = hidden.shape
        flat, token, n_tokens, first_window = [], [], 0, 0
        for segment in segments:
            inputs = segment.inputs
            flat.append((inputs.window + first_window) * longest + inputs.position)
            token.append(inputs.token + n_tokens)
            n_tokens += len(segment.tokens)
            first_window += len(inputs.pieces)
        index = torch.from_numpy(np.concatenate(flat)).to(hidden.device)
        pieces = hidden.reshape(n_layers, n_windows * longest, width).index_select(1, index)
        groups = torch.from_numpy(np.concatenate(token)).to(hidden.device)
        return LayerStack(pool_pieces(pieces, groups, n_tokens, self.pooling))

    def _segments_of(self, i: int, doc: Doc) -> List[Segment]:
        if len(doc) == 0:
            return []
        encoding = self._pieces.encode(doc.text, add_special_tokens=False)
        ids = np.array(encoding.ids, dtype=np.int64)
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        pairs = align_pieces(offsets[:, 0], offsets[:, 1], *character_ranges(doc))
        pairs = keep_tokens(pairs, ~whitespace(doc))
        if len(pairs.pieces) == 0:
            return []
        windows = cut_windows(len(ids), self._window, self._overlap)
        chosen = choose_windows(pairs, windows)
        return [self._segment(i, ids, pairs, windows, chosen, members) for members in _groups(pairs, chosen)]

    def _segment(
        self,
        i: int,
        ids: Ints1d,
        pairs: PieceMap,
        windows: List[Tuple[int, int]],
        chosen: Ints1d,
        members: Tuple[int, int],
    ) -> Segment:
        first, last = members  # half-open range of window numbers
        mine = np.flatnonzero((chosen >= first) & (chosen < last)) if len(windows) > 1 else slice(None)
        tokens, token = np.unique(pairs.tokens[mine], return_inverse=True)
        window = chosen[mine] - first
        starts = np.array([start for start, _ in windows[first:last]])
        inputs = _Windows(
            pieces=[ids[start:end] for start, end in windows[first:last]],
            window=window,
            position=pairs.pieces[mine] - starts[window] + len(self._frame.prefix),
            token=token,
        )
        length = sum(len(p) + len(self._frame) for p in inputs.pieces)
        return Segment(i, tokens, length, inputs)


def open_bert(settings: Dict[str, Any], directory: Optional[Path], ops: Ops) -> "BertNetwork":
    """Open the network.

    :param settings: the config values.
    :param directory: folder written by :meth:`BertNetwork.save`; ``None`` to find ``settings["name"]``.
    :param ops: the ops whose device the network goes to.
    :return: the network.
    """
    import torch

    from spacy_ctx_embed.models.places import find_model
    from spacy_ctx_embed.models.transformer_files import read_transformer
    from spacy_ctx_embed.networks.device import torch_device
    from spacy_ctx_embed.networks.packed_linear import pack_linears
    from spacy_ctx_embed.networks.transformer import TransformerLayers, encoder_of

    if directory is None:
        directory = find_model("bert", settings["name"], owner=NAME, revision=settings["revision"]).path
    model, tokenizer = read_transformer(
        directory, settings["tokenizer_config"] or {}, settings["transformer_config"] or {}
    )
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    module = TransformerLayers(encoder_of(model), pad_id, "token_type_ids" in tokenizer.model_input_names)
    precision = getattr(torch, settings["precision"])
    module.to(device=torch_device(ops), dtype=torch.float32 if settings["trainable"] else precision)
    if settings["trainable"] and precision != torch.float32:
        module.activations = precision
    module.requires_grad_(bool(settings["trainable"]))
    if not settings["trainable"] and settings["precision"] == "float32":
        pack_linears(module)
    return BertNetwork(module.eval(), model, tokenizer, settings, directory)


def _frame_of(pieces: Any) -> _Frame:
    # What the tokenizer adds around a text is seen on a sample: special pieces before and behind the others.
    sample = pieces.encode("a", add_special_tokens=True)
    ids, types = np.array(sample.ids, dtype=np.int64), np.array(sample.type_ids, dtype=np.int64)
    text = np.flatnonzero(np.array(sample.special_tokens_mask) == 0)
    first, last = (int(text[0]), int(text[-1]) + 1) if text.size else (len(ids), len(ids))
    text_type = int(types[first]) if text.size else 0
    return _Frame(ids[:first], ids[last:], types[:first], types[last:], text_type)


def _groups(pairs: PieceMap, chosen: Ints1d) -> List[Tuple[int, int]]:
    # Ranges of windows that must be run together: one window, or more where one token has pieces in several.
    used = np.unique(chosen)
    splits = np.flatnonzero((pairs.tokens[1:] == pairs.tokens[:-1]) & (chosen[1:] != chosen[:-1]))
    ranges = [(int(w), int(w) + 1) for w in used]
    for pair in splits:
        low, high = sorted((int(chosen[pair]), int(chosen[pair + 1])))
        touched = [r for r in ranges if r[0] <= high and r[1] > low]
        ranges = [r for r in ranges if r not in touched]
        ranges.append((min(low, *(r[0] for r in touched)), max(high + 1, *(r[1] for r in touched))))
    return sorted(ranges)
