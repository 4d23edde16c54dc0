"""SHA-256 of the files of a transformer or of an adapter, wherever it is.

Tools share the folder that a repository has in the hub cache, and each fetches what it needs: what is not read here, as
``README.md`` or ``onnx/model.onnx``, does not count there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

from spacy_ctx_embed.models.checksum import checksum
from spacy_ctx_embed.models.hub.client import in_hub_cache
from spacy_ctx_embed.models.transformer.code import trusts_code
from spacy_ctx_embed.models.transformer.fetch import ADAPTER, read_patterns
from spacy_ctx_embed.models.transformer.files import ELSEWHERE


def checksum_of_transformer(folder: Path, tokenizer_config: Dict[str, Any], transformer_config: Dict[str, Any]) -> str:
    """Hash a transformer.

    :param folder: its folder.
    :param tokenizer_config: arguments for ``AutoTokenizer.from_pretrained``.
    :param transformer_config: arguments for ``AutoModel.from_pretrained``, some of which lead to unusual files.
    :return: SHA-256 in hex.
    :raises ModelFormatError: if it is not there any more.
    :raises ValueError: if ``trust_remote_code`` is neither true nor false.
    """
    if not in_hub_cache(folder) or any(transformer_config.get(key) is not None for key in ELSEWHERE):
        return checksum(folder)
    own_code = trusts_code(tokenizer_config, transformer_config)
    return checksum(folder, read_patterns(folder, own_code=own_code))


def checksum_of_adapter(folder: Path) -> str:
    """Hash an adapter.

    :param folder: its folder.
    :return: SHA-256 in hex.
    :raises ModelFormatError: if it is not there any more.
    """
    if not in_hub_cache(folder):
        return checksum(folder)
    config, weights, pickled = ADAPTER
    return checksum(folder, [config, weights if (folder / weights).is_file() else pickled])
