"""A family and a format from another package, by entry points alone: ``tests/toy_package`` is that package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tests" / "toy_package"

FAMILY = """
import sys
from pathlib import Path
from tests.contract import CONTRACT, Case
case = Case("toy_embeddings", contextual=True, missing={"model": {"name": "no/such/folder"}})
for promise in CONTRACT:
    folder = Path(sys.argv[1], promise.__name__)
    folder.mkdir()
    promise(case, folder)
    print("kept:", promise.__name__)
"""

FORMAT = """
import gzip
import sys
from pathlib import Path
import spacy
file = Path(sys.argv[1], "vectors.toy")
file.write_bytes(b'TOY:{"bank": [1, 2], "river": [3, 4]}')
nlp = spacy.blank("en")
nlp.add_pipe("static_embeddings", config={"model": {"name": str(file)}})
print([token._.vector.tolist() for token in nlp("river bank sea")])
packed = Path(sys.argv[1], "vectors.toy.gz")
packed.write_bytes(gzip.compress(file.read_bytes()))
again = spacy.blank("en")
again.add_pipe("static_embeddings", config={"model": {"name": str(packed)}})
print([token._.vector.tolist() for token in again("river")])
nlp.to_disk(Path(sys.argv[1], "nlp"))
file.unlink()
print([token._.vector.tolist() for token in spacy.load(Path(sys.argv[1], "nlp"))("bank")])
"""

LAYERS = """
import spacy
nlp = spacy.blank("en")
nlp.add_pipe("toy_embeddings", config={"model": {"layers": [0]}})
nlp.add_pipe("toy_embeddings", name="mean", config={"model": {"name": "toy-model", "layer_mix": "mean"}})
doc = nlp("bank of the river bank")
print(doc[0]._.vectors["toy_embeddings"].tolist() == doc[4]._.vectors["toy_embeddings"].tolist())
print(doc[0]._.vectors["mean"].tolist() == doc[4]._.vectors["mean"].tolist(), doc[0]._.vectors["mean"].shape)
"""


def _run(script: str, folder: Path) -> str:
    paths = os.pathsep.join([str(PACKAGE), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_family_of_another_package_keeps_the_contract(tmp_path: Path) -> None:
    from tests.contract import CONTRACT

    kept = _run(FAMILY, tmp_path).split("kept: ")[1:]
    assert [line.strip() for line in kept] == [promise.__name__ for promise in CONTRACT]


def test_its_alias_layers_and_mix(tmp_path: Path) -> None:
    assert _run(LAYERS, tmp_path).split("\n")[:2] == ["True", "False (6,)"]


def test_a_static_format_of_another_package(tmp_path: Path) -> None:
    plain, packed, saved = _run(FORMAT, tmp_path).splitlines()
    assert plain == "[[3.0, 4.0], [1.0, 2.0], [0.0, 0.0]]"
    assert packed == "[[3.0, 4.0]]"
    assert saved == "[[1.0, 2.0]]"


@pytest.mark.parametrize("name", ["toy.Hashes.v1", "toy_embeddings"])
def test_nothing_of_it_is_known_without_its_entry_points(name: str) -> None:
    from spacy import registry

    assert not registry.has("architectures", name) and not registry.has("factories", name)
