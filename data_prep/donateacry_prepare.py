"""Prepare Donate-a-Cry (https://github.com/gveres/donateacry-corpus).

457 labelled clips, WAV, 8 kHz, of 221 app installations (hungry 382,
discomfort 27, tired 24, belly_pain 16, burping 8) in
``donateacry_corpus_cleaned_and_updated_data/<class>/``, and 1,128 raw uploads
(712 Android .3gp, 416 iOS .caf). ODbL 1.0, contents DbCL 1.0; clone the
repository. Names: ``<uuid>-<epoch>-<version>-<m|f>-<age>-<reason>``.

The patient is the uuid: an installation of the app, which is a household and
may be several babies, but no better id exists. iOS writes it in upper case and
the time in seconds, Android in lower case and milliseconds; ids are
lower-cased.

Raw uploads must be converted first (``python -m data_prep.convert``) and are
passed with ``--raw``. Nobody checked them (some are silence, speech or
imitations), so their tags are not used as labels; the 753 uploads of an
installation with a labelled clip are left out.

Use it for unlabelled cries of many phones, and to show the effect of leakage.
Do not use it for reasons: parents tagged them and nobody checked; 7 of the 27
discomfort clips were tagged cold or hot. Expect chance level across families:
published accuracies of 96 % come from clips of one baby in several splits, and
"always hungry" has 84 %.
"""

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
    command_line,
    compare_with_published,
    files_by_class,
    prepare_published,
    write_recordings,
)
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.errors import InputError, require

logger = logging.getLogger(__name__)

FOLDER = "donateacry_corpus_cleaned_and_updated_data"

#: Published counts by class folder and by site.
PUBLISHED = {
    "hungry": 382,
    "discomfort": 27,
    "tired": 24,
    "belly_pain": 16,
    "burping": 8,
}
PUBLISHED_RAW = {"android": 712, "ios": 416}

#: The paper's trigger by class folder; other folders have no counterpart.
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

#: Label columns and their classes in order.
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
    """Write ``recordings.csv`` and the manifests of one label."""
    root = preparation.require_folder(
        data_folder, "SRC", "the folder of donateacry-corpus"
    )
    require(
        label_column in LABELS,
        f"label_column is {label_column!r}",
        f"expected one of {', '.join(LABELS)}",
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
    # The curators merged classes: the folder counts, not the file name.
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
    """Readable raw uploads; the others are reported."""
    paths = audio_files(root)
    readable = [path for path in paths if path.lower().endswith(READABLE)]
    names = {_match(path)["head"] for path in readable}
    waiting = [path for path in paths if _match(path)["head"] not in names]
    require(
        bool(readable),
        f"the {len(paths)} uploads in {root} are not converted, such as "
        f"{paths[0]}",
        f"run python -m data_prep.convert {root} OUT, and pass --raw OUT",
    )
    if waiting:
        logger.warning(
            "%d uploads that are not converted are left out", len(waiting)
        )
        logger.debug("not converted: %s", ", ".join(waiting))
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


if __name__ == "__main__":
    command_line(
        prepare_donateacry,
        label_column=("reason", f"one of {', '.join(LABELS)}"),
        raw=(None, "folder of the converted raw uploads"),
        seed=(0, "seed of the splits"),
    )
