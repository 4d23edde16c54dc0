"""Reads a model name: what is written in a config -> the places to look, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List
from urllib.parse import urldefrag, urlsplit

SCHEMES = ("package", "hub", "gensim")

_SEVERAL = re.compile(r"([^{}]*)\{([^{}]+)\}([^{}]*)")
_FILE_NAME = re.compile(r"\w[\w.+@%()=,~ -]*")


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


@dataclass(frozen=True)
class WebFiles:
    """What a place on the web means.

    :param urls: the name of each file on this machine -> its URL.
    :param several: whether the model is a folder of files, and not one file (weights, or an archive of a model).
    """

    urls: Dict[str, str]
    several: bool


def parse_place(text: str) -> Place:
    """Read one place.

    :param text: a path, ``package:…``, ``hub:…``, ``gensim:…`` or an http(s) URL (see :func:`web_files`).
    :return: the place; a text without a known prefix is a path.
    """
    scheme, colon, target = text.partition(":")
    if colon and scheme in SCHEMES:
        return Place(scheme, target)
    if colon and scheme in ("http", "https"):
        return Place("url", text)
    return Place("path", text)


def web_files(target: str) -> WebFiles:
    """Read a URL as the files of a model.

    ``https://host/model.zip`` is one file. ``https://host/prefix_{options.json,weights.hdf5}`` is several: each part
    stands between what is before and after the braces. A part may have folders (``{a/options.json,b/weights.hdf5}``);
    its last name is the file's name here. One file whose URL does not end in its name gets one after ``#``:
    ``https://host/3?format=tar#model.tar.gz``.

    :param target: the URL of a place.
    :return: the files, in the order written.
    :raises ValueError: if a file has no name, or two have the same.
    """
    match = _SEVERAL.fullmatch(target)
    if match is None:
        url, name = urldefrag(target)
        pairs = [(name or urlsplit(url).path.rsplit("/", 1)[-1], url)]
    else:
        pairs = [(part.rsplit("/", 1)[-1], match[1] + part + match[3]) for part in match[2].split(",")]
    for name, url in pairs:
        if not _FILE_NAME.fullmatch(name):
            raise ValueError(f"{url} ends in no name of a file; write one after it, {url}#name")
    urls = dict(pairs)
    if len(urls) < len(pairs):
        raise ValueError("two of its files have the same name")
    return WebFiles(urls, match is not None)


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
