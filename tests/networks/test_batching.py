"""networks/batching.py: groups under a budget, padded or not."""

from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.networks.batching import group_by_length, share_out


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(1, 2000), st.booleans())
def test_every_segment_is_in_one_batch_within_the_budget(lengths, budget, save_padding):
    batches = group_by_length(lengths, budget, save_padding=save_padding)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


def test_neighbours_in_length_share_a_batch():
    assert group_by_length([1, 9, 1, 9], 18) == [[1, 3], [0, 2]]


def test_padding_is_saved_where_a_batch_is_large_enough_without_it():
    lengths = [60] * 10 + [10] * 20
    assert len(group_by_length(lengths, 2048)) == 1
    assert group_by_length(lengths, 2048, save_padding=True) == [list(range(10)), list(range(10, 30))]
    assert len(group_by_length([60, 10, 10], 2048, save_padding=True)) == 1  # too small to cut


@given(st.lists(st.integers(1, 60), max_size=60), st.integers(1, 2000), st.integers(1, 4))
def test_without_padding_every_segment_is_in_one_batch_and_batches_are_alike(lengths, budget, n_least):
    batches = share_out(lengths, budget, n_least)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    sizes = [sum(lengths[i] for i in batch) for batch in batches]
    assert all(size < budget + max(lengths) for size in sizes)
    assert max(sizes, default=0) - min(sizes, default=0) <= 2 * max(lengths, default=0)


def test_each_thread_has_a_batch_where_there_is_enough_to_do():
    assert len(share_out([64] * 16, 2048)) == 1
    assert len(share_out([64] * 16, 2048, n_least=2)) == 2
    assert len(share_out([64] * 8, 2048, n_least=2)) == 1
