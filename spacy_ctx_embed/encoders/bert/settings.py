"""What a config says about a transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Optional, Sequence, Tuple

from spacy_ctx_embed.checks import check_one_of, check_positive
from spacy_ctx_embed.encoders.settings import ContextualSettings, layers_free
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.pool import OWN_POOLINGS, SUBWORD_POOLINGS

SPLIT = "split_special_tokens"  # as transformers calls it


@dataclass(frozen=True, kw_only=True)
class BertSettings(ContextualSettings):
    """Settings of ``Bert.v1``.

    :param revision: branch, tag or commit of a hub repository.
    :param subword_pooling: one of :data:`~spacy_ctx_embed.rows.pool.SUBWORD_POOLINGS`.
    :param window: word pieces per window, special pieces included; ``None`` for the model's own limit.
    :param overlap: word pieces of context on each side; ``None`` for an eighth of the window.
    :param sentence_windows: whether windows begin and end with sentences.
    :param tokenizer_config: arguments for ``AutoTokenizer.from_pretrained``.
    :param transformer_config: arguments for ``AutoModel.from_pretrained``.
    :param prompt_name: which of the model's prompts stands before a text whose vector is "model"; ``None`` for its
        default.
    :param adapter: name of a peft adapter.
    """

    owner: ClassVar[str] = "spacy_ctx_embed.Bert.v1"
    precisions: ClassVar[Sequence[str]] = ("float32", "bfloat16", "float16", "int8")
    trainable_precisions: ClassVar[Sequence[str]] = ("float32", "bfloat16")
    text_poolings: ClassVar[Sequence[str]] = OWN_POOLINGS

    revision: Optional[str] = layers_free()
    subword_pooling: str
    window: Optional[int]
    overlap: Optional[int]
    sentence_windows: bool = False
    tokenizer_config: Optional[Dict[str, Any]]
    transformer_config: Optional[Dict[str, Any]]
    prompt_name: Optional[str] = layers_free(None)  # what it changes is cached under a key of its own
    adapter: Optional[str] = layers_free(None)  # as for the name: layers depend on the weights

    @property
    def made_by(self) -> Tuple[str, ...]:
        """What stands for all that a model is made by besides its files."""
        parts = (self.tokenizer_config, self.transformer_config, self.adapter, self.trainable, self.precision)
        return tuple(map(repr, parts))

    @property
    def split_special_tokens(self) -> bool:
        """Whether a text that spells a special piece is text to the model: unless ``tokenizer_config`` says no."""
        return bool((self.tokenizer_config or {}).get(SPLIT, True))

    def __post_init__(self) -> None:
        """Check the values.

        :raises ValueError: if one is not accepted.
        """
        check_one_of(self.owner, "subword_pooling", self.subword_pooling, SUBWORD_POOLINGS)
        check_positive(self.owner, "window", self.window, minimum=3, optional=True)
        check_positive(self.owner, "overlap", self.overlap, minimum=0, optional=True)
        check_one_of(self.owner, "sentence_windows", self.sentence_windows, (True, False))
        split = (self.tokenizer_config or {}).get(SPLIT, True)
        if not isinstance(split, bool):
            raise ValueError(
                Errors.E001.format(
                    owner=self.owner, key=f"tokenizer_config.{SPLIT}", value=split, accepted="true, false"
                )
            )
        if self.prompt_name is not None and not (isinstance(self.prompt_name, str) and self.prompt_name):
            accepted = "the name of a prompt of the model, or null"
            raise ValueError(
                Errors.E001.format(owner=self.owner, key="prompt_name", value=self.prompt_name, accepted=accepted)
            )
        if self.adapter is not None and not (isinstance(self.adapter, str) and self.adapter):
            accepted = "a path, 'package:NAME/sub/path', 'hub:org/repo' or a bare hub id, or null"
            raise ValueError(Errors.E001.format(owner=self.owner, key="adapter", value=self.adapter, accepted=accepted))
        super().__post_init__()
