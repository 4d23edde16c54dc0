"""pretraining/build.py: random weights as a function of the seed; going on from a model; which models are refused.

What becomes of a model's softmax is in ``test_build_softmax.py``.
"""

from __future__ import annotations

import pytest
import torch

from spacy_ctx_embed.errors import ModelFormatError, ModelNotFoundError
from spacy_ctx_embed.models.elmo.folder import write_elmo
from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles
from spacy_ctx_embed.networks.elmo.alphabets import CodePoints, Utf8Bytes
from spacy_ctx_embed.pretraining.build import make_language_model, make_softmax
from spacy_ctx_embed.pretraining.network.softmax import AdaptiveSoftmax, FullSoftmax, SampledSoftmax
from spacy_ctx_embed.pretraining.settings import SoftmaxSettings
from tests.elmo_workplace import write_aligned
from tests.pretraining.small_models import N_VOCAB, WORDS, small_model, small_settings
from tests.writers.elmo import write_random_elmo
from tests.writers.many_langs import write_many_langs

VOCABULARY = WORDS[:N_VOCAB]
ADAPTIVE = {"softmax__kind": "adaptive", "softmax__cutoffs": [4, 7]}


def make(words=VOCABULARY, **changes):
    return make_language_model(small_settings(**changes), words)


def same(one, other):
    return {name: torch.equal(part, other.state_dict()[name]) for name, part in one.state_dict().items()}


@pytest.mark.parametrize("kind", ["full", "sampled", "adaptive"])
def test_the_weights_are_a_function_of_the_seed(kind):
    first, again, other = (make(seed=seed, softmax__kind=kind, softmax__cutoffs=[4]) for seed in (1, 1, 2))
    assert all(same(first, again).values())
    differing = {name for name, is_same in same(first, other).items() if not is_same}
    assert all(name in differing for name in first.state_dict() if not name.endswith("bias"))


def test_the_generator_of_the_caller_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = make()
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(6)
    assert all(same(first, make()).values())


def test_sizes_and_settings_arrive():
    changes = {"char_cnn__n_highway": 3, "lstm__dim": 9, "lstm__n_layers": 3, "lstm__cell_clip": 0}
    model = make(dropout=0.25, precision="bfloat16", **changes)
    config = model.elmo.config
    assert (config.bilm.dim, config.bilm.projection_dim, config.bilm.n_layers) == (9, 6, 3)
    assert (config.bilm.cell_clip, config.bilm.proj_clip) == (None, 0.1)
    assert config.char_cnn.filters == ((1, 4), (2, 5))
    assert (config.char_cnn.n_highway, config.char_cnn.max_chars) == (3, 10)
    assert isinstance(config.alphabet, Utf8Bytes)
    assert (model.dropout, model.dtype) == (0.25, torch.bfloat16)
    assert all(part.dtype == torch.float32 and part.requires_grad for part in model.parameters())


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (SoftmaxSettings(kind="full"), FullSoftmax),
        (SoftmaxSettings(kind="sampled", n_samples=7), SampledSoftmax),
        (SoftmaxSettings(kind="adaptive", cutoffs=[10, 100, 9000], div_value=3.0), AdaptiveSoftmax),
    ],
)
def test_a_softmax_of_each_kind(settings, kind):
    softmax = make_softmax(settings, 18, 2000)
    assert type(softmax) is kind
    if kind is AdaptiveSoftmax:
        assert list(softmax.inner.cutoffs) == [10, 100, 2000]
        assert [tail[0].weight.shape for tail in softmax.inner.tail] == [(6, 18), (2, 18)]
        return
    assert softmax.weight.shape == (2000, 18)
    assert float(softmax.weight.detach().std()) == pytest.approx(18**-0.5, rel=0.03)
    assert not softmax.bias.any()
    assert getattr(softmax, "n_samples", None) == (7 if kind is SampledSoftmax else None)


def test_going_on_starts_from_the_weights_of_a_folder(tmp_path):
    source = small_model(lstm__dim=11, lstm__n_layers=3, char_cnn__filters=[[1, 3], [4, 4]], seed=4)
    write_elmo(tmp_path, ElmoFiles(source.elmo.config, source.elmo.state_dict()))
    found = make(init_from=str(tmp_path), lstm__dim=64, lstm__projection_dim=32)
    assert found.elmo.config == source.elmo.config
    assert all(same(found.elmo, source.elmo).values())
    assert all(part.requires_grad for part in found.parameters())
    assert found.softmax.weight.shape == (N_VOCAB, 6)


def test_a_model_may_grow(tmp_path):
    source = small_model(seed=4)
    write_elmo(tmp_path, ElmoFiles(source.elmo.config, source.elmo.state_dict()))
    sizes = {"lstm__dim": 11, "lstm__projection_dim": 9, "char_cnn__filters": [[1, 6], [2, 5], [4, 3]]}
    found, again = (make(init_from=str(tmp_path), widen=True, **sizes) for _ in range(2))
    assert (found.elmo.config.bilm.dim, found.elmo.config.bilm.projection_dim) == (11, 9)
    assert all(same(found, again).values())
    torch.testing.assert_close(found.spell(["river"])[:, :6], source.spell(["river"]))
    with pytest.raises(ValueError, match=r"CE001.*pretraining\.lstm\.dim' is 7.*widened"):
        make(init_from=str(tmp_path), widen=True, lstm__dim=7)


def test_going_on_from_a_published_model(tmp_path):
    write_random_elmo(tmp_path)
    found, weights = make(init_from=str(tmp_path)), read_elmo(tmp_path).weights
    assert set(found.elmo.state_dict()) == set(weights)
    assert all(torch.equal(part, weights[name]) for name, part in found.elmo.state_dict().items())


def test_going_on_from_a_model_without_words_whose_alphabet_is_another(tmp_path):
    write_many_langs(tmp_path, word_dim=0)
    found = make(init_from=str(tmp_path))
    assert isinstance(found.elmo.config.alphabet, CodePoints)
    assert torch.equal(found.spell(["<S>"]), found.elmo.encode_words(["<bos>"]))


@pytest.mark.parametrize("kind", ["full", "adaptive"])
def test_a_softmax_that_is_not_there_is_a_function_of_the_seed(tmp_path, kind):
    write_random_elmo(tmp_path)
    changes = {**ADAPTIVE, "softmax__kind": kind, "init_from": str(tmp_path)}
    first, again, other = (make(seed=seed, **changes) for seed in (1, 1, 2))
    assert all(same(first, again).values())
    assert all(same(first.elmo, other.elmo).values())
    assert not any(is_same for name, is_same in same(first.softmax, other.softmax).items() if name != "bias")


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_many_langs(folder),
        lambda folder: write_many_langs(folder, char_dim=0),
        lambda folder: write_aligned(folder, "de"),
        lambda folder: write_random_elmo(folder, dim=6),
    ],
    ids=["words_and_characters", "words_alone", "aligned", "no_projection"],
)
def test_models_of_another_kind_are_refused(tmp_path, write):
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder)
    with pytest.raises(ValueError, match=r"CE001.*embed pretrain-elmo.*pretraining\.init_from") as caught:
        make(init_from=str(folder))
    assert str(folder) in str(caught.value)
    assert "characters alone" in str(caught.value)


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_many_langs(folder, word_dim=0),
        lambda folder: write_random_elmo(folder, filters=((1, 4), (2, 2)), projection_dim=6),
    ],
    ids=["other_characters", "filters_not_projected"],
)
def test_models_that_cannot_grow_are_refused(tmp_path, write):
    write(tmp_path)
    make(init_from=str(tmp_path))
    with pytest.raises(ValueError, match=r"CE001.*pretraining\.widen' is True.*Accepted: false"):
        make(init_from=str(tmp_path), widen=True)


def test_a_model_that_is_nowhere(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"pretraining\.init_from") as caught:
        make(init_from=str(tmp_path / "gone"))
    assert str(tmp_path / "gone") in str(caught.value)


def test_a_folder_that_holds_no_model(tmp_path):
    with pytest.raises(ModelFormatError) as caught:
        make(init_from=str(tmp_path))
    assert str(tmp_path) in str(caught.value)
