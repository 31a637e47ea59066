"""Scoring recordings as a command line says: a table, scores over time and
pictures."""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, List, Optional

import soundfile
from tqdm import tqdm

from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.command import (
    check_arguments,
    print_summary,
    warn_of_comparison,
    write_scores,
)
from cry_modules.inference.detector import Detector
from cry_modules.inference.folded import fold_batch_norm
from cry_modules.inference.options import CAUTION
from cry_modules.inference.scores import file_names, write_track
from data_prep.files.atomic import is_stream, make_folder, require_writable
from data_prep.files.errors import InputError, require
from data_prep.files.folders import require_regular_files


@contextmanager
def _if_interrupted(state: str):
    """Add the state of the output to the message of an interruption."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(str(stop) or f"interrupted; {state}")


def score(args) -> int:
    """Score the recordings of a command line; return the number of those that
    failed."""
    with _if_interrupted("nothing was written"):
        return _score(args)


def _score(args) -> int:
    paths, out = check_arguments(args), args.csv
    _check_options(args)
    to_file = out is not None and not is_stream(out)
    table = Path(out if to_file else "scores.csv").with_suffix("")
    folder = table.with_name(f"{table.name}_over_time") if args.plot else None
    if folder is not None:
        if folder.exists():
            require_regular_files(folder)
            require_writable(make_folder(folder) / "a.csv")
        else:
            make_folder(folder.parent)
            require_writable(folder)
    classifier, detector = _load(args.model, args), None
    if args.detector is not None:
        detector = Detector(_load(args.detector, args), args.detected)
    if args.plot:
        classifier.window_sizes(args.window_s, args.hop_s)  # refuses bad ones
    print(CAUTION, file=sys.stderr)
    if detector is not None:
        print(detector.in_words(), file=sys.stderr)
    scores = classifier.classify_files(paths, args.longest_s, True, detector)
    hparams, known = classifier.hparams, classifier.reference
    training = known and known.training
    how = hparams.classes, hparams.threshold, out, detector, training
    write_scores(scores, *how)
    warn_of_comparison(
        scores, hparams.classes, training, detector, args.window_s
    )
    failed, more = {}, ""
    if folder is not None:
        state = f"{out or 'the table'} is complete, {folder} is not"
        with _if_interrupted(state):
            paths = [score.path for score in scores if not score.error]
            failed = _write_over_time(classifier, paths, folder, args, detector)
        size, hop = classifier.window_sizes(args.window_s, args.hop_s)
        print(
            f"scores over time: windows of {size:g} s every {hop:g} s in {folder}; "
            "n_windows of the table counts those that its scores average, "
            "which do not overlap",
            file=sys.stderr,
        )
    if failed:
        reason = next(iter(failed.values()))
        more = f", {len(failed)} have no scores over time, such as {reason}"
    print_summary(scores, out, detector, more)
    return sum(bool(score.error) for score in scores) + len(failed)


def _load(model: str, args) -> CryClassifier:
    """A model on the device and in the precision of the options."""
    run_opts = {"device": args.device, "precision": args.precision}
    classifier = CryClassifier.from_hparams(
        model, trust=args.trust, run_opts=run_opts
    )
    if classifier.precision == "fp32":  # others round what is folded
        fold_batch_norm(classifier.mods)
    return classifier


def _check_options(args):
    for name in ("window_s", "hop_s"):
        value = getattr(args, name)
        require(
            value is None or args.plot,
            f"--{name} {value} applies to scores over time",
            f"pass --plot too, or leave out --{name}",
        )


def _write_over_time(
    classifier: CryClassifier,
    paths: List[str],
    folder: Path,
    args,
    detector: Optional[Detector],
) -> Dict[str, str]:
    """Write a table and a picture per recording; return the reason why some
    have none, by path."""
    # Imported here: a table alone does not need matplotlib.
    from cry_modules.figures.style import picture, shortened
    from cry_modules.inference.picture import (
        SIZE,
        THRESHOLD_FROM,
        draw_scores,
        spectrogram,
    )

    hparams = classifier.hparams
    unscored = f"no {detector.detected}, or silence" if detector else "silence"
    make_folder(folder)
    failed = {}
    for path, name in tqdm(
        file_names(paths).items(),
        desc="over time",
        unit="file",
        dynamic_ncols=True,
    ):
        try:
            track = classifier.score_over_time(
                path, args.window_s, args.hop_s, detector
            )
            levels = spectrogram(path, float(track.stops[-1]))
        except (InputError, soundfile.LibsndfileError, OSError) as error:
            failed[path] = " ".join(str(error).split())
            continue
        write_track(track, hparams.classes, folder / f"{name}.csv")
        shown = (track, hparams.classes, hparams.threshold, levels)
        with picture(folder / f"{name}.png", SIZE) as figure:
            title = shortened(Path(path).name, 60)
            draw_scores(
                figure, *shown, title, unscored=unscored,
                threshold_from=THRESHOLD_FROM,
            )  # fmt: skip
    return failed
