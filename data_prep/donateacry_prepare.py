"""Donate-a-Cry (https://github.com/gveres/donateacry-corpus) to the form of a
clinical database: ``recordings.csv``, from what its file names say.

``<class>/<uuid>-<epoch>-<version>-<m|f>-<age>-<reason>.wav``, as in
``donateacry_corpus_cleaned_and_updated_data``. The uuid is an installation of
the app, a household rather than surely one baby: the best there is for a
patient. iOS writes it in upper case and the time in seconds, Android in lower
case and milliseconds; lower-cased, they are one patient.

Expect chance level on the reason across families: it was tagged by parents
and never checked, and published accuracies of 96 % come from clips of one
baby on both sides of the split.

Authors
 * The contributors of cry-ssl 2026
"""

import argparse
import logging
import re
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Dict

from data_prep import preparation
from data_prep.errors import InputError, one_line_errors
from data_prep.tables import write_table

logger = logging.getLogger(__name__)

#: Counts of the corpus as published, by class folder.
PUBLISHED = {
    "hungry": 382,
    "discomfort": 27,
    "tired": 24,
    "belly_pain": 16,
    "burping": 8,
}

#: Class folder to the paper's triggers; the others have no counterpart.
TRIGGERS = {
    "hungry": "hunger",
    "discomfort": "discomfort",
    "belly_pain": "pain",
}

AGES = {
    "04": "0-4 weeks",
    "48": "4-8 weeks",
    "26": "2-6 months",
    "72": "7 months-2 years",
    "22": "more than 2 years",
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

_NAME = re.compile(
    r"(?P<uuid>[0-9a-fA-F-]{36})-(?P<epoch>\d{10}(\d{3})?)-(?P<version>[\d.]+)"
    r"-(?P<gender>[mf])-(?P<age>\d\d)-(?P<code>[a-z]{2})"
)


def prepare_donateacry(data_folder: str, save_folder: str) -> Path:
    """Write ``recordings.csv`` for ``train_cls.py --recordings_csv``.

    Arguments
    ---------
    data_folder : str
        Holds the class folders, or the corpus that holds them.
    save_folder : str
        Where ``recordings.csv`` goes; its paths are relative to
        ``data_folder``.

    Returns
    -------
    pathlib.Path
        The csv file.

    Raises
    ------
    InputError
        No class folder there, or a file name that does not follow the form.

    Example
    -------
    >>> tmp = Path(getfixture("tmpdir"))
    >>> uuid = "0D1AD73E-4C5E-45F3-85C4-9A3CB71E8856"
    >>> (tmp / "hungry").mkdir()
    >>> (tmp / f"hungry/{uuid}-1430742197-1.0-m-04-hu.wav").touch()
    >>> from data_prep.tables import read_table
    >>> path = prepare_donateacry(str(tmp), str(tmp))
    >>> _, row = read_table(path, COLUMNS)[0]
    >>> row["patient_id"] == uuid.lower(), row["trigger"], row["site"]
    (True, 'hunger', 'ios')
    """
    root = preparation.require_folder(
        data_folder, "SRC", "the class folders of donateacry-corpus"
    )
    files = [p for name in PUBLISHED for p in sorted(root.rglob(f"{name}/*"))]
    files = [p for p in files if p.suffix.lower() in (".wav", ".flac")]
    if not files:
        raise InputError(
            f"{root} holds no class folder ({', '.join(PUBLISHED)}) with .wav "
            "files; pass donateacry_corpus_cleaned_and_updated_data"
        )
    rows = [_row(path, root) for path in files]
    _compare_with_published(rows)
    save_folder = Path(save_folder)
    save_folder.mkdir(parents=True, exist_ok=True)
    table = save_folder / "recordings.csv"
    write_table(table, COLUMNS, [[row[c] for c in COLUMNS] for row in rows])
    logger.info(
        "%s: %d recordings of %d app installations",
        table,
        len(rows),
        len({row["patient_id"] for row in rows}),
    )
    return table


def _row(path: Path, root: Path) -> Dict[str, str]:
    name = path.relative_to(root).as_posix()
    match = _NAME.fullmatch(path.stem)
    if match is None:
        raise InputError(
            f"{name}: the name is not <uuid>-<epoch>-<version>-<m|f>-<age>-"
            "<reason>; restore the published one or move the file away"
        )
    epoch = int(match["epoch"])
    seconds = epoch / 1000 if len(match["epoch"]) == 13 else epoch
    return {
        "recording_id": path.stem.lower(),
        "patient_id": match["uuid"].lower(),
        "path": name,
        "trigger": TRIGGERS.get(path.parent.name, ""),
        "reason": path.parent.name,
        "gender": match["gender"],
        "age": AGES.get(match["age"], ""),
        "site": "android" if len(match["epoch"]) == 13 else "ios",
        "recorded_at": datetime.fromtimestamp(
            seconds, timezone.utc
        ).isoformat(),
    }


def _compare_with_published(rows):
    found = Counter(row["reason"] for row in rows)
    for reason, n in PUBLISHED.items():
        if found[reason] != n:
            logger.warning(
                "%s: %d clips here, %d as published", reason, found[reason], n
            )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=prepare_donateacry.__doc__)
    parser.add_argument("data_folder")
    parser.add_argument("--out", required=True, help="for recordings.csv")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        prepare_donateacry(args.data_folder, args.out)


if __name__ == "__main__":
    main()
