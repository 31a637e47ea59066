"""HTML of the demo page: the model, and the scores of a recording."""

import base64
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np
import soundfile
from matplotlib.figure import Figure

from cry_modules.checkpoints.description import CAUTION
from cry_modules.checkpoints.saved_model import SavedModel
from cry_modules.figures.style import style
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.picture import (
    MOST_LINES,
    SIZE,
    Shown,
    draw_legend,
    draw_scores,
    spectrogram,
)
from cry_modules.inference.scores import ScoreTrack, call_of
from cry_modules.metrics.ranking import OPERATING_SHARE
from data_prep.audio.measure import SHORTEST_S, UNCUT_S, audit_file
from data_prep.files.errors import InputError

#: Size of the picture on a narrow screen, inches; dots per inch.
_NARROW, _DPI = (4.2, 4.6), 150
#: Approximate maximum of scores over time per recording.
_MOST_WINDOWS = 60


@dataclass
class Scored:
    """A recording with its scores.

    ``scores`` are the probabilities of the classes, ``[n_classes]``, ``levels``
    a spectrogram, and ``sound`` the model's input as a FLAC file.
    """

    name: str
    seconds: float
    scores: np.ndarray
    track: ScoreTrack
    levels: np.ndarray
    sound: bytes


def score(classifier: CryClassifier, path: str) -> Scored:
    """Score a recording as a whole and over time."""
    name = Path(path).name
    audit = audit_file(path)
    if not audit.usable:
        raise _unusable(name, audit.reason)
    if audit.duration > UNCUT_S:
        raise InputError(
            f"{name} has {audit.duration:.0f} s, and this page takes up to "
            f"{UNCUT_S:.0f} s; cut it, or use python -m "
            "cry_modules.inference"
        )
    file_score = classifier.classify_files([path])[0]
    if file_score.error:
        raise _unusable(name, file_score.error)
    seconds, chunk_s = file_score.seconds, classifier.hparams.chunk_s
    hop_s = np.clip(seconds / _MOST_WINDOWS, chunk_s / 8, chunk_s / 2)
    return Scored(
        name,
        seconds,
        file_score.scores,
        classifier.score_over_time(path, hop_s=float(hop_s)),
        spectrogram(path, seconds),
        _as_flac(classifier, path),
    )


def _unusable(name, reason) -> InputError:
    return InputError(
        f"{name}: {reason}; this page takes WAV, FLAC, OGG and MP3 of "
        f"{SHORTEST_S:g} s to {UNCUT_S / 60:g} minutes that are not silent"
    )


def _as_flac(classifier, path) -> bytes:
    sig = classifier.load_audio(path).cpu().numpy()
    buffer = BytesIO()
    soundfile.write(buffer, sig, classifier.hparams.sample_rate, format="FLAC")
    return buffer.getvalue()


def caution() -> str:
    """The caution that is always visible."""
    return (
        f'<p id="caution" role="note"><strong>Caution.</strong> '
        f"{escape(CAUTION)} If you are worried about a child, see a doctor.</p>"
    )


def model_line(model: SavedModel, source: str) -> str:
    """Name, corpus, task, classes and architecture of a model."""
    facts, blueprint = model.facts, model.blueprint
    name = facts.get("name") or Path(source).resolve().name
    # metrics.json holds the corpus as text, model.json as a block.
    corpus, is_synthetic = facts.get("corpus"), facts.get("synthetic")
    if isinstance(corpus, dict):
        corpus, is_synthetic = corpus.get("name"), corpus.get("synthetic")
    trained_on = "a corpus without a name"
    if corpus:
        trained_on = f"the corpus <b>{escape(str(corpus))}</b>"
    if facts.get("task"):
        trained_on += f" for the task <b>{escape(str(facts['task']))}</b>"
    text = f"Model <b>{escape(str(name))}</b>, trained on {trained_on}. "
    if is_synthetic:
        text += (
            "<strong>That corpus is synthetic: no infant was recorded, and "
            "the scores say nothing about infants.</strong> "
        )
    classes = [escape(name) for name in blueprint.classes]
    if len(classes) == 2:
        classes[1] += " (the positive one)"
    return (
        f'<p id="model">{text}Classes: {", ".join(classes)}. Encoder '
        f"{blueprint.architecture} of width {blueprint.width}, front end "
        f"{escape(blueprint.front_end)}.</p>"
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


def result(
    scored: Scored,
    classes: List[str],
    threshold: Optional[float],
    chunk_s: float,
) -> str:
    """Scores of a recording, in words, as a table and as a picture."""
    call = call_of(scored.scores, classes, threshold)
    sentence = _call_sentence(scored, call, classes, threshold)
    return (
        f'<section id="scores"><h2>{escape(scored.name)}: '
        f"{scored.seconds:.1f} s scored</h2>"
        f'<p class="call" role="alert">{sentence}</p>'
        f"{_table(scored.scores, classes, call)}"
        f"{_figure(scored, classes, threshold, chunk_s)}"
        "<p><label>Input of the model, one channel scaled to one peak:<br>"
        f'<audio controls src="{_inline(scored.sound, "audio/flac")}"></audio>'
        "</label></p></section>"
    )


def error(message: str) -> str:
    """The reason why a recording has no scores."""
    return (
        '<p class="error" role="alert"><strong>No scores.</strong> '
        f"{escape(message)}.</p>"
    )


def _call_sentence(scored, call, classes, threshold) -> str:
    text = f"Called <strong>{escape(call)}</strong>"
    if threshold is None:
        return f"{text}, the most probable class; the model has no operating point."
    score, positive = scored.scores[-1], escape(classes[-1])
    side = "reaches" if score >= threshold else "is below"
    return (
        f"{text}: the score of {positive}, {formatted(score)}, {side} the "
        f"operating point, a threshold of {formatted(threshold)} that was "
        f"chosen for {100 * OPERATING_SHARE:g} % specificity on validation."
    )


def _table(scores, classes, call) -> str:
    """One row per class; if more than two, the most probable first."""
    order = range(len(classes))
    if len(classes) > 2:
        order = np.argsort(-scores, kind="stable")
    rows = "".join(
        f'<tr><th scope="row">{escape(classes[i])}'
        f"{' <em>(called)</em>' if classes[i] == call else ''}</th>"
        f"<td>{formatted(scores[i])}</td><td class='bar' aria-hidden='true'>"
        f"<div><div style='width: {100 * scores[i]:.2f}%'></div></div></td></tr>"
        for i in order
    )
    return (
        "<table><caption>Probability of each class</caption><thead><tr>"
        '<th scope="col">class</th><th scope="col">probability</th>'
        f'<td aria-hidden="true"></td></tr></thead><tbody>{rows}</tbody>'
        "</table>"
    )


def _figure(scored, classes, threshold, chunk_s) -> str:
    picture = Shown(scored.track, classes, threshold, scored.levels)
    wide, narrow = (
        _inline(_png(picture, size), "image/png") for size in (SIZE, _NARROW)
    )
    return (
        '<figure><picture><source media="(max-width: 640px)" '
        f'srcset="{narrow}"><img src="{wide}" '
        f'alt="{escape(description(scored, classes))}"></picture>'
        f"<figcaption>{_caption(classes, threshold, chunk_s)}</figcaption>"
        "</figure>"
    )


def _png(picture: Shown, size: Tuple[float, float]) -> bytes:
    buffer = BytesIO()
    with style():
        figure = Figure(size, layout="constrained")
        draw_scores(figure, picture)
        scores = figure.axes[1]
        if size == _NARROW and scores.get_legend() is not None:
            # Below, as a narrow picture has no room next to the lines.
            n_rows = -(-len(scores.get_legend().get_texts()) // 2)
            scores.get_legend().remove()
            figure.set_figheight(figure.get_figheight() + 0.2 * n_rows)
            draw_legend(figure, scores, loc="outside lower center", ncols=2)
        figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _caption(classes, threshold, chunk_s) -> str:
    whose = f"of {escape(classes[-1])}"
    if len(classes) > 2:
        whose = f"of the {min(len(classes), MOST_LINES)} most probable classes"
    text = (
        "Above: the sound, brighter where it is louder. Below: the score "
        f"{whose} in windows of {chunk_s:g} s, drawn at their middle; grey "
        "where the recording is silent."
    )
    if threshold is not None:
        text += (
            " The dashed line is the operating point, a threshold that was "
            "chosen for whole recordings."
        )
    return text


def description(scored: Scored, classes: List[str]) -> str:
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


def _inline(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
