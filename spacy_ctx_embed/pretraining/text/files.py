"""Files and folders of text -> texts, one after the other; no file is held in memory whole, save ``.spacy`` files.

What a file holds, its name tells: ``.jsonl`` objects with ``text`` or ``tokens``, ``.spacy`` Docs, any other name
texts, one a line. ``.gz``, ``.xz`` or ``.zst`` behind that says that it is compressed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Dict, Iterator, List, NoReturn, Optional, Sequence, Union

from spacy_ctx_embed.errors import CorpusError, Errors
from spacy_ctx_embed.pretraining.text.compressed import DAMAGED, OWNER, bare_name, open_file

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

MAX_LINE = 1 << 20  # bytes; a longer line of plain text is read in pieces
_BOM = b"\xef\xbb\xbf"
_DOCS_PER_VOCAB = 10_000  # a vocabulary keeps each word that it has seen


def find_files(paths: Sequence[Path], key: str) -> List[Path]:
    """List the files to read.

    :param paths: files and folders. Of a folder all files in it are taken, however deep, sorted by path; hidden ones
        and those in hidden folders are not.
    :param key: the config key that named them, for messages.
    :return: the files, in the order of ``paths``.
    :raises CorpusError: if a path is not there, or there is no file.
    """
    files: List[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [file for file in sorted(path.rglob("*")) if not _is_hidden(file.relative_to(path))]
            found = [file for file in inside if file.is_file()]
        else:
            found = [path] if path.exists() else []
        if not found:
            reason = "a folder without files in it" if path.is_dir() else "not there"
            raise CorpusError(Errors.E030.format(key=key, file=path, reason=reason))
        files.extend(found)
    if not files:
        raise CorpusError(Errors.E030.format(key=key, file="[]", reason="an empty list"))
    return files


def mix_of_files(mix: Sequence[float], files: Sequence[Sequence[Path]], has_dev: bool) -> List[float]:
    """Tell how often each file is read.

    :param mix: how often each of ``paths.train`` is; all once, if it is empty.
    :param files: the files of each of them.
    :param has_dev: whether there are files to evaluate on.
    :return: a number per file, or none.
    :raises ValueError: if there are more or fewer numbers than paths; or none to evaluate on: a text that is read twice
        would be held out once.
    """
    if not mix:
        return []
    if len(mix) != len(files):
        accepted = f"a number for each of {len(files)} paths.train"
        raise ValueError(Errors.E001.format(owner=OWNER, key="pretraining.mix", value=list(mix), accepted=accepted))
    if not has_dev:
        accepted = "files or folders of text, as pretraining.mix is set"
        raise ValueError(Errors.E001.format(owner=OWNER, key="paths.dev", value=None, accepted=accepted))
    return [times for times, inside in zip(mix, files) for _ in inside]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read_texts(file: Path, key: str) -> Iterator[Union[str, Doc]]:
    """Read the texts of a file, as they are asked for.

    :param file: which, of any of the formats named above.
    :param key: the config key that named it, for messages.
    :yield: per text a ``str``, or where its tokens are given a Doc of these, with its sentence bounds if they are
        given too. Empty lines, texts and lists are skipped. A line of plain text that is longer than ``MAX_LINE`` bytes
        is cut, at spaces if there are any.
    :raises CorpusError: if the file can't be read or is not what its name says.
    :raises ImportError: if it is a ``.zst`` file, and the package that reads them is not installed.
    """
    reader = _READERS.get(bare_name(file).suffix.lower(), _read_lines)
    try:
        with open_file(file, key) as stream:
            yield from reader(stream, file, key)
    except DAMAGED as error:
        raise CorpusError(Errors.E031.format(key=key, file=file, reason=_said(error))) from error
    except OSError as error:
        raise CorpusError(Errors.E030.format(key=key, file=file, reason=f"not readable ({_said(error)})")) from error


def _said(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _read_lines(stream: BinaryIO, file: Path, key: str) -> Iterator[Union[str, Doc]]:
    number, carried = 1, b""
    while piece := stream.readline(MAX_LINE):
        line = carried + piece
        is_whole = len(piece) < MAX_LINE or piece.endswith(b"\n")
        end = len(line) if is_whole else _place_to_cut(line)
        text = _decode(line[:end], number, file, key)
        if text:
            yield text
        carried = line[end:]
        number += is_whole
    if text := _decode(carried, number, file, key):
        yield text


def _place_to_cut(line: bytes) -> int:
    # Behind the last space, or without one before the last character, which may have been cut itself.
    end = line.rfind(b" ") + 1 or len(line)
    while end > 1 and line[end - 1] & 0xC0 == 0x80:
        end -= 1
    return end - 1 if line[end - 1] >= 0xC0 and end > 1 else end


def _decode(line: bytes, number: int, file: Path, key: str) -> str:
    if number == 1 and line.startswith(_BOM):
        line = line[len(_BOM) :]
    try:
        return line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        reason = f"byte 0x{line[error.start]:02x}: {error.reason}"
        raise CorpusError(Errors.E032.format(key=key, file=file, line=number, reason=reason)) from error


def _read_json_lines(stream: BinaryIO, file: Path, key: str) -> Iterator[Union[str, Doc]]:
    from spacy.vocab import Vocab

    vocab = Vocab()
    for number, line in enumerate(stream, 1):
        text = _decode(line, number, file, key)
        if not text:
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            _refuse(f"not JSON ({_said(error)})", number, file, key, error)
        if number % _DOCS_PER_VOCAB == 0:
            vocab = Vocab()
        found = _of_record(record, vocab, number, file, key)
        if found is not None:
            yield found


def _of_record(record: Any, vocab: Vocab, number: int, file: Path, key: str) -> Optional[Union[str, Doc]]:
    from spacy.tokens import Doc

    if not isinstance(record, dict):
        _refuse("not an object", number, file, key)
    tokens = record.get("tokens")
    given = record.get("text") if tokens is None else tokens
    if given is None:
        _refuse("an object without 'text' and 'tokens'", number, file, key)
    if tokens is None and not isinstance(given, str):
        _refuse("an object whose 'text' is not a string", number, file, key)
    if tokens is not None and not (isinstance(given, list) and all(isinstance(token, str) for token in given)):
        _refuse("an object whose 'tokens' are not a list of strings", number, file, key)
    try:
        "".join(given).encode("utf-8")
    except UnicodeEncodeError as error:  # one half of a surrogate pair, which only an escape can give
        _refuse(f"an object with half a character ({_said(error)})", number, file, key, error)
    if isinstance(given, str):
        return given.strip() or None
    words = [token for token in given if token]
    return Doc(vocab, words=words) if words else None


def _refuse(reason: str, number: int, file: Path, key: str, cause: Optional[BaseException] = None) -> NoReturn:
    raise CorpusError(Errors.E033.format(key=key, file=file, line=number, reason=reason)) from cause


def _read_docs(stream: BinaryIO, file: Path, key: str) -> Iterator[Union[str, Doc]]:
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    content = stream.read()
    try:
        for doc in DocBin().from_bytes(content).get_docs(Vocab()):
            if len(doc):
                yield doc
    except Exception as error:  # what is raised depends on where the bytes are wrong
        raise CorpusError(Errors.E034.format(key=key, file=file, reason=_said(error))) from error


_Reader = Callable[[BinaryIO, Path, str], Iterator[Union[str, "Doc"]]]
_READERS: Dict[str, _Reader] = {".jsonl": _read_json_lines, ".spacy": _read_docs}
