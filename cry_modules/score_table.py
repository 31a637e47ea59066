"""The command of ``inference.py``: a table of scores, and pictures of scores
over time.

Exit status: 0 every recording has scores, 1 some could not be used (the
column ``error`` says why), 2 wrong usage, or no model.

Authors
 * The contributors of cry-ssl 2026
"""

import argparse
import csv
import logging
import re
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
from tqdm import tqdm

from cry_modules.inference import (
    LONGEST_S,
    CryClassifier,
    FileScore,
    ScoreTrack,
)
from cry_modules.saved_model import CAUTION
from data_prep.atomic import complete_or_absent, make_folder
from data_prep.errors import InputError, one_line_errors
from data_prep.folder import audio_files
from data_prep.tables import write_table

logger = logging.getLogger(__name__)

#: Columns of the table beside the classes'.
COLUMNS = ("path", "seconds", "call", "n_windows", "error")

_HELP = {
    "model": "exported folder, results folder of train_cls.py, or Hugging "
    "Face id",
    "audio": "recordings (WAV, FLAC, OGG, MP3) and folders of them",
    "csv": "write the table there instead of printing it",
    "plot": "scores over time of each recording, as csv and picture, in a "
    "folder named after the table",
    "window_s": "of the scores over time, seconds (default: the chunks of "
    "training)",
    "hop_s": "from one window to the next, seconds (default: a half)",
    "longest_s": "recordings that are longer are heard in windows whose "
    f"log-odds are averaged, seconds (default: {LONGEST_S:g})",
    "trust": "build what the model's hyperparams.yaml says; it can run any "
    "code",
}


def call_of(
    scores: np.ndarray, classes: Sequence[str], threshold: Optional[float]
) -> str:
    """What the model calls a recording.

    Arguments
    ---------
    scores : numpy.ndarray
        Probability of each class, ``[n_classes]``.
    classes : sequence of str
        The positive one last.
    threshold : float or None
        Lowest score of the positive class that is called so; None: the most
        probable class is called.

    Returns
    -------
    str

    Example
    -------
    >>> call_of(np.array([0.8, 0.2]), ["healthy", "injury"], 0.15)
    'injury'
    """
    if threshold is None:
        return classes[int(scores.argmax())]
    return classes[-1] if scores[-1] >= threshold else classes[0]


def list_audio(given: Sequence[str]) -> List[str]:
    """Files and those of folders, each once.

    Arguments
    ---------
    given : sequence of str
        Files and folders.

    Returns
    -------
    list of str
        In the order given, a folder's sorted.

    Raises
    ------
    InputError
        A folder without audio.

    Example
    -------
    >>> list_audio(["a.wav", "b.wav", "a.wav"])
    ['a.wav', 'b.wav']
    """
    found = []
    for name in given:
        if Path(name).is_dir():
            found += [str(Path(name) / path) for path in audio_files(name)]
        else:
            found.append(name)
    return list(dict.fromkeys(found))


def rows_of(
    scores: Sequence[FileScore],
    classes: Sequence[str],
    threshold: Optional[float],
) -> List[List]:
    """Rows of the table: ``COLUMNS`` and a probability of each class.

    Arguments
    ---------
    scores : sequence of FileScore
        Of the recordings.
    classes : sequence of str
        Of the model.
    threshold : float or None
        See ``call_of``.

    Returns
    -------
    list of list
    """
    rows = []
    for score in scores:
        call, cells = "", [""] * len(classes)
        if not score.error:
            call = call_of(score.scores, classes, threshold)
            cells = [repr(value) for value in score.scores.tolist()]
        rows.append(
            [score.path, f"{score.seconds:.3f}", call, score.n_windows or ""]
            + [score.error, *cells]
        )
    return rows


def header_of(classes: Sequence[str]) -> List[str]:
    """Names of the columns.

    Arguments
    ---------
    classes : sequence of str
        Of the model.

    Returns
    -------
    list of str

    Example
    -------
    >>> header_of(["healthy", "call"])[-2:]
    ['healthy', 'class call']
    """
    named = [f"class {c}" if c in COLUMNS else c for c in classes]
    return [*COLUMNS, *named]


def plot_names(paths: Sequence[str]) -> Dict[str, str]:
    """A file name for each recording's scores over time, all different.

    Arguments
    ---------
    paths : sequence of str
        Of the recordings.

    Returns
    -------
    dict
        Name without suffix by path.

    Example
    -------
    >>> plot_names(["a/x.wav", "b/x.wav"])
    {'a/x.wav': 'x', 'b/x.wav': 'x_2'}
    """
    names, taken = {}, set()
    for path in paths:
        stem = re.sub(r"[^\w.-]+", "_", Path(path).stem)[:100] or "recording"
        name, n = stem, 1
        while name.lower() in taken:
            n += 1
            name = f"{stem}_{n}"
        taken.add(name.lower())
        names[path] = name
    return names


def write_over_time(
    classifier: CryClassifier,
    scores: Sequence[FileScore],
    folder: Path,
    window_s: Optional[float],
    hop_s: Optional[float],
) -> None:
    """Write scores over time, a csv file and a picture a recording.

    Arguments
    ---------
    classifier : CryClassifier
        The model.
    scores : sequence of FileScore
        Of the recordings; those with an error are left out.
    folder : pathlib.Path
        To write to.
    window_s : float or None
        See ``CryClassifier.score_over_time``.
    hop_s : float or None
        See ``CryClassifier.score_over_time``.
    """
    make_folder(folder)
    names = plot_names([score.path for score in scores if not score.error])
    for path, name in tqdm(
        names.items(), desc="over time", unit="file", dynamic_ncols=True
    ):
        track = classifier.score_over_time(path, window_s, hop_s)
        write_track(track, classifier.hparams.classes, folder / f"{name}.csv")
        _draw(classifier, track, path, folder / f"{name}.png")


def write_track(track: ScoreTrack, classes: Sequence[str], path: Path) -> None:
    """Write ``start, stop`` in seconds and a probability of each class;
    empty where a window is silent.

    Arguments
    ---------
    track : ScoreTrack
        Scores over time.
    classes : sequence of str
        Of the model.
    path : pathlib.Path
        The csv file.
    """
    rows = [
        [f"{start:.3f}", f"{stop:.3f}"]
        + ["" if np.isnan(value) else repr(value) for value in row.tolist()]
        for start, stop, row in zip(track.starts, track.stops, track.scores)
    ]
    write_table(path, ["start", "stop", *header_of(classes)[5:]], rows)


def _draw(classifier, track, path, out):
    # A table alone needs no matplotlib.
    from cry_modules.curves import picture
    from cry_modules.picture_scores import SIZE, Shown, draw_scores, spectrogram
    from cry_modules.picture_views import shortened

    about = classifier.hparams
    shown = Shown(
        track,
        about.classes,
        about.threshold,
        spectrogram(path, float(track.stops[-1])),
        shortened(Path(path).name, 60),
    )
    with picture(out, SIZE) as figure:
        draw_scores(figure, shown)


def make_parser() -> argparse.ArgumentParser:
    """Options of the command.

    Returns
    -------
    argparse.ArgumentParser
    """
    parser = argparse.ArgumentParser(
        prog="python -m cry_modules.inference",
        description="Score recordings with a trained classifier. " + CAUTION,
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help=_HELP["model"])
    parser.add_argument(
        "audio", metavar="AUDIO", nargs="+", help=_HELP["audio"]
    )
    parser.add_argument("--csv", help=_HELP["csv"])
    parser.add_argument("--plot", action="store_true", help=_HELP["plot"])
    parser.add_argument("--window_s", type=float, help=_HELP["window_s"])
    parser.add_argument("--hop_s", type=float, help=_HELP["hop_s"])
    parser.add_argument(
        "--longest_s", type=float, default=LONGEST_S, help=_HELP["longest_s"]
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--precision", default="fp32", help="or bf16")
    parser.add_argument("--trust", action="store_true", help=_HELP["trust"])
    return parser


def main(argv: Optional[Sequence[str]] = None) -> None:
    """From the command line to a table.

    Arguments
    ---------
    argv : sequence of str or None
        Its arguments.
    """
    args = make_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with one_line_errors():
        failed = _score(args)
    if failed:
        raise SystemExit(1)


def _score(args) -> int:
    """Score what is asked; how many recordings could not be."""
    paths = list_audio(args.audio)
    out = None if args.csv is None else Path(args.csv)
    if out is not None:
        _check_writable(out)
    if not args.longest_s > 0:
        raise InputError(f"--longest_s is {args.longest_s}; more than 0")
    classifier = CryClassifier.from_hparams(
        args.model,
        trust=args.trust,
        run_opts={"device": args.device, "precision": args.precision},
    )
    print(CAUTION, file=sys.stderr)
    scores = classifier.classify_files(paths, args.longest_s, progressbar=True)
    about = classifier.hparams
    rows = rows_of(scores, about.classes, about.threshold)
    if out is None:
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerows([header_of(about.classes), *rows])
    else:
        write_table(out, header_of(about.classes), rows)
    if args.plot:
        folder = (out or Path("scores.csv")).with_suffix("")
        folder = folder.with_name(f"{folder.name}_over_time")
        write_over_time(classifier, scores, folder, args.window_s, args.hop_s)
    failed = sum(bool(score.error) for score in scores)
    print(
        _summary(scores, failed, out),
        file=sys.stderr if out is None else sys.stdout,
    )
    return failed


def _check_writable(out: Path):
    """Before hours of scoring."""
    make_folder(out.parent)
    if out.is_dir():
        raise InputError(f"--csv {out} is a folder; name a file")
    with complete_or_absent(out.with_name(f".{out.name}")) as trial:
        trial.touch()
    out.with_name(f".{out.name}").unlink()


def _summary(scores, failed, out) -> str:
    heard = [score for score in scores if not score.error]
    minutes = sum(score.seconds for score in heard) / 60
    line = f"done: {len(heard)} recordings of {minutes:.1f} minutes scored"
    if failed:
        first = next(score for score in scores if score.error)
        line += f", {failed} could not be, such as {first.path} ({first.error})"
    return line if out is None else f"{line}; table in {out}"
