"""A fixed state for every segment to start from: warm as in running text, yet the same for every sentence.

ELMo was trained with state carried from sentence to sentence, so zeros are a start that it hardly ever saw (AllenNLP's
authors advise against resetting, and simple_elmo runs its first batch twice). Carrying state at run time makes vectors
depend on what was processed before. Here it is carried once, over sample text; the mean of the states in which
sentences ended is then where every segment starts. It is kept among the encoder's parameters and saved with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Protocol, Sequence, Tuple, cast

from spacy.tokens import Doc
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import FloatsXd

from spacy_ctx_embed.data import Segment

if TYPE_CHECKING:
    import torch

    from spacy_ctx_embed.networks.elmo.bilm import BilmState

PARAMS = ("start_hidden", "start_cells")
MIN_WORDS = 100  # sample Docs with fewer words say too little, and SAMPLE serves
_MAX_SEGMENTS = 64

SAMPLE = """
The ferry left the harbour at half past six , a little later than the timetable promised .
Nobody on deck seemed to mind , because the evening was warm and the sea almost flat .
" Is this your first visit to the islands ? " asked the woman at the railing .
He nodded and said that his grandmother had been born there in 1921 .
According to the report , prices rose by 2.4 % in the second quarter , more than most economists had expected .
The company , which employs about 3,000 people , declined to comment on the decision .
In the afternoon the team lost its third match in a row , and the coach offered to resign .
Mix the flour with the butter , add two eggs and a pinch of salt , and let the dough rest for an hour .
She had read the letter twice before she understood what it meant for her brother .
Why did the old bridge collapse when the new one , built from the same stone , did not ?
Researchers at the university have found a way to store heat in ordinary sand .
They walked along the river until the path ended at a locked gate .
The minister told parliament on Tuesday that the law would come into force next year .
I do not think we have met ; my name is Clara , and I live on the second floor .
Water boils at a lower temperature in the mountains than at the coast .
The bank raised its rates , although many customers had asked it not to .
After the war the family moved to Chicago , where her father opened a small shop .
It rained all night , and by morning the cellar was full of water .
The painting shows a girl at a window with a bowl of pears in front of her .
" We will try again tomorrow , " the captain said , " if the wind allows it . "
Most of the words in this book are short , and none of them is difficult .
Doctors warned that the new treatment had been tested on fewer than two hundred patients .
A train from Berlin to Prague takes about four hours , depending on the connection .
He closed the door , sat down at the desk and began to write the first chapter .
"""


class RunsSegments(Protocol):
    """What is asked of a network here."""

    n_layers: int

    def segment(self, docs: Sequence[Doc]) -> List[Segment]:
        """Cut Docs into segments."""

    def encode(
        self, segments: Sequence[Segment], state: Optional[BilmState], layers: Sequence[int]
    ) -> Tuple[torch.Tensor, BilmState]:
        """Run the biLM over segments, and give the state in which each ended too."""


def kept_start(model: Model, network: RunsSegments, samples: Optional[Sequence[Doc]] = None) -> BilmState:
    """Give the state to start from, computing it where the encoder has none yet.

    :param model: the encoder, whose parameters keep the state.
    :param network: its network.
    :param samples: Docs of the training data, when the encoder is initialised.
    :return: hidden and cells of one segment, as of :func:`warm_state`.
    """
    if samples is not None or not model.has_param(PARAMS[0]):
        for name, part in zip(PARAMS, warm_state(network, samples or [])):
            model.set_param(name, cast(FloatsXd, torch2xp(part.float().contiguous(), ops=model.ops)))
    hidden, cells = (xp2torch(model.get_param(name)) for name in PARAMS)
    return hidden, cells


def warm_state(network: RunsSegments, docs: Sequence[Doc]) -> BilmState:
    """Compute a state from sample text.

    All sentences run at once, first from zeros and then each from where the one before it ended.

    :param network: a loaded model.
    :param docs: sample Docs; with fewer than ``MIN_WORDS`` words in them, ``SAMPLE`` is used.
    :return: hidden ``(n_layers, 2, 1, projection_dim)`` and cells ``(n_layers, 2, 1, dim)``, float32 on the device of
        the weights.
    """
    import torch

    segments = network.segment(docs)[:_MAX_SEGMENTS]
    if sum(len(segment.inputs) for segment in segments) < MIN_WORDS:
        segments = _sample_segments()
    with torch.no_grad():
        _, ended = network.encode(segments, None, [network.n_layers - 1])
        hidden, cells = (part.roll(1, dims=2) for part in ended)
        _, ended = network.encode(segments, (hidden, cells), [network.n_layers - 1])
        hidden, cells = (part.float().mean(dim=2, keepdim=True) for part in ended)
    return hidden, cells


def _sample_segments() -> List[Segment]:
    import numpy as np

    texts = [line.split() for line in SAMPLE.strip().splitlines()]
    return [Segment(0, np.arange(len(words)), len(words) + 2, words) for words in texts]
