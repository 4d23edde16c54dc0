"""``layers``: what the learned mixes of a trained pipeline became, layer by layer."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported

if TYPE_CHECKING:
    from spacy.language import Language
    from thinc.api import Model

OWNER = "embed layers"
_BAR = 40  # columns of a weight of 1


@dataclass(frozen=True)
class Mix:
    """The learned mix of one encoder.

    :param component: the component that it is in.
    :param architecture: its registered name.
    :param model: name of its model, or of the component whose output it takes.
    :param listeners: components that listen to it and train the mix together; ``None`` where it stands in the tok2vec
        slot of its component, which trains it alone.
    :param layers: numbers of the layers.
    :param weights: their shares, after the softmax.
    :param gamma: the scale.
    """

    component: str
    architecture: str
    model: str
    listeners: Optional[List[str]]
    layers: List[int]
    weights: List[float]
    gamma: float


def layers_cli(
    # fmt: off
    pipeline: str = typer.Argument(..., help="Path of a pipeline, or name of an installed one"),
    plot: Optional[Path] = typer.Option(None, "--plot", "-p", help="File for a bar chart, such as layers.png"),  # noqa: B008
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(None, "--code", "-c", help="Python file to import first, as in spacy train"),  # noqa: B008
    # fmt: on
) -> None:
    """
    Show the weight of each layer in the learned mixes of a pipeline (layer_mix = "scalar_mix").

    An encoder in an embedding component has one mix, which all components that listen train together. An encoder
    that stands directly in the tok2vec slot of a component has a mix of its own.
    """
    import spacy
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.seeing.pictures import check_file

    import_code(code)
    with errors_reported("Can't show the layers", as_json=as_json):
        if plot is not None:
            check_file(plot, owner=OWNER, key="--plot")
        mixes = find_mixes(spacy.load(pipeline))
        if plot is not None and mixes:
            draw_mixes(mixes, plot)
    if as_json:
        typer.echo(json.dumps([asdict(mix) for mix in mixes], indent=2, ensure_ascii=False))
        return
    if not mixes:
        msg.info("No encoder in this pipeline has a learned mix")
        typer.echo('For one, set layers = "all" and layer_mix = "scalar_mix" in the encoder\'s config, and train')
        return
    for mix in mixes:
        typer.echo(format_mix(mix))
    if plot is not None:
        msg.good(f"Wrote {plot}")


def find_mixes(nlp: Language) -> List[Mix]:
    """Find the encoders of a pipeline that learn a mix, wherever they stand; disabled components included.

    :param nlp: the pipeline.
    :return: their mixes, in the order of the pipeline.
    :raises ModelNotFoundError: if an encoder's model has to be opened and is found nowhere.
    """
    from thinc.api import Model

    found, seen = [], set()
    for name, pipe in nlp.components:
        model = getattr(pipe, "model", None)
        for node in model.walk() if isinstance(model, Model) else ():
            if node.id not in seen:
                seen.add(node.id)
                mix = _read_mix(node, name, getattr(pipe, "listening_components", None))
                if mix is not None:
                    found.append(mix)
    return found


def format_mix(mix: Mix) -> str:
    """Write a mix as lines of text with bars.

    :param mix: the mix.
    :return: the lines.
    """
    block, gamma = ("█", "γ") if _can_print("█γ") else ("#", "gamma")
    if mix.listeners is None:
        heard = "in its own tok2vec"
    else:
        heard = f"listened to by {', '.join(mix.listeners)}" if mix.listeners else "no component listens"
    lines = ["", f"{mix.component}: {mix.model} ({mix.architecture}), {heard}"]
    for number, weight in zip(mix.layers, mix.weights):
        lines.append(f"  layer {number:>3}  {weight:.4f}  {block * round(weight * _BAR)}".rstrip())
    return "\n".join([*lines, f"  {gamma} = {mix.gamma:.4f}"])


def draw_mixes(mixes: List[Mix], file: Path) -> None:
    """Draw a bar chart, one panel per mix.

    :param mixes: at least one.
    :param file: where to; its suffix decides on the format.
    :raises ImportError: if matplotlib is not installed.
    :raises OSError: if the file can't be written.
    :raises ValueError: if its suffix is of no format.
    """
    from spacy_ctx_embed.seeing.pictures import figure_class

    figure = figure_class(OWNER, "--plot")(figsize=(6, 2.5 * len(mixes)), layout="constrained")
    for axes, mix in zip(figure.subplots(len(mixes), squeeze=False)[:, 0], mixes):
        axes.bar([str(number) for number in mix.layers], mix.weights)
        axes.set(title=f"{mix.component}: {mix.model}, γ = {mix.gamma:.3f}", xlabel="layer", ylabel="weight")
    figure.savefig(file, dpi=150)


def _read_mix(node: Model, component: str, listeners: Optional[List[str]]) -> Optional[Mix]:
    import numpy as np

    from spacy_ctx_embed.encoder import encoder_of
    from spacy_ctx_embed.encoders.scalar_mix import mix_params

    encoder = encoder_of(node)
    if encoder is None or encoder.mixed_layers is None:
        return None
    mixed = encoder.mixed_layers(node)  # of a pipeline that was never used: the mix that it would start with
    params = mix_params(node)
    if mixed is None or params is None:
        return None
    model, numbers = mixed
    weights, gamma = (part.detach().cpu().numpy() for part in params)
    shares = np.exp(weights - weights.max())
    shares /= shares.sum()
    return Mix(component, node.name, model, listeners, numbers, shares.tolist(), float(gamma[0]))


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
