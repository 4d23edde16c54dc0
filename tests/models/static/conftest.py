"""A table of gensim's, which the tests write in its formats."""

import numpy as np
import pytest
from gensim.models import KeyedVectors

from tests.models.static.gensim_tables import WORDS


@pytest.fixture(scope="session")
def vectors():
    keyed = KeyedVectors(6)
    keyed.add_vectors(WORDS, np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype("f"))
    return keyed
