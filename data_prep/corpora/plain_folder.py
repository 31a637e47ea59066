"""A folder of audio as it is: nested, any names, no table and no labels."""

import logging
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Callable, Dict, List

from data_prep.audio.folder import AUDIO, audio_files, files_below
from data_prep.audio.packs import pack_at
from data_prep.files.errors import (
    InputError,
    is_of_other_locale,
    other_locale,
    require,
)
from data_prep.files.identifiers import identity
from data_prep.manifest import Recording

logger = logging.getLogger(__name__)

#: Units that are not divided between splits; or a regular expression.
FILE, FOLDER = "file", "folder"


def list_folder(
    root: Path, group_by: str = FILE, option: str = "--group_by"
) -> List[Recording]:
    """List the audio files of a folder at any depth as unlabelled recordings.

    What must not be divided between splits, `group_by`, is the file, its
    folder, or the match of a regular expression in its path, such as that of
    the individual. Other files are counted.
    """
    unit = unit_of(group_by, option)
    recordings = [
        Recording(path, 0.0, path, 0.0, 0.0, "", unit(path), "", path)
        for path in map(check_name, audio_files(root))
    ]
    _refuse_alike(recordings)
    if group_by == FILE:
        logger.warning(
            "Every file counts as a separate patient: if several are of one "
            "patient, the splits share that patient and metrics are too "
            "optimistic; identify patients with %s (folder, or a pattern)",
            option,
        )
    else:
        units = {identity(rec.patient_id) for rec in recordings}
        require(
            len(units) > 1,
            f"{option} {group_by!r} finds {recordings[0].patient_id!r} in all "
            f"{len(recordings)} files, so no patient can be held out",
            "correct the expression, or group by file",
        )
    _report_others(root)
    return recordings


def _refuse_alike(recordings: List[Recording]) -> None:
    """Refuse two names that look the same."""
    seen: Dict[str, str] = {}
    for path in (rec.wav for rec in recordings):
        other = seen.setdefault(identity(path, is_name=True), path)
        require(
            other == path,
            f"{path!a} and {other!a} differ only in what cannot be seen, such "
            "as forms of an accent, or in zeros",
            "rename one",
        )


def refuse_grouping(group_by: str, given_by: str) -> None:
    """Refuse ``--group_by`` where something else says what is one unit."""
    require(
        group_by == FILE,
        f"--group_by is {group_by!r}, and {given_by} says what is held out "
        "together",
        "leave it out",
    )


def folders_of(root: Path) -> List[Path]:
    """Folders whose lists of names make up a plain folder."""
    if pack_at(root) is not None:
        return [root]
    parents = {(root / path).parent for path in files_below(root)}
    return [root, *sorted(parents - {root})]


def _report_others(root: Path) -> None:
    """Say which files are not audio, and which tables are not read."""
    if pack_at(root) is not None:
        return
    others = [p for p in files_below(root) if not p.lower().endswith(AUDIO)]
    kinds = Counter(PurePosixPath(path).suffix.lower() for path in others)
    if others:
        logger.warning(
            "%d files of %s are not audio and are left out (%s)%s",
            len(others),
            root,
            ", ".join(
                f"{kind or 'no suffix'}: {n}" for kind, n in kinds.items()
            ),
            "; a table of patients is read by --recordings_csv"
            if kinds.keys() & {".csv", ".xlsx", ".tsv"}
            else "",
        )


def unit_of(group_by: str, option: str) -> Callable[[str], str]:
    """Function from a path to the unit that is not divided."""
    if group_by == FILE:
        return str
    if group_by == FOLDER:
        return lambda path: PurePosixPath(path).parent.as_posix()
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise InputError(
            f"{option} {group_by!r} is not a regular expression: {error}"
        )
    require(
        pattern.groups > 0,
        f"{option} {group_by!r} has no group",
        "put the part that is the patient in parentheses",
    )
    group = "patient" if "patient" in pattern.groupindex else 1

    def matched(path):
        match = pattern.search(path)
        unit = ((match and match[group]) or "").strip()
        require(
            bool(unit),
            f"{path}: {option} {group_by!r} finds no patient in it",
            "correct the expression, or move the file away",
        )
        return unit

    return matched


def check_name(path: str) -> str:
    """Refuse names that a csv file cannot hold unchanged."""
    if is_of_other_locale(path):
        raise other_locale(path)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputError(f"{path!r}: the name is not UTF-8; rename it")
    require(
        path == path.strip() and "\r" not in path,
        f"{path!r}: the name begins with a space or holds a carriage return",
        "rename it",
    )
    return path
