"""The model card: what a language model was trained on, how, and how well it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence

from spacy_ctx_embed.about import __version__
from spacy_ctx_embed.networks.elmo.alphabets import Utf8Bytes
from spacy_ctx_embed.networks.elmo.module import ElmoConfig
from spacy_ctx_embed.pretraining.evaluation import Perplexity
from spacy_ctx_embed.pretraining.records import clock
from spacy_ctx_embed.pretraining.settings import PretrainSettings

_N_NAMES = 20  # of files; of a text in thousands of parts, the others are counted
_ALLENNLP_CHARS = 50


@dataclass(frozen=True)
class CardFacts:
    """What the card tells.

    :param sources: names of the files trained on.
    :param dev_sources: names of the files evaluated on, none if texts were held out.
    :param language: of the tokeniser.
    :param n_train: tokens of the text, sentence ends included.
    :param n_dev: those of the text held out.
    :param n_vocab: words predicted.
    :param n_types: different words in the text.
    :param n_parameters: of the network, without the softmax.
    :param settings: of the training.
    :param network: its sizes.
    :param n_rows: rows of a batch.
    :param n_steps: tokens of each of them.
    :param step: batches learnt from.
    :param n_read: tokens read so far by each direction.
    :param seconds: time spent.
    :param device: where.
    :param perplexity: on the text held out, ``None`` before the first evaluation.
    """

    sources: Sequence[str]
    dev_sources: Sequence[str]
    language: str
    n_train: int
    n_dev: int
    n_vocab: int
    n_types: int
    n_parameters: int
    settings: PretrainSettings
    network: ElmoConfig
    n_rows: int
    n_steps: int
    step: int
    n_read: int
    seconds: float
    device: str
    perplexity: Optional[Perplexity]


def write_card(facts: CardFacts) -> str:
    """Write a card.

    :param facts: what it tells.
    :return: Markdown.
    """
    settings, lstm, chars = facts.settings, facts.network.bilm, facts.network.char_cnn
    assert chars is not None
    optimizer = settings.optimizer
    dev = _listed(facts.dev_sources) or f"a share of {settings.held_out:g} of the texts, held out"
    rows = [
        ("Language", facts.language),
        ("Text trained on", _listed(facts.sources)),
        ("Its size", f"{facts.n_train:,} tokens, sentence ends included; {facts.n_types:,} different words"),
        ("Text evaluated on", f"{dev}: {facts.n_dev:,} tokens"),
        (
            "Vocabulary of the softmax",
            f"the {facts.n_vocab:,} most frequent words; the network itself reads characters",
        ),
        ("Network", f"{lstm.n_layers} layers of {lstm.dim} cells, {lstm.projection_dim} outputs per direction"),
        (
            "Token encoder",
            f"{chars.n_filters} filters over at most {chars.max_chars} bytes, {chars.n_highway} highway layers",
        ),
        ("Parameters", f"{facts.n_parameters:,}, without the softmax"),
        (
            "Batches",
            f"{facts.n_rows} rows of {facts.n_steps} tokens, state carried on; set back at a share of "
            f"{settings.reset_state:g} of the sentence starts",
        ),
        (
            "Optimiser",
            f"{optimizer.kind}, learning rate {optimizer.learn_rate:g}, {optimizer.warmup_steps} steps of warm-up, "
            f"{optimizer.decay} decay; dropout {settings.dropout:g}, gradients clipped at {settings.grad_clip:g}",
        ),
        ("Products in", settings.precision),
        ("Began with", settings.init_from or f"random weights, seed {settings.seed}"),
        ("Trained for", f"{facts.step:,} steps, {facts.n_read:,} tokens in each direction"),
        ("Time", f"{clock(facts.seconds)} on {facts.device}"),
    ]
    lines: List[str] = ["# A bidirectional language model for ELMo", ""]
    lines += [f"Trained by `python -m spacy embed pretrain-elmo` of spacy-ctx-embed {__version__}.", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in rows), ""]
    lines += ["## Perplexity on the text evaluated on", ""]
    if facts.perplexity is None:
        lines += ["Not evaluated yet."]
    else:
        found = facts.perplexity
        lines += ["| forward | backward | geometric mean | words and sentence ends |", "|---|---|---|---|"]
        lines += [f"| {found.forward:.2f} | {found.backward:.2f} | {found.mean:.2f} | {found.n_tokens:,} |"]
    lines += [
        "",
        "By the exact softmax, the state carried on from sentence to sentence.",
        "",
        "## Use",
        "",
        "The folder is the `name` of an ELMo component."
        + (" AllenNLP reads `options.json` with `weights.hdf5`." if _is_for_allennlp(facts.network) else ""),
        "`vocab.txt` and `softmax.safetensors` are needed for `substitutes` and to train on.",
    ]
    return "\n".join(lines) + "\n"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _N_NAMES
    return ", ".join(names[:_N_NAMES]) + (f" and {more:,} more files" if more > 0 else "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _is_for_allennlp(network: ElmoConfig) -> bool:
    chars = network.char_cnn
    assert chars is not None
    fits = chars.use_projection and chars.max_chars == _ALLENNLP_CHARS and network.bilm.use_skip_connections
    return fits and isinstance(network.alphabet, Utf8Bytes)
