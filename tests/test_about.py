"""about.py: one version, the one that pip knows."""

from importlib.metadata import version

import spacy_ctx_embed


def test_the_version_is_that_of_the_installed_package():
    assert spacy_ctx_embed.__version__ == version("spacy-ctx-embed")
