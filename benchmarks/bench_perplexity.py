"""Perplexity of a trained ELMo's language models on held-out books, against a Kneser-Ney 5-gram of the same text.

Both predict the same tokens of the same vocabulary, forward and backward: words, ``<UNK>`` for those outside it, and
the ends of sentences. The n-gram model (``kneser_ney.py``) is trained in this run on the prepared text that ELMo was
trained on; for the backward direction, on that text reversed. It never looks beyond the sentence. ELMo is measured both
with the state carried on from sentence to sentence and with each sentence read by itself.

The model is the ``model-best`` that ``python -m spacy embed pretrain-elmo`` writes, and ``--prepared`` the folder
``text`` beside it. Nothing here is drawn at random.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, List, Tuple

import measure

CARRIED, ALONE = "ELMo, carried on", "ELMo, by sentence"


def main() -> None:
    """Run the comparison."""
    test = measure.REPOSITORY.parent / "shared" / "data" / "gutenberg" / "test.txt.xz"
    kind = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=kind)
    parser.add_argument("--model", default="elmo-mini", help="an ELMo model with softmax.safetensors and vocab.txt")
    parser.add_argument("--prepared", type=Path, required=True, help="the folder of the text it was trained on")
    parser.add_argument("--test", type=Path, default=test, help="text to predict, as pretrain-elmo reads it")
    parser.add_argument("--order", type=int, default=5, help="longest n-grams")
    parser.add_argument("--train-tokens", type=int, default=0, help="train the n-grams on so many; 0 for all")
    parser.add_argument("--test-tokens", type=int, default=0, help="predict only so many; 0 for all")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    settings = parser.parse_args()
    measure.prepare(settings.threads)
    before = measure.machine()

    from spacy_ctx_embed.pretraining.text.folder import load_prepared

    prepared = load_prepared(settings.prepared)
    model, vocabulary = load_model(settings.model)
    if vocabulary != prepared.words[: len(vocabulary)]:
        raise SystemExit("--prepared: its most frequent words are not the vocabulary of the model: it is other text")
    words, tokens = read_test(settings.test, prepared.words)
    if settings.test_tokens:
        tokens = _whole_sentences(tokens, settings.test_tokens)
    losses, seconds = _losses(settings, model, words, tokens, prepared.train, len(vocabulary))
    _report(settings, before, losses, seconds, tokens, len(vocabulary), len(prepared.words))


def load_model(name: str) -> Tuple[Any, List[str]]:
    """Load both language models, in float32.

    :param name: a folder that the trainer wrote, or an alias of one.
    :return: a :class:`~spacy_ctx_embed.pretraining.network.language_model.LanguageModel`, and its vocabulary.
    :raises SystemExit: if it has no softmax.
    """
    import torch

    from spacy_ctx_embed.models.elmo.formats import read_elmo
    from spacy_ctx_embed.models.places import find_model
    from spacy_ctx_embed.networks.elmo.module import ElmoModule
    from spacy_ctx_embed.pretraining.build import load_softmax
    from spacy_ctx_embed.pretraining.network.language_model import LanguageModel
    from spacy_ctx_embed.pretraining.outputs import SOFTMAX, VOCAB

    path = find_model("elmo", name, owner="--model").path
    if not (path / SOFTMAX).is_file() or not (path / VOCAB).is_file():
        raise SystemExit(f"--model {name}: no {SOFTMAX} and {VOCAB}: name the model-best of a training")
    files = read_elmo(path)
    elmo = ElmoModule(files.config)
    elmo.load_state_dict(files.weights)
    softmax, vocabulary = load_softmax(path, files.config.bilm.projection_dim)
    return LanguageModel(elmo, softmax, 0.0, torch.float32), vocabulary


def read_test(file: Path, words: List[str]) -> Tuple[List[str], Any]:
    """Read text as training text is read: English tokens, and sentences by punctuation.

    :param file: the text.
    :param words: word of each id of the prepared text.
    :return: the words of all ids, those that are new at the end, which ELMo reads by their characters; and the text,
        ``0 w1 … wn 0 w1 … wn 0``.
    """
    import numpy as np
    import spacy

    from spacy_ctx_embed.pretraining.text.batches import batch_reader, cut_text, words_of
    from spacy_ctx_embed.pretraining.text.files import read_texts
    from spacy_ctx_embed.pretraining.text.folder import BOUNDARY, SPECIAL, UNKNOWN

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    number = {**{word: i for i, word in enumerate(words)}, **dict.fromkeys(SPECIAL, UNKNOWN)}
    longer = list(words)
    texts = (
        piece
        for text in read_texts(file, "--test")
        for piece in (cut_text(text, nlp.max_length) if isinstance(text, str) else [words_of(text)])
    )
    parts: List[Any] = []
    with batch_reader(nlp, 1) as read:
        for batch in read(texts):
            for word in batch.words:
                if word not in number:
                    number[word] = len(longer)
                    longer.append(word)
            numbers = np.array([BOUNDARY, *(number[word] for word in batch.words)], dtype=np.uint32)
            parts.append(numbers[batch.ids])
    return longer, np.concatenate([*parts, np.array([BOUNDARY], dtype=np.uint32)])


def _whole_sentences(tokens: Any, n_tokens: int) -> Any:
    # Up to the last boundary that so many tokens reach; at least one sentence.
    import numpy as np

    bounds = np.flatnonzero(tokens[: max(n_tokens, 1) + 1] == 0)
    return tokens[: bounds[-1] + 1] if len(bounds) > 1 else tokens[: np.flatnonzero(tokens == 0)[1] + 1]


def elmo_losses(stepper: Any, tokens: Any, n_vocab: int, reset: float) -> Any:
    """Loss of each token, read in rows as :func:`~spacy_ctx_embed.pretraining.evaluation.evaluate` does.

    :param stepper: holds the model.
    :param tokens: the text.
    :param n_vocab: ids from here on are ``<UNK>`` as targets.
    :param reset: share of the sentence starts at which the state goes back to zeros.
    :return: ``(2, n_tokens)`` losses in nats forward and backward; NaN for the few that are not predicted.
    """
    import numpy as np

    from spacy_ctx_embed.pretraining.evaluation import N_ROWS, N_STEPS
    from spacy_ctx_embed.pretraining.text.streams import Stream

    n_rows = max(min(N_ROWS, (len(tokens) - 1) // N_STEPS), 1)
    stream = Stream(tokens, n_rows, min(N_STEPS, len(tokens) - 1), n_vocab, reset)
    states = stepper.zero_states(n_rows)
    found = np.full((2, len(tokens)), np.nan)
    length = stream.n_tokens // n_rows
    starts = np.arange(n_rows) * length
    for step in range(stream.steps_per_epoch):
        losses, states = stepper.evaluate(stream.batch(step), states)
        read = step * stream.n_steps + np.arange(1, stream.n_steps + 1)[:, None]  # (n_steps, 1)
        for direction, places in enumerate((starts + read, starts + length - read)):
            found[direction, places.ravel()] = losses[direction].double().numpy()
    return found


def ngram_losses(train: Any, tokens: Any, n_vocab: int, order: int) -> Any:
    """Loss of each token by n-gram models of both directions, trained one after the other.

    :param train: the text to train on.
    :param tokens: the text to predict.
    :param n_vocab: ids from here on are ``<UNK>``.
    :param order: longest n-grams.
    :return: ``(2, n_tokens)`` losses in nats; NaN for the boundary that each direction begins at.
    """
    import kneser_ney
    import numpy as np

    found = np.full((2, len(tokens)), np.nan)
    found[0, 1:] = -kneser_ney.train(train, n_vocab, order).log_probs(tokens)
    found[1, :-1] = -kneser_ney.train(train[::-1], n_vocab, order).log_probs(tokens[::-1])[::-1]
    return found


def _losses(
    settings: argparse.Namespace, model: Any, words: List[str], tokens: Any, train: Any, n_vocab: int
) -> Tuple[Dict[str, Any], Dict[str, float]]:
    import numpy as np

    from spacy_ctx_embed.pretraining.step import Stepper

    found: Dict[str, Any] = {}
    seconds: Dict[str, float] = {}
    stepper = Stepper(model, words, settings.threads, 0)
    for name, reset in ((CARRIED, 0.0), (ALONE, 1.0)):
        start = measure.now()
        found[name] = elmo_losses(stepper, tokens, n_vocab, reset)
        seconds[name] = measure.now() - start
    stepper.close()
    ids = np.asarray(train)
    if settings.train_tokens:
        ids = _whole_sentences(ids, settings.train_tokens)
    start = measure.now()
    ngrams = f"Kneser-Ney, {settings.order}-gram"
    found[ngrams] = ngram_losses(ids, tokens, n_vocab, settings.order)
    seconds[ngrams] = measure.now() - start
    return found, seconds


def _report(
    settings: argparse.Namespace,
    before: Any,
    losses: Dict[str, Any],
    seconds: Dict[str, float],
    tokens: Any,
    n_vocab: int,
    n_known: int,
) -> None:
    import numpy as np

    predicted = ~np.isnan(sum(losses.values()))  # (2, n_tokens), by all of them
    is_word = tokens != 0
    is_unknown = tokens >= n_vocab
    kinds = {"all": np.ones_like(is_word), "words": is_word, "known words": is_word & ~is_unknown}
    values = {
        name: {
            (kind, side): float(np.exp(found[d, predicted[d] & chosen].mean()))
            for kind, chosen in kinds.items()
            for d, side in enumerate(("forward", "backward"))
        }
        for name, found in losses.items()
    }
    rows: List[Dict[str, Any]] = []
    for name, found in values.items():
        row: Dict[str, Any] = {"model": name}
        row |= {f"{kind}, {side}": f"{value:.2f}" for (kind, side), value in found.items()}
        rows.append({**row, "seconds": round(seconds[name], 1)})
    ngrams = list(values)[-1]
    findings: Dict[str, Any] = {"model": Path(settings.model).name}
    for name in (CARRIED, ALONE):
        shares = [values[name]["all", side] / values[ngrams]["all", side] for side in ("forward", "backward")]
        findings[f"{name}: perplexity over the n-grams', forward and backward"] = [round(share, 3) for share in shares]
    findings["predicted forward, backward; words among them"] = [
        *(int(side.sum()) for side in predicted),
        [int((side & is_word).sum()) for side in predicted],
    ]
    n_words = int(is_word.sum())
    findings["vocabulary"] = n_vocab
    findings["unknown: % of words; not even in the training text"] = [
        round(100 * float(is_unknown.sum()) / n_words, 2),
        round(100 * float((tokens >= n_known).sum()) / n_words, 2),
    ]
    shown = {**vars(settings), "model": findings["model"]}
    measure.report("perplexity", rows, settings=shown, before=before, findings=findings)


if __name__ == "__main__":
    main()
