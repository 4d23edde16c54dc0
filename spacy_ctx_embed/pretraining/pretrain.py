"""From a config and text files to a language model: what ``python -m spacy embed pretrain-elmo`` calls.

Sections of the config: ``[paths]`` (train, dev, pipeline), ``[nlp]`` and ``[components]`` as in every config of
spaCy (who tokenises and splits sentences), and ``[pretraining]``.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Union

from spacy_ctx_embed.errors import Errors, TrainingError
from spacy_ctx_embed.pretraining.settings import OWNER, SECTION, PretrainSettings, read_settings

if TYPE_CHECKING:
    import torch
    from spacy.language import Language

    from spacy_ctx_embed.pretraining.card import CardFacts
    from spacy_ctx_embed.pretraining.evaluation import Perplexity
    from spacy_ctx_embed.pretraining.run import Reporter, Result, Run

CONFIG, TEXT, LOCK = "config.cfg", "text", ".lock"
_SECTIONS = ("paths", "system", "nlp", "components", "initialize", SECTION)


def pretrain_elmo(
    config: Union[str, Path, Mapping[str, Any]],
    out: Union[str, Path],
    *,
    overrides: Optional[Mapping[str, Any]] = None,
    resume: bool = False,
    gpu_id: int = -1,
    n_threads: int = 0,
    n_process: int = 1,
    reporter: Optional[Reporter] = None,
) -> Result:
    """Train a bidirectional language model (Peters et al. 2018, section 3.1) and write it as an ELMo model.

    On a CPU the result is a function of config, text, ``n_threads`` and the versions of the libraries: a training
    that was stopped and resumed gives the same weights, bit for bit.

    :param config: a ``.cfg`` file, or its content.
    :param out: folder for everything that comes of it, new or empty; the model is in ``model-best`` there.
    :param overrides: values in place of those of the config, by keys such as ``"pretraining.max_epochs"``.
    :param resume: go on from the checkpoint in ``out``, or from the beginning if there is none yet.
    :param gpu_id: number of the GPU, -1 for the CPU.
    :param n_threads: CPU cores to use, 0 for all that this process may use.
    :param n_process: processes that tokenise. More than one is worth it from some 10 million words on, and needs
        ``if __name__ == "__main__":`` in a script that calls this.
    :param reporter: told what happens; a table on standard output if not given.
    :return: where the best model is, how far training went and why it ended.
    :raises ValueError: if a value in the config makes no sense; the message names the key.
    :raises CorpusError: if the text can't be read, or there is too little.
    :raises TrainingError: if ``out`` can't be used, or a loss or gradient is not a finite number.
    :raises OSError: if the disk is full.
    :raises KeyboardInterrupt: after Ctrl-C or SIGTERM; what was learnt is saved before.
    """
    out = Path(out)
    loaded = _load_config(config, overrides or {})
    settings = read_settings(loaded.get(SECTION, {}))
    sources = {key: _as_paths(loaded, key) for key in ("train", "dev")}
    if not sources["train"]:
        value = loaded.get("paths", {}).get("train")
        values = {"owner": OWNER, "key": "paths.train", "value": value, "accepted": "files or folders of text"}
        raise ValueError(Errors.E001.format(**values))
    for key, value, least in (("n_threads", n_threads, 0), ("n_process", n_process, 1)):
        if value < least:
            raise ValueError(Errors.E001.format(owner=OWNER, key=key, value=value, accepted=f"{least} or more"))
    _check_out(out, settings, resume)

    from spacy_ctx_embed.pretraining.console import Table
    from spacy_ctx_embed.pretraining.run import CHECKPOINT, Run
    from spacy_ctx_embed.pretraining.text.files import find_files, mix_of_files
    from spacy_ctx_embed.pretraining.text.prepared import prepare_text

    device = _device(gpu_id)
    n_threads = n_threads or _n_cores()
    found = {key: [find_files([path], f"paths.{key}") for path in paths] for key, paths in sources.items()}
    files = {key: [file for inside in of_paths for file in inside] for key, of_paths in found.items()}
    mix = mix_of_files(settings.mix, found["train"], bool(files["dev"]))
    nlp = _load_pipeline(loaded)

    def describe(run: Run, found: Optional[Perplexity]) -> str:
        from spacy_ctx_embed.pretraining.card import write_card

        return write_card(_facts(run, found, str(nlp.lang), files, device, n_threads))

    with _locked(out), _torch_threads(n_threads):
        _check_out(out, settings, resume)  # another process may have been faster
        goes_on = resume and (out / CHECKPOINT).is_file()
        if not goes_on:
            _write_config(out / CONFIG, loaded.to_str())
        table = reporter or Table()
        try:
            table.reading(len(files["train"]) + len(files["dev"]))
            text = prepare_text(
                out / TEXT,
                nlp,
                files["train"],
                files["dev"],
                held_out=settings.held_out,
                mix=mix,
                n_process=n_process,
                settings=_fingerprint(nlp),
                report=table.read,
            )
            run = Run(settings, text, out, device=device, n_threads=n_threads, describe=describe, resume=resume)
            if goes_on:  # nothing was refused
                _write_config(out / CONFIG, loaded.to_str())
            try:
                table.starting(run)
                return run.go(table)
            finally:
                run.stepper.close()
        finally:
            table.close()


def _load_config(config: Union[str, Path, Mapping[str, Any]], overrides: Mapping[str, Any]) -> Any:
    from spacy import util
    from thinc.api import Config

    if isinstance(config, (str, Path)):
        loaded = util.load_config(Path(config), overrides=dict(overrides), interpolate=True)
    else:
        text = Config(dict(config)).to_str()
        loaded = Config().from_str(text, overrides=dict(overrides), interpolate=True)
    for section in loaded:
        if section not in _SECTIONS:
            accepted = "only the sections " + ", ".join(_SECTIONS)
            raise ValueError(Errors.E001.format(owner=OWNER, key=section, value="a section", accepted=accepted))
    return loaded


def _as_paths(config: Mapping[str, Any], key: str) -> List[Path]:
    value = config.get("paths", {}).get(key)
    values = value if isinstance(value, list) else [value] if value is not None else []
    if not all(isinstance(path, str) and path for path in values):
        accepted = "a path, or a list of paths" + (", or null" if key == "dev" else "")
        raise ValueError(Errors.E001.format(owner=OWNER, key=f"paths.{key}", value=value, accepted=accepted))
    return [Path(path) for path in values]


def _check_out(out: Path, settings: PretrainSettings, resume: bool) -> None:
    from spacy import util

    if out.exists() and not out.is_dir():
        fix = "name a folder that is new or empty"
        raise TrainingError(Errors.E040.format(folder=out, reason="is not a folder", fix=fix))
    inside = {file.name for file in out.iterdir()} if out.is_dir() else set()
    if inside <= {LOCK, f"{CONFIG}.tmp"}:  # empty, or a process was killed as it began
        return
    if not resume:
        fix = "add --resume to go on with what is there, or name another folder"
        raise TrainingError(Errors.E040.format(folder=out, reason="is not empty", fix=fix))
    if CONFIG not in inside:
        fix = "name the folder that this command wrote"
        raise TrainingError(Errors.E040.format(folder=out, reason=f"holds no {CONFIG}", fix=fix))

    from spacy_ctx_embed.pretraining.checkpoint import first_difference
    from spacy_ctx_embed.pretraining.run import CHECKPOINT

    if CHECKPOINT not in inside:
        return  # from the beginning, with whatever settings
    before = read_settings(util.load_config(out / CONFIG, interpolate=True).get(SECTION, {}))
    key = first_difference(before, settings)
    if key is not None:
        raise TrainingError(Errors.E044.format(key=key, folder=out))


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK)
        lock.acquire(timeout=0)
    except Timeout as error:
        fix = "wait until the other process has ended, or name another folder"
        reason = "is being written by another process"
        raise TrainingError(Errors.E040.format(folder=out, reason=reason, fix=fix)) from error
    except OSError as error:
        fix = "name a folder that can be written"
        raise TrainingError(Errors.E040.format(folder=out, reason=f"can't be written ({error})", fix=fix)) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _torch_threads(n_threads: int) -> Iterator[None]:
    # What the main thread does, such as adding up a norm, depends on their number too.
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write_config(file: Path, content: str) -> None:
    temporary = file.with_name(f"{file.name}.tmp")
    try:
        temporary.write_text(content, encoding="utf8")
        temporary.replace(file)
    except OSError as error:
        raise OSError(Errors.E041.format(file=file, reason=error)) from error


def _device(gpu_id: int) -> torch.device:
    import torch

    if gpu_id < 0:
        return torch.device("cpu")
    if gpu_id >= torch.cuda.device_count():
        accepted = f"-1 for the CPU, or the number of one of {torch.cuda.device_count()} GPUs that PyTorch can use"
        raise ValueError(Errors.E001.format(owner=OWNER, key="gpu_id", value=gpu_id, accepted=accepted))
    return torch.device("cuda", gpu_id)


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _load_pipeline(config: Mapping[str, Any]) -> Language:
    import spacy
    from spacy import util

    name = config.get("paths", {}).get("pipeline")
    if name is not None:
        try:
            return spacy.load(name)
        except (OSError, ValueError) as error:
            values = {"owner": OWNER, "key": "paths.pipeline", "value": name, "accepted": f"a pipeline ({error})"}
            raise ValueError(Errors.E001.format(**values)) from error
    parts = {key: config[key] for key in ("nlp", "components", "initialize") if key in config}
    if "nlp" not in parts:
        values = {"owner": OWNER, "key": "nlp", "value": None, "accepted": "a section with at least lang"}
        raise ValueError(Errors.E001.format(**values))
    nlp = util.load_model_from_config(parts, auto_fill=True)
    if "initialize" in parts:
        nlp.initialize()
    return nlp


def _fingerprint(nlp: Language) -> str:
    # What decides on tokens and sentences: the config, the tokenizer's rules, and weights. Not whole components: some
    # hold sets, whose order differs from one process to the next.
    found = hashlib.sha256(nlp.config.to_str().encode())
    if hasattr(nlp.tokenizer, "to_bytes"):
        found.update(nlp.tokenizer.to_bytes(exclude=["vocab"]))
    for _, pipe in nlp.pipeline:
        model = getattr(pipe, "model", None)
        if model is not None and hasattr(model, "to_bytes"):
            found.update(model.to_bytes())
    return found.hexdigest()


def _facts(
    run: Run,
    found: Optional[Perplexity],
    language: str,
    files: Dict[str, List[Path]],
    device: torch.device,
    n_threads: int,
) -> CardFacts:
    import torch

    from spacy_ctx_embed.pretraining.card import CardFacts

    where = f"{n_threads} CPU cores" if device.type == "cpu" else torch.cuda.get_device_name(device)
    text, progress = run.text, run.progress
    return CardFacts(
        sources=[file.name for file in files["train"]],
        dev_sources=[file.name for file in files["dev"]],
        language=language,
        n_train=len(text.train) - 1,
        n_dev=len(text.dev) - 1,
        n_vocab=run.n_vocab,
        n_types=text.n_types,
        n_parameters=sum(part.numel() for part in run.model.elmo.parameters()),
        settings=run.settings,
        network=run.model.elmo.config,
        n_rows=run.stream.n_rows,
        n_steps=run.stream.n_steps,
        step=progress.step,
        n_read=progress.step * run.stream.tokens_per_step,
        seconds=progress.seconds,
        device=where,
        perplexity=found,
    )
