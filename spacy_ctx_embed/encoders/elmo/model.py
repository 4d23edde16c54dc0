"""ELMo as an encoder: sentences to characters to word vectors to a biLM, and one row per token.

Enters: Docs. Leaves: one row per token that is not whitespace. The weights are an ELMo model in the form in which
AllenNLP and bilm-tf publish them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Union

from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d

from spacy_ctx_embed.encoders.contextual.model import make_contextual
from spacy_ctx_embed.encoders.elmo.settings import ElmoSettings
from spacy_ctx_embed.encoders.elmo.warm_start import PARAMS
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.errors import Errors

if TYPE_CHECKING:
    from spacy_ctx_embed.encoders.elmo.network import ElmoNetwork

OWNER = ElmoSettings.owner


def make_elmo_v1(
    *,
    name: str,
    layers: Union[str, List[int]] = "all",
    layer_mix: str = "scalar_mix",
    trainable: bool = False,
    precision: str = "float32",
    max_batch_tokens: int = 4096,
    layer_norm: bool = False,
    dropout: float = 0.0,
    window: int = 256,
    stateful: bool = False,
    initial_state: str = "zeros",
    char_cache_mb: int = 64,
    learn_rate_factor: float = 1.0,
    layer_decay: float = 1.0,
    unfreeze_steps: int = 0,
) -> Model[List[Doc], List[Floats2d]]:
    """Build the encoder ``spacy_ctx_embed.Elmo.v1``. Opens no file.

    :param name: the model: a path, ``package:…``, ``hub:…`` or an alias.
    :param layers: ``"all"`` or layer numbers, negative ones counted from the end; 0 is the token layer.
    :param layer_mix: ``"last"``, ``"mean"``, ``"sum"``, ``"concat"`` or ``"scalar_mix"``.
    :param trainable: whether training changes the biLM and the token encoder too; wants ``precision = "float32"``.
    :param precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``, of weights and computation, or ``"int8"``: on the
        CPU, products of the biLM in 8-bit integers, and the weights saved as rounded; rows are float32.
    :param max_batch_tokens: padded tokens per forward pass, boundary symbols included; no row depends on it.
    :param layer_norm: whether each layer of each segment is shifted and scaled to mean 0 and variance 1 before the mix.
    :param dropout: share of a row's values that training sets to 0, as AllenNLP's ``Elmo`` does last.
    :param window: longest segment in tokens; longer sentences are cut into consecutive windows.
    :param stateful: whether segment i of a call starts from the state in which segment i of the call before ended,
        as in AllenNLP and bilm-tf; the rows then depend on what was processed before.
    :param initial_state: the state from which a segment otherwise starts: ``"zeros"``, or ``"warm"``, a fixed one
        computed once from sample text (see :mod:`~spacy_ctx_embed.encoders.elmo.warm_start`) and saved with the
        pipeline.
    :param char_cache_mb: memory for the token vectors of words seen before, in MiB; 0 for none.
    :param learn_rate_factor: with ``trainable``, times the optimizer's learning rate.
    :param layer_decay: with ``trainable``, a layer's learning rate is that of the layer above times this.
    :param unfreeze_steps: with ``trainable``, the top layer learns first and after each so many steps one more, the
        token encoder last; 0 for all at once.
    :return: the encoder.
    :raises ValueError: if a setting has a value that is not accepted.
    """
    return make_contextual(ElmoSettings(**locals()), open_elmo, PARAMS)


def open_elmo(settings: ElmoSettings, directory: Optional[Path], ops: Ops) -> "ElmoNetwork":
    """Open the network of an ELMo encoder.

    :param settings: the encoder's config values.
    :param directory: a folder that :meth:`ElmoNetwork.save` wrote; if not given, ``settings.name`` is looked up.
    :param ops: where the weights go.
    :return: the network, ready to run.
    :raises ModelNotFoundError: if the name leads to no files.
    :raises ModelFormatError: if the files are not a model that can be read.
    """
    import torch

    from spacy_ctx_embed.encoders.elmo.network import ElmoNetwork
    from spacy_ctx_embed.models.elmo.formats import read_elmo
    from spacy_ctx_embed.models.places import find_model
    from spacy_ctx_embed.networks.device import torch_device
    from spacy_ctx_embed.networks.elmo.module import ElmoModule
    from spacy_ctx_embed.networks.packed.matrix import can_pack, can_pack_int8

    path = directory if directory is not None else find_model("elmo", settings.name, owner=OWNER).path
    files = read_elmo(path)
    with torch.device("meta"):  # the weights are put in place below: making others first would be for nothing
        module = ElmoModule(files.config)
    module.load_state_dict(files.weights, assign=True)
    files.weights.clear()  # or packing could not let go of them
    device, precision = torch_device(ops), settings.precision
    if precision == "int8" and not (device.type == "cpu" and can_pack_int8()):
        accepted = "'float32', 'bfloat16' or 'float16' on this device, with this build of torch"
        raise ValueError(Errors.E001.format(owner=OWNER, key="precision", value=precision, accepted=accepted))
    module.to(device=device, dtype=getattr(torch, "float32" if precision == "int8" else precision))
    module.requires_grad_(bool(settings.trainable)).eval()
    if module.alignment is not None:
        module.alignment.requires_grad_(False)  # learnt elsewhere, for these weights
    if device.type == "cpu" and not settings.trainable and precision in ("float32", "int8") and can_pack():
        module.pack(precision)
    return ElmoNetwork(module, files, path, settings)


def reset_states(model: Model[Any, Any]) -> None:
    """Forget what a stateful ELMo carried over: the next call starts from zeros.

    :param model: an encoder, or a model that contains one somewhere.
    """
    for shim in encoder_shims(model):
        if shim.loaded:
            network = shim.network()
            if isinstance(network, ContextualNetwork):
                network.forget_state()
