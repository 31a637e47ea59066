"""Any folder of audio to a database and manifests.

Labels, if any, are the names of the first sub-folders. The patient is what a
regular expression finds in the path; without one, every file counts as a
patient of its own, which is right only where every file is of another one.
"""

import argparse
import logging
import re
from typing import Dict, Optional

from data_prep.audio.folder import audio_files, name_of
from data_prep.corpora import preparation
from data_prep.corpora.published import prepare_published, write_recordings
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.errors import InputError, one_line_errors

logger = logging.getLogger(__name__)


def prepare_folder(
    data_folder: str,
    save_folder: str,
    labels_from_folders: bool = False,
    patient: Optional[str] = None,
    seed: int = 0,
) -> None:
    """Write ``recordings.csv`` and manifests: train, valid and test with
    labels; train and valid, for adaptation, without.

    Example
    -------
    >>> import numpy, soundfile
    >>> from pathlib import Path
    >>> tmp = Path(getfixture("tmpdir"))
    >>> (tmp / "a").mkdir()
    >>> rng = numpy.random.default_rng(0)
    >>> for i in range(4):
    ...     noise = rng.normal(0, 0.1, 16000)
    ...     soundfile.write(tmp / f"a/baby{i}_x.wav", noise, 16000)
    >>> prepare_folder(str(tmp / "a"), str(tmp / "out"), patient="(baby.)_")
    >>> from data_prep.manifest import read
    >>> len(read(tmp / "out/train.csv")), len(read(tmp / "out/valid.csv"))
    (3, 1)
    """
    root = preparation.require_folder(
        data_folder, "SRC", "a folder that holds audio"
    )
    pattern = _compiled(patient)
    rows = [
        _row(path, labels_from_folders, pattern) for path in audio_files(root)
    ]
    _check_patients(rows, pattern)
    if labels_from_folders:
        labels = sorted({row["label"] for row in rows})
        options = {"corpus_name": name_of(root), "seed": seed}
        prepare_published(rows, root, save_folder, "label", labels, **options)
        return
    prepare_unlabelled(
        str(root),
        save_folder,
        recordings_csv=write_recordings(rows, root, save_folder),
        seed=seed,
        corpus_name=name_of(root),
    )


def _compiled(patient: Optional[str]) -> Optional["re.Pattern"]:
    if patient is None:
        return None
    try:
        pattern = re.compile(patient)
    except re.error as error:
        raise InputError(
            f"--patient {patient!r} is not a regular expression: {error}"
        )
    if not pattern.groups:
        raise InputError(
            f"--patient {patient!r} has no group; put the part that is the "
            "patient in parentheses"
        )
    return pattern


def _row(path, labels_from_folders, pattern) -> Dict[str, str]:
    _check_name(path)
    row = {
        "recording_id": path,
        "patient_id": _patient(path, pattern),
        "path": path,
    }
    if labels_from_folders:
        label, _, name = path.partition("/")
        if not name:
            raise InputError(
                f"{path} is in no sub-folder, which would be its label; move "
                "it into one, or leave out --labels_from_folders"
            )
        row["label"] = label.strip()
    return row


def _check_name(path: str) -> None:
    """What reading a csv file would change."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputError(f"{path!r}: the name is not UTF-8; rename it")
    if path != path.strip() or "\r" in path:
        raise InputError(
            f"{path!r}: the name begins with a space or holds a carriage "
            "return; rename it"
        )


def _patient(path: str, pattern) -> str:
    if pattern is None:
        return path
    match = pattern.search(path)
    group = "patient" if "patient" in pattern.groupindex else 1
    patient = ((match and match[group]) or "").strip()
    if not patient:
        raise InputError(
            f"{path}: --patient {pattern.pattern!r} finds no patient in it; "
            "correct the expression, or move the file away"
        )
    return patient


def _check_patients(rows, pattern) -> None:
    if pattern is None:
        logger.warning(
            "Every file counts as a patient of its own: if several are of one "
            "patient, the splits share that patient and the figures are too "
            "good; say who it is with --patient"
        )
    elif len({row["patient_id"].lower() for row in rows}) < 2:
        raise InputError(
            f"--patient {pattern.pattern!r} finds {rows[0]['patient_id']!r} in "
            f"all {len(rows)} files; nobody can be held out: correct it"
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=prepare_folder.__doc__.split("\n\n")[0], allow_abbrev=False
    )
    parser.add_argument("data_folder", metavar="SRC")
    parser.add_argument("--out", required=True, help="for all that is written")
    parser.add_argument("--labels_from_folders", action="store_true")
    parser.add_argument(
        "--patient",
        metavar="REGEX",
        help="its group (patient, or the first) in the path is the patient",
    )
    parser.add_argument("--seed", type=int, default=0)
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        prepare_folder(save_folder=args.pop("out"), **args)


if __name__ == "__main__":
    main()
