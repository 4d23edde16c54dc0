"""networks/batching.py: groups under a padded budget."""

from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.networks.batching import group_by_length


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(1, 200))
def test_every_segment_is_in_one_batch_within_the_budget(lengths, budget):
    batches = group_by_length(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


def test_neighbours_in_length_share_a_batch():
    assert group_by_length([1, 9, 1, 9], 18) == [[1, 3], [0, 2]]
