"""Pages from the templates beside this file, with all text from outside escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_TEMPLATES = Path(__file__).parent / "templates"


def write_template(output: Path, template: str, **values: Any) -> None:
    """Write a page.

    :param output: the HTML file.
    :param template: name of the template.
    :param **values: what it names; text is escaped.
    :raises OSError: if the file can't be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    room = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = room.get_template(template).render(**values)
    output.write_text(page, encoding="utf8", errors="backslashreplace")
