"""Unlabelled cries of a clinical database for adaptation, less whoever a
classifier will be tested on.
"""

import logging
from pathlib import Path
from typing import Container, Dict, List, Optional, Sequence

from data_prep.corpora import exclusion, preparation
from data_prep.corpora.database import (
    Row,
    database_name,
    locate,
    read_database,
    usable_rows,
)
from data_prep.corpora.stratify import split_by_patient
from data_prep.files.errors import InputError
from data_prep.manifest import SPLITS

logger = logging.getLogger(__name__)


def prepare_unlabelled(
    cry_folder: str,
    save_folder: str,
    recordings_csv: Optional[str] = None,
    exclude: Sequence[str] = (),
    valid_share: float = 0.1,
    seed: int = 0,
    corpus_name: Optional[str] = None,
    excluded: str = exclusion.REFUSE,
    exclude_folder: Optional[str] = None,
) -> None:
    """Write the manifests of unlabelled cries for adaptation.

    Labels are ignored. Left out are all recordings of any patient of the
    database's own valid and test splits; a recording that an ``exclude`` table
    holds, by its patient or by its samples, is refused: a model adapted on a
    held-out patient's voice has met that patient, labels or not.

    Example
    -------
    >>> import numpy, soundfile
    >>> tmp = Path(getfixture("tmpdir"))
    >>> rows = ["recording_id,patient_id,path"]
    >>> rng = numpy.random.default_rng(0)
    >>> for i in range(4):
    ...     soundfile.write(tmp / f"{i}.wav", rng.normal(0, 0.1, 16000), 16000)
    ...     rows.append(f"r{i},p{i},{i}.wav")
    >>> _ = (tmp / "recordings.csv").write_text("\\n".join(rows))
    >>> _ = (tmp / "test.csv").write_text("patient_id,path\\nX,3.wav\\n")
    >>> out, test = str(tmp / "out"), str(tmp / "test.csv")
    >>> prepare_unlabelled(str(tmp), out, exclude=[test])
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: 1 of 4 recordings ... recordings.csv row 5, which has the samples of ...test.csv row 2; remove those rows, or ...
    >>> prepare_unlabelled(str(tmp), out, exclude=[test], excluded="drop")
    """
    root, table = locate(cry_folder, recordings_csv, "--cry_folder")
    preparation.require_out(save_folder, root)
    options = {
        "cry_folder": str(root.resolve()),
        "exclude": list(exclude),
        "valid_share": valid_share,
        "seed": seed,
        "corpus": corpus_name,
        "excluded": excluded,
        "exclude_folder": exclude_folder,
    }
    if not 0 < valid_share < 1:
        raise InputError(
            f"valid_share is {valid_share}; it must be above 0 and below 1"
        )
    tables = [Path(path) for path in exclude]
    exclusion.check_options(tables, excluded, exclude_folder)

    def prepare():
        everything = read_database(table, [])
        reasons = _own_held_out(everything)
        rows = _without(everything, reasons)
        if tables and rows:
            held_out = exclusion.read_held_out(
                tables, root, Path(save_folder), exclude_folder
            )
            shared = exclusion.find_shared(
                rows, root, Path(save_folder), held_out
            )
            if excluded == exclusion.REFUSE:
                exclusion.refuse(shared, len(rows), table)
            reasons.update(exclusion.reasons(shared))
            rows = _without(rows, reasons)
        left_out = [
            (rec.wav, "excluded", reasons[rec.patient_id])
            for rec, _ in everything
            if rec.patient_id in reasons
        ]
        _report_held_out(len(rows), len(left_out), table, bool(tables))
        rows, audits = usable_rows(rows, root, Path(save_folder), left_out)
        shares = {"train": 1 - valid_share, "valid": valid_share}
        splits = split_by_patient([rec for rec, _ in rows], shares, seed)
        if not splits["valid"]:
            raise InputError(
                f"{table} has one patient to adapt to; it takes two or more, "
                "since the loss is watched on another one"
            )
        name = corpus_name or database_name(root, table)
        corpus = preparation.corpus_of(root, name)
        preparation.finish(splits, audits, root, Path(save_folder), corpus)

    preparation.once(Path(save_folder), options, [table, *tables], prepare)


def _own_held_out(rows: List[Row]) -> Dict[str, str]:
    """Patients of the database's own valid and test splits, and why."""
    reasons = {}
    for rec, cells in rows:
        split = cells.get("split", "")
        if split not in ("", *SPLITS):
            raise InputError(
                f"{rec.source}: split is {split!r}; expected one of "
                f"{', '.join(SPLITS)}, or empty"
            )
        if split in ("valid", "test"):
            reasons[rec.patient_id] = f"patient of the {split} split"
    return reasons


def _without(rows: List[Row], patients: Container[str]) -> List[Row]:
    return [row for row in rows if row[0].patient_id not in patients]


def _report_held_out(n_kept, n_left_out, table, is_compared):
    if not n_kept:
        raise InputError(
            f"no recording of {table} is left for adaptation: all are of "
            "held-out splits or excluded patients; add unlabelled ones"
        )
    if n_left_out:
        logger.info("%d recordings held out from adaptation", n_left_out)
    elif not is_compared:
        logger.warning(
            "No recording is held out from adaptation: if a classifier will be "
            "tested on patients of %s, pass --exclude with its manifests",
            table,
        )
