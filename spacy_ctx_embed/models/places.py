"""Looks in each place of a model name and gives the first that has the files: path, package, hub, gensim, URL.

What is found nowhere is one error that says for each place why it failed and what would mend it.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from spacy_ctx_embed.errors import Errors, ModelNotFoundError, first_line
from spacy_ctx_embed.models.aliases import PROVIDERS, all_aliases, list_aliases
from spacy_ctx_embed.models.downloads import DownloadError, download, missing_files
from spacy_ctx_embed.models.hub.client import HubError, fetch_files, offline
from spacy_ctx_embed.models.names import Place, places_of, web_files
from spacy_ctx_embed.models.transformer.fetch import fetch_adapter, fetch_transformer

CACHE_VARIABLE = "SPACY_CTX_EMBED_CACHE"


@dataclass(frozen=True)
class FoundModel:
    """Where a model is.

    :param path: its file or folder on this machine.
    :param place: the place in which it was found, as it would be written in a config.
    """

    path: Path
    place: str


@dataclass(frozen=True)
class _Wanted:
    # What is looked for, besides its name: the arguments of find_model.
    kind: str
    revision: Optional[str]
    own_code: bool
    local: bool = False  # whether nothing may be downloaded


class _NotHereError(Exception):
    # Why one place failed (args[0]) and what would mend it (args[1], may be empty).
    pass


def find_model(
    kind: str,
    name: str,
    *,
    owner: str,
    key: str = "'name' in the config",
    revision: Optional[str] = None,
    own_code: bool = False,
) -> FoundModel:
    """Find the files of a model.

    :param kind: family of the encoder, "static", "elmo" or "bert"; bare hub ids are for "bert" only.
    :param name: the value of the config key ``name``, or of what ``key`` says.
    :param owner: component or registered name, for the message.
    :param key: what the user sets to name another model, for the message.
    :param revision: branch, tag or commit of a hub repository.
    :param own_code: whether Python files of a hub repository are fetched too, as its code is trusted.
    :return: the first place that has them.
    :raises ModelNotFoundError: if none has; it lists each place, why it failed, and the fix.
    """
    found, failures = _search(name, _Wanted(kind, revision, own_code))
    if found is not None:
        return found
    tried, fix = _told(failures, f"set {key} to the path of the model's files")
    message = Errors.E010.format(owner=owner, value=name, tried=tried, aliases=list_aliases(), fix=fix)
    raise ModelNotFoundError(message)


def find_adapter(name: str, *, owner: str) -> Path:
    """Find the files of a peft adapter. It has no aliases.

    :param name: the value of the config key ``adapter``.
    :param owner: component or registered name, for the message.
    :return: the folder, in the first place that has one.
    :raises ModelNotFoundError: if none has; it lists each place, why it failed, and the fix.
    """
    found, failures = _search(name, _Wanted("adapter", None, False))
    if found is not None:
        return found.path
    tried, fix = _told(failures, "set 'adapter' in the config to the path of its folder")
    raise ModelNotFoundError(Errors.E019.format(owner=owner, value=name, tried=tried, fix=fix))


def find_local(kind: str, name: str) -> Optional[FoundModel]:
    """Find the files of a model on this machine. Nothing is downloaded.

    :param kind: as for :func:`find_model`.
    :param name: the value of the config key ``name``.
    :return: the first place that has them; ``None`` if none has.
    """
    return _search(name, _Wanted(kind, None, False, local=True))[0]


def cache_folder() -> Path:
    """Folder for files downloaded from URLs.

    :return: ``$SPACY_CTX_EMBED_CACHE``, else ``spacy_ctx_embed`` in the user's cache folder.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spacy_ctx_embed"


def gensim_folder() -> Path:
    """Folder of gensim-data.

    :return: ``$GENSIM_DATA_DIR``, else ``gensim-data`` in the user's folder.
    """
    return Path(os.environ.get("GENSIM_DATA_DIR", "~/gensim-data")).expanduser()


def _search(name: str, wanted: _Wanted) -> Tuple[Optional[FoundModel], List[Tuple[Place, _NotHereError]]]:
    # The first place that has the model, and the failures of those before it.
    failures: List[Tuple[Place, _NotHereError]] = []
    aliases = all_aliases() if wanted.kind != "adapter" else {}
    for place in _prefer_downloaded(places_of(name, aliases, bare_hub_ids=wanted.kind in ("bert", "adapter"))):
        try:
            return FoundModel(_LOOK[place.scheme](place, wanted), str(place)), failures
        except _NotHereError as error:
            failures.append((place, error))
    return None, failures


def _told(failures: List[Tuple[Place, _NotHereError]], last_fix: str) -> Tuple[str, str]:
    # What was tried, a place a line, and all that would mend it.
    tried = "\n".join(f"  {place}: {error.args[0]}" for place, error in failures)
    fixes = [error.args[1] for _, error in failures if error.args[1]]
    return tried, "; or ".join(dict.fromkeys([*fixes, last_fix]))


def _look_path(place: Place, wanted: _Wanted) -> Path:
    path = Path(place.target).expanduser()
    index = Path(f"{path}.index")  # of a TensorFlow checkpoint, which is named without it; it has a sum of each tensor
    if place.target and (path.exists() or index.is_file()):
        return path if path.exists() else index
    raise _NotHereError("no such file or folder, and no such alias", "")


def _look_package(place: Place, wanted: _Wanted) -> Path:
    package, _, inside = place.target.partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        provider = PROVIDERS.get(package, package.replace("_", "-"))
        raise _NotHereError(f"the Python package {package} is not installed", f"pip install {provider}")
    for root in spec.submodule_search_locations:
        if (Path(root) / inside).exists():
            return Path(root) / inside
    raise _NotHereError(f"the installed package {package} has no {inside!r}", "")


def _look_hub(place: Place, wanted: _Wanted) -> Path:
    try:
        if wanted.kind == "bert":
            return fetch_transformer(place.target, wanted.revision, own_code=wanted.own_code, local=wanted.local)
        if wanted.kind == "adapter":
            return fetch_adapter(place.target)
        return fetch_files(wanted.kind, place.target, wanted.revision, local=wanted.local)
    except HubError as error:
        raise _NotHereError(error.reason, error.fix) from error


def _look_gensim(place: Place, wanted: _Wanted) -> Path:
    name = place.target
    base = gensim_folder()
    for file in (f"{name}.gz", f"{name}.bz2", f"{name}.zip"):
        if (base / name / file).is_file():
            return base / name / file
    if wanted.local or offline():
        raise _NotHereError(f"not in {base}, and HF_HUB_OFFLINE is set", f"put {name}.gz into {base / name}")
    import gensim.downloader

    try:
        return Path(gensim.downloader.load(name, return_path=True))
    except Exception as error:  # its downloader raises bare exceptions; each is a reason to report
        reason = f"gensim-data gave no files ({type(error).__name__}: {first_line(error)})"
        raise _NotHereError(reason, f"put {name}.gz into {base / name}") from error


def _look_url(place: Place, wanted: _Wanted) -> Path:
    try:
        files = web_files(place.target)
        download(files.urls, _url_folder(place), offline=wanted.local or offline())
    except ValueError as error:
        raise _NotHereError(first_line(error), "") from error
    except DownloadError as error:
        raise _NotHereError(error.reason, error.fix) from error
    return _url_folder(place) if files.several else _url_folder(place) / next(iter(files.urls))


def _url_folder(place: Place) -> Path:
    return cache_folder() / sha256(place.target.encode("utf8")).hexdigest()[:16]


def _prefer_downloaded(places: List[Place]) -> List[Place]:
    # Several URLs of an alias are mirrors: where one was downloaded from before, no other is asked.
    here = [place for place in places if place.scheme == "url" and _is_downloaded(place)]
    return [place for place in places if place.scheme != "url" or place in here] if here else places


def _is_downloaded(place: Place) -> bool:
    try:
        return not missing_files(web_files(place.target).urls, _url_folder(place))
    except ValueError:
        return False


_LOOK: Dict[str, Callable[[Place, _Wanted], Path]] = {
    "path": _look_path,
    "package": _look_package,
    "hub": _look_hub,
    "gensim": _look_gensim,
    "url": _look_url,
}
