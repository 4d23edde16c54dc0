"""Text to measure with: real where there is some on this machine, made where there is none.

``gutenberg`` and ``wnut17`` are in the project's data folder; ``news`` is the Lee background corpus (300 articles)
that gensim's package brings; ``made`` is drawn from a Zipf-like vocabulary with a fixed seed.
"""

from __future__ import annotations

import importlib.util
import lzma
import random
from itertools import islice
from pathlib import Path
from typing import List, Sequence, Tuple

_LARGEST = 4_000_000  # characters read of a text


def find_text(choice: str, data: Path, order: Sequence[str]) -> Tuple[str, str]:
    """Read text.

    :param choice: a file, or "gutenberg", "wnut17", "news", "made", or "auto" for the first there is.
    :param data: the project's data folder; may be missing.
    :param order: what "auto" tries, in order.
    :return: where it is from, and the text, one paragraph or sentence a line.
    :raises SystemExit: if what was asked for is not there.
    """
    if choice == "auto":
        for name in [*order, "made"]:
            text = _named(name, data)
            if text:
                return name, text
    text = _named(choice, data)
    if not text and Path(choice).is_file():
        text = Path(choice).read_text(encoding="utf8")[:_LARGEST]
    if not text:
        raise SystemExit(f"--text {choice}: no such file, and no text of that name on this machine")
    return Path(choice).name, text


def texts_of_tokens(text: str, n_texts: int, n_tokens: int) -> List[str]:
    """Cut a text into pieces that spaCy's English tokenizer cuts into so many tokens each.

    :param text: the text; repeated where it is too short.
    :param n_texts: how many pieces.
    :param n_tokens: tokens each.
    :return: the pieces.
    """
    import spacy

    nlp = spacy.blank("en")
    pieces: List[str] = []
    pool: List[str] = []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    while len(pieces) < n_texts:
        for line in lines:
            pool.extend(token.text_with_ws for token in nlp.make_doc(line + " "))
            while len(pool) >= n_tokens:
                piece = "".join(pool[:n_tokens]).strip()
                del pool[:n_tokens]
                if len(nlp.make_doc(piece)) == n_tokens:  # a cut can change how its edges are tokenized
                    pieces.append(piece)
            if len(pieces) >= n_texts:
                break
    return pieces[:n_texts]


def sentences_of(text: str, n_sentences: int, *, longest: int = 80) -> List[List[str]]:
    """Cut a text into sentences of words.

    :param text: the text; repeated where it is too short.
    :param n_sentences: how many.
    :param longest: longer ones are left out.
    :return: the words of each sentence.
    """
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    found: List[List[str]] = []
    for doc in nlp.pipe(islice((line for line in text.splitlines() if line.strip()), 20 * n_sentences)):
        for sentence in doc.sents:
            words = [token.text for token in sentence if not token.is_space]
            if 3 <= len(words) <= longest:
                found.append(words)
        if len(found) >= n_sentences:
            break
    if not found:
        raise SystemExit("--text has no sentence of 3 to 80 words")
    return (found * (n_sentences // len(found) + 1))[:n_sentences]


def _named(name: str, data: Path) -> str:
    if name == "gutenberg" and (data / "gutenberg" / "test.txt.xz").is_file():
        with lzma.open(data / "gutenberg" / "test.txt.xz", "rt", encoding="utf8") as file:
            return file.read(_LARGEST)
    if name == "wnut17" and (data / "wnut17" / "train.conll").is_file():
        return _conll(data / "wnut17" / "train.conll")
    if name == "news":
        spec = importlib.util.find_spec("gensim")
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / "test" / "test_data" / "lee_background.cor"
            return path.read_text(encoding="utf8") if path.is_file() else ""
    return _made() if name == "made" else ""


def _conll(path: Path) -> str:
    sentences: List[List[str]] = [[]]
    for line in path.read_text(encoding="utf8").splitlines():
        if line.strip():
            sentences[-1].append(line.split("\t")[0])
        elif sentences[-1]:
            sentences.append([])
    return "\n".join(" ".join(words) for words in sentences)


def _made(n_words: int = 200_000, n_types: int = 20_000) -> str:
    # Words of two to nine letters, by Zipf's law; a sentence of about 20 words a line.
    draw = random.Random(0)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in "aeiou"]
    types = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(n_types)]
    words = draw.choices(types, weights=[1 / (rank + 3) for rank in range(n_types)], k=n_words)
    lines, start = [], 0
    while start < n_words:
        end = start + draw.randint(8, 34)
        lines.append(" ".join(words[start:end]).capitalize() + ".")
        start = end
    return "\n".join(lines)
