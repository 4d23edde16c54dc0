"""What MkDocs calls while it builds the site: files of the repository that pages link to become files of the site.

On GitHub ``../configs/bert.cfg`` leads into the repository; on the site it leads to a copy of that file, so that no
link is dead and none needs a host.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Iterator, List

ROOT = Path(__file__).parent.parent
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./((?!\.\./)[\w./-]+)(?:#[\w-]+)?\)")
_LANGUAGE = re.compile(r"\n\[(?:简体中文|English)\]\([\w./-]+\)\n")
_HEADING = re.compile(r'(<h[1-6][^>]* id=")[^"]*(".*?href="#)[^"]*(")')
_PAGE_LINK = re.compile(r'href="((?:\.\./)*[\w./-]+\.(?:md|ipynb))((?:#[\w-]+)?)"')
_LANGUAGE_HTML = re.compile(r'<p><a href="[\w.-]+\.ipynb">(?:简体中文|English)</a></p>')
_TEXT = {".md", ".cfg", ".py", ".toml", ".txt", ".yml", ".json"}


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links that leave ``docs/`` to copies, and drop the link to the other language, which the header has.

    :param markdown: of the page.
    :param page: the page.
    :param config: of the site.
    :param files: of the site.
    :return: the Markdown to render.
    """
    up = "../" * page.file.dest_uri.count("/")
    return _OUTSIDE.sub(
        lambda found: f'<a href="{up}{_copied(found[2])}">{found[1]}</a>', _LANGUAGE.sub("\n", markdown, count=1)
    )


def on_post_build(config: Any) -> None:
    """Write the copies.

    :param config: of the site.
    """
    site = Path(config["site_dir"])
    texts = [page.read_text(encoding="utf8") for page in (ROOT / "docs").rglob("*.md")]
    for path in {found[2] for text in texts for found in _OUTSIDE.finditer(text)}:
        source = ROOT / path
        for file in _shown(source) if source.is_dir() else [source]:
            _write(site, file.relative_to(ROOT).as_posix(), file.read_bytes())
        if source.is_dir():
            _write(site, path, _listing(source).encode("utf8"))
    _copy_sitemap(site)


def _write(site: Path, path: str, content: bytes) -> None:
    target = site / _copied(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _copy_sitemap(site: Path) -> None:
    # The theme asks for the pages of each language in the folder of the page that it is on.
    sitemap = site / "sitemap.xml"
    if sitemap.is_file():
        for folder in {file.parent for file in site.rglob("*.html")} - {site, *site.glob("files/**/")}:
            (folder / "sitemap.xml").write_bytes(sitemap.read_bytes())


def _copied(path: str) -> str:
    # Where a file or folder of the repository is on the site; browsers show text only under a name that says so.
    path = path.rstrip("/")
    return f"files/{path}/index.html" if (ROOT / path).is_dir() else f"files/{path}.txt"


def _shown(folder: Path) -> List[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in _TEXT)


def _listing(folder: Path) -> str:
    items = "".join(f'<li><a href="{file.name}.txt">{file.name}</a></li>' for file in _shown(folder))
    return f'<!doctype html><meta charset="utf8"><title>{folder.name}</title><h1>{folder.name}</h1><ul>{items}</ul>'


# Notebooks. mkdocs-static-i18n makes each file anew and asks it whether it is a page; mkdocs-jupyter says so of its own
# wrapper only, which is lost by then, so that notebooks would be copied as they are.
def on_startup(command: str, dirty: bool) -> None:
    """Count notebooks among the pages.

    :param command: of MkDocs.
    :param dirty: whether only changed pages are built.
    """
    from mkdocs.structure.files import File

    File.is_documentation_page = lambda self: self.src_uri.endswith((".md", ".ipynb"))  # type: ignore[method-assign]


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Lead the links of a notebook to pages, which MkDocs does for Markdown only, and drop that to the other language.

    :param html: of the page.
    :param page: the page.
    :param config: of the site.
    :param files: of the site.
    :return: the HTML with links to pages.
    """
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    html = _LANGUAGE_HTML.sub("", html, count=1)
    anchors = iter([link.id for link in _all(page.toc)])  # nbconvert leaves nothing of a Chinese heading in its own
    html = _HEADING.sub(lambda found: f"{found[1]}{(anchor := next(anchors))}{found[2]}{anchor}{found[3]}", html)

    def page_of(found: re.Match) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), found[1]))
        target = files.get_file_from_path(path)
        return f'href="{target.url_relative_to(page.file)}{found[2]}"' if target else found[0]

    return _PAGE_LINK.sub(page_of, html)


def _all(links: Any) -> Iterator[Any]:
    for link in links:
        yield link
        yield from _all(link.children)
