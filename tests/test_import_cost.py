"""Importing does nothing: proved in fresh interpreters, some of which have imported spaCy."""

from __future__ import annotations

import json
from typing import Any

from tests.forks import Forks

HEAVY = ["torch", "transformers", "gensim", "h5py", "allennlp", "pyarrow", "huggingface_hub", "tokenizers"]
FRESH, SPACY = Forks([]), Forks(["spacy"])


def _run(code: str, forks: Forks) -> Any:
    done = forks.run(f"import sys, json, time\n{code}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_package_itself_imports_neither_spacy_nor_torch():
    loaded = _run(
        "start = time.perf_counter(); before = set(sys.modules)\n"
        "import spacy_ctx_embed\n"
        "print(json.dumps({'seconds': time.perf_counter() - start, 'modules': sorted(set(sys.modules) - before)}))",
        FRESH,
    )
    assert not {"spacy", "thinc", "numpy", *HEAVY} & {name.split(".")[0] for name in loaded["modules"]}
    assert loaded["seconds"] < 0.05


def test_factories_load_nothing_heavy_beyond_what_spacy_loads():
    code = (
        "import spacy\n"
        "nlp = spacy.blank('en'); before = set(sys.modules)\n"
        "for name in ('static', 'elmo', 'bert', 'stacked'): nlp.add_pipe(f'{name}_embeddings')\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in set(sys.modules) - before})))"
    )
    assert not set(HEAVY) & set(_run(code, SPACY))


def test_importing_sets_no_extension_and_no_environment():
    code = (
        "import os, spacy\nfrom spacy.tokens import Token\nbefore = dict(os.environ)\n"
        "import spacy_ctx_embed, spacy_ctx_embed.pipeline.factories\n"
        "print(json.dumps([Token.has_extension('vectors'), dict(os.environ) == before]))"
    )
    assert _run(code, SPACY) == [False, True]


def test_the_first_rows_of_elmo_need_no_compiler():
    code = (
        "import spacy\n"
        "nlp = spacy.blank('en'); nlp.add_pipe('elmo_embeddings')\n"
        "assert nlp('a bank')[1]._.has_vector\n"
        "print(json.dumps(sorted({'torch._dynamo', 'gensim'} & set(sys.modules))))"
    )
    assert _run(code, SPACY) == []
