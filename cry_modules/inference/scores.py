"""The command of ``inference.py``: a table of scores, and pictures of scores
over time.

Exit status: 0 every recording has scores, 1 some could not be used (the
column ``error`` says why) or interrupted, 2 wrong usage, or no model.
"""

import argparse
import csv
import logging
import os
import re
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
import soundfile
from tqdm import tqdm

from cry_modules.checkpoints.description import CAUTION
from cry_modules.inference.classifier import (
    LONGEST_S,
    CryClassifier,
    FileScore,
    ScoreTrack,
    call_of,
)
from data_prep.audio.folder import AUDIO, audio_files
from data_prep.audio.packs import pack_at
from data_prep.files.atomic import cannot_write, make_folder
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.tables import write_table

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


def list_audio(given: Sequence[str]) -> List[str]:
    """Files and those of folders, each once.

    Example
    -------
    >>> list_audio(["a.wav", "b.wav", "a.wav"])
    ['a.wav', 'b.wav']
    """
    found = []
    for name in given:
        if os.path.isdir(name):
            _refuse_pack(name)
            found += [str(Path(name) / path) for path in audio_files(name)]
        else:
            found.append(name)
    return list(dict.fromkeys(found))


def _refuse_pack(folder):
    pack = pack_at(folder)
    if pack is not None:
        raise InputError(
            f"{folder} is a pack, which only training reads; pass the folder "
            f"that was packed, {pack.name}"
        )


def rows_of(
    scores: Sequence[FileScore],
    classes: Sequence[str],
    threshold: Optional[float],
) -> List[List]:
    """Rows of the table: ``COLUMNS`` and a probability of each class."""
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


def header_of(
    classes: Sequence[str], columns: Sequence[str] = COLUMNS
) -> List[str]:
    """Names of the columns, all different.

    Example
    -------
    >>> header_of(["healthy", "call"])[-2:]
    ['healthy', 'class call']
    """
    named, taken = [], {*columns, *classes}
    for name in classes:
        if name in columns:
            while name in taken:
                name = f"class {name}"
            taken.add(name)
        named.append(name)
    return [*columns, *named]


def plot_names(paths: Sequence[str]) -> Dict[str, str]:
    """A file name for each recording's scores over time, all different.

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
) -> Dict[str, str]:
    """Write scores over time, a csv file and a picture a recording. One that
    cannot be read any more stops nothing.
    """
    # A table alone needs no matplotlib.
    from cry_modules.inference.picture import spectrogram

    make_folder(folder)
    names, lost = plot_names([s.path for s in scores if not s.error]), {}
    for path, name in tqdm(
        names.items(), desc="over time", unit="file", dynamic_ncols=True
    ):
        try:
            track = classifier.score_over_time(path, window_s, hop_s)
            levels = spectrogram(path, float(track.stops[-1]))
        except (InputError, soundfile.LibsndfileError, OSError) as error:
            lost[path] = " ".join(str(error).split())
            continue
        write_track(track, classifier.hparams.classes, folder / f"{name}.csv")
        _draw(classifier, track, levels, path, folder / f"{name}.png")
    return lost


def write_track(track: ScoreTrack, classes: Sequence[str], path: Path) -> None:
    """Write ``start, stop`` in seconds and a probability of each class;
    empty where a window is silent.
    """
    rows = [
        [f"{start:.3f}", f"{stop:.3f}"]
        + ["" if np.isnan(value) else repr(value) for value in row.tolist()]
        for start, stop, row in zip(track.starts, track.stops, track.scores)
    ]
    write_table(path, header_of(classes, ("start", "stop")), rows)


def _draw(classifier, track, levels, path, out):
    from cry_modules.figures.style import picture, shortened
    from cry_modules.inference.picture import SIZE, Shown, draw_scores

    about = classifier.hparams
    shown = Shown(
        track,
        about.classes,
        about.threshold,
        levels,
        shortened(Path(path).name, 60),
    )
    with picture(out, SIZE) as figure:
        draw_scores(figure, shown)


def make_parser() -> argparse.ArgumentParser:
    """Options of the command."""
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
    """From the command line to a table."""
    # Intermixed: recordings may stand behind options.
    args = make_parser().parse_intermixed_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # Names of files that are no Unicode are escaped, as in a file.
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with one_line_errors(), _interrupted("nothing was written"):
            failed = _score(args)
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the table has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1)
    if failed:
        raise SystemExit(1)


@contextmanager
def _interrupted(what: str):
    """Say what is left of this when it is interrupted."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(str(stop) or f"interrupted; {what}")


def _score(args) -> int:
    """Score what is asked; how many recordings could not be."""
    _check_options(args)
    paths = list_audio(args.audio)
    out = None if args.csv is None else Path(args.csv)
    folder = _plot_folder(out) if args.plot else None
    _check_outputs(out, folder, paths)
    classifier = CryClassifier.from_hparams(
        args.model,
        trust=args.trust,
        run_opts={"device": args.device, "precision": args.precision},
    )
    if args.plot:
        classifier.window_sizes(args.window_s, args.hop_s)  # refuses others
    print(CAUTION, file=sys.stderr)
    scores = classifier.classify_files(paths, args.longest_s, progressbar=True)
    _write_scores(classifier, scores, out)
    lost = {}
    if folder is not None:
        with _interrupted(f"{out or 'the table'} is whole, {folder} is not"):
            lost = write_over_time(
                classifier, scores, folder, args.window_s, args.hop_s
            )
    print(
        _summary(scores, lost, out),
        file=sys.stderr if out is None else sys.stdout,
    )
    return sum(bool(score.error) for score in scores) + len(lost)


def _check_options(args):
    given = [("MODEL", args.model), ("--csv", args.csv)]
    for name, value in [*given, *(("AUDIO", path) for path in args.audio)]:
        if value == "":
            raise InputError(f"{name} is '', which names nothing; correct it")
    if not args.longest_s > 0:
        raise InputError(f"--longest_s is {args.longest_s}; more than 0")
    for name in ("window_s", "hop_s"):
        value = getattr(args, name)
        if value is not None and not args.plot:
            raise InputError(
                f"--{name} {value} is of scores over time; pass --plot too, or "
                "leave it out"
            )


def _plot_folder(out: Optional[Path]) -> Path:
    folder = (out or Path("scores.csv")).with_suffix("")
    return folder.with_name(f"{folder.name}_over_time")


def _check_outputs(
    out: Optional[Path], folder: Optional[Path], paths: Sequence[str]
):
    """Before hours of scoring, and before a recording is overwritten."""
    if out is not None:
        if out.is_dir():
            raise InputError(f"--csv {out} is a folder; name a file")
        recordings = {os.path.realpath(path) for path in paths}
        if str(out).lower().endswith(AUDIO) or str(out.resolve()) in recordings:
            raise InputError(
                f"--csv {out} is a recording, or is called like one; name the "
                "table that is to be written, such as scores.csv"
            )
        _check_writable(out, out.parent)
    if folder is not None:
        _check_writable(folder, folder if folder.exists() else folder.parent)


def _check_writable(path: Path, folder: Path):
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(path, error)


def _write_scores(classifier, scores, out):
    about = classifier.hparams
    header = header_of(about.classes)
    rows = rows_of(scores, about.classes, about.threshold)
    if out is None:
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerows([header, *rows])
    else:
        write_table(out, header, rows)


def _summary(scores, lost: Dict[str, str], out) -> str:
    heard = [score for score in scores if not score.error]
    minutes = sum(score.seconds for score in heard) / 60
    line = f"done: {len(heard)} recordings of {minutes:.1f} minutes scored"
    failed = [score for score in scores if score.error]
    if failed:
        first = failed[0]
        line += f", {len(failed)} could not be, such as {first.path} ({first.error})"  # fmt: skip
    if lost:
        reason = next(iter(lost.values()))
        line += f", {len(lost)} have no scores over time, such as {reason}"
    return line if out is None else f"{line}; table in {out}"
