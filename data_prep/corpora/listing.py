"""Recordings listed in manifests or in a database, or in a folder of audio."""

from pathlib import Path, PurePosixPath
from typing import Dict, List, Optional, Tuple

from data_prep import manifest
from data_prep.audio.folder import AUDIO, audio_files, find_files
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import Spellings
from data_prep.files.missing import without_marks
from data_prep.files.tables import Named, read_table
from data_prep.manifest import Recording


def read_recordings(
    source: Path,
    data_folder: Optional[Path] = None,
    label_column: Optional[str] = None,
    named: Optional[Named] = None,
) -> Tuple[Path, Dict[str, List[Recording]]]:
    """Read a list of recordings: data folder and recordings by split.

    `source` is a manifest, a folder of manifests, a database or a folder of
    audio files.
    """
    if source.name.lower().endswith(AUDIO):
        raise InputError(f"{source} is an audio file; pass its folder")
    if source.is_dir():
        tables = [source / f"{split}.csv" for split in manifest.SPLITS]
        tables = [table for table in tables if table.is_file()]
        if not tables:
            return source, {"": [_file(path) for path in audio_files(source)]}
    else:
        tables = [source]
    folder = source if source.is_dir() else source.parent
    root = Path(data_folder or prepared_from(folder) or folder)
    require(root.is_dir(), f"{root} is not a folder", "correct --data_folder")
    splits, listed = {}, {}
    for table in tables:
        rows = [*_rows(table, label_column, named)]
        found = find_files(root, [recording.wav for _, recording in rows])
        for split, recording in rows:
            recording.wav = found[recording.wav] or recording.wav
            other = listed.setdefault(recording.wav, recording.source)
            if other != recording.source:
                raise InputError(
                    f"{recording.source}: {recording.wav} is listed in {other} "
                    "already; keep the correct row"
                )
            splits.setdefault(split, []).append(recording)
    return root, splits


def prepared_from(manifests: Path) -> Optional[str]:
    """Data folder that manifests were prepared from, None if unknown."""
    options, *_ = manifest.read_prepared(manifests) or [{}]
    return options.get("data_folder") or options.get("cry_folder")


def _file(path: str) -> Recording:
    return Recording(path, 0.0, path, 0.0, 0.0, "", "", "")


def _rows(table: Path, label_column: Optional[str], named: Named):
    """Yield (split, recording) of a manifest or of a database."""
    rows = read_table(table, [])
    if set(manifest.COLUMNS) <= set(rows[0][1]):
        for recording in manifest.read(table):
            yield table.stem, recording
        return
    columns = ["path", "patient_id", *([label_column] if label_column else [])]
    patients = Spellings("patient_id", refuse_zeros=True)
    for source, cells in read_table(table, columns, named):
        cells = without_marks(cells)
        recording = _file(PurePosixPath(cells["path"]).as_posix())
        recording.patient_id = patients(source, cells["patient_id"])
        recording.label = cells[label_column] if label_column else ""
        recording.source = source
        yield cells.get("split") or cells.get("fold") or "", recording
    patients.report()
