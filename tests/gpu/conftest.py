"""A test marked ``gpu`` has spaCy on the GPU; without a GPU it is skipped, and the reason said."""

from __future__ import annotations

from typing import Iterator

import pytest
import spacy

from tests.gpu.machine import problem


def pytest_collection_modifyitems(items: list) -> None:
    """Warnings of CuPy, and of what Thinc calls in it, are no errors: no other machine sees them."""
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session")
def missing() -> str:
    return problem()


@pytest.fixture(autouse=True)
def _on_gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    if not request.node.get_closest_marker("gpu"):
        yield
        return
    missing = request.getfixturevalue("missing")
    if missing:
        pytest.skip(f"needs a CUDA GPU, and {missing}")
    spacy.require_gpu()
    yield
    spacy.require_cpu()
