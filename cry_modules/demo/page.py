"""HTML of the demo page: the model, and the scores of a recording."""

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import jinja2
import numpy as np
import soundfile
from matplotlib.figure import Figure

from cry_modules.checkpoints.saved_model import SavedModel
from cry_modules.figures.style import style
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.picture import (
    MOST_LINES,
    SIZE,
    draw_scores,
    spectrogram,
)
from cry_modules.inference.scores import ScoreTrack, call_of
from cry_modules.metrics.ranking import OPERATING_SHARE
from data_prep.audio.measure import SHORTEST_S, UNCUT_S, audit_file
from data_prep.files.errors import require

#: Size of the picture on a narrow screen, inches; dots per inch.
_NARROW, _DPI = (4.2, 4.6), 150
#: Approximate maximum of scores over time per recording.
_MOST_WINDOWS = 60


@dataclass
class Scored:
    """A recording with its scores."""

    name: str
    seconds: float
    scores: np.ndarray  #: class probabilities ``[n_classes]``
    track: ScoreTrack
    levels: np.ndarray  #: see ``spectrogram``
    sound: bytes  #: the model's input as a FLAC file
    unlike: Sequence[str] = ()  #: see ``FileScore``


def score(
    classifier: CryClassifier, path: str, name: Optional[str] = None
) -> Scored:
    """Score a recording as a whole and over time."""
    name = name or Path(path).name
    seconds = audit_file(path).duration
    require(
        seconds <= UNCUT_S,
        f"{name} has {seconds:.0f} s, and this page takes up to "
        f"{UNCUT_S:.0f} s",
        "cut it, or use python -m cry_modules.inference",
    )
    (file_score,) = classifier.classify_files([path])
    require(
        not file_score.error,
        f"{name}: {file_score.error}",
        "this page takes WAV, FLAC, OGG and MP3 of "
        f"{SHORTEST_S:g} s to {UNCUT_S / 60:g} minutes that are not silent",
    )
    hparams, sound = classifier.hparams, BytesIO()
    sig = classifier.load_audio(path).cpu().numpy()
    soundfile.write(sound, sig, hparams.sample_rate, format="FLAC")
    chunk_s = hparams.chunk_s
    hop_s = np.clip(seconds / _MOST_WINDOWS, chunk_s / 8, chunk_s / 2)
    return Scored(
        name,
        seconds,
        file_score.scores,
        classifier.score_over_time(path, hop_s=float(hop_s)),
        spectrogram(path, seconds),
        sound.getvalue(),
        file_score.unlike,
    )


def describe(model: SavedModel, source: str, title: str) -> str:
    """HTML with the title, and name, corpus, task, classes and architecture of
    a model."""
    facts = model.facts
    # metrics.json holds the corpus as text, model.json as a block.
    corpus = facts.get("corpus")
    if not isinstance(corpus, dict):
        corpus = {"name": corpus, "synthetic": facts.get("synthetic")}
    return render(
        "model.html.j2",
        title=title,
        name=facts.get("name") or Path(source).resolve().name,
        corpus=corpus,
        task=facts.get("task"),
        blueprint=model.blueprint,
    )


def formatted(score: float) -> str:
    """Format a probability.

    Example
    -------
    >>> formatted(0.987654), formatted(0.999999)
    ('0.9877', 'above 0.9999')
    """
    text = f"{score:.4f}"
    ends = {"0.0000": "below 0.0001", "1.0000": "above 0.9999"}
    return ends.get(text, text)


def result(scored: Scored, hparams) -> str:
    """HTML with the scores of a recording in words, as a table and as a
    picture."""
    classes, threshold = hparams.classes, hparams.threshold
    order = range(len(classes))
    if len(classes) > 2:  # the most probable first
        order = np.argsort(-scored.scores, kind="stable")
    shown = (scored.track, classes, threshold, scored.levels)
    return render(
        "scores.html.j2",
        scored=scored,
        classes=classes,
        threshold=threshold,
        chunk_s=hparams.chunk_s,
        call=call_of(scored.scores, classes, threshold),
        specificity=f"{100 * OPERATING_SHARE:g}",
        order=order,
        narrow=_png(shown, _NARROW),
        wide=_png(shown, SIZE),
        words=describe_picture(scored, classes),
        n_lines=min(len(classes), MOST_LINES),
        sound=b64encode(scored.sound).decode(),
    )


def render(template: str, **values) -> str:
    """HTML of a template, in which values are escaped."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["probability"] = formatted
    return " ".join(environment.get_template(template).render(values).split())


def _png(shown: Tuple, size: Tuple[float, float]) -> str:
    """Picture in base64."""
    buffer = BytesIO()
    with style():
        figure = Figure(size, layout="constrained")
        draw_scores(figure, *shown, is_narrow=size == _NARROW)
        figure.savefig(buffer, format="png", dpi=_DPI)
    return b64encode(buffer.getvalue()).decode()


def describe_picture(scored: Scored, classes: List[str]) -> str:
    """The picture in words, for screen readers."""
    track = scored.track
    text = f"Spectrogram of {scored.seconds:.1f} s, 0 to 8 kHz, and scores."
    loud = np.flatnonzero(~np.isnan(track.scores).any(axis=1))
    if not len(loud):
        return text
    index = 1 if len(classes) == 2 else int(scored.scores.argmax())
    scores = track.scores[loud, index]
    highest = loud[scores.argmax()]
    return (
        f"{text} The score of {classes[index]} lies between "
        f"{formatted(scores.min())} and {formatted(scores.max())}; it is "
        f"highest from {track.starts[highest]:.1f} to "
        f"{track.stops[highest]:.1f} s."
    )
