"""Steps shared by all preparations: check, prepare once, audit, report.

A preparation reads the table or the file names of its corpus, calls ``audit``
to decode all audio, assigns recordings to splits, and calls ``write_prepared``
to write the manifests. ``prepare_once`` skips all of it if nothing has changed.
"""

import json
import logging
import os
import shutil
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from data_prep import manifest
from data_prep.audio.audits import (
    Audits,
    audit_corpus,
    stop_if_too_many,
    write_rejected,
)
from data_prep.audio.checksums import (
    CHECKSUM_FILE,
    PACKED,
    changed_file,
    write_checksums,
)
from data_prep.audio.packs import pack_at
from data_prep.corpora.copies import report_copies
from data_prep.corpora.counts import write_counts
from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError, require
from data_prep.files.fingerprint import fingerprint
from data_prep.files.folders import require_outside
from data_prep.files.lock import locked
from data_prep.files.tables import read_lines, write_text
from data_prep.manifest import Recording

logger = logging.getLogger(__name__)

#: Options that say where the data are, not what they are.
_PATHS = ("data_folder", "cry_folder", "exclude", "exclude_folder")


def require_folder(folder: str, option: str, holds: str) -> Path:
    """Check that a data folder exists; `option`, `holds` go in messages."""
    if Path(folder).is_dir():
        return Path(folder)
    require(
        not Path(folder).exists(),
        f"{folder} is a file",
        "pass the folder that holds it",
    )
    if not option.startswith("-"):
        raise InputError(f"{folder} does not exist; pass {holds}")
    raise InputError(
        f"{folder} does not exist; link the real corpus there or pass the "
        f"folder that holds it by {option} ({holds}), or run `make demo-data` "
        "for the synthetic corpus"
    )


def require_out(save_folder: Path, root: Path, is_listed: bool = False) -> Path:
    """Create the folder to write to, which must not be the data folder, nor
    inside one whose files are listed instead of read from a table."""
    if is_listed:
        require_outside(save_folder, root)
    require(
        os.path.realpath(save_folder) != os.path.realpath(root),
        f"{save_folder} is the data folder itself, whose tables would be "
        "replaced",
        "pass another folder to write to",
    )
    return make_folder(save_folder)


def check_share(valid_share: float) -> None:
    """Check that `valid_share` is between 0 and 1."""
    require(
        0 < valid_share < 1,
        f"valid_share is {valid_share}",
        "it must be above 0 and below 1",
    )


def prepare_once(
    save_folder: Path,
    options: Dict,
    sources: List[Path],
    prepare: Callable[[Path], None],
) -> None:
    """Run `prepare` on a folder, unless its result for these options and
    sources exists: folders may be moved, linked or copied.

    The manifests of a run that has begun stay as they are: what changes them is
    refused.
    """
    with locked(save_folder):
        _prepare_once(Path(save_folder), options, sources, prepare)


def _prepare_once(save_folder, options, sources, prepare):
    root = options.get("data_folder") or options.get("cry_folder")
    parts = sorted(Path(root).glob("pack-*.json"))
    contents = [_content(path) for path in (*sources, *parts)]
    key = json.loads(json.dumps([options, contents], default=str))
    done = save_folder / manifest.PREPARED_FILE
    before = manifest.read_prepared(save_folder)
    run = _begun(save_folder)
    if before is not None and _without_paths(before) == _without_paths(key):
        changed = changed_file(save_folder, root)
        if changed is None:
            _note_moved(before, key, done)
            logger.info("Manifests in %s are up to date.", save_folder)
            return
        logger.warning("%s is another file now, or missing", changed)
    if run is not None and any(save_folder.glob("*.csv")):
        _require_same(prepare, save_folder, run)
    else:
        # Half-replaced manifests must not count as prepared.
        done.unlink(missing_ok=True)
        prepare(save_folder)
    write_text(done, json.dumps(key, sort_keys=True))


def _content(path: Path) -> str:
    """Identity of a table, or of the list of names in a folder."""
    if path.is_dir():
        names = sorted(n for n in os.listdir(path) if not n.startswith("."))
        content = "\n".join(names).encode(errors="replace")
    else:
        content = path.read_bytes()
    return blake2b(content, digest_size=16).hexdigest()


def _without_paths(key):
    options, *contents = key
    return [{k: v for k, v in options.items() if k not in _PATHS}, contents]


def _begun(save_folder: Path) -> Optional[Path]:
    """Find the run that has begun with the manifests of a folder."""
    runs = save_folder.parents[:2]
    return next((run for run in runs if any(run.glob("save/CKPT*"))), None)


def _note_moved(before, key, done):
    """Log that data have moved, and remember where they are."""
    for name in _PATHS:
        old, new = before[0].get(name), key[0].get(name)
        if old != new:
            logger.info(
                "%s is %s now, before %s: the same content", name, new, old
            )
    if before != key:
        write_text(done, json.dumps(key, sort_keys=True))


def _require_same(prepare, save_folder, run):
    """Refuse what would change the manifests that a run has begun with."""
    trial = save_folder.with_name(f"{save_folder.name}.partial")
    shutil.rmtree(trial, ignore_errors=True)
    shutil.copytree(save_folder, trial)  # with its audits
    try:
        prepare(trial)
        names = (CHECKSUM_FILE, *(f"{split}.csv" for split in manifest.SPLITS))
        differences = (_difference(save_folder, trial, n) for n in names)
        difference = next(filter(None, differences), None)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    require(
        difference is None,
        f"the corpus or its options changed since the run in {run} began "
        f"({difference})",
        "restore them, or pass another --output_folder",
    )
    logger.info(
        "The corpus or its options changed since the run in %s began, and its "
        "manifests did not",
        run,
    )


def _difference(before: Path, now: Path, name: str) -> Optional[str]:
    """First row of a table that differs between two folders."""
    if not (before / name).is_file() and (now / name).is_file():
        return f"{before / name} is missing"
    old, new = (
        read_lines(folder / name) if (folder / name).is_file() else []
        for folder in (before, now)
    )
    if name == CHECKSUM_FILE:  # in any order
        changed = {tuple(row) for row in old} ^ {tuple(row) for row in new}
        if not changed:
            return None
        return f"{min(changed)[0]} is another file, or missing"
    rows = zip_longest(old, new, fillvalue=())
    for n, (row, other) in enumerate(rows, start=1):
        if row != other:
            return f"{before / name} row {n} would be another"
    return None


def audit(
    recordings: List[Recording],
    root: Path,
    save_folder: Path,
    left_out: Sequence[Tuple[str, str, str]] = (),
) -> Audits:
    """Audit all recordings, set durations and write ``rejected.csv``."""
    rejected_csv = Path(save_folder) / "rejected.csv"
    paths = [rec.wav for rec in recordings]
    audits = audit_corpus(paths, root, save_folder)
    patient_of = {rec.wav: rec.patient_id for rec in recordings}
    write_rejected(audits, patient_of, left_out, rejected_csv)
    stop_if_too_many(audits, rejected_csv)
    for rec in recordings:
        rec.duration = rec.stop = audits.files[rec.wav].duration
    if audits.n_rejected:
        logger.warning(
            "%d audio files cannot be used; see %s",
            audits.n_rejected,
            rejected_csv,
        )
    return audits


def write_prepared(
    splits: Dict[str, List[Recording]],
    audits: Audits,
    root: Path,
    save_folder: Path,
    corpus_name: str,
    classes: Optional[Sequence[str]] = None,
    is_named: bool = False,
) -> None:
    """Write the manifests, the paper's table and the list of copies.

    `corpus_name` is used unless the data folder has a ``corpus.json``. Where
    it is not the corpus's own (`is_named`), but that of a folder or a table,
    it stays out of what is shared.
    """
    save_folder = Path(save_folder)
    corpus = corpus_of(root, corpus_name, is_named)
    manifest.write(splits, save_folder, root, corpus, classes)
    write_checksums(_checksums(splits, audits, root), save_folder)
    logger.info("Prepared:\n%s", write_counts(splits, save_folder))
    copies = report_copies(
        audits.copies, splits, save_folder / "duplicates.csv"
    )
    if copies:
        logger.warning("%s", copies)


def _checksums(splits, audits, root) -> Dict[str, str]:
    """Checksum of each recording of the manifests, by path."""
    is_pack = pack_at(root) is not None
    paths = dict.fromkeys(rec.wav for recs in splits.values() for rec in recs)
    audit_of = {path: audits.files[path] for path in paths}
    return {
        path: PACKED + audit.digest
        if is_pack
        else audit.checksum or fingerprint(Path(root) / path)
        for path, audit in audit_of.items()
    }


def require_classes(
    splits: Dict[str, List[Recording]],
    classes: List[str],
    cure: str,
    least: int = 1,
) -> None:
    """Check that no split is empty and that train has every class.

    Validation and test may lack a class, with a warning, but must have `least`
    classes.
    """
    for split, recordings in splits.items():
        require(
            bool(recordings),
            f"{split} is empty: class {classes[0]!r} has no recording in it",
            cure,
        )
        present = {rec.label for rec in recordings}
        missing = [label for label in classes if label not in present]
        if missing and (split == "train" or len(present) < least):
            raise InputError(
                f"class {missing[0]!r} has no recording in {split}; {cure}"
            )
        if missing:
            consequence = "no AUC"
            if len(present) > 1:
                consequence = "metrics are over the other classes"
            elif split == "valid":
                consequence = "no AUC to choose a model by, and no threshold"
            logger.warning(
                "no recording of %s in %s: %s",
                shortened_list([repr(label) for label in missing]),
                split,
                consequence,
            )


def shortened_list(names: Sequence[str], most: int = 10) -> str:
    """List up to `most` names, and count the others."""
    text = ", ".join(names[:most])
    if len(names) <= most:
        return text
    return f"{text} and {len(names) - most} more"


def corpus_of(root: Path, otherwise: str, is_named: bool = False) -> Dict:
    """Description of the corpus by its ``corpus.json``, else by a given name."""
    corpus = manifest.read_corpus(root)
    if corpus is not None:
        return corpus
    corpus = {"name": otherwise, "synthetic": False}
    return corpus if is_named else {**corpus, "is_named": False}
