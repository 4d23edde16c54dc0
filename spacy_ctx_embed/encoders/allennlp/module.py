"""AllenNLP's ``_ElmoBiLm``: how it is imported, run on words, and copied.

Enters: the words of each segment. Leaves: one matrix per layer, boundary symbols included.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, List, Optional, Sequence, Tuple, cast

import numpy as np
import torch
from torch import nn

from spacy_ctx_embed.errors import Errors

# What AllenNLP's ELMo needs to import beside what this package needs; then AllenNLP itself, whose own requirements
# (torch < 1.13, spaCy < 3.4) are older than what it runs on.
REQUIREMENTS = (
    "base58 cached-path dill lmdb more-itertools nltk requests sacremoses scikit-learn scipy setuptools tensorboardX "
    "termcolor traitlets transformers==4.53.2 wheel"
).split()
NO_DEPS = ["allennlp==2.10.1", "fairscale==0.4.6"]


class _StandIns(MetaPathFinder, Loader):
    # Empty modules for torchvision and all below it.

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        return ModuleSpec(fullname, self, is_package=True) if fullname.split(".")[0] == "torchvision" else None

    def exec_module(self, module: ModuleType) -> None:
        pass


def import_allennlp(owner: str) -> ModuleType:
    """Import AllenNLP's ELMo.

    AllenNLP imports torchvision for its image models, and not every build of torch has one. ELMo calls nothing of
    it: where it is not installed, empty modules stand in for it. They are taken away again, because other libraries
    find out by an import whether it is there.

    :param owner: registered name, for the message.
    :return: the module ``allennlp.modules.elmo``.
    :raises ImportError: if it can't be imported; the message has the commands that install it.
    """
    stand_ins = _StandIns() if importlib.util.find_spec("torchvision") is None else None
    if stand_ins is not None:
        sys.meta_path.append(stand_ins)
    try:
        return importlib.import_module("allennlp.modules.elmo")
    except ImportError as error:
        # The template has quotes around what follows pip install: these commands begin and end inside them.
        install = f"{REQUIREMENTS[0]}' {' '.join(REQUIREMENTS[1:])} && pip install --no-deps --no-build-isolation "
        install += " ".join(NO_DEPS[:-1]) + f" '{NO_DEPS[-1]}"
        values = {"owner": owner, "key": "@architectures", "package": "allennlp", "reason": error, "install": install}
        raise ImportError(Errors.E005.format(**values)) from error
    finally:
        if stand_ins is not None:
            sys.meta_path.remove(stand_ins)
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]


class AllenNLPModule(nn.Module):
    """AllenNLP's biLM with its token encoder. A copy starts without state.

    :param owner: registered name, for messages.
    :param options: ``options.json``.
    :param weights: the HDF5 file.
    :param trainable: whether gradients are wanted.
    """

    def __init__(self, owner: str, options: Path, weights: Path, *, trainable: bool) -> None:
        super().__init__()
        self.owner = owner
        self.bilm = import_allennlp(owner)._ElmoBiLm(str(options), str(weights), requires_grad=trainable)

    def __reduce__(self) -> Tuple[Any, ...]:
        # The state names AllenNLP's classes; whoever reads it has to import them in our way first.
        return _import_and_make, (self.owner,), self.__dict__

    def __setstate__(self, state: Dict[str, Any]) -> None:
        super().__setstate__(state)
        self.state = None

    @property
    def state(self) -> Optional[Tuple[torch.Tensor, ...]]:
        """What AllenNLP carries from batch to batch; setting it to ``None`` is its ``reset_states()``."""
        return cast(Optional[Tuple[torch.Tensor, ...]], self.bilm._elmo_lstm._states)

    @state.setter
    def state(self, value: Optional[Tuple[torch.Tensor, ...]]) -> None:
        self.bilm._elmo_lstm._states = value

    def forward(self, texts: Sequence[Sequence[str]]) -> List[torch.Tensor]:
        """Run a batch.

        :param texts: words of each segment.
        :return: per layer ``(n_segments, longest + 2, width)``, boundary symbols included.
        """
        mapper = importlib.import_module("allennlp.data.token_indexers.elmo_indexer").ELMoCharacterMapper()
        ids = np.zeros((len(texts), max([1, *map(len, texts)]), mapper.max_word_length), dtype=np.int64)
        known: Dict[str, List[int]] = {}
        for row, words in zip(ids, texts):
            for place, word in enumerate(words):
                if word not in known:
                    known[word] = mapper.convert_word_to_char_ids(word)
                row[place] = known[word]
        device = next(self.parameters()).device
        return cast(List[torch.Tensor], self.bilm(torch.from_numpy(ids).to(device))["activations"])


def _import_and_make(owner: str) -> AllenNLPModule:
    # An empty module, to be given its state.
    import_allennlp(owner)
    return AllenNLPModule.__new__(AllenNLPModule)
