"""``spacy_ctx_embed.TransformerOutput.v1``: rows from a transformer component that is already in the pipeline.

Enters: Docs on which a ``transformer`` (spacy-transformers) or ``curated_transformer`` (spacy-curated-transformers) has
run. Leaves: one row per token, without a second forward pass, and in training the gradient back to it. The word pieces
and their alignment are those of that component.
"""

from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import Floats2d

from spacy_ctx_embed.data import TokenRows
from spacy_ctx_embed.encoder import Encoder, encoder_of, no_gradient
from spacy_ctx_embed.encoders.scalar_mix import (
    MIX_PARAMS,
    add_mix_gradient,
    check_mix,
    mix_params,
    mixer,
    start_mix,
)
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.mix import backprop_layers, mixed_width
from spacy_ctx_embed.tok2vec.transformer_output.listener import listener_class
from spacy_ctx_embed.tok2vec.transformer_output.pieces import PieceBatch, PooledBatch, pool_batch
from spacy_ctx_embed.tok2vec.transformer_output.settings import NAME, OutputSettings

if TYPE_CHECKING:
    import torch

_FIX_WIDTH = (
    "set width to the columns of one layer, hidden_width or hidden_size of the upstream; with spacy-transformers check "
    "'upstream' and the order of the pipeline"
)
_FIX_LAYERS = "name the layers as a list, such as layers = [-2, -1]"


class TransformerOutput(Model):
    """The encoder around its listener.

    An upstream component registers each listener that it meets on a walk through a later component's model, and waits
    for a gradient from the last one. Where this node is the whole model of a component (``bert_embeddings``), which has
    no loss, no gradient would come and the upstream would silently never learn: so a walk that begins here does not
    show the listener. Inside another model (NER, tagger) the walk begins further out, and does.
    """

    def walk(self, *, order: str = "bfs") -> Iterable[Model]:
        """Iterate over this node alone.

        :param order: "bfs", "dfs_pre" or "dfs_post", as for every model.
        :return: this node.
        """
        return [self]

    def _copy(self, seen: Optional[Dict[int, Any]] = None) -> "TransformerOutput":
        # Thinc makes a plain Model of every node.
        plain = super()._copy(seen)
        params = {name: plain.maybe_get_param(name) for name in plain.param_names}
        copied = TransformerOutput(
            plain.name, forward, init=init, dims=plain._dims, params=params, layers=plain.layers, attrs=plain.attrs
        )
        for name in plain.grad_names:
            copied.set_grad(name, plain.get_grad(name))
        return copied


def make_transformer_output_v1(
    *,
    upstream: str,
    subword_pooling: str = "mean",
    layers: Union[str, List[int]] = "all",
    layer_mix: str = "last",
    grad_factor: float = 1.0,
    width: Optional[int] = None,
) -> Model[List[Doc], List[Floats2d]]:
    """Build an encoder that takes its rows from a transformer component, for a ``tok2vec`` slot or ``bert_embeddings``.

    In a ``tok2vec`` slot it learns with its upstream; as the model of an embedding component it sends no gradient on.

    :param upstream: name of the ``transformer`` or ``curated_transformer`` component, earlier in the pipeline.
    :param subword_pooling: "mean", "first", "last", "max" or "sum" of a token's word pieces; where the windows of the
        upstream overlap, the pieces of all its windows count.
    :param layers: ``"all"`` or layer numbers; 0 is the embedding layer, negative ones count from the end. Others than
        the last need ``transformer_config = {"output_hidden_states": true}`` (spacy-transformers) or
        ``all_layer_outputs = true`` (curated) in the upstream.
    :param layer_mix: "last", "mean", "sum", "concat" or "scalar_mix" of those layers.
    :param grad_factor: scales the gradient that goes back; 0 for none.
    :param width: columns of one layer of the upstream's rows. ``None`` where the upstream tells it, which only a
        ``transformer`` does, and only in a ``tok2vec`` slot.
    :return: the encoder, Docs to ``(n_tokens, nO)`` rows; whitespace and tokens without pieces have zero rows.
    :raises ValueError: if a setting has a value that is not accepted, or neither package is installed.
    """
    settings = OutputSettings(upstream, subword_pooling, layers, layer_mix, grad_factor, width)
    return TransformerOutput(
        NAME,
        forward,
        init=init,
        dims={"nO": None},
        params=dict.fromkeys(MIX_PARAMS),
        layers=[listener_class()(upstream)],
        attrs=Encoder(encode, learns, mixed_layers, settings).attrs,
    )


def forward(model: Model, docs: List[Doc], is_train: bool) -> Tuple[List[Floats2d], Callable]:
    """Rows of a batch of Docs.

    :param model: the encoder.
    :param docs: ``n_docs`` Docs.
    :param is_train: whether the gradient will be asked for.
    :return: one ``(n_tokens, nO)`` float32 array per Doc on the model's device, and the backward pass.
    :raises ValueError: if the upstream gave nothing for a Doc, other layers than asked for, or rows of other Docs.
    """
    settings = _settings(model)
    try:
        batch = model.layers[0](docs, is_train)[0]
        settings.check_gradient(batch)
        pooled = _pool(model, docs, batch, is_train)
    except ValueError:
        cast(Any, model.layers[0]).mailbox.clear()  # a batch that was refused must not be found by a later call
        raise
    arrays = pooled.rows.detach().split([len(doc) for doc in docs])
    rows = [cast(Floats2d, torch2xp(part, ops=model.ops)) for part in arrays]
    if not is_train:
        return rows, no_gradient
    return rows, partial(_backprop, model, batch, pooled)


def init(model: Model, X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None) -> None:
    """Settle the width, and remember the sample Docs: until the upstream runs, their rows are zeros.

    :param model: the encoder.
    :param X: sample Docs.
    :param Y: not used.
    :raises ValueError: if the width can't be told before the upstream has run, or the upstream told another one.
    """
    cast(Any, model.layers[0]).expect_samples(X or [])
    _settle_width(model)


def encode(model: Model, docs: Sequence[Doc]) -> List[TokenRows]:
    """Rows and statuses of a batch of Docs, on the CPU.

    :param model: the encoder.
    :param docs: ``n_docs`` Docs.
    :return: one :class:`TokenRows` per Doc.
    :raises ValueError: if the upstream gave nothing for a Doc, other layers than asked for, or rows of other Docs.
    """
    pooled = _pool(model, docs, model.layers[0].predict(list(docs)), False)
    flat = pooled.rows.cpu().numpy()
    ends = np.cumsum([0, *(len(doc) for doc in docs)])
    return [TokenRows(flat[a:b], pooled.statuses[a:b]) for a, b in zip(ends[:-1], ends[1:])]


def learns(model: Model) -> bool:
    """Tell whether gradients change something where an embedding component runs this encoder.

    :param model: the encoder.
    :return: whether it has a scalar mix.
    """
    return _settings(model).layer_mix == "scalar_mix"


def mixed_layers(model: Model) -> Optional[Tuple[str, List[int]]]:
    """Say what a scalar mix is of.

    :param model: the encoder.
    :return: the upstream, and the numbers of the layers as the config names them; ``None`` where there is no mix, or
        none yet.
    :raises ValueError: if a saved mix is of another number of layers.
    """
    settings = _settings(model)
    params = mix_params(model, settings.layer_mix)
    if params is None:
        return None
    numbers = list(range(len(params[0])) if isinstance(settings.layers, str) else settings.layers)
    check_mix(model, NAME, settings.layers, len(numbers))
    return f"output of {settings.upstream!r}", numbers


def _settings(model: Model) -> OutputSettings:
    return cast(OutputSettings, cast(Encoder, encoder_of(model)).settings)


def _pool(model: Model, docs: Sequence[Doc], batch: PieceBatch, is_train: bool) -> PooledBatch:
    settings = _settings(model)
    n_layers, width = batch.shape
    chosen: List[int] = []
    if width is None:
        _settle_width(model)
    else:
        chosen = settings.choose(n_layers, batch.config_key)
        total = mixed_width(settings.layer_mix, len(chosen), width)
        if not model.has_dim("nO"):
            model.set_dim("nO", total)
        elif model.get_dim("nO") != total:
            raise _misfit(settings, f"{total} columns, and this encoder was made for {model.get_dim('nO')}", width)
        _make_mix(model, len(chosen))
    mix = mixer(model, settings.layer_mix)
    return pool_batch(
        docs, batch, chosen, settings.subword_pooling, mix, model.get_dim("nO"), _on_device(model), is_train
    )


def _settle_width(model: Model) -> None:
    # Before the upstream has run, as far as it is not settled yet.
    if model.has_dim("nO"):
        return
    settings = _settings(model)
    listener = model.layers[0]
    width = listener.get_dim("nO") if listener.has_dim("nO") else settings.width
    if width is None:
        raise _unknown(settings, "width is null, and the upstream did not tell it", _FIX_WIDTH)
    if settings.width not in (None, width):
        raise _misfit(settings, f"{width} columns, and width = {settings.width}", width)
    n_chosen = settings.n_chosen
    if n_chosen is None and settings.layer_mix == "concat":
        raise _unknown(settings, "it depends on how many layers 'all' are", _FIX_LAYERS)
    model.set_dim("nO", mixed_width(settings.layer_mix, n_chosen or 1, width))
    if n_chosen is not None:
        _make_mix(model, n_chosen)


def _unknown(settings: OutputSettings, reason: str, fix: str) -> ValueError:
    return ValueError(Errors.E071.format(owner=NAME, upstream=settings.upstream, reason=reason, fix=fix))


def _misfit(settings: OutputSettings, reason: str, width: int) -> ValueError:
    hint = f"its rows give {reason} (if the upstream is the right one, set width = {width} and train again)"
    return ValueError(Errors.E072.format(owner=NAME, upstream=settings.upstream, reason=hint))


def _make_mix(model: Model, n_chosen: int) -> None:
    settings = _settings(model)
    if settings.layer_mix == "scalar_mix":
        start_mix(model, n_chosen)
        check_mix(model, NAME, settings.layers, n_chosen)


def _on_device(model: Model) -> "torch.device":
    return xp2torch(model.ops.alloc1f(1)).device


def _backprop(model: Model, batch: PieceBatch, pooled: PooledBatch, d_rows: List[Floats2d]) -> List[Doc]:
    import torch

    settings = _settings(model)
    parts = [xp2torch(part, device=pooled.rows.device) for part in d_rows if len(part)]
    gradient = torch.cat(parts) if parts else torch.zeros_like(pooled.rows)
    gradient = gradient[pooled.places]
    if len(gradient):
        add_mix_gradient(model, settings.layer_mix, [gradient], [pooled.layers.detach()])
    if batch.send is not None:
        d_pieces = torch.zeros_like(pooled.source)
        if len(gradient):
            params = mix_params(model, settings.layer_mix) or ()
            d_layers = backprop_layers(gradient, len(pooled.layers), settings.layer_mix, *params)
            d_pieces = pooled.gradient(d_layers) * settings.grad_factor
        of_docs = d_pieces.split(batch.n_rows, dim=1)
        batch.send(pooled.chosen, [torch2xp(part.contiguous(), ops=model.ops) for part in of_docs])
    return []  # Docs have no gradient; thinc.concatenate extends this list
