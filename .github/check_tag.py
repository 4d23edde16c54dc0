"""Says what keeps a tag from being released: python check_tag.py v1.2.3. Exit status 1 where there is something."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import List

ROOT = Path(__file__).parent.parent


def complaints(tag: str) -> List[str]:
    """Compare a tag with the version in the package, in CHANGELOG and in CITATION.

    :param tag: the tag.
    :return: what does not fit.
    """
    version = runpy.run_path(str(ROOT / "spacy_ctx_embed" / "about.py"))["__version__"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf8")
    found = []
    if tag != f"v{version}":
        found.append(f"The tag is {tag}, and spacy_ctx_embed/about.py has the version {version}: tag v{version}.")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changes, flags=re.MULTILINE):
        found.append(f"CHANGELOG.md has no section '## [{version}] - <year>-<month>-<day>'.")
    if f"\nversion: {version}\n" not in citation:
        found.append(f"CITATION.cff has no line 'version: {version}'.")
    return found


if __name__ == "__main__":
    wrong = complaints(sys.argv[1])
    sys.stdout.write("".join(f"::error::{line}\n" for line in wrong))
    sys.exit(bool(wrong))
