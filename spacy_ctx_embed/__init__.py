"""Static, ELMo and BERT word embeddings as spaCy pipeline components.

Importing this package imports nothing else: spaCy finds the components through entry points, and
:func:`restore_hooks` is fetched from its module on first access (PEP 562).
"""

from typing import TYPE_CHECKING

from spacy_ctx_embed.about import __version__

if TYPE_CHECKING:
    from spacy_ctx_embed.attach.hooks import restore_hooks

__all__ = ["__version__", "restore_hooks"]


def __getattr__(name: str) -> object:
    if name == "restore_hooks":
        from spacy_ctx_embed.attach.hooks import restore_hooks

        return restore_hooks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
