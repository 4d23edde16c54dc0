"""Text files -> word ids in one folder, written once and found again by its manifest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterator, Optional, Sequence, Union

from spacy_ctx_embed.errors import CorpusError, Errors
from spacy_ctx_embed.pretraining.text.batches import Text, batch_reader, cut_text, words_of
from spacy_ctx_embed.pretraining.text.compressed import OWNER
from spacy_ctx_embed.pretraining.text.files import read_texts
from spacy_ctx_embed.pretraining.text.folder import VERSION, PreparedText, load_prepared, read_manifest
from spacy_ctx_embed.pretraining.text.writing import DEV_KEY, TRAIN_KEY, Report, Writer

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

__all__ = ["DEV_KEY", "TRAIN_KEY", "PreparedText", "load_prepared", "prepare_text"]
_LOCK = ".lock"
_ROUNDING = 1e-6  # of a sum of shares such as 0.1


def prepare_text(
    directory: Path,
    nlp: Language,
    train: Sequence[Path],
    dev: Sequence[Path],
    *,
    held_out: float = 0.01,
    mix: Sequence[float] = (),
    n_process: int = 1,
    settings: str = "",
    report: Optional[Report] = None,
) -> PreparedText:
    """Write text as word ids, unless the folder has it already from the same files and settings.

    A failure on the way leaves a folder without manifest, and the next call starts anew. Two processes that prepare
    the same folder wait for one another.

    :param directory: the folder to write to; made if need be.
    :param nlp: tokenises the texts, and its components split them into sentences; where nothing does, each text is one.
        Of Docs and lists of tokens the tokens are kept, and of Docs with sentence bounds these too.
    :param train: files to train on, of the formats of ``read_texts``.
    :param dev: files to evaluate on; if there are none, texts of ``train`` are held out for it.
    :param held_out: the share held out: every ``round(1 / held_out)``-th text; of fewer texts the last one; of one text
        its last sentences.
    :param mix: how many times each of ``train`` is read, if any is given; in fractions, some of its texts. Needs
        ``dev``, else what is held out would also be trained on.
    :param n_process: processes that tokenise; the result is the same with any number. With more than 1, a script that
        calls this does so below ``if __name__ == "__main__":``.
    :param settings: what identifies the settings of ``nlp``: if it changes, the text is prepared anew.
    :param report: called after each batch with the texts and words read so far.
    :return: the text.
    :raises CorpusError: if a file can't be read, there is too little text, or too little space on the disk.
    :raises ImportError: if a package is missing that reads a file.
    :raises ValueError: if ``held_out`` is not a share.
    """
    from filelock import FileLock

    if not 0 < held_out < 1:
        values = {"owner": OWNER, "key": "held_out", "value": held_out, "accepted": "a number between 0 and 1"}
        raise ValueError(Errors.E001.format(**values))
    directory.mkdir(parents=True, exist_ok=True)
    sources = {
        "version": VERSION,
        "settings": settings,
        "held_out": None if dev else held_out,
        "train_files": [_identity(file, TRAIN_KEY) for file in train],
        "dev_files": [_identity(file, DEV_KEY) for file in dev],
        "mix": list(map(float, mix)),
    }
    with FileLock(directory / _LOCK):
        try:
            if sources.items() <= {"mix": [], **read_manifest(directory)}.items():  # older ones say nothing of it
                return load_prepared(directory)
        except CorpusError:
            pass  # nothing there, or damaged
        with Writer(directory, report) as writer:
            with batch_reader(nlp, n_process) as read:
                every = None if dev else max(2, round(1 / held_out))
                writer.read(read(_texts(train, TRAIN_KEY, nlp.max_length, mix)), writer.train, every)
                writer.read(read(_texts(dev, DEV_KEY, nlp.max_length)), writer.dev)
            if not dev:
                writer.hold_out_end(held_out)
            writer.finish(sources)
    return load_prepared(directory)


def _identity(file: Path, key: str) -> Dict[str, Union[str, int]]:
    try:
        stat = file.stat()
    except OSError as error:
        raise CorpusError(Errors.E030.format(key=key, file=file, reason=f"not readable ({error})")) from error
    return {"path": str(file.resolve()), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _texts(files: Sequence[Path], key: str, limit: int, mix: Sequence[float] = ()) -> Iterator[Text]:
    for text in _repeated(files, key, mix or [1.0] * len(files)):
        if isinstance(text, str):
            yield from cut_text(text, limit)
        else:
            yield words_of(text)


def _repeated(files: Sequence[Path], key: str, mix: Sequence[float]) -> Iterator[Union[str, Doc]]:
    # Of a share, the texts where the sum of shares reaches the next whole number. It goes on from file to file, as
    # those of a folder may have one text each.
    owed = 0.0
    for file, times in zip(files, mix):
        for n_before in range(math.ceil(times)):
            share = min(times - n_before, 1.0)
            for text in read_texts(file, key):
                owed += share
                if owed > 1 - _ROUNDING:
                    owed -= 1
                    yield text
