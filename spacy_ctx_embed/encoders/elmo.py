"""ELMo as an encoder: sentences to characters to word vectors to a biLM, and one row per token.

Enters: Docs. Leaves: one row per token that is not whitespace. The weights are an ELMo model in the form in which
AllenNLP and bilm-tf publish them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Union, cast

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import SENT_START
from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d

from spacy_ctx_embed.data import Ints1d, LayerStack, Segment
from spacy_ctx_embed.encoders.contextual import make_contextual
from spacy_ctx_embed.encoders.settings import check_one_of, check_positive
from spacy_ctx_embed.encoders.shim import EncoderShim
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.segments.sentences import sentence_segments
from spacy_ctx_embed.segments.spaces import whitespace

if TYPE_CHECKING:
    import torch

    from spacy_ctx_embed.models.elmo_files import ElmoFiles
    from spacy_ctx_embed.networks.bilm import Bilm, BilmState
    from spacy_ctx_embed.networks.char_cnn import CharCnn

Ints2d = NDArray[np.int64]

OWNER = "spacy_ctx_embed.Elmo.v1"
PRECISIONS = ("float32", "bfloat16", "float16")


def make_elmo_v1(
    *,
    name: str,
    layers: Union[str, List[int]] = "all",
    layer_mix: str = "scalar_mix",
    trainable: bool = False,
    precision: str = "float32",
    max_batch_tokens: int = 8192,
    window: int = 256,
    stateful: bool = False,
    initial_state: str = "zeros",
    char_cache_mb: int = 64,
) -> Model[List[Doc], List[Floats2d]]:
    """Build the encoder ``spacy_ctx_embed.Elmo.v1``. Opens no file.

    :param name: the model: a path, ``package:…``, ``hub:…`` or an alias.
    :param layers: ``"all"`` or layer numbers, negative ones counted from the end; 0 is the token layer.
    :param layer_mix: ``"last"``, ``"mean"``, ``"sum"``, ``"concat"`` or ``"scalar_mix"``.
    :param trainable: whether training changes the biLM and the token encoder too.
    :param precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``, of weights and computation; rows are float32.
    :param max_batch_tokens: padded tokens per forward pass, boundary symbols included; no row depends on it.
    :param window: longest segment in tokens; longer sentences are cut into consecutive windows.
    :param stateful: whether segment i of a call starts from the state in which segment i of the call before ended,
        as in AllenNLP and bilm-tf; the rows then depend on what was processed before.
    :param initial_state: ``"zeros"``, the state from which a segment otherwise starts.
    :param char_cache_mb: memory for the token vectors of words seen before, in MiB; 0 for none.
    :return: the encoder.
    :raises ValueError: if a setting has a value that is not accepted.
    """
    check_positive(OWNER, "window", window)
    check_positive(OWNER, "char_cache_mb", char_cache_mb, minimum=0)
    check_one_of(OWNER, "stateful", stateful, (False, True))
    if initial_state == "warm":
        raise ValueError(Errors.E002.format(owner=OWNER, key="initial_state", value=initial_state, accepted="'zeros'"))
    check_one_of(OWNER, "initial_state", initial_state, ("zeros",))
    settings = {
        "name": name,
        "layers": layers,
        "layer_mix": layer_mix,
        "trainable": trainable,
        "precision": precision,
        "max_batch_tokens": max_batch_tokens,
        "window": window,
        "stateful": stateful,
        "initial_state": initial_state,
        "char_cache_mb": char_cache_mb,
    }
    return make_contextual(OWNER, settings, open_elmo, precisions=PRECISIONS)


def open_elmo(settings: Dict[str, Any], directory: Optional[Path], ops: Ops) -> "ElmoNetwork":
    """Open the network of an ELMo encoder.

    :param settings: the encoder's config values.
    :param directory: a folder that :meth:`ElmoNetwork.save` wrote; if not given, ``settings["name"]`` is looked up.
    :param ops: where the weights go.
    :return: the network, ready to run.
    :raises ModelNotFoundError: if the name leads to no files.
    :raises ModelFormatError: if the files are not a model that can be read.
    """
    import torch

    from spacy_ctx_embed.models.elmo_files import read_elmo
    from spacy_ctx_embed.models.places import find_model
    from spacy_ctx_embed.networks.bilm import Bilm
    from spacy_ctx_embed.networks.char_cnn import CharCnn
    from spacy_ctx_embed.networks.device import torch_device

    path = directory if directory is not None else find_model("elmo", settings["name"], owner=OWNER).path
    files = read_elmo(path)
    with torch.device("meta"):  # the weights are put in place below: making others first would be for nothing
        module = torch.nn.ModuleDict({"char_cnn": CharCnn(files.char_cnn), "bilm": Bilm(files.bilm)})
    module.load_state_dict(files.weights, assign=True)
    module.to(device=torch_device(ops), dtype=getattr(torch, settings["precision"]))
    module.requires_grad_(bool(settings["trainable"])).eval()
    return ElmoNetwork(module, files, path, settings)


def reset_states(model: Model[Any, Any]) -> None:
    """Forget what a stateful ELMo carried over: the next call starts from zeros.

    :param model: an encoder, or a model that contains one somewhere.
    """
    for node in model.walk():
        for shim in node.shims:
            if isinstance(shim, EncoderShim) and shim.loaded and isinstance(shim.network(), ElmoNetwork):
                shim.network().state = None


class ElmoNetwork:
    """A loaded ELMo model: the :class:`~spacy_ctx_embed.encoders.contextual.ContextualNetwork` of this family.

    :param module: a ``ModuleDict`` of ``char_cnn`` and ``bilm``.
    :param files: what was read; of it only the configurations and the checksum are kept.
    :param path: where it was read from.
    :param settings: the encoder's config values.
    """

    kind = "elmo"

    def __init__(self, module: "torch.nn.ModuleDict", files: "ElmoFiles", path: Path, settings: Dict[str, Any]) -> None:
        from spacy_ctx_embed.networks.word_cache import WordCache

        self.module = module
        self.char_config = files.char_cnn
        self.bilm_config = files.bilm
        self.path = path
        self.width = 2 * files.bilm.projection_dim
        self.n_layers = files.bilm.n_layers + 1
        self.in_order: bool = settings["stateful"]
        self.state: Optional["BilmState"] = None
        self._window: int = settings["window"]
        self._source_checksum = files.source_checksum
        # Training changes the vectors, so they are not remembered where it may.
        n_bytes = 0 if settings["trainable"] else settings["char_cache_mb"] << 20
        self._cache = WordCache(n_bytes, files.bilm.projection_dim)

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "state": None}  # what was processed here says nothing about another process

    @property
    def checksum(self) -> str:
        """SHA-256 (hex) of the files that the network was opened from, or that those were saved from."""
        from spacy_ctx_embed.models.checksum import checksum

        if self._source_checksum is None:
            self._source_checksum = checksum(self.path)
        return self._source_checksum

    @property
    def _char_cnn(self) -> "CharCnn":
        return cast("CharCnn", self.module["char_cnn"])

    @property
    def _bilm(self) -> "Bilm":
        return cast("Bilm", self.module["bilm"])

    def save(self, directory: Path) -> None:
        """Write ``options.json`` and ``weights.safetensors``.

        :param directory: an existing, empty folder.
        """
        from spacy_ctx_embed.models.elmo_files import ElmoFiles, write_elmo

        source = self.checksum if self._source_checksum or self.path.exists() else None
        weights = dict(self.module.state_dict())
        write_elmo(directory, ElmoFiles(self.char_config, self.bilm_config, weights, source))

    def segment(self, docs: Sequence[Doc]) -> List[Segment]:
        """Cut Docs into sentences and windows without the whitespace tokens.

        :param docs: ``n_docs`` Docs.
        :return: the segments, in the order of the text; ``length`` counts the two boundary symbols. Where state is
            carried over, a Doc without words gives a segment too, so that it uses up its place as in AllenNLP.
        """
        segments: List[Segment] = []
        for number, doc in enumerate(docs):
            known = doc.has_annotation("SENT_START")
            starts = doc.to_array([SENT_START]).reshape(-1) == 1 if known else None
            pieces = sentence_segments(~whitespace(doc), starts, self._window)
            if not pieces and self.in_order:
                pieces = [np.zeros(0, dtype=np.int64)]
            for tokens in pieces:
                words = [doc[i].text for i in tokens.tolist()]
                segments.append(Segment(number, tokens, len(words) + 2, words))
        return segments

    def run(self, segments: Sequence[Segment], layers: Sequence[int]) -> LayerStack:
        """Encode one batch.

        :param segments: ``n_segments`` segments.
        :param layers: numbers of the layers wanted.
        :return: ``(len(layers), n_tokens, width)`` float32, the tokens of all segments one after another.
        """
        batch = _pad_words([segment.inputs for segment in segments])
        vectors = self._vectors(batch.words)  # (n_types, projection_dim)
        tokens = vectors[_tensor(batch.types, vectors)]  # (n_segments, n_tokens, projection_dim)
        start = self._start(len(segments)) if self.in_order else None
        found, state = self._bilm(tokens, batch.lengths, start, layers)
        if self.in_order:
            self._keep(state)
        return LayerStack(found.flatten(1, 2)[:, _tensor(batch.places, vectors)].float())

    def _vectors(self, words: Sequence[str]) -> "torch.Tensor":
        # (n_words, projection_dim) token vectors of distinct words, from the cache where gradients are not kept.
        import torch

        if torch.is_grad_enabled():
            return self._encode_words(words)
        return self._cache.look_up(words, self._encode_words, self._char_cnn.embedding.weight.device)

    def _encode_words(self, words: Sequence[str]) -> "torch.Tensor":
        import torch

        from spacy_ctx_embed.networks.char_ids import char_ids

        ids = torch.from_numpy(char_ids(words, self.char_config.max_chars))
        return cast("torch.Tensor", self._char_cnn(ids.to(self._char_cnn.embedding.weight.device)))

    def _start(self, n_segments: int) -> "BilmState":
        # The state carried over, with zeros for segments that were not there before.
        zeros = self._bilm.zero_state(n_segments)
        if self.state is None:
            return zeros
        n_old = min(self.state[0].shape[2], n_segments)
        for new, old in zip(zeros, self.state):
            new[:, :, :n_old] = old[:, :, :n_old].to(new.device)
        return zeros

    def _keep(self, state: "BilmState") -> None:
        # Segments that this batch did not have keep theirs.
        import torch

        hidden, cells = (part.detach() for part in state)
        if self.state is not None and self.state[0].shape[2] > hidden.shape[2]:
            old_hidden, old_cells = (part[:, :, hidden.shape[2] :].to(hidden.device) for part in self.state)
            hidden, cells = torch.cat([hidden, old_hidden], dim=2), torch.cat([cells, old_cells], dim=2)
        self.state = (hidden, cells)


@dataclass(frozen=True)
class _WordBatch:
    # A padded batch in terms of its distinct words.
    words: List[str]  # n_types, the boundary symbols first
    types: Ints2d  # (n_segments, n_tokens) indices into words; the padding is 0
    lengths: List[int]  # per segment, boundary symbols included
    places: Ints1d  # flat positions of the real tokens, boundary symbols left out


def _pad_words(texts: Sequence[Sequence[str]]) -> _WordBatch:
    from spacy_ctx_embed.networks.char_ids import BOS_WORD, EOS_WORD

    numbers: Dict[str, int] = {BOS_WORD: 0, EOS_WORD: 1}
    flat = [numbers.setdefault(word, len(numbers)) for words in texts for word in words]
    n_words = np.array([len(words) for words in texts], dtype=np.int64)
    n_tokens = int(n_words.max(initial=0)) + 2
    columns = np.arange(n_tokens)
    inner = (columns > 0) & (columns <= n_words[:, None])  # (n_segments, n_tokens)
    types = np.zeros((len(texts), n_tokens), dtype=np.int64)
    types[inner] = flat
    types[np.arange(len(texts)), n_words + 1] = numbers[EOS_WORD]
    return _WordBatch(list(numbers), types, (n_words + 2).tolist(), np.flatnonzero(inner))


def _tensor(array: np.ndarray, like: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.from_numpy(array).to(like.device)
