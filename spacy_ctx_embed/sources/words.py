"""Which words a static table has, the most frequent first as tables are written."""

from __future__ import annotations

from itertools import islice
from typing import List, Sequence

from spacy.vocab import Vocab

from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.encoders.static.vocab_table import table_of_vocab
from spacy_ctx_embed.encoders.static.word_vectors import TableVectors, VocabVectors
from spacy_ctx_embed.sources.layers import Source


def table_words(source: Source, vocab: Vocab, limit: int) -> List[str]:
    """List the words of a static source.

    :param source: any source.
    :param vocab: the pipeline's vocab, whose own vectors the source may read.
    :param limit: words at most.
    :return: the first words of its table, none of them whitespace; no words where there is no list of them, as for
        floret and contextual sources.
    """
    network = encoder_shims(source.model)[0].network()
    words: Sequence[str] = []
    if isinstance(network, TableVectors):
        words = network.table.words
    elif isinstance(network, VocabVectors) and (table := table_of_vocab(vocab)) is not None:
        words = table.words
    elif isinstance(network, VocabVectors) and vocab.vectors.mode != "floret":
        rows = vocab.vectors.key2row
        words = [vocab.strings[key] for key in sorted(rows, key=rows.__getitem__) if key in vocab.strings]
    return list(islice((word for word in words if word.strip()), limit))
