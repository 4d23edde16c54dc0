"""Where an encoder's network lives inside its Thinc model: loaded once, saved as data, moved with the model.

Enters: the encoder's settings and a function that opens the network. Leaves: the loaded network, on demand.
Thinc keeps what is not a Thinc array in *shims*; saving, copying, pickling and moving a model to a device all
reach the network through this one.
"""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Generic, Iterator, List, Optional, TypeVar, cast

import srsly
from thinc.api import Model, Ops, Optimizer, get_current_ops
from thinc.shims import Shim

from spacy_ctx_embed.encoders.fine_tuning import FineTuning
from spacy_ctx_embed.encoders.network import ContextualNetwork, Network
from spacy_ctx_embed.encoders.settings import ContextualSettings, EncoderSettings
from spacy_ctx_embed.errors import Errors, ModelFormatError
from spacy_ctx_embed.models.files import read_files, whole_folder, write_files

if TYPE_CHECKING:
    from spacy_ctx_embed.cache.layer_cache import LayerCache

SettingsT = TypeVar("SettingsT", bound=EncoderSettings)
NetworkT = TypeVar("NetworkT", bound=Network)
# (settings, folder written by Network.save or None to resolve settings.name, ops) -> network
Opener = Callable[[SettingsT, Optional[Path], Ops], NetworkT]

_LOADING = threading.RLock()


class EncoderShim(Shim, Generic[SettingsT, NetworkT]):
    """Holds one encoder's network, opened at first use.

    :param settings: the encoder's config values.
    :param opener: module-level function that opens the network.
    """

    def __init__(self, settings: SettingsT, opener: Opener[SettingsT, NetworkT]) -> None:
        super().__init__(None)
        self.settings = settings
        self.opener = opener
        self.ops: Ops = get_current_ops()
        self._expected_checksum: Optional[str] = None  # set where a pipeline was saved as a reference
        self._detached = False  # true while a component saves the weights beside the Thinc model
        self.home_pid = os.getpid()  # a forked child can tell by it that it is one
        self._state_pid = os.getpid()  # of the process whose calls a stateful network carries state from
        self._cache: Optional[LayerCache] = None  # set by the component that was given one
        self.text_pooling: Optional[str] = None  # how a whole text gets a vector of its own; set by the component
        self._digest: Optional[bytes] = None  # of the network, for the cache; computed when first needed
        self._tuning: Optional[FineTuning] = None
        self.out_of_memory = False  # whether it ran out once, so that batches are smaller

    def __getstate__(self) -> Dict[str, Any]:
        # Once torch is imported, the pickler of multiprocessing sends file descriptors in place of tensors: more of
        # them than a fork server can take, or of tensors that are gone by then. So a network with tensors is bytes
        # before that pickler sees it. A table is of NumPy arrays, which every pickler sends as they are.
        if self._model is None or self._model.module is None:
            return self.__dict__
        state = {**self.__dict__, "_model": None, "_tuning": None}
        if self._model.pickled_as_files:
            return {**state, "files": self.to_bytes(), "path": self._model.path}
        return {**state, "pickled": pickle.dumps((self._model, self._tuning))}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        files, path, pickled = (state.pop(key, None) for key in ("files", "path", "pickled"))
        self.__dict__.update(state, home_pid=os.getpid(), _state_pid=os.getpid())
        if pickled is not None:
            self._model, self._tuning = pickle.loads(pickled)
        if files is not None:
            self.from_bytes(files)
            self._model.path = path  # of the original, not the folder that is gone again

    def network(self) -> NetworkT:
        """Give the network, opening it first where that has not happened.

        :return: the object that ``opener`` made.
        :raises ModelFormatError: if the pipeline names a checksum that the files do not have.
        """
        if self._model is None:
            with _LOADING:
                if self._model is None:
                    network = self.opener(self.settings, None, self.ops)
                    if self._expected_checksum is not None and self._expected_checksum != network.checksum:
                        raise ModelFormatError(
                            Errors.E015.format(
                                owner=network.kind,
                                value=self.settings.name,
                                found=network.checksum,
                                expected=self._expected_checksum,
                            )
                        )
                    self._set(network)
        return cast(NetworkT, self._model)

    @property
    def cache(self) -> Optional[LayerCache]:
        """Where the un-mixed layers of Docs seen before are kept; ``None`` for nowhere."""
        return self._cache

    def use_cache(self, cache: LayerCache) -> None:
        """Keep un-mixed layers from now on.

        :param cache: the cache.
        """
        self._cache = cache

    def expect(self, checksum: str) -> None:
        """Have the files compared when they are opened.

        :param checksum: what :attr:`Network.checksum` has to be.
        """
        self._expected_checksum = checksum

    def digest(self, make: Callable[[NetworkT, SettingsT], bytes]) -> bytes:
        """Give what stands for the network in the keys of the cache; computed once, until the network changes.

        :param make: computes it from the network and the settings.
        :return: the digest.
        """
        if self._digest is None:
            self._digest = make(self.network(), self.settings)
        return self._digest

    def forget_digest(self) -> None:
        """Have the digest computed again: what the layers depend on beside the network may have changed."""
        self._digest = None

    def is_new_process(self) -> bool:
        """Tell whether this is the first call in a forked process, where state of the parent's calls has no place.

        :return: true for the first call in a process.
        """
        pid, self._state_pid = self._state_pid, os.getpid()
        return pid != self._state_pid

    @contextlib.contextmanager
    def without_weights(self) -> Iterator[None]:
        """Serialise as no bytes for a while: the weights are saved beside the Thinc model.

        :yields: nothing.
        """
        self._detached = True
        try:
            yield
        finally:
            self._detached = False

    @property
    def loaded(self) -> bool:
        """Whether the network has been opened."""
        return self._model is not None

    def save(self, directory: Path) -> None:
        """Write the network into a folder of its own; one that is there is replaced when all is written.

        :param directory: the folder, also the one that the network was read from.
        """
        network = self.network()
        with whole_folder(directory) as folder:
            network.save(folder)

    def read(self, directory: Path) -> None:
        """Replace the network by one that :meth:`save` wrote.

        :param directory: the folder.
        """
        self._set(self.opener(self.settings, directory, self.ops))

    def to_bytes(self) -> bytes:
        """Serialise the network as the files that :meth:`save` writes.

        :return: a msgpack mapping of file name to content; empty inside :meth:`without_weights`.
        """
        if self._detached:
            return srsly.msgpack_dumps({})
        with tempfile.TemporaryDirectory() as folder:
            self.network().save(Path(folder))
            return srsly.msgpack_dumps(read_files(Path(folder)))

    def from_bytes(self, bytes_data: bytes) -> EncoderShim[SettingsT, NetworkT]:
        """Load what :meth:`to_bytes` made.

        :param bytes_data: the serialised network.
        :return: this object.
        :raises ModelFormatError: if one of its files is not to be written to a folder of its own.
        """
        self._digest = None  # parameters beside the network may be others now
        files = srsly.msgpack_loads(bytes_data)
        if files:
            with tempfile.TemporaryDirectory() as folder:
                write_files(Path(folder), files, "the saved encoder")
                self.read(Path(folder))
        return self

    def to_device(self, device_type: str, device_id: int) -> None:
        """Follow the Thinc model to another device.

        :param device_type: "cpu" or "gpu".
        :param device_id: index of the GPU.
        """
        self.ops = get_current_ops()
        self._digest = None
        if self._model is not None and self._model.module is not None:
            if device_type == "cpu":
                self._model.to("cpu")
            else:
                self._model.to(f"cuda:{device_id}")

    def copy(self) -> EncoderShim[SettingsT, NetworkT]:
        """Copy for a model of its own: a frozen network is shared, for nothing changes it; one that learns is copied.

        :return: the copy.
        """
        twin = EncoderShim(self.settings, self.opener)
        twin.ops, twin._expected_checksum, twin.home_pid = self.ops, self._expected_checksum, self.home_pid
        twin._cache, twin._digest, twin.text_pooling = self._cache, self._digest, self.text_pooling
        if self._model is not None:
            if self._tuning is None:
                twin._model = copy.copy(self._model)  # state that is carried from call to call is each one's own
            else:
                twin.from_bytes(self.to_bytes())
        return twin

    def __deepcopy__(self, memo: Dict[int, Any]) -> EncoderShim[SettingsT, NetworkT]:
        return self.copy()

    def finish_update(self, optimizer: Optimizer) -> None:
        """Let the optimizer change the weights where gradients were collected (``trainable = true``).

        :param optimizer: Thinc's optimizer.
        """
        if self._tuning is not None:
            self._tuning.finish_update(optimizer)

    @contextlib.contextmanager
    def use_params(self, params: Dict[Any, Any]) -> Iterator[None]:
        """Run with other (averaged) parameters for a while.

        :param params: parameters keyed as Thinc's optimizer keys them.
        :yields: nothing.
        """
        if self._tuning is None:
            yield
        else:
            with self._tuning.use_params(params):
                yield

    def _set(self, network: NetworkT) -> None:
        self._model = network
        self._digest = None
        self._tuning = None
        if isinstance(self.settings, ContextualSettings) and self.settings.trainable:
            self._tuning = FineTuning(self.id, network, self.settings)


ContextualShim = EncoderShim[ContextualSettings, ContextualNetwork]


def encoder_shims(model: Model) -> List[EncoderShim[EncoderSettings, Network]]:
    """Find the encoders inside a model that hold a network.

    :param model: any Thinc model.
    :return: their shims, in the order of ``model.walk()``.
    """
    return [shim for node in model.walk() for shim in node.shims if isinstance(shim, EncoderShim)]
