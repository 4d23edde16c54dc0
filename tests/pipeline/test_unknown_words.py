"""pipeline/unknown_words.py: one warning where the text is in another language than the model."""

from __future__ import annotations

import pickle
import warnings

import pytest
import spacy
from spacy.tokens import Doc

FOREIGN = "齉 靐 麤 the bank"
EMOJI = "😀 😂 🤣 🥲 🦦 the bank"


def _warnings(run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(warning.message) for warning in caught if "CW005" in str(warning.message)]


def test_it_names_component_model_and_a_word_and_says_what_to_do(make_nlp, tiny_bert):
    nlp = make_nlp("bert")
    with pytest.warns(
        UserWarning, match=r"CW005.*bert_embeddings: 3 of the 5 words.*'齉'.*Accepted: .*Fix: name"
    ) as caught:
        nlp(FOREIGN)
    assert len(caught) == 1 and str(tiny_bert) in str(caught[0].message)


def test_it_is_given_once_for_a_component(make_nlp):
    nlp = make_nlp("bert")
    model = {
        "@architectures": "spacy_ctx_embed.Bert.v1",
        "name": nlp.config["components"]["bert_embeddings"]["model"]["name"],
    }
    nlp.add_pipe("bert_embeddings", name="second", config={"model": {**model, "overlap": 8}})
    found = _warnings(lambda: list(nlp.pipe([FOREIGN] * 5, batch_size=2)))
    assert [name for name in ("bert_embeddings", "second") if any(f"{name}:" in text for text in found)] == [
        "bert_embeddings",
        "second",
    ]
    assert len(found) == 2
    assert _warnings(lambda: nlp(FOREIGN)) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "the bank of the river",
        EMOJI,
        "😀",
        "齉 bank",  # one word
        "齉 齉 齉 齉 bank",  # the same word
        "齉 靐 bank",  # two of them
        "齉 靐 麤 the bank of the river was dry",  # a third, and not more
    ],
)
def test_it_is_not_given_for_emoji_a_foreign_word_or_a_third(make_nlp, text):
    assert _warnings(lambda: make_nlp("bert")(text)) == []


def test_the_batch_decides_and_not_the_doc(make_nlp):
    texts = [FOREIGN, "the bank of the river", "we sat on the bank"]
    assert _warnings(lambda: list(make_nlp("bert").pipe(texts))) == []
    assert len(_warnings(lambda: list(make_nlp("bert").pipe(texts, batch_size=1)))) == 1


def test_tables_and_stacks_do_not_speak_of_it(make_nlp):
    assert _warnings(lambda: make_nlp("static")(FOREIGN)) == []
    nlp = make_nlp("static", "bert", "stacked")
    assert len(_warnings(lambda: nlp(FOREIGN))) == 1


def test_a_copy_in_another_process_says_it_again(make_nlp):
    nlp = make_nlp("bert")
    assert len(_warnings(lambda: nlp(FOREIGN))) == 1
    assert len(_warnings(lambda: pickle.loads(pickle.dumps(nlp))(FOREIGN))) == 1


def test_chinese_read_by_the_english_default_model(minilm):
    nlp = spacy.blank("zh")
    nlp.add_pipe("bert_embeddings")
    found = _warnings(lambda: nlp("我们在河岸边吃午饭。银行在街角。"))
    assert len(found) == 1 and "all-minilm-l6-v2" in found[0] and "bert-base-chinese" in found[0]


def test_predicting_for_a_listener_counts_as_well(make_nlp):
    nlp = make_nlp("bert")
    pipe = nlp.get_pipe("bert_embeddings")
    assert len(_warnings(lambda: pipe.predict([Doc(nlp.vocab, words=FOREIGN.split())]))) == 1
