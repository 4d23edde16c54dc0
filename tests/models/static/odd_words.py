"""Words that tables have and that are easily broken, and a table of any words."""

from pathlib import Path

import numpy as np

from spacy_ctx_embed.models.static.tables.table import make_table

SYMBOLS = ["NOUN", "ORTH", "nsubj", "IS_SPACE", "PERSON"]
ODD = [*SYMBOLS, "new\nline", "a b", "\x85", "🙂", "e\u0301", "x" * 1000, "\0", "\u2028.", "noun"]


def table_of(words, width=3):
    return make_table(Path("test"), words, np.arange(len(words) * width, dtype="f").reshape(-1, width) + 1)
