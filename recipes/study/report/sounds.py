"""Recordings as contrastive training hears them, for eyes and, where the
corpus lets its audio be given on, for ears.
"""

import base64
import io
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import soundfile

from cry_modules.audio import repeat_to
from cry_modules.figures.views import Pair, make_pairs
from cry_modules.training import experiment
from data_prep import manifest
from recipes.study.report import corpora
from recipes.study.report.corpora import Corpus
from recipes.study.report.results import Results

_EXAMPLES = 2  # of each corpus
_EPOCH = 1
_LONGEST_S = 10.0  # the page stays small


class Heard(NamedTuple):
    """A recording with its two views.

    Arguments
    ---------
    title : str
        What it is, without its id.
    pair : Pair
        Both views.
    hparams : dict
        Objects and settings of the training.
    players : list of (str, str)
        What is heard, and the audio as a data URI; empty where it may not be
        given on.
    """

    title: str
    pair: Pair
    hparams: Dict[str, Any]
    players: List[Tuple[str, str]]


def heard_views(
    results: Results, generic: Optional[Corpus], cries: Sequence[Corpus]
) -> List[Heard]:
    """Examples of both corpora. A cry is shown where its corpus lets audio be
    given on only: a spectrogram can be turned into sound.
    """
    seed = results.settings.pretraining_seeds[0]
    found = []
    if generic is not None:
        run = results.plan.encoder("simclr", seed)
        found += _examples(
            run.folder, results.settings.generic, "generic sound", generic
        )
    adapted = [c for c in cries if c.purpose.startswith("adaptation")]
    if adapted and adapted[-1].shareable:
        name = next(
            name
            for name, which in corpora.CRIES.items()
            if adapted[-1].purpose == corpora.adapted_to(which)
        )
        run = corpora.adaptation(results, name)
        found += _examples(
            run.folder, results.settings.cries, "cry", adapted[-1]
        )
    return found


def _examples(folder: Path, root, what, corpus) -> List[Heard]:
    hparams = experiment.load(str(folder / "hyperparams.yaml"), {})
    rows = manifest.read(folder / "manifest/train.csv")
    # From the middle on: tables often begin with all of one class.
    step = max(1, len(rows) // (_EXAMPLES + 1))
    chosen = rows[step::step][:_EXAMPLES]
    pairs = make_pairs(hparams, chosen, str(root), _EPOCH)
    return [
        Heard(
            f"A {what}, and two views of it",
            pair,
            hparams,
            _players(hparams, rec, root, pair) if corpus.shareable else [],
        )
        for rec, pair in zip(chosen, pairs)
    ]


def _players(hparams, rec, root, pair) -> List[Tuple[str, str]]:
    """The recording, and the chunk of each view."""
    rate, chunks = hparams["sample_rate"], hparams["chunks"]
    sig = hparams["reader"](str(Path(root) / rec.wav), rec.start, rec.stop)
    sig = repeat_to(sig, chunks.n_samples)
    longest = round(_LONGEST_S * rate)
    name = "whole recording"
    if len(sig) > longest:
        name = f"its first {_LONGEST_S:.0f} s"
    parts = [(name, sig[:longest])]
    for i, start in enumerate(pair.starts, start=1):
        first = round(start * rate)
        parts.append((f"view {i}", sig[first : first + chunks.n_samples]))
    return [(name, data_uri(part.numpy(), rate)) for name, part in parts]


def data_uri(samples, rate: int) -> str:
    """Audio that a page can hold.

    Shapes: samples ``[n]``.

    Example
    -------
    >>> import numpy
    >>> data_uri(numpy.zeros(4), 16000)[:22]
    'data:audio/wav;base64,'
    """
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    text = base64.b64encode(file.getvalue()).decode()
    return f"data:audio/wav;base64,{text}"
