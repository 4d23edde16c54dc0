"""AllenNLP's side of test_allennlp_live.py, run by an interpreter that has AllenNLP and this package on its path.

A line in is ``{"do": function, "arguments": {…}, "arrays": file, "out": file}``; the line out is ``{}`` when the arrays
that the function gave are in the file, or ``{"error": text}``. What is computed by AllenNLP alone is computed as its
documentation says, without anything of this package.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

# AllenNLP is imported in the functions: before, import_allennlp has got torchvision out of its way.
Arrays = Dict[str, np.ndarray]
Batches = List[List[List[str]]]


def layers(arrays: Arrays, *, folder: str, batches: Batches, stateful: bool) -> Arrays:
    """All layers of each sentence, ``batch.row`` -> (n_layers, n_tokens, width)."""
    import torch
    from allennlp.modules.elmo import _ElmoBiLm, batch_to_ids
    from allennlp.nn.util import remove_sentence_boundaries

    module = _ElmoBiLm(*_files(folder)).eval()
    found = {}
    with torch.no_grad():
        for b, batch in enumerate(batches):
            if not stateful:
                module._elmo_lstm.reset_states()
            output = module(batch_to_ids(batch))
            parts = [remove_sentence_boundaries(part, output["mask"])[0] for part in output["activations"]]
            for i, words in enumerate(batch):
                found[f"{b}.{i}"] = torch.stack(parts)[:, i, : len(words)].numpy()
    return found


def mixed(arrays: Arrays, *, folder: str, batches: Batches, layer_norm: bool) -> Arrays:
    """Scalar mixes with ``weights`` and ``gamma``, without state, ``batch.row`` -> (n_tokens, width)."""
    import torch
    from allennlp.modules.elmo import Elmo, batch_to_ids

    elmo = Elmo(*_files(folder), num_output_representations=1, do_layer_norm=layer_norm, dropout=0.0).eval()
    _set_mix(elmo.scalar_mix_0, arrays)
    found = {}
    with torch.no_grad():
        for b, batch in enumerate(batches):
            elmo._elmo_lstm._elmo_lstm.reset_states()
            rows = elmo(batch_to_ids(batch))["elmo_representations"][0]
            for i, words in enumerate(batch):
                found[f"{b}.{i}"] = rows[i, : len(words)].numpy()
    return found


def gradients(arrays: Arrays, *, folder: str, batch: List[List[str]]) -> Arrays:
    """Gradients of all parameters by name, for the gradients ``0``, ``1``, … of the rows of each sentence."""
    import torch
    from allennlp.modules.elmo import Elmo, batch_to_ids

    elmo = Elmo(*_files(folder), num_output_representations=1, requires_grad=True, dropout=0.0)
    _set_mix(elmo.scalar_mix_0, arrays)
    rows = elmo(batch_to_ids(batch))["elmo_representations"][0]
    loss = sum((rows[i, : len(words)] * torch.from_numpy(arrays[str(i)])).sum() for i, words in enumerate(batch))
    loss.backward()
    return {name: parameter.grad.numpy() for name, parameter in elmo.named_parameters()}


def archive(arrays: Arrays, *, folder: str, target: str, with_options: bool) -> Arrays:
    """Write the archive of a text classifier over ELMo, as ``allennlp train`` does at its end."""
    import torch
    import transformers

    transformers.AdamW = torch.optim.AdamW  # AllenNLP's trainer has it as a base class, newer transformers have it not
    from allennlp.common import Params
    from allennlp.data import Vocabulary
    from allennlp.models.archival import archive_model
    from allennlp.models.basic_classifier import BasicClassifier
    from allennlp.modules.seq2vec_encoders import BagOfEmbeddingsEncoder
    from allennlp.modules.text_field_embedders import BasicTextFieldEmbedder
    from allennlp.modules.token_embedders import ElmoTokenEmbedder

    options, weights = _files(folder)
    vocabulary = Vocabulary.empty()
    vocabulary.add_tokens_to_namespace(["good", "bad"], "labels")
    embedder = ElmoTokenEmbedder(options, weights, dropout=0.0)
    _set_mix(embedder._elmo.scalar_mix_0, arrays)
    encoder = BagOfEmbeddingsEncoder(embedder.get_output_dim())
    model = BasicClassifier(vocabulary, BasicTextFieldEmbedder({"elmo": embedder}), encoder)
    embedder_config = {"type": "elmo_token_embedder", "options_file": options, "weight_file": weights}
    text_config = {"token_embedders": {"elmo": embedder_config}}
    config = {"model": {"type": "basic_classifier", "text_field_embedder": text_config}}
    Path(target).mkdir()
    Params(config).to_file(str(Path(target, "config.json")))
    vocabulary.save_to_files(str(Path(target, "vocabulary")))
    torch.save(model.state_dict(), Path(target, "best.th"))
    if with_options:
        Path(target, "options.json").write_bytes(Path(options).read_bytes())
    archive_model(target, include_in_archive=["options.json"] if with_options else None)
    return {}


def component(
    arrays: Arrays, *, folder: str, texts: List[List[List[str]]], model: Dict[str, Any], disk: str = "", steps: int = 0
) -> Arrays:
    """Rows of Docs, sentence by sentence given, from ``elmo_embeddings`` with AllenNLPElmo.v1.

    ``rows.i`` of the pipeline, ``disk.i`` of the same saved to ``disk`` and loaded, ``pickle.i`` of a copy, and
    ``learnt.i`` of the copy after ``steps`` more; before, ``steps`` updates of all weights, whose gradients are ones.
    """
    import pickle

    import spacy
    from thinc.api import Adam

    encoder = {"@architectures": "spacy_ctx_embed.AllenNLPElmo.v1", "name": folder, **model}
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("elmo_embeddings", config={"model": encoder})

    def learn(model: Any) -> None:
        optimizer = Adam(0.01)
        for _ in range(steps):
            rows, backprop = model.begin_update(_docs(nlp, texts))
            backprop([np.ones_like(part) for part in rows])
            model.finish_update(optimizer)

    learn(pipe.model)
    found = {f"rows.{i}": doc._.embeddings["elmo_embeddings"] for i, doc in enumerate(nlp.pipe(_docs(nlp, texts)))}
    if disk:
        nlp.to_disk(disk)
        other = spacy.load(disk)
        docs = other.pipe(_docs(other, texts))
        found.update({f"disk.{i}": doc._.embeddings["elmo_embeddings"] for i, doc in enumerate(docs)})
        copied = pipe.model.copy()
        copied.shims[0] = pickle.loads(pickle.dumps(pipe.model.shims[0]))
        found.update({f"pickle.{i}": rows for i, rows in enumerate(copied.predict(_docs(nlp, texts)))})
        learn(copied)
        found.update({f"learnt.{i}": rows for i, rows in enumerate(copied.predict(_docs(nlp, texts)))})
    return found


def batches_of_docs(arrays: Arrays, *, folder: str, batches: Batches, reset: bool, model: Dict[str, Any]) -> Arrays:
    """Rows of the encoder AllenNLPElmo.v1, each batch a call, with or without ``reset_states`` before each call."""
    import spacy

    from spacy_ctx_embed.encoders.allennlp.model import make_allennlp_elmo_v1
    from spacy_ctx_embed.encoders.elmo.model import reset_states

    nlp = spacy.blank("en")
    encoder = make_allennlp_elmo_v1(name=folder, **model)
    found = {}
    for b, batch in enumerate(batches):
        if reset:
            reset_states(encoder)
        docs = _docs(nlp, [[words] for words in batch])
        rows = encoder.begin_update(docs)[0] if b % 2 and encoder.shims[0].settings.trainable else None
        for i, part in enumerate(rows if rows is not None else encoder.predict(docs)):
            found[f"{b}.{i}"] = part
    return found


def threads(arrays: Arrays, *, folder: str, batches: Batches) -> Arrays:
    """Rows of the encoder AllenNLPElmo.v1, the batches in several threads at once."""
    from concurrent.futures import ThreadPoolExecutor

    import spacy

    from spacy_ctx_embed.encoders.allennlp.model import make_allennlp_elmo_v1

    nlp = spacy.blank("en")
    encoder = make_allennlp_elmo_v1(name=folder, layer_mix="concat")
    docs = [_docs(nlp, [[words] for words in batch]) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(encoder.predict, docs))
    return {f"{b}.{i}": rows for b, batch in enumerate(found) for i, rows in enumerate(batch)}


def refusal(arrays: Arrays, *, name: str) -> Arrays:
    """What opening a model says that AllenNLP can't read."""
    from spacy_ctx_embed.encoders.allennlp.model import make_allennlp_elmo_v1

    try:
        make_allennlp_elmo_v1(name=name).initialize()
    except ValueError as error:
        return {"message": np.array(f"{type(error).__name__}: {error}")}
    return {"message": np.array("")}


def _files(folder: str) -> Tuple[str, str]:
    return str(Path(folder, "options.json")), str(Path(folder, "weights.hdf5"))


def _set_mix(mix: Any, arrays: Arrays) -> None:
    for parameter, weight in zip(mix.scalar_parameters, arrays["weights"]):
        parameter.data.fill_(float(weight))
    mix.gamma.data.fill_(float(arrays["gamma"]))


def _docs(nlp: Any, texts: List[List[List[str]]]) -> List[Any]:
    from spacy.tokens import Doc

    docs = []
    for sentences in texts:
        words = [word for sentence in sentences for word in sentence]
        starts = [i == 0 for sentence in sentences for i in range(len(sentence))]
        docs.append(Doc(nlp.vocab, words=words, sent_starts=starts))
    return docs


def _questions() -> Iterator[Dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the answers

    import spacy

    from spacy_ctx_embed.encoders.allennlp.model import OWNER, make_allennlp_elmo_v1
    from spacy_ctx_embed.encoders.allennlp.module import import_allennlp

    importlib.import_module("spacy_ctx_embed.pipeline.factories")  # there are no entry points here
    import_allennlp(OWNER)
    assert "torchvision" not in sys.modules
    spacy.registry.architectures.register(OWNER, func=make_allennlp_elmo_v1)
    for question in _questions():
        answer = {}
        try:
            with np.load(question["arrays"]) as arrays:
                found = globals()[question["do"]](dict(arrays), **question["arguments"])
            np.savez(question["out"], **found)
        except Exception:  # whatever it is, the test that asked fails with it
            answer["error"] = traceback.format_exc()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
