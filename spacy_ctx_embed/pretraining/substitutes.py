"""What the language model would have put there: substitutes of a token, predicted from the words around it alone.

Enters: a Doc and one of its tokens. Leaves: words with probabilities. The forward model has read everything to the
left of the token, the backward one everything to its right, and neither the token itself. By Bayes' rule, if left and
right are independent given the word, ``p(w | left, right)`` is in proportion to ``p(w | left) p(w | right) / p(w)``;
``p(w)`` is taken to be in proportion to ``1 / rank`` (Zipf's law), as Samsung's LexSubGen does for ELMo.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, List, Tuple, Union

from spacy_ctx_embed.errors import Errors, ModelFormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from spacy.tokens import Doc

OWNER = "Substitutes"
_CONTEXT = 256  # words read on either side; one that is further away changes next to nothing


@dataclass(frozen=True)
class Substitute:
    """A word in the place of a token.

    :param word: the word.
    :param probability: by both directions together.
    :param forward: by the model that has read what is left of the token.
    :param backward: by the model that has read what is right of it.
    """

    word: str
    probability: float
    forward: float
    backward: float


class Substitutes:
    """A language model that :func:`~spacy_ctx_embed.pretraining.pretrain.pretrain_elmo` trained, to predict words.

    Probabilities are of its whole vocabulary, with the end of the sentence and unknown words: those of all words that
    :meth:`substitutes` can give add up to a little less than 1.

    :param model: its folder ``model-best``, or another place as in the ``name`` of an ELMo component.
    :raises ModelNotFoundError: if the name leads to no files.
    :raises ModelFormatError: if the model has no softmax or vocabulary, or a file is damaged.
    """

    def __init__(self, model: Union[str, Path]) -> None:
        import torch

        from spacy_ctx_embed.models.elmo.formats import read_elmo
        from spacy_ctx_embed.models.places import find_model
        from spacy_ctx_embed.networks.elmo.module import ElmoModule
        from spacy_ctx_embed.pretraining.build import load_softmax
        from spacy_ctx_embed.pretraining.outputs import SOFTMAX, VOCAB
        from spacy_ctx_embed.pretraining.text.folder import SPECIAL

        path = find_model("elmo", str(model), owner=OWNER, key="'model'").path
        for name in (SOFTMAX, VOCAB):
            if not (path / name).is_file():
                raise ModelFormatError(Errors.E045.format(folder=path, file=name))
        files = read_elmo(path)
        with torch.device("meta"):  # the weights are put in place below
            self._elmo = ElmoModule(files.config)
        self._elmo.load_state_dict(files.weights, assign=True)
        self._elmo.requires_grad_(False).eval()
        self._softmax, self.words = load_softmax(path, files.config.bilm.projection_dim)
        self._softmax.requires_grad_(False).eval()
        self._special = [number for number, word in enumerate(self.words) if word in SPECIAL]

    def substitutes(self, doc: Doc, i: int, n: int = 10) -> List[Substitute]:
        """Give the most probable words in the place of a token, best first; the token's own word may be among them.

        :param doc: a Doc, read sentence by sentence where it has sentence bounds, else as one sentence.
        :param i: number of the token, negative ones counted from the end.
        :param n: how many words; fewer if the vocabulary has fewer. ``<S>``, ``</S>`` and ``<UNK>`` are left out.
        :return: the words.
        :raises IndexError: if the Doc has no such token.
        :raises ValueError: if the token is whitespace, or ``n`` is below 1.
        """
        import numpy as np
        import torch

        if n < 1:
            values = {"key": "n", "value": n, "reason": "too few", "accepted": "1 or more"}
            raise ValueError(Errors.E046.format(**values, fix="ask for at least one word"))
        found = self.probabilities(doc, i)  # (3, n_vocab)
        ranking = found[0].copy()
        ranking[self._special] = -np.inf
        n = min(n, len(self.words) - len(self._special))
        best = torch.topk(torch.from_numpy(ranking), n).indices.tolist()
        return [Substitute(self.words[word], *found[:, word].tolist()) for word in best]

    def probabilities(self, doc: Doc, i: int) -> NDArray[np.float64]:
        """Give the probability of every word in the place of a token.

        :param doc: a Doc.
        :param i: number of the token, negative ones counted from the end.
        :return: ``(3, n_vocab)`` float64 by both directions, by the forward and by the backward one; words are in the
            order of the attribute ``words``.
        :raises IndexError: if the Doc has no such token.
        :raises ValueError: if the token is whitespace.
        """
        import numpy as np
        import torch

        left, right = _context(doc, i)
        config = self._elmo.config
        words = [config.alphabet.bos, *left, *right, config.alphabet.eos]
        n_left, width = len(left) + 1, config.bilm.projection_dim
        beside = np.array([n_left - 1, n_left])  # the last word on the left, the first on the right
        with torch.no_grad():
            tokens = self._elmo.encode_words(words)
            # Two segments, not one: so the word between them is read by neither direction.
            rows, _ = self._elmo.bilm(tokens, [n_left, len(right) + 1], None, [config.bilm.n_layers], beside)
            tops = torch.stack([rows[0, 0, :width], rows[0, 1, width:]])  # (2, width)
            forward, backward = self._softmax.log_probs(tops).double()  # (n_vocab,) each
            ranks = (torch.arange(len(self.words)) - 2).clamp(min=1).double()  # of words; the first three are symbols
            both = torch.log_softmax(forward + backward + ranks.log(), dim=0)
            return torch.stack([both, forward, backward]).exp().numpy()


def _context(doc: Doc, i: int) -> Tuple[List[str], List[str]]:
    # The words of the token's sentence to its left and right, as the ELMo encoder reads them.
    from spacy_ctx_embed.segments.words import word_segments

    try:
        number = range(len(doc))[i]
    except IndexError as error:
        accepted = f"numbers from {-len(doc)} to {len(doc) - 1}" if len(doc) else "none, the Doc has no tokens"
        values = {"key": "i", "value": i, "reason": "not a token of this Doc", "accepted": accepted}
        raise IndexError(Errors.E046.format(**values, fix="give the number of a token, such as token.i")) from error
    for segment in word_segments([doc], len(doc)):
        place, words = int(segment.tokens.searchsorted(number)), segment.inputs
        if place < len(words) and segment.tokens[place] == number:
            return words[max(place - _CONTEXT, 0) : place], words[place + 1 : place + 1 + _CONTEXT]
    reason = f"a token of whitespace ({doc[number].text!r}), which the model does not read"
    values = {"key": "i", "value": i, "reason": reason, "accepted": "a word"}
    raise ValueError(Errors.E046.format(**values, fix="leave out tokens with token.is_space"))
