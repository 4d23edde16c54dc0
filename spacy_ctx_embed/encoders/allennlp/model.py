"""AllenNLP's own ELMo module as an encoder, where AllenNLP is installed: what ``Elmo.v1`` is compared with.

Enters: Docs. Leaves: one row per token that is not whitespace. Segments, layers and mix are those of ``Elmo.v1``; the
numbers are AllenNLP's, at AllenNLP's speed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, List, NoReturn, Optional, Tuple, Union

from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d

from spacy_ctx_embed.encoders.contextual.model import make_contextual
from spacy_ctx_embed.encoders.elmo.settings import BilmSettings
from spacy_ctx_embed.errors import unreadable

if TYPE_CHECKING:
    from spacy_ctx_embed.encoders.allennlp.network import AllenNLPElmoNetwork

_OPTIONS = (["options.json"], ["*options*.json"])
_WEIGHTS = (["weights.hdf5"], ["model.hdf5"], ["*weights*.hdf5"], ["*.hdf5"])
_MAX_CHARS = 50  # AllenNLP's indexer knows no other


@dataclass(frozen=True, kw_only=True)
class AllenNLPSettings(BilmSettings):
    """Settings of ``AllenNLPElmo.v1``: those of every biLM, in one precision."""

    owner: ClassVar[str] = "spacy_ctx_embed.AllenNLPElmo.v1"


OWNER = AllenNLPSettings.owner


def make_allennlp_elmo_v1(
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
) -> Model[List[Doc], List[Floats2d]]:
    """Build the encoder ``spacy_ctx_embed.AllenNLPElmo.v1``. Opens no file, and does not import AllenNLP.

    :param name: the model, as for ``Elmo.v1``; it must lead to ``options.json`` and HDF5 weights.
    :param layers: ``"all"`` or layer numbers, negative ones counted from the end; 0 is the token layer.
    :param layer_mix: ``"last"``, ``"mean"``, ``"sum"``, ``"concat"`` or ``"scalar_mix"``.
    :param trainable: whether training changes the biLM and the token encoder too.
    :param precision: ``"float32"``; AllenNLP's module is run in no other.
    :param max_batch_tokens: padded tokens per forward pass, boundary symbols included; no row depends on it.
    :param layer_norm: whether each layer of each segment is shifted and scaled to mean 0 and variance 1 before the mix.
    :param dropout: share of a row's values that training sets to 0, as AllenNLP's ``Elmo`` does last.
    :param window: longest segment in tokens; longer sentences are cut into consecutive windows.
    :param stateful: whether the state is carried from one call to the next, as AllenNLP does; otherwise it is reset
        before each batch.
    :return: the encoder.
    :raises ValueError: if a setting has a value that is not accepted.
    """
    return make_contextual(AllenNLPSettings(**locals()), open_allennlp_elmo)


def open_allennlp_elmo(settings: AllenNLPSettings, directory: Optional[Path], ops: Ops) -> "AllenNLPElmoNetwork":
    """Open the network of an encoder.

    :param settings: the encoder's config values.
    :param directory: a folder that :meth:`AllenNLPElmoNetwork.save` wrote; if not given, ``settings.name`` is
        looked up.
    :param ops: where the weights go.
    :return: the network, ready to run.
    :raises ModelNotFoundError: if the name leads to no files.
    :raises ModelFormatError: if the files are not a model that AllenNLP can read.
    :raises ImportError: if AllenNLP can't be imported.
    """
    from spacy_ctx_embed.encoders.allennlp.module import AllenNLPModule, import_allennlp
    from spacy_ctx_embed.encoders.allennlp.network import AllenNLPElmoNetwork
    from spacy_ctx_embed.models.elmo.source.options import parse_options
    from spacy_ctx_embed.models.places import find_model
    from spacy_ctx_embed.networks.device import torch_device

    import_allennlp(OWNER)  # before anything is downloaded
    path = directory if directory is not None else find_model("elmo", settings.name, owner=OWNER).path
    options, weights = _files(path)
    sizes = parse_options(options.read_bytes(), options)
    if sizes.char_cnn is None or sizes.char_cnn.max_chars != _MAX_CHARS:
        _refuse(options, f"its model does not read each word as {_MAX_CHARS} characters")
    try:
        module = AllenNLPModule(OWNER, options, weights, trainable=settings.trainable)
    except Exception as error:  # AllenNLP checks little: a missing key, dataset or feature is whatever it runs into
        _refuse(weights, f"AllenNLP can't load it with {options.name} ({type(error).__name__}: {error})", error)
    module.to(torch_device(ops)).eval()
    return AllenNLPElmoNetwork(module, path, options, weights, sizes, settings)


def _files(path: Path) -> Tuple[Path, Path]:
    # Options and weights. Where the weights themselves are named, the options are those of the same name beside them.
    from spacy_ctx_embed.models.elmo.source.container import Folder, find

    if path.is_file() and path.suffix != ".hdf5":
        _refuse(path, "it is neither a folder nor an HDF5 file")
    folder = path if path.is_dir() else path.parent
    container = Folder(folder)
    weights = find(container, _WEIGHTS, optional=True) if path.is_dir() else path.name
    if weights is None:
        _refuse(path, "no HDF5 file is in it")
    named = weights.replace("weights.hdf5", "options.json")
    options = named if named != weights and named in container.names else find(container, _OPTIONS, optional=True)
    if options is None:
        _refuse(folder, "no options.json is in it")
    return folder / options, folder / weights


def _refuse(file: Path, reason: str, cause: Optional[BaseException] = None) -> NoReturn:
    accepted = "a folder of options.json and HDF5 weights, as AllenNLP published them"
    fix = "use spacy_ctx_embed.Elmo.v1, which reads more kinds of models, or name such a folder"
    raise unreadable(file, reason, accepted=accepted, fix=fix) from cause
