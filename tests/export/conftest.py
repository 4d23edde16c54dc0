"""A small pipeline of all that an export can take rows from."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    # As forks have: how sums are rounded depends on the number of threads.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pipeline(make_nlp, tmp_path_factory):
    """Folder of a pipeline with static and BERT vectors, sentences, entities and a group of spans."""
    nlp = make_nlp("static", "bert")
    nlp.add_pipe("sentencizer", first=True)
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PLACE", "pattern": "river"}])
    config = {"spans_key": "money", "overwrite": True}
    nlp.add_pipe("span_ruler", config=config).add_patterns([{"label": "CASH", "pattern": [{"LOWER": "money"}, {}]}])
    folder = tmp_path_factory.mktemp("pipeline") / "nlp"
    nlp.to_disk(folder)
    return folder
