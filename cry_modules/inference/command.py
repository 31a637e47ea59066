"""Checks, table and messages of the commands that score recordings.

``python -m cry_modules.inference`` and the ``run_onnx.py`` of an exported
model share them. That file has a copy: only numpy and soundfile are used here.
"""

import argparse
import csv
import os
import sys
from pathlib import Path
from typing import Iterable, List, Optional, Sequence

from cry_modules.evaluation.out_of_distribution import Training
from cry_modules.inference.detector import Detector
from cry_modules.inference.scores import (
    COLUMNS,
    LEFT_OUT,
    FileScore,
    header_of,
    rows_of,
)
from data_prep.audio.folder import (
    AUDIO,
    audio_among,
    files_below,
    refuse_recordings,
)
from data_prep.audio.measure import UNCUT_S
from data_prep.audio.packs import PACK_FILE
from data_prep.files.atomic import is_stream, make_folder, require_writable
from data_prep.files.errors import InputError, require
from data_prep.files.tables import write_table
from data_prep.files.words import count


def check_arguments(args: argparse.Namespace) -> List[str]:
    """Check the shared arguments; return the paths of the recordings."""
    refuse_recordings(args.model, "MODEL AUDIO")
    if args.longest_s is not None and not args.longest_s > 0:
        raise InputError(f"--longest_s is {args.longest_s}; pass more than 0")
    require(
        args.detected is None or args.detector is not None,
        f"--detected {args.detected} is a class of a detector",
        "pass --detector MODEL2 too, or leave out --detected",
    )
    paths = list_recordings(args.audio)
    if args.csv is not None:
        _check_table(Path(args.csv), paths)
    return paths


def list_recordings(names: Sequence[str]) -> List[str]:
    """Files, and the audio files of folders, each once."""
    paths = []
    for name in names:
        if not os.path.isdir(name):
            paths.append(name)
            continue
        files = list(files_below(name))
        require(
            PACK_FILE not in files
            or any(file.lower().endswith(AUDIO) for file in files),
            f"{name} is a pack, which only training reads",
            "pass the folder that was packed",
        )
        paths += [str(Path(name) / p) for p in audio_among(files, name, AUDIO)]
    return list(dict.fromkeys(paths))


def _check_table(out: Path, paths: Sequence[str]) -> None:
    """Refuse a table that cannot be written or would replace a recording."""
    recordings = {os.path.realpath(path) for path in paths}
    require(
        not str(out).lower().endswith(AUDIO)
        and os.path.realpath(out) not in recordings,
        f"--csv {out} is a recording, or has the name of one",
        "name the table to write, such as scores.csv",
    )
    if not is_stream(out):
        make_folder(out.parent)
    require_writable(out)


def write_scores(
    scores: Iterable[FileScore],
    classes: Sequence[str],
    threshold: Optional[float],
    out: Optional[str],
    detector: Optional[Detector] = None,
    training: Optional[Training] = None,
) -> None:
    """Write the table of scores to a file, or print it; with a detector, it
    has the column ``LEFT_OUT``, without one, tapes are marked."""
    columns = COLUMNS if detector is None else (*COLUMNS, LEFT_OUT)
    tape_s = _tape_s(training) if detector is None else float("inf")
    header = header_of(classes, columns)
    rows = (
        row
        for score in scores
        for row in rows_of([score], classes, threshold, columns, tape_s)
    )
    if out is not None:
        write_table(Path(out), header, rows)
        return
    # File names that are not Unicode are escaped, as in a file.
    sys.stdout.reconfigure(errors="backslashreplace")
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)


def print_summary(
    scores: Sequence[FileScore],
    out: Optional[str],
    detector: Optional[Detector] = None,
    more: str = "",
) -> None:
    """Print the summary line, next to the table if that is printed."""
    scored = [score for score in scores if score.scores is not None]
    unusable = [score for score in scores if score.error]
    minutes = sum(score.seconds for score in scored) / 60
    line = f"done: {count(len(scored), 'recording')} of {minutes:.1f} minutes scored"
    if unusable:
        example = f"{unusable[0].path} ({unusable[0].error})"
        line += f", {len(unusable)} could not be used, such as {example}"
    n_empty = len(scores) - len(scored) - len(unusable)
    if detector is not None and n_empty:
        line += f", {n_empty} without {detector.detected}"
    line += more
    if out is None or is_stream(Path(out)):
        print(line, file=sys.stderr)
    else:
        print(f"{line}; table in {out}")


def _tape_s(training: Optional[Training]) -> float:
    """Length from which a recording is a tape, seconds."""
    return UNCUT_S if training is None else training.tape_s


def warn_of_comparison(
    scores: Sequence[FileScore],
    classes: Sequence[str],
    training: Optional[Training],
    detector: Optional[Detector] = None,
    window_s: Optional[float] = None,
) -> None:
    """Warn where recordings, or windows of scores over time, are unlike those
    of training, and of tapes unless a detector leaves out other sounds than
    cries."""
    if training is None:
        line = (
            "the model keeps no numbers of its training recordings, so that "
            "recordings are not compared with them; train or export it again"
        )
        print(f"warning: {line}", file=sys.stderr)
    unlike = [score for score in scores if score.unlike]
    if unlike:
        words = training.in_words()
        words["sound"] = "far from all of them"
        parts = []
        for name, usual in words.items():
            n = sum(name in score.unlike for score in unlike)
            parts += [f"{n} in {name} ({usual})"] * (n > 0)
        print(
            f"warning: {len(unlike)} of {len(scores)} recordings are unlike "
            f"those of training, {', '.join(parts)}: their scores may mean "
            "nothing; see the column unlike_training",
            file=sys.stderr,
        )
    tape_s = _tape_s(training)
    tapes = [s for s in scores if not s.error and s.seconds > tape_s]
    if detector is not None or not (tapes or window_s):
        return
    reason = f"windows of {window_s or 0:g} s are scored"
    if tapes:
        longest = max(tapes, key=lambda score: score.seconds)
        reason = f"{longest.path} has {longest.seconds:.0f} s"
    if training is not None:
        reason += f", recordings of training {training.in_words()['length']}"
    print(
        f"warning: {reason}: the model knows only {', '.join(classes)}, and "
        "any other sound gets a score too; pass --detector MODEL2, a model of "
        "cries and other sounds, to score only the windows in which it finds "
        "cries",
        file=sys.stderr,
    )
