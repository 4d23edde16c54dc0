"""Docs of a corpus, one after another.

Enters: a text file or a ``.spacy`` file. Leaves: Docs as the pipeline's tokenizer makes them; never all at once.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Iterable, Iterator, List, Optional, Sequence

from spacy.language import Language
from spacy.pipeline import Sentencizer
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc, DocBin

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.pipeline.component import EmbeddingComponent

_ACCEPTED = "a UTF-8 text file with one Doc a line, or a .spacy file, that holds at least one word"


def read_docs(
    nlp: Language, corpus: Path, *, owner: str, limit: Optional[int] = None, having: Sequence[str] = ()
) -> Iterator[Doc]:
    """Read the Docs of a corpus. Only the tokenizer of the pipeline is run; Docs of a ``.spacy`` file keep theirs.

    :param nlp: the pipeline.
    :param corpus: a text file, one Doc a line, or a ``.spacy`` file.
    :param owner: the command, for messages.
    :param limit: Docs at most.
    :param having: words of which a Doc has to have one; capitals don't count. Lines of text without any are passed over
        before they are tokenized, and count for ``limit``; Docs of a ``.spacy`` file come all. All come if empty.
    :yields: the Docs, none empty.
    :raises ValueError: if there are none, or the file can't be read as what its name says.
    """
    if not corpus.is_file():
        raise _unusable(owner, corpus)
    docs: Iterator[Optional[Doc]] = (
        _from_bin(nlp, corpus) if corpus.suffix == ".spacy" else _from_lines(nlp, corpus, having)
    )
    none = True
    try:
        for doc in islice(docs, limit):
            none = False
            if doc is not None:
                yield doc
    except UnicodeDecodeError as error:
        raise _unusable(owner, corpus) from error
    if none:
        raise _unusable(owner, corpus)


def sentencizer_of(nlp: Language) -> Optional[Sentencizer]:
    """Find the component that sets sentence starts by rules before a pipeline makes any vector.

    :param nlp: the pipeline.
    :return: the component; ``None`` if there is none, or an embedding component comes before it and sees no sentences.
    """
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, EmbeddingComponent):
            return None
        if isinstance(pipe, Sentencizer):
            return pipe
    return None


def batches(docs: Iterable[Doc], n_tokens: int) -> Iterator[List[Doc]]:
    """Put Docs together that are run at a time.

    :param docs: the Docs, none of which is read before its batch is asked for.
    :param n_tokens: tokens of a batch, a Doc more or less.
    :yields: the batches, in order, none empty.
    """
    batch: List[Doc] = []
    size = 0
    for doc in docs:
        batch.append(doc)
        size += len(doc)
        if size >= n_tokens:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _from_bin(nlp: Language, corpus: Path) -> Iterator[Doc]:
    return (doc for doc in DocBin().from_disk(corpus).get_docs(nlp.vocab) if len(doc))


def _from_lines(nlp: Language, corpus: Path, having: Sequence[str]) -> Iterator[Optional[Doc]]:
    # None for a line that has words, but none of those wanted.
    own = isinstance(nlp.tokenizer, Tokenizer)  # its tokens are parts of the text; those of others may not be
    wanted = [_folded(word) for word in having] if own else []
    with corpus.open(encoding="utf-8-sig") as lines:
        for line in lines:
            text = line.strip()
            if text:
                folded = _folded(text) if wanted else ""
                yield nlp.make_doc(text) if not wanted or any(word in folded for word in wanted) else None


def _folded(text: str) -> str:
    # The one letter that lower() writes by its place in the word is made one again.
    return text.lower().replace("ς", "σ")


def _unusable(owner: str, corpus: Path) -> ValueError:
    return ValueError(Errors.E001.format(owner=owner, key="corpus", value=str(corpus), accepted=_ACCEPTED))
