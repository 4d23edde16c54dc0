"""Runs the first Python snippet of a page in the Python that is installed here: python first_snippet.py README.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def first_snippet(page: Path) -> str:
    """Read the first snippet.

    :param page: a Markdown file.
    :return: its first block of Python.
    """
    found = _SNIPPET.search(page.read_text(encoding="utf8"))
    if found is None:
        raise ValueError(f"{page} has no block that begins with ```python")
    return found[1]


if __name__ == "__main__":
    exec(compile(first_snippet(Path(sys.argv[1])), sys.argv[1], "exec", dont_inherit=True), {"__name__": "__main__"})
