"""How far an export is, on standard error: documents, tokens a second, time left."""

from __future__ import annotations

import time
from typing import Any, Optional, Sequence

from spacy_ctx_embed.export.corpus.files import InputFile
from spacy_ctx_embed.export.manifest import Done


class Progress:
    """A bar over the bytes of the input.

    :param files: the input.
    :param shown: whether there is a bar.
    """

    def __init__(self, files: Sequence[InputFile], *, shown: bool) -> None:
        self._bar: Optional[Any] = None
        self._documents = self._tokens = 0
        self._started = time.perf_counter()
        if shown:
            from tqdm import tqdm

            sizes = [file.size for file in files]
            total = None if None in sizes else sum(size or 0 for size in sizes)
            self._bar = tqdm(total=total, unit="B", unit_scale=True, leave=False)

    def read(self, n_bytes: int) -> None:
        """Note how far the input was read.

        :param n_bytes: of all files.
        """
        if self._bar is not None:
            self._bar.update(n_bytes - self._bar.n)

    def wrote(self, done: Done) -> None:
        """Note a shard.

        :param done: what is known of it.
        """
        self._documents += done.documents
        self._tokens += done.tokens
        if self._bar is not None:
            speed = self._tokens / (time.perf_counter() - self._started)
            self._bar.set_postfix_str(f"{self._documents:,} documents, {speed:,.0f} tokens/s")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
