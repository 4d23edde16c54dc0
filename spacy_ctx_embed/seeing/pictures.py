"""Pictures of the pages as PNG or SVG, drawn by matplotlib.

Enters: panels, each with what draws it. Leaves: one file with all of them, or a folder with a file for each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List, Sequence

from spacy_ctx_embed.errors import Errors

MOST_ROWS = 40  # of panels in one file; more would be larger than a PNG can be
_SIDE, _DPI = 3.6, 110  # inches; points per inch
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Emoji",
)


@dataclass(frozen=True)
class Panel:
    """One picture.

    :param name: of its file in a folder; what a file system may refuse is replaced.
    :param draw: draws it on the axes that it is given.
    """

    name: str
    draw: Callable[[Any], None]


def figure_class(owner: str, key: str) -> Any:
    """Import matplotlib.

    :param owner: the command, for messages.
    :param key: the option that asks for a picture.
    :return: its ``Figure``.
    :raises ImportError: if it is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        values = {"package": "matplotlib", "install": "spacy-ctx-embed[plot]", "reason": error}
        raise ImportError(Errors.E005.format(owner=owner, key=key, **values)) from error
    return Figure


def check_place(place: Path, kind: str, *, owner: str) -> None:
    """Check, before long work, that pictures can be made and where they go.

    :param place: a file whose name ends as the kind asks, or a folder, which need not exist.
    :param kind: "png" or "svg".
    :param owner: the command, for messages.
    :raises ImportError: if matplotlib is not installed.
    :raises ValueError: if the name has another ending, or the folder that it stands in does not exist.
    """
    key = f"--{kind}"
    figure_class(owner, key)
    if not _is_folder(place) and (place.suffix.lower() != f".{kind}" or not place.parent.is_dir()):
        accepted = f"a file that ends in .{kind}, in a folder that exists; or a folder, whose name has no ending"
        raise ValueError(Errors.E001.format(owner=owner, key=key, value=str(place), accepted=accepted))


def check_file(file: Path, *, owner: str, key: str) -> None:
    """Check, before long work, that a picture of any format can be written.

    :param file: where to; its suffix decides on the format.
    :param owner: the command, for messages.
    :param key: the option that asks for a picture.
    :raises ImportError: if matplotlib is not installed.
    :raises ValueError: if its suffix is of no format, or the folder that it stands in does not exist.
    """
    formats = figure_class(owner, key)().canvas.get_supported_filetypes()
    if file.suffix[1:].lower() not in formats or file.is_dir() or not file.parent.is_dir():
        accepted = f"a file that ends in {', '.join(f'.{name}' for name in formats)}, in a folder that exists"
        raise ValueError(Errors.E001.format(owner=owner, key=key, value=str(file), accepted=accepted))


def save_pictures(panels: Sequence[Panel], place: Path, kind: str, *, columns: int, owner: str) -> List[Path]:
    """Draw the panels and write them. The same panels give the same SVG, letter by letter.

    :param panels: at least one, row after row.
    :param place: as for :func:`check_place`.
    :param kind: "png" or "svg".
    :param columns: panels in a row of the one file.
    :param owner: the command, for messages.
    :return: the files written.
    :raises ValueError: if there are too many panels for one file.
    :raises OSError: if a file can't be written.
    """
    from matplotlib import font_manager, rc_context

    known = {font.name for font in font_manager.fontManager.ttflist}
    settings: Any = {
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "spacy-ctx-embed",
        "font.size": 8,
    }
    with rc_context({**settings, "font.family": [name for name in _FONTS if name in known]}):
        if _is_folder(place):
            place.mkdir(parents=True, exist_ok=True)
            files = [place / f"{name}.{kind}" for name in _file_names(panels)]
            for panel, file in zip(panels, files):
                _save([panel], file, kind, 1)
            return files
        if len(panels) > MOST_ROWS * columns:
            accepted = f"a folder, where there are more than {MOST_ROWS} rows of pictures"
            raise ValueError(Errors.E001.format(owner=owner, key=f"--{kind}", value=str(place), accepted=accepted))
        _save(panels, place, kind, columns)
        return [place]


def _save(panels: Sequence[Panel], file: Path, kind: str, columns: int) -> None:
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(_SIDE * columns, (_SIDE + 0.3) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for one, panel in zip(axes, panels):
        panel.draw(one)
    for one in axes[len(panels) :]:
        one.set_axis_off()
    figure.savefig(file, format=kind, dpi=_DPI, metadata={"Date": None} if kind == "svg" else None)


def _is_folder(place: Path) -> bool:
    return place.is_dir() or not place.suffix


def _file_names(panels: Sequence[Panel]) -> List[str]:
    # Letters, digits, "-" and "_" of any script, not longer than file systems take; each name once.
    names: List[str] = []
    for panel in panels:
        name = re.sub(r"[^\w-]+", "_", panel.name)[:60]
        again = sum(other == name or other.startswith(f"{name}~") for other in names)
        names.append(f"{name}~{again + 1}" if again else name)
    return names
