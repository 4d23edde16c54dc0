"""The group ``python -m spacy embed``. spaCy imports this module by entry point each time its command line starts."""

from __future__ import annotations

import typer
from spacy.cli._util import app

from spacy_ctx_embed.cli.corpus.export import export_cli
from spacy_ctx_embed.cli.corpus.neighbours import neighbours_cli
from spacy_ctx_embed.cli.measures.distill import distill_cli
from spacy_ctx_embed.cli.measures.geometry import geometry_cli
from spacy_ctx_embed.cli.measures.intrinsic import intrinsic_cli
from spacy_ctx_embed.cli.measures.layers import layers_cli
from spacy_ctx_embed.cli.measures.probe import probe_cli
from spacy_ctx_embed.cli.measures.tune import tune_cli
from spacy_ctx_embed.cli.models.convert_elmo import convert_elmo_cli
from spacy_ctx_embed.cli.models.fit_correction import fit_correction_cli
from spacy_ctx_embed.cli.models.info import info_cli
from spacy_ctx_embed.cli.models.pretrain_elmo import pretrain_elmo_cli
from spacy_ctx_embed.cli.pages.compare import compare_cli
from spacy_ctx_embed.cli.pages.senses import senses_cli
from spacy_ctx_embed.cli.tables.convert_vectors import convert_vectors_cli
from spacy_ctx_embed.cli.tables.coverage import coverage_cli
from spacy_ctx_embed.cli.tables.init_vectors import init_vectors_cli
from spacy_ctx_embed.cli.tables.similar import similar_cli

_OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}  # settings of the config

embed_cli = typer.Typer(name="embed", help="Commands for the models of embedding components.", no_args_is_help=True)


embed_cli.command("convert-elmo", no_args_is_help=True)(convert_elmo_cli)
embed_cli.command("convert-vectors", no_args_is_help=True)(convert_vectors_cli)
embed_cli.command("init-vectors", no_args_is_help=True)(init_vectors_cli)
embed_cli.command("coverage", no_args_is_help=True)(coverage_cli)
embed_cli.command("similar", no_args_is_help=True)(similar_cli)
embed_cli.command("pretrain-elmo", no_args_is_help=True, context_settings=_OVERRIDES)(pretrain_elmo_cli)
embed_cli.command("layers", no_args_is_help=True)(layers_cli)
embed_cli.command("compare", no_args_is_help=True)(compare_cli)
embed_cli.command("geometry", no_args_is_help=True)(geometry_cli)
embed_cli.command("distill", no_args_is_help=True)(distill_cli)
embed_cli.command("fit-correction", no_args_is_help=True)(fit_correction_cli)
embed_cli.command("intrinsic", no_args_is_help=True)(intrinsic_cli)
embed_cli.command("export", no_args_is_help=True)(export_cli)
embed_cli.command("neighbours", no_args_is_help=True)(neighbours_cli)
embed_cli.command("tune", no_args_is_help=True)(tune_cli)
embed_cli.command("senses", no_args_is_help=True)(senses_cli)
embed_cli.command("info")(info_cli)
embed_cli.command("probe", no_args_is_help=True, context_settings=_OVERRIDES)(probe_cli)
app.add_typer(embed_cli)  # spaCy's command line is extended in no other way
