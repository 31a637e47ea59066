"""What the demo page says of a model and of a recording, as HTML."""

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
from cry_modules.inference.classifier import CryClassifier, ScoreTrack, call_of
from cry_modules.inference.picture import (
    MOST_LINES,
    SIZE,
    Shown,
    draw_legend,
    draw_scores,
    spectrogram,
)
from cry_modules.metrics.ranking import OPERATING_SHARE
from data_prep.audio.measure import LONGEST_S, SHORTEST_S, audit_file
from data_prep.files.errors import InputError

#: Inches of the picture where the screen is narrow, and its dots per inch.
_NARROW, _DPI = (4.2, 4.6), 150
#: Scores over time of a whole recording, at the most about.
_MOST_WINDOWS = 60


@dataclass
class Heard:
    """A recording, and what a classifier says of it.

    Arguments
    ---------
    name : str
        Of the file.
    seconds : float
        Of the recording.
    scores : numpy.ndarray
        Probability of each class, ``[n_classes]``.
    track : ScoreTrack
        Scores over time.
    levels : numpy.ndarray
        See ``picture_scores.spectrogram``.
    sound : bytes
        What the model heard, a FLAC file.
    """

    name: str
    seconds: float
    scores: np.ndarray
    track: ScoreTrack
    levels: np.ndarray
    sound: bytes


def hear(classifier: CryClassifier, path: str) -> Heard:
    """Score a recording, and its parts."""
    name = Path(path).name
    audit = audit_file(path)
    if not audit.usable:
        raise _unusable(name, audit.reason)
    if audit.duration > LONGEST_S:
        raise InputError(
            f"{name} has {audit.duration:.0f} s and this page hears "
            f"{LONGEST_S:.0f} s at the most; cut it, or use the command python "
            "-m cry_modules.inference"
        )
    found = classifier.classify_files([path])[0]
    if found.error:
        raise _unusable(name, found.error)
    chunk_s = classifier.hparams.chunk_s
    hop_s = float(
        np.clip(found.seconds / _MOST_WINDOWS, chunk_s / 8, chunk_s / 2)
    )
    return Heard(
        name,
        found.seconds,
        found.scores,
        classifier.score_over_time(path, hop_s=hop_s),
        spectrogram(path, found.seconds),
        _as_flac(classifier, path),
    )


def _unusable(name, reason) -> InputError:
    return InputError(
        f"{name}: {reason}; this page takes WAV, FLAC, OGG and MP3 of "
        f"{SHORTEST_S:g} s to {LONGEST_S / 60:g} minutes in which something "
        "is to be heard"
    )


def _as_flac(classifier, path) -> bytes:
    sig = classifier.load_audio(path).cpu().numpy()
    buffer = BytesIO()
    soundfile.write(buffer, sig, classifier.hparams.sample_rate, format="FLAC")
    return buffer.getvalue()


def caution() -> str:
    """What nobody is to miss."""
    return (
        f'<p id="caution" role="note"><strong>Caution.</strong> '
        f"{escape(CAUTION)} If you are worried about a child, see a doctor.</p>"
    )


def about_model(model: SavedModel, source: str) -> str:
    """What model this is.

        Example
        -------
        >>> from cry_modules.checkpoints.description import Blueprint
        >>> from cry_modules.checkpoints.saved_model import build
        >>> model = build(Blueprint(1, classes=["a", "<b>"], log_prior=[0.0, 0.0]))
        >>> print(about_model(model, "/models/mine"))
        <p id="model">Model <b>mine</b>, trained on a corpus without a name. \
    Classes: a, &lt;b&gt; (the positive one). CNN14 of width 1, front end fbank.</p>
    """
    about, blueprint = model.about, model.blueprint
    name = about.get("name") or Path(source).resolve().name
    corpus, is_synthetic = _corpus(about)
    trained_on = "a corpus without a name"
    if corpus:
        trained_on = f"the corpus <b>{escape(corpus)}</b>"
    if about.get("task"):
        trained_on += f" for the task <b>{escape(str(about['task']))}</b>"
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
        f'<p id="model">{text}Classes: {", ".join(classes)}. CNN14 of width '
        f"{blueprint.width}, front end {escape(blueprint.front_end)}.</p>"
    )


def _corpus(about) -> Tuple[str, bool]:
    """Name of the corpus and whether it is synthetic: ``model.json`` has a
    block of them, ``metrics.json`` has them at its top."""
    corpus = about.get("corpus")
    if isinstance(corpus, dict):
        return str(corpus.get("name") or ""), bool(corpus.get("synthetic"))
    return str(corpus or ""), bool(about.get("synthetic"))


def shown(score: float) -> str:
    """A probability as it is shown.

    Example
    -------
    >>> shown(0.987654), shown(0.999999)
    ('0.9877', 'above 0.9999')
    """
    text = f"{score:.4f}"
    ends = {"0.0000": "below 0.0001", "1.0000": "above 0.9999"}
    return ends.get(text, text)


def result(
    heard: Heard, classes: List[str], threshold: Optional[float], chunk_s: float
) -> str:
    """What the page says of a recording."""
    call = call_of(heard.scores, classes, threshold)
    return (
        f'<section id="scores"><h2>{escape(heard.name)}: '
        f"{heard.seconds:.1f} s heard</h2>"
        f'<p class="call" role="alert">{_call(heard, classes, threshold)}</p>'
        f"{_bars(heard.scores, classes, call)}"
        f"{_figure(heard, classes, threshold, chunk_s)}"
        "<p><label>What the model heard, one channel at one loudness:<br>"
        f'<audio controls src="{_inline(heard.sound, "audio/flac")}"></audio>'
        "</label></p></section>"
    )


def error(message: str) -> str:
    """What the page says where there are no scores.

    Example
    -------
    >>> error("a<b is silent")
    '<p class="error" role="alert"><strong>No scores.</strong> a&lt;b is silent.</p>'
    """
    return (
        '<p class="error" role="alert"><strong>No scores.</strong> '
        f"{escape(message)}.</p>"
    )


def _call(heard, classes, threshold) -> str:
    call = escape(call_of(heard.scores, classes, threshold))
    text = f"Called <strong>{call}</strong>"
    if threshold is None:
        return f"{text}, the most probable class: there is no operating point."
    score, positive = heard.scores[-1], escape(classes[-1])
    side = "reaches" if score >= threshold else "is below"
    return (
        f"{text}: the score of {positive}, {shown(score)}, {side} the "
        f"operating point, a threshold of {shown(threshold)} that was chosen "
        f"for {100 * OPERATING_SHARE:g} % specificity on validation."
    )


def _bars(scores, classes, call) -> str:
    """A row a class; of many, the most probable first."""
    order = range(len(classes))
    if len(classes) > 2:
        order = np.argsort(-scores, kind="stable")
    rows = "".join(
        f'<tr><th scope="row">{escape(classes[i])}'
        f"{' <em>(called)</em>' if classes[i] == call else ''}</th>"
        f"<td>{shown(scores[i])}</td><td class='bar' aria-hidden='true'>"
        f"<div><div style='width: {100 * scores[i]:.2f}%'></div></div></td></tr>"
        for i in order
    )
    return (
        "<table><caption>Probability of each class</caption><thead><tr>"
        '<th scope="col">class</th><th scope="col">probability</th>'
        f'<td aria-hidden="true"></td></tr></thead><tbody>{rows}</tbody>'
        "</table>"
    )


def _figure(heard, classes, threshold, chunk_s) -> str:
    picture = Shown(heard.track, classes, threshold, heard.levels)
    wide, narrow = (
        _inline(_png(picture, size), "image/png") for size in (SIZE, _NARROW)
    )
    return (
        '<figure><picture><source media="(max-width: 640px)" '
        f'srcset="{narrow}"><img src="{wide}" '
        f'alt="{escape(description(heard, classes))}"></picture>'
        f"<figcaption>{_caption(classes, threshold, chunk_s)}</figcaption>"
        "</figure>"
    )


def _png(picture: Shown, size: Tuple[float, float]) -> bytes:
    buffer = BytesIO()
    with style():
        figure = Figure(size, layout="constrained")
        draw_scores(figure, picture)
        if size == _NARROW and figure.axes[1].get_legend() is not None:
            _put_legend_below(figure)
        figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _put_legend_below(figure):
    """Beside the lines of a narrow picture there is no room."""
    scores = figure.axes[1]
    n_rows = -(-len(scores.get_legend().get_texts()) // 2)
    scores.get_legend().remove()
    figure.set_figheight(figure.get_figheight() + 0.2 * n_rows)
    draw_legend(figure, scores, loc="outside lower center", ncols=2)


def _caption(classes, threshold, chunk_s) -> str:
    whose = f"of {escape(classes[-1])}"
    if len(classes) > 2:
        whose = f"of the {min(len(classes), MOST_LINES)} most probable classes"
    text = (
        "Above: the sound, brighter where it is louder. Below: the score "
        f"{whose} in pieces of {chunk_s:g} s, at the middle of each; grey "
        "where nothing is to be heard."
    )
    if threshold is not None:
        text += (
            " The dashed line is the operating point, a threshold that was "
            "chosen for whole recordings."
        )
    return text


def description(heard: Heard, classes: List[str]) -> str:
    """What the picture shows, in words."""
    track = heard.track
    text = f"Spectrogram of {heard.seconds:.1f} s, 0 to 8 kHz, and scores."
    loud = np.flatnonzero(~np.isnan(track.scores).any(axis=1))
    of = len(classes) - 1
    if len(classes) > 2:
        of = int(heard.scores.argmax())
    if not len(loud):
        return text
    of_class = track.scores[loud, of]
    highest = loud[of_class.argmax()]
    return (
        f"{text} The score of {classes[of]} lies between "
        f"{shown(of_class.min())} and {shown(of_class.max())}; it is "
        f"highest from {track.starts[highest]:.1f} to "
        f"{track.stops[highest]:.1f} s."
    )


def _inline(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
