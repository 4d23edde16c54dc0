"""The language model to train: from settings with random weights, or from a published ELMo model.

A folder that the trainer wrote holds the softmax too; from other models, only the network is taken.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import List, Sequence, Tuple, Union

import torch

from spacy_ctx_embed.errors import Errors, unreadable
from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.pretraining.network.initial import draw_weights
from spacy_ctx_embed.pretraining.network.language_model import LanguageModel
from spacy_ctx_embed.pretraining.network.softmax import AdaptiveSoftmax, FullSoftmax, SampledSoftmax
from spacy_ctx_embed.pretraining.network.widen import can_grow, first_too_small, put_units, take_over
from spacy_ctx_embed.pretraining.outputs import SOFTMAX, VOCAB
from spacy_ctx_embed.pretraining.settings import (
    OWNER,
    SECTION,
    PretrainSettings,
    SoftmaxSettings,
    check_clusters,
    read_settings,
)

Softmax = Union[FullSoftmax, AdaptiveSoftmax]


def make_language_model(settings: PretrainSettings, words: Sequence[str]) -> LanguageModel:
    """Make what is trained.

    :param settings: sizes, or the model to go on from.
    :param words: ``n_vocab`` words to predict, by falling frequency after ``<S>``, ``</S>`` and ``<UNK>``.
    :return: the model on the CPU, its weights a function of the seed and of the model to go on from.
    :raises ModelNotFoundError: if the model to go on from is nowhere.
    :raises ModelFormatError: if its files can't be read.
    :raises ValueError: if it is of a kind that this trainer does not train.
    """
    from spacy_ctx_embed.models.places import find_model

    name, key = settings.init_from, f"{SECTION}.init_from"
    path = None if name is None else find_model("elmo", name, owner=OWNER, key=key).path
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)  # of the CPU alone
        if path is None:
            elmo = ElmoModule(settings.network())
            draw_weights(elmo)
        else:
            small = _load(path, settings)
            elmo = _widened(small, settings) if settings.widen else small
        width = elmo.config.bilm.projection_dim
        softmax = make_softmax(settings.softmax, width, len(words))
    if path is not None and (path / SOFTMAX).is_file() and (path / VOCAB).is_file():
        _take_over(softmax, words, *load_softmax(path, small.config.bilm.projection_dim))
    return LanguageModel(elmo, softmax, settings.dropout, getattr(torch, settings.precision))


def make_softmax(settings: SoftmaxSettings, width: int, n_vocab: int) -> Softmax:
    """Make a softmax with random weights.

    :param settings: its kind.
    :param width: of the vectors it reads.
    :param n_vocab: words.
    :return: the module.
    """
    if settings.kind == "adaptive":
        check_clusters(settings, width, n_vocab)
        return AdaptiveSoftmax(width, n_vocab, settings.cutoffs, settings.div_value)
    if settings.kind == "sampled":
        return SampledSoftmax(width, n_vocab, settings.n_samples)
    return FullSoftmax(width, n_vocab)


def load_softmax(folder: Path, width: int) -> Tuple[Softmax, List[str]]:
    """Read the softmax that the trainer wrote.

    :param folder: the model's folder.
    :param width: of the vectors that it reads.
    :return: the softmax in float32 on the CPU, and the word of each of its ids.
    :raises ModelFormatError: if its file or the vocabulary is damaged, or they don't belong together.
    """
    from safetensors import SafetensorError, safe_open

    file = folder / SOFTMAX
    try:
        words = (folder / VOCAB).read_text(encoding="utf8").split("\n")[:-1]
        with safe_open(file, framework="pt") as stream:
            kind = json.loads((stream.metadata() or {}).get("softmax", "null"))
            state = {name: stream.get_tensor(name).float() for name in stream.keys()}
        with torch.device("meta"):  # the weights are put in place below
            sizes = {"softmax": kind, "lstm": {"projection_dim": width}, "vocab_size": max(len(words), 4)}
            softmax = make_softmax(read_settings(sizes).softmax, width, len(words))
        softmax.load_state_dict(state, assign=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        accepted = f"the softmax of the model in this folder, with a word of {VOCAB} for each of its outputs"
        fix = f"put {SOFTMAX} and {VOCAB} back as the trainer wrote them, or remove both"
        reason = " ".join(str(error).split())
        raise unreadable(file, reason, accepted=accepted, fix=fix) from error
    return softmax, words


def _load(path: Path, settings: PretrainSettings) -> ElmoModule:
    from spacy_ctx_embed.models.elmo.formats import read_elmo

    files = read_elmo(path)
    config = files.config
    if config.char_cnn is None or config.lexicon is not None or config.aligned or not config.bilm.use_projection:
        raise ValueError(
            Errors.E001.format(
                owner=OWNER,
                key=f"{SECTION}.init_from",
                value=settings.init_from,
                accepted="an ELMo model that reads characters alone and has projections, as AllenNLP and bilm-tf have",
            )
        )
    elmo = ElmoModule(config)
    elmo.load_state_dict(files.weights)
    return elmo


def _widened(small: ElmoModule, settings: PretrainSettings) -> ElmoModule:
    if not can_grow(small):
        accepted = f"false: {settings.init_from!r} has other characters, or no projection of its filters' outputs"
        raise ValueError(Errors.E001.format(owner=OWNER, key=f"{SECTION}.widen", value=True, accepted=accepted))
    wide = ElmoModule(settings.network())
    key = first_too_small(wide, small)
    if key:
        section, name = key.split(".")
        value = getattr(getattr(settings, section), name)
        more = "filters (each width once), dim and projection_dim"
        accepted = f"what {settings.init_from!r} has or, of {more}, more: it is to be widened"
        raise ValueError(Errors.E001.format(owner=OWNER, key=f"{SECTION}.{key}", value=value, accepted=accepted))
    draw_weights(wide)
    take_over(wide, small)
    return wide


def _take_over(softmax: Softmax, words: Sequence[str], old: Softmax, old_words: Sequence[str]) -> None:
    # From a full softmax, the rows of the words that both have. The clusters of an adaptive one are by rank: a word
    # of another rank may have fallen into a cluster of another width, or its cluster stand for other words, so that it
    # is taken over for the very same words and clusters, or begins anew. Where it has grown, it predicts the same.
    if isinstance(softmax, FullSoftmax) and isinstance(old, FullSoftmax):
        row_of = {word: row for row, word in enumerate(old_words)}
        pairs = [(row, row_of[word]) for row, word in enumerate(words) if word in row_of]
        rows, old_rows = torch.tensor(pairs, dtype=torch.long).view(-1, 2).unbind(dim=1)
        with torch.no_grad():
            put_units(softmax.weight, old.weight[old_rows], rows, torch.arange(old.weight.shape[1]))
            softmax.bias[rows] = old.bias[old_rows]
    elif isinstance(softmax, AdaptiveSoftmax) and isinstance(old, AdaptiveSoftmax):
        same = softmax.inner.cutoffs == old.inner.cutoffs and list(words) == list(old_words)
        states = [*zip(softmax.state_dict().values(), old.state_dict().values())]
        if softmax.inner.in_features > old.inner.in_features:
            fits = all(len(into) >= len(part) and into[0].numel() >= part[0].numel() for into, part in states)
        else:
            fits = all(into.shape == part.shape for into, part in states)
        if same and fits:
            for into, part in states:
                if part.dim() == 2:
                    put_units(into, part, *(torch.arange(size) for size in part.shape))
                else:
                    into[:] = part
