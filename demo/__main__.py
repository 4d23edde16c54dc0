"""``python -m demo``: do vectors tell the senses of a word apart?

Without options, the example sentences beside this file; with ``--text`` or ``--file``, the words that occur in
several sentences of the reader's own text.
"""

from __future__ import annotations

import argparse
import re
import sys
from itertools import chain
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from rich.console import Console
from rich.text import Text
from spacy.language import Language
from spacy.tokens import Doc, Token

from demo.pipeline import SHORT_TEXT, Source, build, encode, similarities
from demo.senses import Score, read_examples, score
from demo.tables import print_scores, print_times, print_tokens, print_verdicts, print_word
from spacy_ctx_embed.errors import ModelFormatError, ModelNotFoundError

EXAMPLES = Path(__file__).parent / "senses.jsonl"
PAGE = Path(__file__).parent / "senses.html"  # written anew by each run; git ignores it
SHOWN_WORDS = ("bank", "spring")  # of the examples: those whose sentences are printed
MAX_WORDS = 8  # of the reader's own text


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the demo.

    :param argv: command-line arguments without the program; ``None`` for the process's own.
    :return: exit status.
    """
    parser = argparse.ArgumentParser(prog="demo", description="Static, ELMo and BERT vectors side by side in spaCy.")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--text", help="your own English text instead of the example sentences")
    source.add_argument("--file", type=Path, help="a UTF-8 text file instead of the example sentences")
    parser.add_argument("--elmo", help="an ELMo model: a folder, an archive, or a model name")
    options = parser.parse_args(argv)
    texts = _own_texts(parser, options.text, options.file)
    console = Console()
    try:
        console.print("Loading the models …", style="dim")
        nlp, sources = build(options.elmo)
    except (ModelNotFoundError, ModelFormatError) as error:
        print(error, file=sys.stderr)
        return 1
    if texts is None:
        show_examples(console, nlp, sources)
    else:
        show_texts(console, nlp, sources, texts)
    return 0


def show_examples(console: Console, nlp: Language, sources: Sequence[Source]) -> None:
    """Score the words of the example sentences.

    :param console: where to print.
    :param nlp: the pipeline.
    :param sources: its sources.
    """
    examples = read_examples(EXAMPLES)
    docs = encode(nlp, sources, [example.text for example in chain(*examples.values())])
    remaining = iter(docs)
    tokens: Dict[str, List[Token]] = {
        word: [next(t for t in next(remaining) if t.text == word) for _ in group] for word, group in examples.items()
    }
    senses = {word: [example.sense for example in group] for word, group in examples.items()}
    scores: Dict[str, Dict[str, Score]] = {
        word: {s.component: score(similarities(tokens[word], s), senses[word]) for s in sources} for word in examples
    }
    print_scores(console, scores, sources)
    for word in SHOWN_WORDS:
        first_two = [i for i, s in enumerate(senses[word]) if senses[word][:i].count(s) < 2]
        print_word(console, word, [tokens[word][i] for i in first_two], sources, [senses[word][i] for i in first_two])
    print_times(console, docs, sources)
    print_verdicts(console, scores, sources)
    show_page(console, nlp)


def show_page(console: Console, nlp: Language) -> None:
    """Draw the same words use by use and layer by layer, on a page for the browser.

    :param console: where to print.
    :param nlp: the pipeline.
    """
    from spacy_ctx_embed.seeing.senses import draw_senses

    draw_senses(PAGE, SHOWN_WORDS, nlp=nlp)
    console.print(Text(f"Use by use and layer by layer, in the browser: {PAGE}", style="bold"), soft_wrap=True)
    console.print(Text(f"Other words: {Path(sys.executable).name} -m spacy embed senses WORD -o senses.html"))


def show_texts(console: Console, nlp: Language, sources: Sequence[Source], texts: Sequence[str]) -> None:
    """Compare the words that occur in several sentences; show a short text token by token.

    :param console: where to print.
    :param nlp: the pipeline.
    :param sources: its sources.
    :param texts: the reader's text, by paragraph.
    """
    docs = encode(nlp, sources, texts)
    if sum(map(len, docs)) <= SHORT_TEXT:
        print_tokens(console, docs, sources)
    words = repeated_words(docs)
    for word in list(words)[:MAX_WORDS]:
        print_word(console, word, words[word], sources)
    if not words:
        console.print("No word, function words apart, occurs in two sentences of this text: nothing to compare.\n")
    elif len(words) > MAX_WORDS:
        console.print(Text(f"{len(words) - MAX_WORDS} more words occur in two or more sentences.\n", style="dim"))
    print_times(console, docs, sources)


def repeated_words(docs: Sequence[Doc]) -> Dict[str, List[Token]]:
    """Find the words that occur in two or more sentences, function words apart.

    :param docs: Docs with sentences.
    :return: lower-cased word -> the first of its tokens in each sentence; the most frequent word first.
    """
    found: Dict[str, List[Token]] = {}
    for doc in docs:
        for sentence in doc.sents:
            firsts = {token.lower_: token for token in reversed(list(sentence))}
            for token in sorted(firsts.values(), key=lambda token: token.i):
                if token.is_alpha and not token.is_stop:
                    found.setdefault(token.lower_, []).append(token)
    repeated = {word: tokens for word, tokens in found.items() if len(tokens) > 1}
    return dict(sorted(repeated.items(), key=lambda item: -len(item[1])))


def _own_texts(parser: argparse.ArgumentParser, text: Optional[str], file: Optional[Path]) -> Optional[List[str]]:
    # The reader's text by paragraph; None if there is none. Ends the program, with one line, where it is unusable.
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except OSError as error:
            parser.error(f"--file: can't read '{file}': {error.strerror}")
        except UnicodeDecodeError as error:
            parser.error(f"--file: '{file}' is not UTF-8 text (byte {error.start}); convert it first")
    if text is None:
        return None
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    if not paragraphs:
        parser.error("the text is empty; give one or more sentences with --text or --file")
    return paragraphs


if __name__ == "__main__":
    sys.exit(main())
