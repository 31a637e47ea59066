"""Donate-a-Cry (https://github.com/gveres/donateacry-corpus) to a database
and manifests.

457 labelled clips, WAV, 8 kHz, of 221 app installations (hungry 382,
discomfort 27, tired 24, belly_pain 16, burping 8) in
``donateacry_corpus_cleaned_and_updated_data/<class>/``, and 1,128 raw uploads
(712 Android .3gp, 416 iOS .caf). ODbL 1.0, contents DbCL 1.0; clone the
repository. Names: ``<uuid>-<epoch>-<version>-<m|f>-<age>-<reason>``.

The patient is the uuid: an installation of the app, a household rather than
surely one baby, but the best there is. iOS writes it in upper case and the
time in seconds, Android in lower case and milliseconds; lower-cased, they are
one patient.

Raw uploads are converted first (``python -m data_prep.convert``) and given by
``--raw``. Nobody listened to them (silence, talk and imitations are there),
so their tags are no labels; uploads of an installation with a labelled clip
are left out (753 of them).

Good for unlabelled cries of many phones, and for showing what leakage does.
Not good for reasons: parents tagged them and nobody checked; 7 of the 27
discomfort clips were tagged cold or hot. Expect chance level across families:
published accuracies of 96 % come from clips of one baby on both sides of the
split, and "always hungry" has 84 %.
"""

import argparse
import logging
import re
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Dict, Optional

from data_prep.audio.folder import READABLE, audio_files
from data_prep.corpora import preparation
from data_prep.corpora.database import TABLE
from data_prep.corpora.published import (
    compare_with_published,
    files_by_class,
    prepare_published,
    write_recordings,
)
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.errors import InputError, one_line_errors

logger = logging.getLogger(__name__)

FOLDER = "donateacry_corpus_cleaned_and_updated_data"

#: Counts of the corpus as published, by class folder and by site.
PUBLISHED = {
    "hungry": 382,
    "discomfort": 27,
    "tired": 24,
    "belly_pain": 16,
    "burping": 8,
}
PUBLISHED_RAW = {"android": 712, "ios": 416}

#: Class folder to the paper's triggers; the others have no counterpart.
TRIGGERS = {
    "hungry": "hunger",
    "discomfort": "discomfort",
    "belly_pain": "pain",
}

REASONS = {
    "hu": "hungry",
    "dc": "discomfort",
    "ti": "tired",
    "bp": "belly_pain",
    "bu": "burping",
    "ch": "cold_or_hot",
    "lo": "lonely",
    "sc": "scared",
    "dk": "unknown",
}

AGES = {
    "04": "0-4 weeks",
    "48": "4-8 weeks",
    "26": "2-6 months",
    "72": "7 months-2 years",
    "22": "more than 2 years",
}

#: Columns that can be the label, and their values in the order of classes.
LABELS = {
    "reason": list(PUBLISHED),
    "trigger": sorted(TRIGGERS.values()),
    "age": list(AGES.values()),
    "gender": ["f", "m"],
}

COLUMNS = (
    "recording_id",
    "patient_id",
    "path",
    "trigger",
    "reason",
    "gender",
    "age",
    "site",
    "recorded_at",
)

# Two of the raw uploads have a fraction of a second and a second uuid, and
# converted ones can keep the suffix of their source (x.3gp.flac).
_NAME = re.compile(
    r"(?P<head>(?P<uuid>[0-9a-f-]{36})-(?P<epoch>\d{10}(\d{3})?)(\.\d+)?"
    r"-(?P<version>[\d.]+)(-[0-9a-f-]{36})?"
    r"-(?P<gender>[mf])-(?P<age>\d\d)-(?P<code>[a-z]{2}))(\.[a-z0-9]+)+"
)


def prepare_donateacry(
    data_folder: str,
    save_folder: str,
    label_column: str = "reason",
    raw: Optional[str] = None,
    seed: int = 0,
) -> None:
    """Write ``recordings.csv`` and the manifests of one label.

    Example
    -------
    >>> prepare_donateacry("data/no", "results/donateacry")
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: data/no does not exist; pass the folder of donateacry-corpus
    """
    root = preparation.require_folder(
        data_folder, "SRC", "the folder of donateacry-corpus"
    )
    if label_column not in LABELS:
        raise InputError(
            f"label_column is {label_column!r}; expected one of "
            f"{', '.join(LABELS)}"
        )
    folder = root / FOLDER if (root / FOLDER).is_dir() else root
    rows = [
        _labelled(reason, (folder / path).relative_to(root))
        for reason, path in files_by_class(folder, {n: n for n in PUBLISHED})
    ]
    reasons = Counter(row["reason"] for row in rows)
    compare_with_published(reasons, PUBLISHED, "clips")
    prepare_published(
        rows,
        root,
        save_folder,
        label_column,
        LABELS[label_column],
        corpus_name="Donate-a-Cry",
        seed=seed,
    )
    if raw is not None:
        _prepare_raw(raw, Path(save_folder), seed)


def _labelled(reason: str, path: Path) -> Dict[str, str]:
    row = _row(path.as_posix())
    # The curators merged classes: the folder is right, not the name.
    row.update(reason=reason, trigger=TRIGGERS.get(reason, ""))
    return {column: row[column] for column in COLUMNS}


def _prepare_raw(raw: str, save_folder: Path, seed: int) -> None:
    root = preparation.require_folder(raw, "RAW", "the converted raw uploads")
    rows = [_row(path) for path in _converted(root)]
    sites = Counter(row["site"] for row in rows)
    compare_with_published(sites, PUBLISHED_RAW, "raw uploads")
    out = str(save_folder / "unlabelled")
    prepare_unlabelled(
        str(root),
        out,
        recordings_csv=write_recordings(rows, root, out),
        exclude=[str(save_folder / TABLE)],
        excluded="drop",
        seed=seed,
        corpus_name="Donate-a-Cry (raw uploads)",
    )


def _converted(root: Path):
    """Raw uploads that can be read; the others are reported."""
    paths = audio_files(root)
    readable = [path for path in paths if path.lower().endswith(READABLE)]
    names = {_match(path)["head"] for path in readable}
    waiting = [path for path in paths if _match(path)["head"] not in names]
    if not readable:
        raise InputError(
            f"the {len(paths)} uploads in {root} are not converted, such as "
            f"{paths[0]}; type: python -m data_prep.convert {root} OUT, and "
            "pass --raw OUT"
        )
    if waiting:
        logger.warning(
            "%d uploads that are not converted, such as %s, are left out",
            len(waiting),
            waiting[0],
        )
    return readable


def _row(path: str) -> Dict[str, str]:
    name = _match(path)
    android = len(name["epoch"]) == 13
    seconds = int(name["epoch"]) / (1000 if android else 1)
    return {
        "recording_id": Path(path).stem.lower(),
        "patient_id": name["uuid"],
        "path": path,
        "reason": REASONS.get(name["code"], ""),
        "gender": name["gender"],
        "age": AGES.get(name["age"], ""),
        "site": "android" if android else "ios",
        "recorded_at": datetime.fromtimestamp(
            seconds, timezone.utc
        ).isoformat(),
    }


def _match(path: str) -> "re.Match":
    match = _NAME.fullmatch(Path(path).name.lower())
    if match is None:
        raise InputError(
            f"{path}: the name is not <uuid>-<epoch>-<version>-<m|f>-<age>-"
            "<reason>; restore the published one or move the file away"
        )
    return match


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=prepare_donateacry.__doc__.split("\n\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument("data_folder", metavar="SRC")
    parser.add_argument("--out", required=True, help="for all that is written")
    parser.add_argument("--label_column", default="reason")
    parser.add_argument("--raw", help="raw uploads, converted")
    parser.add_argument("--seed", type=int, default=0)
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        prepare_donateacry(save_folder=args.pop("out"), **args)


if __name__ == "__main__":
    main()
