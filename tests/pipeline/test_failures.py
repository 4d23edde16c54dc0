"""pipeline/failures.py: no exception of a library reaches the user without component, model and key around it."""

from __future__ import annotations

import pytest
from spacy.training import Example

from spacy_ctx_embed.errors import EncoderError, Errors, ModelFormatError

FAMILIES = ("static", "elmo", "bert")


class _Unused(RuntimeError):
    pass


def _fail(error):
    def fails(*args, **settings):
        raise error

    return fails


def _break(nlp, error):
    # Whatever the network is asked for fails.
    component = nlp.get_pipe(nlp.pipe_names[0])
    network = component.model.shims[0].network()
    for method in ("encode", "run", "segment"):
        if hasattr(network, method):
            setattr(network, method, _fail(error))
    return component


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [RuntimeError, KeyError, IndexError, TypeError, AssertionError, _Unused, OSError])
def test_an_exception_of_a_library_is_named(family, kind, make_nlp):
    nlp = make_nlp(family)
    cause = kind("expected scalar type\nand more")
    component = _break(nlp, cause)
    for run in (lambda: nlp("the bank"), lambda: list(nlp.pipe(["the bank"])), lambda: component.predict([nlp("")])):
        with pytest.raises(EncoderError, match=rf"CE094\] {component.name}: .*name = .*{kind.__name__}: ") as error:
            run()
        assert error.value.__cause__ is cause
        assert "\n" not in str(error.value) and f"[components.{component.name}.model]" in str(error.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_with_a_code_stays_and_notes_the_component(family, make_nlp):
    nlp = make_nlp(family)
    cause = ModelFormatError(Errors.E015.format(owner="x", value="y", found="1", expected="2"))
    component = _break(nlp, cause)
    with pytest.raises(ModelFormatError) as error:
        nlp("the bank")
    assert error.value is cause and component.name in error.value.__notes__[0]


def test_memory_errors_stay(make_nlp):
    nlp = make_nlp("bert")
    _break(nlp, MemoryError())
    with pytest.raises(MemoryError):
        nlp("the bank")


def test_an_error_while_training_is_named(make_nlp):
    nlp = make_nlp("bert")
    listener = {"@architectures": "spacy_ctx_embed.EmbeddingListener.v1", "upstream": "bert_embeddings"}
    tagger = nlp.add_pipe("tagger", config={"model": {"tok2vec": listener}})
    tagger.add_label("N")
    doc = nlp.make_doc("bank")
    example = Example.from_dict(doc, {"tags": ["N"]})
    nlp.initialize(lambda: [example])
    _break(nlp, RuntimeError("boom"))
    with pytest.raises(EncoderError, match="CE094.*bert_embeddings.*boom"):
        nlp.update([example])
