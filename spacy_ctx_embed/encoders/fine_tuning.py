"""Training a network through Thinc's optimizer: a learning rate for each depth, and blocks that thaw one by one.

Enters: a network whose parameters have collected gradients. Leaves: changed parameters. Gradients of several batches
add up until :meth:`FineTuning.finish_update` is called, which is how spaCy's ``accumulate_gradient`` works.
"""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, List, Tuple, cast

from thinc.api import Optimizer, torch2xp, xp2torch
from thinc.types import FloatsXd

from spacy_ctx_embed.encoders.network import Network
from spacy_ctx_embed.encoders.settings import ContextualSettings


class FineTuning:
    """Hands the gradients of one network to an optimizer.

    :param key: under which the optimizer keeps what belongs to this network.
    :param network: the network.
    :param settings: the encoder's settings: ``learn_rate_factor`` (times the optimizer's learning rate),
        ``layer_decay`` (a block's learning rate is that of the block above times this; Howard and Ruder 2018,
        arXiv:1801.06146, section 3.2, and Clark et al. 2020, arXiv:2003.10555) and ``unfreeze_steps`` (the top block
        learns from the beginning, and after each so many steps one more; the former, section 3.3).
    """

    def __init__(self, key: int, network: Network, settings: ContextualSettings) -> None:
        self.key = key
        factor, decay = settings.learn_rate_factor, settings.layer_decay
        self._unfreeze_steps = settings.unfreeze_steps
        self._learnt: List[Tuple[str, Any, int]] = [
            (name, parameter, network.depth(name))
            for name, parameter in network.module.named_parameters()
            if parameter.requires_grad
        ]
        self._scales = {depth: factor * decay**depth for _, _, depth in self._learnt}
        self.n_steps = 0
        self._thaw()

    def finish_update(self, optimizer: Optimizer) -> None:
        """Change the parameters that have a gradient, and forget the gradients.

        :param optimizer: Thinc's optimizer.
        """
        for name, parameter, depth in self._learnt:
            if parameter.grad is None:
                continue
            weights, gradient = (cast(FloatsXd, torch2xp(t)) for t in (parameter.data, parameter.grad))
            # nlp.rehearse passes a function that only collects, and knows of no rates.
            rate = {"lr_scale": self._scales[depth]} if isinstance(optimizer, Optimizer) else {}
            changed, _ = optimizer((self.key, name), weights, gradient, **rate)
            values = xp2torch(changed, device=parameter.device)
            if values.data_ptr() != parameter.data_ptr():  # Thinc changes most arrays in place
                parameter.data.copy_(values)
            parameter.grad = None
        self.n_steps += 1
        self._thaw()

    @contextlib.contextmanager
    def use_params(self, params: Dict[Any, Any]) -> Iterator[None]:
        """Put other parameters in place for a while.

        :param params: parameters by Thinc's keys, ``(key, name)``; those of others are left alone.
        :yields: nothing.
        """
        former = []
        for name, parameter, _ in self._learnt:
            other = params.get((self.key, name))
            if other is not None:
                former.append((parameter, parameter.data))
                parameter.data = xp2torch(other, device=parameter.device).to(parameter.dtype)
        try:
            yield
        finally:
            for parameter, data in former:
                parameter.data = data

    def _thaw(self) -> None:
        if self._unfreeze_steps == 0:
            return
        lowest = self.n_steps // self._unfreeze_steps
        for _, parameter, depth in self._learnt:
            parameter.requires_grad_(depth <= lowest)
