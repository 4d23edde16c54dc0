"""WNUT 2017: words and IOB2 labels in columns -> spaCy's format, one Doc per sentence."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from wasabi import msg

LOCAL = {"train": "train.conll", "dev": "dev.conll"}
ASSETS = {"train": "wnut17train.conll", "dev": "emerging.dev.conll"}  # as they are called where they come from

Sentence = Tuple[List[str], List[str]]  # words and their labels


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Convert both parts.

    :param arguments: of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../../../shared/data/wnut17"), help="a local folder")
    parser.add_argument("--assets", type=Path, default=Path("assets"), help="the folder that is taken otherwise")
    parser.add_argument("--output", type=Path, default=Path("corpus"), help="folder to write to")
    parser.add_argument("--sentences", type=int, default=0, help="only so many of each part; 0 for all")
    settings = parser.parse_args(arguments)
    try:
        for part, file in find_files(settings.data, settings.assets).items():
            sentences = read_conll(file)[: settings.sentences or None]
            write_corpus(sentences, settings.output / f"{part}.spacy")
            n_words = sum(len(words) for words, _ in sentences)
            msg.good(f"{part}.spacy: {len(sentences):,} sentences, {n_words:,} words, of {file}")
    except (OSError, ValueError) as error:
        msg.fail("Can't prepare the data", error, exits=1)


def find_files(data: Path, assets: Path) -> Dict[str, Path]:
    """Find the data: the local folder, or else what was downloaded.

    :param data: a folder with both files under their local names.
    :param assets: a folder with both files under their original names.
    :return: the files "train" and "dev".
    :raises FileNotFoundError: if neither folder has both.
    """
    for folder, names in ((data, LOCAL), (assets, ASSETS)):
        files = {part: folder / name for part, name in names.items()}
        if all(file.is_file() for file in files.values()):
            return files
    raise FileNotFoundError(
        f"Found WNUT 2017 in neither of two places. Accepted: {' and '.join(LOCAL.values())} in {data}, or "
        f"{' and '.join(ASSETS.values())} in {assets}. Fix: download them by `python -m spacy project assets`, or name "
        "a folder by --vars.data FOLDER."
    )


def read_conll(file: Path) -> List[Sentence]:
    """Read sentences.

    :param file: a word, a tab and an IOB2 label on each line; between sentences a line with neither.
    :return: words and labels of each sentence.
    :raises ValueError: if a line has one of the two only.
    """
    sentences: List[Sentence] = [([], [])]
    for number, line in enumerate(file.read_text(encoding="utf8").split("\n"), 1):  # words may hold other line ends
        word, _, label = line.rstrip("\r").partition("\t")
        if word and label:
            sentences[-1][0].append(word)
            sentences[-1][1].append(label)
        elif word or label:
            raise ValueError(f"Line {number} of {file} is {line!r}. Accepted: a word, a tab and a label. Fix: mend it.")
        elif sentences[-1][0]:
            sentences.append(([], []))
    return [sentence for sentence in sentences if sentence[0]]


def write_corpus(sentences: Sequence[Sentence], file: Path) -> None:
    """Write Docs. Their words are kept as they are: which of them a space followed is not known.

    :param sentences: words and labels.
    :param file: where to, for ``spacy.Corpus.v1``.
    :raises OSError: if it can't be written.
    """
    from spacy.tokens import Doc, DocBin
    from spacy.vocab import Vocab

    vocab = Vocab()
    docs = [Doc(vocab, words=words, ents=labels) for words, labels in sentences]
    file.parent.mkdir(parents=True, exist_ok=True)
    DocBin(docs=docs).to_disk(file)


if __name__ == "__main__":
    main()
