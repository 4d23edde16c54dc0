"""Looks for dead links, and pages that are none, in the built site: python docs/check_links.py site.

Exit status 1 where there is one.
"""

from __future__ import annotations

import os
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Dict, List, Optional, Set, Tuple
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    # Links of a page, and what can be linked to in it.

    def __init__(self, text: str) -> None:
        super().__init__()
        self.is_html = text.lstrip().lower().startswith("<!doctype html")
        self.links: List[str] = []
        self.anchors: Set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        """Take what a tag links to, and what it is called.

        :param tag: the tag.
        :param attrs: its attributes.
        """
        for key, value in attrs:
            if value and key in ("id", "name"):
                self.anchors.add(value)
            elif value and key in ("href", "src"):
                self.links.append(value)


def dead_links(site: Path, address: str = "") -> List[str]:
    """Find links inside the site that lead nowhere.

    :param site: the folder of the site.
    :param address: where the site will be, as mkdocs was told: links from the host's root begin with its path.
    :return: ``page: link`` of each, and pages that are no HTML.
    """
    root = f"{urlsplit(address).path.rstrip('/')}/"
    site = site.resolve()
    pages: Dict[Path, _Page] = {file: _Page(file.read_text(encoding="utf8")) for file in site.rglob("*.html")}
    found = []
    for file, page in pages.items():
        if not page.is_html:
            found.append(f"{file.relative_to(site)}: is no page, but begins otherwise")
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = unquote(parts.path)
            if path.startswith("/"):  # the page of errors, which may be shown anywhere
                target = site / path.removeprefix(root).lstrip("/")
            else:
                target = (file.parent / path).resolve() if path else file
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            known = pages.get(target)
            if not target.is_file() or (anchor and known is not None and anchor not in known.anchors):
                found.append(f"{file.relative_to(site)}: {link}")
    return sorted(set(found))


if __name__ == "__main__":
    dead = dead_links(Path(sys.argv[1]), os.environ.get("SITE_URL", ""))
    sys.stdout.write("".join(f"{line}\n" for line in dead))
    sys.exit(bool(dead))
