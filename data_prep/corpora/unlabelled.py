"""Manifests of unlabelled cries for adaptation, without held-out patients."""

import logging
from collections import Counter
from pathlib import Path
from typing import Container, Dict, List, Optional, Sequence

from data_prep.audio.folder import name_of
from data_prep.corpora import exclusion, preparation
from data_prep.corpora.database import (
    TABLE,
    Row,
    database_name,
    locate,
    named_columns,
    read_database,
    report_unlisted,
    usable_rows,
)
from data_prep.corpora.plain_folder import (
    FILE,
    folders_of,
    list_folder,
    refuse_grouping,
)
from data_prep.corpora.stratify import split_by_patient
from data_prep.files.errors import InputError, require
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
    group_by: str = FILE,
    patient_column: str = "patient_id",
    path_column: str = "path",
) -> None:
    """Write the manifests of unlabelled cries for adaptation.

    Without a table, all audio files of the folder are taken, and `group_by` is
    what plays the part of the patient (see ``plain_folder``).

    Labels are ignored. All recordings of patients in the database's own valid
    and test splits are left out. Recordings that share a patient or the samples
    with an ``exclude`` table are refused, or left out if ``excluded`` is
    ``drop``: an encoder adapted on a held-out patient's voice knows that
    patient, with or without labels.
    """
    root = preparation.require_folder(cry_folder, "--cry_folder", "audio")
    table = None
    if recordings_csv or (root / TABLE).is_file():
        root, table = locate(cry_folder, recordings_csv, "--cry_folder")
    save_folder = preparation.require_out(save_folder, root)
    options = {
        "cry_folder": str(root.resolve()),
        "exclude": list(exclude),
        "valid_share": valid_share,
        "seed": seed,
        "corpus": corpus_name,
        "excluded": excluded,
        "exclude_folder": exclude_folder,
        "group_by": group_by,
        "named": named_columns(patient_column, path_column),
    }
    preparation.check_share(valid_share)
    tables = [Path(path) for path in exclude]
    exclusion.check_options(tables, excluded, exclude_folder)

    preparation.prepare_once(
        save_folder,
        options,
        [*([table] if table else folders_of(root)), *tables],
        lambda folder: _prepare(root, table, folder, tables, options),
    )


def _prepare(root, table, save_folder, tables, options):
    rows, left_out = _held_out(root, table, save_folder, tables, options)
    rows, audits = usable_rows(rows, root, save_folder, left_out)
    share = options["valid_share"]
    shares = {"train": 1 - share, "valid": share}
    recordings = [rec for rec, _ in rows]
    splits = split_by_patient(recordings, shares, options["seed"])
    require(
        bool(splits["valid"]),
        f"{table or root} has only one patient to adapt to",
        "add patients: the validation loss needs another one",
    )
    name = options["corpus"] or database_name(root, table or root / TABLE)
    is_named = options["corpus"] not in (None, name_of(root))
    preparation.write_prepared(
        splits, audits, root, save_folder, name, is_named=is_named
    )


def _held_out(root, table, save_folder, tables, options):
    """Rows for adaptation, and (path, verdict, reason) of those left out."""
    everything, source = _everything(root, table, options), table or root
    reasons = _own_held_out(everything)
    rows = _without(everything, reasons)
    if tables and rows:
        held_out = exclusion.read_held_out(
            tables,
            everything,
            root,
            save_folder,
            options["exclude_folder"],
            options["named"],
        )
        shared = exclusion.find_shared(rows, root, save_folder, held_out)
        if options["excluded"] == exclusion.REFUSE:
            exclusion.refuse(shared, len(rows), source)
        reasons.update(exclusion.reason_by_patient(shared))
        rows = _without(rows, reasons)
    left_out = [
        (rec.wav, "excluded", reasons[rec.patient_id])
        for rec, _ in everything
        if rec.patient_id in reasons
    ]
    by_reason = Counter(reason for _, _, reason in left_out)
    require(
        bool(rows),
        f"no recording of {source} is left for adaptation: of its "
        f"{len(everything)}, "
        + ", ".join(f"{n}: {why}" for why, n in by_reason.most_common(3)),
        "add unlabelled ones, or exclude fewer (the column 'split', --exclude)",
    )
    if left_out:
        logger.info("%d recordings held out from adaptation", len(left_out))
    elif not tables:
        logger.warning(
            "No recording is held out from adaptation: if a classifier will be "
            "tested on patients of %s, pass --exclude with its manifests",
            source,
        )
    return rows, left_out


def _everything(root, table, options) -> List[Row]:
    """Rows of the table, or the files of a folder without one."""
    if table is None:
        return [(rec, {}) for rec in list_folder(root, options["group_by"])]
    refuse_grouping(options["group_by"], str(table))
    rows = read_database(table, [], options["named"])
    report_unlisted(rows, root, table)
    return rows


def _own_held_out(rows: List[Row]) -> Dict[str, str]:
    """Reason by patient of the database's own valid and test splits."""
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
