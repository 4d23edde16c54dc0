"""The section ``[pretraining]`` of a config: every hyperparameter, checked before anything is read.

Keys of the network are those of bilm-tf's ``options.json``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type, TypeVar

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.networks.elmo.alphabets import Utf8Bytes
from spacy_ctx_embed.networks.elmo.bilm import BilmConfig
from spacy_ctx_embed.networks.elmo.char_cnn import ACTIVATIONS, CharCnnConfig
from spacy_ctx_embed.networks.elmo.module import ElmoConfig

OWNER = "embed pretrain-elmo"
SECTION = "pretraining"
Check = Tuple[Callable[[Any], bool], str]
Settings = TypeVar("Settings")


def _number(low: float, high: float = float("inf")) -> Check:
    expected = f"a number of at least {low:g}" + (f" and below {high:g}" if high < float("inf") else "")
    return (lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and low <= v < high, expected)


def _count(low: int) -> Check:
    return (lambda v: type(v) is int and v >= low, f"a whole number of at least {low}")


def _one_of(*values: str) -> Check:
    return (lambda v: v in values, ", ".join(repr(value) for value in values))


_FLAG: Check = (lambda v: isinstance(v, bool), "true or false")
_SHARE = _number(0, 1)
_ABOVE_0: Check = (lambda v: _number(0)[0](v) and v > 0, "a number above 0")
_CLIP: Check = (lambda v: v is None or _number(0)[0](v), "a number of at least 0, or null")
_NAME: Check = (lambda v: v is None or (isinstance(v, str) and v != ""), "the name or path of an ELMo model, or null")
_FILTERS: Check = (
    lambda v: isinstance(v, list) and len(v) > 0 and all(_is_counts(pair) and len(pair) == 2 for pair in v),
    "a list of [width in characters, number of filters] pairs",
)
_RANKS: Check = (lambda v: _is_counts(v) and sorted(set(v)) == v, "a list of rising ranks")
_TIMES: Check = (lambda v: isinstance(v, list) and all(map(_ABOVE_0[0], v)), "a list of numbers above 0")
_BETAS: Check = (lambda v: isinstance(v, list) and len(v) == 2 and all(map(_SHARE[0], v)), "two numbers from 0 to 1")


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and v >= 1 for v in value)


def _key(default: Any, check: Check) -> Any:
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"check": check})
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class CharCnnSettings:
    """``[pretraining.char_cnn]``: the token encoder.

    :param embedding_dim: width of a character's vector.
    :param filters: width in characters and number of outputs of each convolution.
    :param activation: ``"relu"`` or ``"tanh"``.
    :param n_highway: highway layers.
    :param max_characters_per_token: UTF-8 bytes read of a word, and its two bounds.
    """

    embedding_dim: int = _key(16, _count(1))
    filters: List[List[int]] = _key([[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]], _FILTERS)
    activation: str = _key("relu", _one_of(*ACTIVATIONS))
    n_highway: int = _key(2, _count(0))
    max_characters_per_token: int = _key(50, _count(3))


@dataclass(frozen=True)
class LstmSettings:
    """``[pretraining.lstm]``: the biLM.

    :param dim: cells per layer and direction.
    :param projection_dim: width of a direction's output.
    :param n_layers: layers.
    :param cell_clip: bound of the cells, null or 0 for none.
    :param proj_clip: bound of the outputs, null or 0 for none.
    :param use_skip_connections: whether layers from the second on add their input.
    """

    dim: int = _key(4096, _count(1))
    projection_dim: int = _key(512, _count(1))
    n_layers: int = _key(2, _count(1))
    cell_clip: Optional[float] = _key(3.0, _CLIP)
    proj_clip: Optional[float] = _key(3.0, _CLIP)
    use_skip_connections: bool = _key(True, _FLAG)


@dataclass(frozen=True)
class SoftmaxSettings:
    """``[pretraining.softmax]``: how the next word is predicted.

    :param kind: ``"sampled"``, ``"adaptive"`` or ``"full"``.
    :param n_samples: of sampled: words drawn per batch and direction.
    :param cutoffs: of adaptive: ranks at which a cluster of rarer words begins.
    :param div_value: of adaptive: how many times narrower each cluster is than the one before.
    """

    kind: str = _key("sampled", _one_of("sampled", "adaptive", "full"))
    n_samples: int = _key(8192, _count(1))
    cutoffs: List[int] = _key([4000, 16000], _RANKS)
    div_value: float = _key(2.0, _number(1))


@dataclass(frozen=True)
class OptimizerSettings:
    """``[pretraining.optimizer]``.

    :param kind: ``"adagrad"``, ``"adamw"`` or ``"muon"``, which is AdamW but for weight matrices.
    :param learn_rate: the highest learning rate.
    :param warmup_steps: steps over which it rises from 0.
    :param decay: how it falls to 0 at the end of training: ``"none"``, ``"linear"`` or ``"cosine"``.
    :param initial_accumulator: of Adagrad.
    :param betas: of AdamW.
    :param weight_decay: of AdamW and Muon.
    """

    kind: str = _key("adagrad", _one_of("adagrad", "adamw", "muon"))
    learn_rate: float = _key(0.2, _ABOVE_0)
    warmup_steps: int = _key(0, _count(0))
    decay: str = _key("none", _one_of("none", "linear", "cosine"))
    initial_accumulator: float = _key(1.0, _number(0))
    betas: List[float] = _key([0.9, 0.999], _BETAS)
    weight_decay: float = _key(0.0, _number(0))


@dataclass(frozen=True)
class PretrainSettings:
    """``[pretraining]``. The defaults are those of the original ELMo (Peters et al. 2018, bilm-tf).

    :param seed: of the weights, dropout, sampling and places in the text.
    :param max_epochs: times that the text is read, 0 for no limit.
    :param max_steps: batches in all, 0 for no limit.
    :param batch_size: rows that are read side by side.
    :param unroll_steps: tokens of each row in a batch, through which gradients go back.
    :param vocab_size: words that are predicted, the most frequent ones; other words are ``<UNK>`` to the softmax.
    :param reset_state: share of the sentence starts at which the state goes back to zeros.
    :param dropout: share dropped of each LSTM layer's inputs and of the top's outputs.
    :param grad_clip: bound of the norm of the gradient of the loss summed over ``unroll_steps``.
    :param precision: of matrix products in training: ``"float32"`` or ``"bfloat16"``. Weights stay float32.
    :param mix: how many times the text of each of ``paths.train`` is read in an epoch, such as ``[1, 2.5]``; in
        fractions, some of its texts. Empty: each once.
    :param init_from: model whose weights to go on from; its sizes replace those of ``char_cnn`` and ``lstm``.
    :param widen: whether that model grows to the sizes of ``char_cnn`` and ``lstm`` instead, and goes on from what it
        knows.
    :param freeze_steps: first steps, in which only the softmax learns, as one must that is new to the network of
        ``init_from``.
    :param held_out: share of the texts that is kept for evaluation where ``paths.dev`` is null: one in so many.
    :param log_every: steps between lines of the log.
    :param eval_every: steps between evaluations.
    :param eval_tokens: about how many tokens an evaluation reads, from all parts of the text; 0 for all.
    :param save_every: steps between checkpoints.
    :param patience: evaluations without a better one after which training ends, 0 for never.
    :param char_cnn: the token encoder.
    :param lstm: the biLM.
    :param softmax: how words are predicted.
    :param optimizer: how weights are changed.
    """

    seed: int = _key(0, _count(0))
    max_epochs: int = _key(10, _count(0))
    max_steps: int = _key(0, _count(0))
    batch_size: int = _key(128, _count(1))
    unroll_steps: int = _key(20, _count(1))
    vocab_size: int = _key(800000, _count(4))
    reset_state: float = _key(0.0, (lambda v: _number(0)[0](v) and v <= 1, "a number from 0 to 1"))
    dropout: float = _key(0.1, _number(0, 0.99))
    grad_clip: float = _key(10.0, _ABOVE_0)
    precision: str = _key("float32", _one_of("float32", "bfloat16"))
    mix: List[float] = _key([], _TIMES)
    init_from: Optional[str] = _key(None, _NAME)
    widen: bool = _key(False, _FLAG)
    freeze_steps: int = _key(0, _count(0))
    held_out: float = _key(0.01, (lambda v: _number(0)[0](v) and 0 < v <= 0.5, "a number above 0 and at most 0.5"))
    log_every: int = _key(100, _count(1))
    eval_every: int = _key(1000, _count(1))
    eval_tokens: int = _key(0, _count(0))
    save_every: int = _key(1000, _count(1))
    patience: int = _key(0, _count(0))
    char_cnn: CharCnnSettings = CharCnnSettings()
    lstm: LstmSettings = LstmSettings()
    softmax: SoftmaxSettings = SoftmaxSettings()
    optimizer: OptimizerSettings = OptimizerSettings()

    def network(self) -> ElmoConfig:
        """Give the sizes of the network.

        :return: what :class:`~spacy_ctx_embed.networks.elmo.module.ElmoModule` takes.
        """
        chars, lstm = self.char_cnn, self.lstm
        clips = (lstm.cell_clip or None, lstm.proj_clip or None)
        return ElmoConfig(
            CharCnnConfig(
                chars.embedding_dim,
                tuple((width, n) for width, n in chars.filters),
                chars.activation,
                chars.n_highway,
                chars.max_characters_per_token,
                lstm.projection_dim,
            ),
            BilmConfig(lstm.dim, lstm.projection_dim, lstm.n_layers, *clips, lstm.use_skip_connections),
            Utf8Bytes(),
        )


def read_settings(section: Mapping[str, Any]) -> PretrainSettings:
    """Check the section of a config.

    :param section: its keys and values; what is missing has its default.
    :return: the settings.
    :raises ValueError: if a key is not known or a value makes no sense; the message names the key.
    """
    settings = _read(PretrainSettings, section, SECTION)
    if not settings.max_epochs and not settings.max_steps:
        _refuse(f"{SECTION}.max_epochs", 0, "a number above 0 where max_steps is 0 too, or training would never end")
    if settings.widen and settings.init_from is None:
        _refuse(f"{SECTION}.widen", True, "false where init_from is null: there is no model that could grow")
    if settings.freeze_steps and settings.init_from is None:
        accepted = "0 where init_from is null: a network that knows nothing yet has to learn from the first step on"
        _refuse(f"{SECTION}.freeze_steps", settings.freeze_steps, accepted)
    if settings.init_from is not None and not settings.widen:
        return settings  # the sizes are those of the model
    widest = max(width for width, _ in settings.char_cnn.filters)
    if widest > settings.char_cnn.max_characters_per_token:
        limit = settings.char_cnn.max_characters_per_token
        _refuse(f"{SECTION}.char_cnn.filters", widest, f"widths up to max_characters_per_token, which is {limit}")
    if settings.softmax.kind == "adaptive":
        check_clusters(settings.softmax, settings.lstm.projection_dim, settings.vocab_size)
    return settings


def check_clusters(softmax: SoftmaxSettings, width: int, n_vocab: int) -> None:
    """Refuse an adaptive softmax whose narrowest cluster has no width.

    :param softmax: the settings.
    :param width: of the vectors it reads.
    :param n_vocab: words; clusters that would begin beyond them are left out.
    :raises ValueError: if it is so.
    """
    n = sum(cutoff < n_vocab for cutoff in softmax.cutoffs)
    if width // softmax.div_value**n < 1:
        accepted = f"a number that leaves the last of {n} clusters at least 1 of {width} wide"
        _refuse(f"{SECTION}.softmax.div_value", softmax.div_value, accepted)


def _read(kind: Type[Settings], section: Mapping[str, Any], path: str) -> Settings:
    known = {entry.name: entry for entry in fields(kind)}  # type: ignore[arg-type]
    values: Dict[str, Any] = {}
    for key, value in section.items():
        if key not in known:
            _refuse(f"{path}.{key}", value, "only the keys " + ", ".join(known))
        check = known[key].metadata.get("check")
        if check is None:
            if not isinstance(value, Mapping):
                _refuse(f"{path}.{key}", value, "a section")
            values[key] = _read(type(known[key].default), value, f"{path}.{key}")
        elif not check[0](value):
            _refuse(f"{path}.{key}", value, check[1])
        else:
            values[key] = value
    return kind(**values)


def _refuse(key: str, value: Any, accepted: str) -> None:
    raise ValueError(Errors.E001.format(owner=OWNER, key=key, value=value, accepted=accepted))
