"""Reads a model name: what is written in a config -> the places to look, in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

SCHEMES = ("package", "hub", "gensim")


@dataclass(frozen=True)
class Place:
    """One place where a model may be.

    :param scheme: ``path``, ``package``, ``hub``, ``gensim`` or ``url``.
    :param target: the rest of the name: a path, ``NAME/sub/path``, ``org/repo``, a data set name, a URL.
    """

    scheme: str
    target: str

    def __str__(self) -> str:
        return self.target if self.scheme in ("path", "url") else f"{self.scheme}:{self.target}"


def parse_place(text: str) -> Place:
    """Read one place.

    :param text: a path, ``package:…``, ``hub:…``, ``gensim:…`` or an http(s) URL.
    :return: the place; a text without a known prefix is a path.
    """
    scheme, colon, target = text.partition(":")
    if colon and scheme in SCHEMES:
        return Place(scheme, target)
    if colon and scheme in ("http", "https"):
        return Place("url", text)
    return Place("path", text)


def places_of(name: str, aliases: Dict[str, List[str]], *, bare_hub_ids: bool) -> List[Place]:
    """List where a name may lead, in order: a prefix decides; else an alias; else a path; else a bare hub id.

    :param name: the value of the config key ``name``.
    :param aliases: alias -> places.
    :param bare_hub_ids: whether ``org/repo`` and ``repo`` without a prefix mean the Hugging Face Hub.
    :return: at least one place.
    """
    place = parse_place(name)
    if place.scheme != "path":
        return [place]
    if name in aliases:
        return [parse_place(text) for text in aliases[name]]
    if bare_hub_ids and not Path(name).exists() and _could_be_hub_id(name):
        return [place, Place("hub", name)]
    return [place]


def _could_be_hub_id(name: str) -> bool:
    return name.count("/") <= 1 and not name.startswith((".", "/", "~")) and "\\" not in name and name != ""
