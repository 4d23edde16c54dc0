"""pretraining/card.py: what the model card says, and that it stays a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spacy_ctx_embed.networks.elmo.alphabets import CodePoints
from spacy_ctx_embed.pretraining.card import CardFacts, write_card
from spacy_ctx_embed.pretraining.evaluation import Perplexity
from spacy_ctx_embed.pretraining.settings import read_settings

SETTINGS = read_settings(
    {
        "batch_size": 64,
        "reset_state": 0.25,
        "held_out": 0.02,
        "lstm": {"dim": 256, "projection_dim": 32},
        "char_cnn": {"filters": [[1, 4], [2, 5]], "n_highway": 1},
        "optimizer": {"kind": "adamw", "learn_rate": 0.003, "warmup_steps": 30, "decay": "cosine"},
    }
)


@pytest.fixture
def facts():
    return CardFacts(
        sources=["books.txt", "news.jsonl.gz"],
        dev_sources=[],
        language="de",
        n_train=1234567,
        n_dev=2345,
        n_vocab=5003,
        n_types=67890,
        n_parameters=3141592,
        settings=SETTINGS,
        network=SETTINGS.network(),
        n_rows=48,
        n_steps=20,
        step=4000,
        n_read=3840000,
        seconds=3661,
        device="2 CPU cores",
        perplexity=Perplexity(40.0, 90.0, 2300),
    )


def _rows(card):
    # The first table, name -> value.
    cells = [line.strip("|").split(" | ") for line in card.splitlines() if line.startswith("|")]
    return {row[0].strip(): row[1].strip() for row in cells if len(row) == 2}


def test_every_fact_is_in_it(facts):
    rows = _rows(write_card(facts))
    expected = {
        "Language": "de",
        "Text trained on": "books.txt, news.jsonl.gz",
        "Its size": "1,234,567 tokens, sentence ends included; 67,890 different words",
        "Text evaluated on": "a share of 0.02 of the texts, held out: 2,345 tokens",
        "Network": "2 layers of 256 cells, 32 outputs per direction",
        "Token encoder": "9 filters over at most 50 bytes, 1 highway layers",
        "Parameters": "3,141,592, without the softmax",
        "Products in": "float32",
        "Began with": "random weights, seed 0",
        "Trained for": "4,000 steps, 3,840,000 tokens in each direction",
        "Time": "1:01:01 on 2 CPU cores",
    }
    assert expected.items() <= rows.items()
    assert "5,003 most frequent words" in rows["Vocabulary of the softmax"]
    for part in ("adamw", "rate 0.003", "30 steps of warm-up", "cosine decay", "dropout 0.1", "clipped at 10"):
        assert part in rows["Optimiser"]


def test_batches_are_those_that_were_read(facts):
    # Of a short text there are fewer rows than asked for.
    assert _rows(write_card(facts))["Batches"].startswith(
        "48 rows of 20 tokens, state carried on; set back at a share of 0.25"
    )


def test_perplexities_are_in_it(facts):
    card = write_card(facts)
    assert "| 40.00 | 90.00 | 60.00 | 2,300 |" in card
    assert "Not evaluated yet" not in card


def test_before_the_first_evaluation_it_says_so(facts):
    card = write_card(replace(facts, perplexity=None))
    assert "Not evaluated yet." in card and "| forward |" not in card


def test_text_of_its_own_to_evaluate_on_is_named(facts):
    rows = _rows(write_card(replace(facts, dev_sources=["dev.txt"])))
    assert rows["Text evaluated on"] == "dev.txt: 2,345 tokens"


def test_where_it_began_is_named(facts):
    settings = replace(SETTINGS, init_from="elmo-small")
    # Its sizes are then those of the model it began with, not of the settings.
    network = read_settings({"lstm": {"dim": 1024, "projection_dim": 128}}).network()
    rows = _rows(write_card(replace(facts, settings=settings, network=network)))
    assert rows["Began with"] == "elmo-small"
    assert rows["Network"] == "2 layers of 1024 cells, 128 outputs per direction"


@pytest.mark.parametrize("n", [20, 21, 5000])
def test_of_many_files_the_first_are_named(facts, n):
    rows = _rows(write_card(replace(facts, sources=[f"{i}.txt" for i in range(n)])))
    names = rows["Text trained on"]
    assert names.startswith("0.txt, 1.txt, ") and "19.txt" in names and "20.txt" not in names
    assert names.endswith({20: ", 19.txt", 21: " and 1 more files", 5000: " and 4,980 more files"}[n])


def test_names_do_not_break_the_table(facts):
    card = write_card(replace(facts, sources=["a|b.txt", "c\nd.txt"]))
    assert "| Text trained on | a\\|b.txt, c d.txt |" in card


def test_allennlp_is_named_only_where_it_reads_the_model(facts):
    network = facts.network
    others = [
        replace(network, char_cnn=replace(network.char_cnn, max_chars=40)),
        replace(network, char_cnn=replace(network.char_cnn, use_projection=False)),
        replace(network, bilm=replace(network.bilm, use_skip_connections=False)),
        replace(network, alphabet=CodePoints({"<bos>": 0, "<eos>": 1, "<oov>": 2, "<pad>": 3, "<bow>": 4, "<eow>": 5})),
    ]
    assert "AllenNLP reads" in write_card(facts)
    for other in others:
        assert "AllenNLP" not in write_card(replace(facts, network=other))
