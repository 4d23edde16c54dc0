"""One step of training, and one of evaluation, with the two directions at work side by side.

Enters: a batch. Leaves: losses; gradients on the parameters. On a CPU each direction has a thread of its own, so that
no small product waits for another core; the sums of their gradients have a fixed order, so that a run can be repeated.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Callable, List, Optional, Sequence, Tuple, cast

import numpy as np
import torch

from spacy_ctx_embed.networks.elmo.bilm import BilmLayer
from spacy_ctx_embed.pretraining.network.language_model import Direction, DirectionState, LanguageModel, parameters_of
from spacy_ctx_embed.pretraining.text.streams import Batch

States = List[DirectionState]  # forward, backward


class Stepper:
    """Runs batches through a language model.

    :param model: what is trained.
    :param words: word of each id.
    :param n_threads: cores to use on a CPU.
    :param seed: of dropout and sampling.
    """

    def __init__(self, model: LanguageModel, words: Sequence[str], n_threads: int, seed: int) -> None:
        self.model = model
        self.words = words
        self.seed = seed
        self.device = model.elmo.device
        n_workers = 2 if self.device.type == "cpu" and n_threads > 1 else 1
        each = max(n_threads // n_workers, 1)
        self._pool = ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(each,))
        self._n_workers = n_workers

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def train(self, batch: Batch, states: States, step: int, frozen: bool = False) -> Tuple[List[float], States]:
        """Compute the gradients of the loss summed over the steps of a batch, as bilm-tf takes them.

        They are left in ``grad`` of the parameters.

        :param batch: what is read and predicted.
        :param states: where both directions start.
        :param step: number of the step, of which chance is a function.
        :param frozen: whether only the softmax learns: the other parameters have no ``grad`` then.
        :return: mean loss of each direction in nats, and the states to go on from.
        """
        words, places = self._words(batch)
        spelt = self._spell(words, learns=not frozen)
        vectors = torch.cat([part.detach() for part in spelt])
        n_steps = batch.inputs.shape[1]
        shared = list(self.model.softmax.parameters())

        def run(index: int) -> Tuple[float, DirectionState, List[torch.Tensor]]:
            rng = np.random.default_rng([self.seed, 2, step, index])
            leaf = vectors.detach().requires_grad_()
            own = self.model.leaves(index)
            direction = self._direction(batch, places, states, index)
            loss, state = self.model.loss(direction, leaf, own, rng, frozen)
            wanted = shared if frozen else [*shared, leaf, *own]
            found = torch.autograd.grad(loss * (0.5 * n_steps), wanted, allow_unused=True)
            grads = [torch.zeros_like(t) if g is None else g for g, t in zip(found, wanted)]
            return loss.item(), state, grads

        forward, backward = self._map(run, (0, 1))
        for part, one, other in zip(shared, forward[2], backward[2]):
            part.grad = one.add_(other)
        if not frozen:
            (d_forward, *own_forward), (d_backward, *own_backward) = (
                side[2][len(shared) :] for side in (forward, backward)
            )
            self._gather(own_forward, own_backward)
            self._spell_back(spelt, d_forward + d_backward)
        return [forward[0], backward[0]], [forward[1], backward[1]]

    def _gather(self, forward: Sequence[torch.Tensor], backward: Sequence[torch.Tensor]) -> None:
        # Gradients of the directions' own weights -> those of the parameters.
        layers = cast(Sequence[BilmLayer], self.model.elmo.bilm.layers)
        own = [part for layer in layers for part in parameters_of(layer)]
        for part, one, other in zip(own, forward, backward):
            if part.grad is None:
                part.grad = torch.empty_like(part)
            torch.stack([one, other], out=part.grad)

    def _spell(self, words: Sequence[str], learns: bool) -> List[torch.Tensor]:
        # The words' vectors, a part of them from each thread.
        def spell(part: slice) -> torch.Tensor:
            with torch.set_grad_enabled(learns):
                return self.model.spell(words[part])

        return self._map(spell, self._parts(len(words)))

    def _spell_back(self, spelt: Sequence[torch.Tensor], d_vectors: torch.Tensor) -> None:
        # Gradients of the words' vectors -> those of the token encoder.
        d_spelt = d_vectors.split([len(part) for part in spelt])
        spellers = list(cast(torch.nn.Module, self.model.elmo.char_cnn).parameters())

        def back(i: int) -> Sequence[torch.Tensor]:
            return torch.autograd.grad(spelt[i], spellers, d_spelt[i])

        for part, *grads in zip(spellers, *self._map(back, range(len(spelt)))):
            part.grad = sum(grads[1:], grads[0])

    def evaluate(self, batch: Batch, states: States) -> Tuple[List[torch.Tensor], States]:
        """Compute the exact losses of a batch, nothing dropped.

        :param batch: what is read and predicted.
        :param states: where both directions start.
        :return: ``(n_steps * n_rows,)`` losses of each direction in nats, and the states to go on from.
        """
        words, places = self._words(batch)
        vectors = torch.cat(self._spell(words, learns=False))

        def run(index: int) -> Tuple[torch.Tensor, DirectionState]:
            with torch.no_grad():
                direction = self._direction(batch, places, states, index)
                return self.model.losses(direction, vectors, self.model.leaves(index))

        (forward, ahead), (backward, back) = self._map(run, (0, 1))
        return [forward, backward], [ahead, back]

    def zero_states(self, n_rows: int) -> States:
        """Give the states of a text's beginning.

        :param n_rows: rows of the batch.
        :return: zeros.
        """
        return [self.model.zero_state(index, n_rows) for index in (0, 1)]

    def _words(self, batch: Batch) -> Tuple[List[str], np.ndarray]:
        # The distinct words of a batch, at least one, and (2, n_steps, n_rows) places in that list.
        ids, places = np.unique(batch.inputs, return_inverse=True)
        return [self.words[i] for i in ids.tolist()], places.reshape(batch.inputs.shape)

    def _parts(self, n_words: int) -> List[slice]:
        # One stretch of the words for each thread, none of them empty.
        bounds = np.linspace(0, n_words, min(self._n_workers, n_words) + 1).astype(int).tolist()
        return [slice(start, end) for start, end in zip(bounds, bounds[1:])]

    def _direction(self, batch: Batch, places: np.ndarray, states: States, index: int) -> Direction:
        kept: Optional[torch.Tensor] = None
        if batch.fresh[index].any():
            kept = torch.from_numpy(~batch.fresh[index]).to(self.device, torch.float32)[:, :, None]
        return Direction(
            index,
            torch.from_numpy(places[index]).to(self.device),
            torch.from_numpy(batch.targets[index].ravel()).to(self.device),
            kept,
            states[index],
        )

    def _map(self, function: Callable[..., object], values: Sequence[object]) -> List:
        return list(self._pool.map(function, values))
