"""Files that are passed in place of a table of scores, and the table to pass."""

from contextlib import suppress
from pathlib import Path
from typing import Optional

from data_prep.annotations.formats import format_of
from data_prep.files.errors import InputError, require

#: Tables to review in the folders that other commands write.
_TABLES = ("events.csv", "doubtful.csv", "predictions_test.csv")
#: Annotation files that are not tables of events, by their format.
_ANNOTATIONS = {
    "audacity": "a label track of Audacity",
    "raven": "a selection table of Raven",
    "textgrid": "a TextGrid of Praat",
    "rttm": "an RTTM file",
    "elan": "annotations of ELAN",
}
_N_FOLDERS = 3  # detected/audacity/B01/night.txt is below detected/events.csv


def table_in(folder: Path) -> Optional[Path]:
    """Table to review in a folder, None without one."""
    paths = (folder / name for name in _TABLES)
    return next(filter(Path.is_file, paths), None)


def refuse_other_inputs(path: Path) -> None:
    """Refuse the folder of a table, and annotation files."""
    table = table_in(path)
    require(table is None, f"{path} is a folder", f"pass {table}")
    if not path.is_file() or path.suffix.lower() in (".csv", ".tsv"):
        return
    kind = "csv"
    with suppress(InputError):
        kind = format_of(path)
    folders = list(path.parents)[:_N_FOLDERS]
    table = next(filter(None, map(table_in, folders)), None)
    require(
        kind not in _ANNOTATIONS,
        f"{path} is {_ANNOTATIONS.get(kind)}, not a table of scores",
        f"pass {table or 'the events.csv of detect'}",
    )
