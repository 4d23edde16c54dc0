"""How well similarities of one word tell its senses apart: numbers in, numbers out.

Enters: example sentences and, per word, a square matrix of similarities between its occurrences. Leaves: one
:class:`Score` per word. Nothing here knows spaCy or where the similarities come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np
import srsly
from numpy.typing import NDArray

# Similarities nearer than this are equal: cosines are computed in float32.
TIE = 1e-5


@dataclass(frozen=True)
class Example:
    """A sentence that holds a word exactly once.

    :param word: the word, spelt as in the sentence.
    :param sense: label of its sense in this sentence.
    :param text: the sentence.
    """

    word: str
    sense: str
    text: str


@dataclass(frozen=True)
class Score:
    """What the similarities of one word say about its senses.

    :param same: mean similarity over the pairs of occurrences with the same sense.
    :param different: mean similarity over the pairs with different senses.
    :param nearer: share, 0 to 1, of the comparisons of a same-sense pair with a different-sense pair in which the
        same-sense pair is the more similar one; a tie counts half (area under the ROC curve). 0.5 is chance.
    """

    same: float
    different: float
    nearer: float

    @property
    def gap(self) -> float:
        """How much more similar the word is to itself in the same sense than in another."""
        return self.same - self.different

    @property
    def separates(self) -> bool:
        """Whether the gap is above zero."""
        return self.gap > TIE


def read_examples(path: Path) -> Dict[str, List[Example]]:
    """Read example sentences.

    :param path: a JSONL file, one object with the keys ``word``, ``sense`` and ``text`` per line.
    :return: the examples of each word, both in the order of the file.
    """
    examples: Dict[str, List[Example]] = {}
    for line in srsly.read_jsonl(path):
        example = Example(line["word"], line["sense"], line["text"])
        examples.setdefault(example.word, []).append(example)
    return examples


def score(similarities: NDArray[np.float64], senses: Sequence[str]) -> Score:
    """Compare the same-sense pairs of one word with its different-sense pairs.

    :param similarities: ``(n, n)`` similarities between the n occurrences of the word; only the part above the
        diagonal is read.
    :param senses: the sense of each occurrence.
    :return: means and the share of comparisons won.
    :raises ValueError: if there is no same-sense pair or no different-sense pair.
    """
    pairs = list(combinations(range(len(senses)), 2))
    same = np.array([similarities[i, j] for i, j in pairs if senses[i] == senses[j]])
    different = np.array([similarities[i, j] for i, j in pairs if senses[i] != senses[j]])
    if not len(same) or not len(different):
        raise ValueError(f"no pair to compare: needs two senses, one of them twice; got {list(senses)}")
    lead = same[:, None] - different[None, :]  # (n_same, n_different)
    nearer = np.where(np.abs(lead) <= TIE, 0.5, lead > 0).mean()
    return Score(float(same.mean()), float(different.mean()), float(nearer))
