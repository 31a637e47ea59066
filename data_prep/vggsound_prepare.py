"""Prepare VGGSound (https://www.robots.ox.ac.uk/~vgg/data/vggsound/).

``data_folder`` holds either the official ``vggsound.csv`` (no header: YouTube
id, start second, label, split) and ``audio/<id>_<start:06d>.wav|flac|ogg``, or
class folders ``{train,test}/<class>/<id>_<start:06d>.*``. Other corpora in
these layouts work too. Missing videos are normal: they are counted and listed
by class in ``missing.csv``. Where no labels are needed, any other folder of
audio is taken as it is.
"""

import hashlib
import logging
import re
from collections import Counter
from pathlib import Path
from typing import Dict, List, Set, Tuple

from data_prep.audio.folder import audio_files, matching, name_of
from data_prep.audio.packs import PACK_FILE, pack_at
from data_prep.corpora import preparation
from data_prep.corpora.plain_folder import (
    FILE,
    folders_of,
    list_folder,
    refuse_grouping,
)
from data_prep.corpora.published import command_line, compare_with_published
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import Spellings, cleaned
from data_prep.files.missing import is_missing, refuse_damaged
from data_prep.files.tables import read_lines, write_table
from data_prep.manifest import SPLITS, Recording

logger = logging.getLogger(__name__)

CSV_FILE = "vggsound.csv"
EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")

Clip = Tuple[str, Recording]  # the split, and the clip

_LABEL = 2  # column

#: Number of clips by split, and of classes, in the official csv.
PUBLISHED = {"train": 183730, "test": 15446, "classes": 309}
#: The official csv has 199,176 rows; with fewer than this it is another corpus.
OFFICIAL_ROWS = 190000


def prepare_vggsound(
    data_folder: str,
    save_folder: str,
    valid_share: float = 0.1,
    min_clips: int = 1,
    require_all_classes: bool = False,
    group_by: str = FILE,
) -> None:
    """Write train, valid and test manifests; no video is in two splits.

    The validation videos are the `valid_share` of the training videos with the
    smallest hashes of their ids: a smaller share is part of a larger one, so
    videos held out from pre-training are held out from adaptation too. Classes
    with fewer than `min_clips` training clips (valid included) are left out;
    the paper's code keeps those with more than ten. With 1 and without labels,
    classes that are only in test are kept. `require_all_classes` is for
    training with labels: a class without any clip is an error instead of a
    warning, and a class without a training clip is left out. In a folder
    without a form, `group_by` is what plays the part of the video (see
    ``plain_folder``).
    """
    root = preparation.require_folder(
        data_folder, "--data_folder", "a folder of audio"
    )
    pack_at(root)  # checks all shards now, not in the middle of a run
    save_folder = preparation.require_out(save_folder, root, is_listed=True)
    preparation.check_share(valid_share)
    options = {
        "data_folder": str(root.resolve()),
        "valid_share": valid_share,
        "min_clips": min_clips,
        "require_all_classes": require_all_classes,
        "group_by": group_by,
    }
    sources = folders_of(root)
    if (root / CSV_FILE).is_file():
        sources = [root / CSV_FILE, *root.glob("audio"), *root.glob(PACK_FILE)]
    preparation.prepare_once(
        save_folder,
        options,
        sources,
        lambda folder: _prepare(root, folder, options),
    )


def _official(root: Path) -> List[Clip]:
    """Clips of the csv; ``wav`` is empty if the video is missing."""
    path_of = _files_by_stem(root)
    clips = []
    for source, row in _csv_rows(root / CSV_FILE):
        video, start, label, split = _official_row(row, source)
        stem = f"{video}_{start:06d}"
        path = path_of.get(stem, "")
        clip = Recording(stem, 0.0, path, 0.0, 0.0, label, video, "", source)
        clips.append((split, clip))
    return clips


def _csv_rows(table: Path) -> List[Tuple[str, List[str]]]:
    """Read the rows of the official csv, each with its source: cells are
    checked, and a label has one spelling."""
    rows, labels = [], Spellings("label")
    for n, line in enumerate(read_lines(table), start=1):
        source, row = f"{CSV_FILE} row {n}", [cleaned(cell) for cell in line]
        while row and not row[-1]:  # empty columns of a spreadsheet
            row.pop()
        if not row:
            continue
        for name, cell in zip(("the video's id", "start", "label"), row):
            refuse_damaged(source, name, cell, is_id=name != "label")
            if is_missing(cell):
                raise InputError(f"{source}: {name} is {cell!r}; fill it in")
        if len(row) > _LABEL:
            row[_LABEL] = labels(source, row[_LABEL])
        rows.append((source, row))
    labels.report()
    return rows


def _official_row(row, source):
    if len(row) != 4:
        raise InputError(
            f"{source}: {len(row)} cells, expected id, start, label, split; "
            "quote labels that hold a comma"
        )
    video, start, label, split = row
    if not (start.isascii() and start.isdigit()):
        raise InputError(
            f"{source}: start is {start!r}; expected whole seconds (the "
            "official csv has no header)"
        )
    if split not in ("train", "test"):
        raise InputError(
            f"{source}: split is {split!r}; expected train or test"
        )
    return video, int(start), label, split


def _files_by_stem(root: Path) -> Dict[str, str]:
    files = matching(root, "audio/*")
    if not files:
        raise InputError(
            f"{root / 'audio'} holds no file; put <id>_<start:06d>.wav files "
            "there"
        )
    return {
        Path(name).stem: name
        for name in files
        if Path(name).suffix.lower() in EXTENSIONS
    }


def _class_folders(root: Path) -> List[Clip]:
    """Clips of ``{train,test}/<class>/``; empty without such folders."""
    clips = []
    for split in ("train", "test"):
        for name in matching(root, f"{split}/*/*"):
            path = Path(name)
            if path.suffix.lower() not in EXTENSIONS:
                continue
            # Files with other names each count as a separate video.
            match = re.fullmatch(r"(.+)_\d{6}", path.stem)
            video = match[1] if match else name
            label = path.parent.name
            clip = Recording(name, 0.0, name, 0.0, 0.0, label, video, "", name)
            clips.append((split, clip))
    return clips


def label_splits(root: Path) -> Set[str]:
    """Splits of the clips that have a label; none in a folder without a form."""
    has_csv = (root / CSV_FILE).is_file()
    clips = _official(root) if has_csv else _class_folders(root)
    return {split for split, clip in clips if clip.wav}


def _clips(root: Path, options: Dict) -> Tuple[str, List[Clip]]:
    """Name of the corpus and its clips, in VGGSound's form or in none."""
    name = f"{name_of(root)} (in VGGSound's form)"
    if (root / CSV_FILE).is_file():
        refuse_grouping(options["group_by"], CSV_FILE)
        return name, _official(root)
    clips = _class_folders(root)
    if clips:
        refuse_grouping(options["group_by"], "VGGSound's form")
        everything = audio_files(root, EXTENSIONS)
        if len(everything) > len(clips):
            logger.warning(
                "%s is in VGGSound's form, train/<class>/ and test/<class>/: "
                "%d audio files elsewhere in it are left out; rename train/ to "
                "use all files without labels",
                root,
                len(everything) - len(clips),
            )
        return name, clips
    require(
        not options["require_all_classes"],
        f"{root} holds neither {CSV_FILE} nor train/<class>/ with "
        f"{', '.join(EXTENSIONS)} files, which give the labels",
        "pass the folder that does",
    )
    recordings = list_folder(root, options["group_by"])
    return name_of(root), [("train", rec) for rec in recordings]


def _prepare(root, save_folder, options):
    name, clips = _clips(root, options)
    if len(clips) >= OFFICIAL_ROWS:
        name = "VGGSound"
        counts = Counter(split for split, _ in clips)
        counts["classes"] = len({clip.label for _, clip in clips})
        compare_with_published(counts, PUBLISHED, "in total")
    _report_missing(clips, save_folder, options["require_all_classes"])
    present = [(split, clip) for split, clip in clips if clip.wav]
    require(bool(present), f"all clips of {root} are missing", "add audio")
    audits = preparation.audit([clip for _, clip in present], root, save_folder)
    splits = {split: [] for split in SPLITS}
    for split, clip in present:
        if audits.files[clip.wav].usable:
            splits[split].append(clip)
    require(bool(splits["train"]), f"{root} has no clip in train", "add some")
    share, min_clips = options["valid_share"], options["min_clips"]
    uses_labels = options["require_all_classes"]
    _check_settings(splits["train"], share, min_clips, uses_labels)
    _carve_valid(splits, share)
    _drop_rare_classes(splits, min_clips, uses_labels)
    for split in SPLITS if uses_labels else ("train", "valid"):
        require(
            bool(splits[split]),
            f"min_clips {min_clips} and valid_share {share} leave no clip in "
            f"{split}",
            "change --min_clips or --valid_share, or add clips",
        )
    if not any(clip.label for _, clip in clips):
        del splits["test"]  # a folder without a form
    preparation.write_prepared(
        splits, audits, root, save_folder, name, is_named=name == "VGGSound"
    )


def _report_missing(clips, save_folder, require_all_classes):
    """Write ``missing.csv``; warn about missing clips, refuse empty classes."""
    expected = Counter(clip.label for _, clip in clips)
    present = Counter(clip.label for _, clip in clips if clip.wav)
    rows = [
        (label, n, n - present[label])
        for label, n in sorted(expected.items())
        if present[label] < n
    ]
    write_table(
        save_folder / "missing.csv", ("label", "listed", "missing"), rows
    )
    if not rows:
        return
    logger.warning(
        "%d of %d clips are missing (deleted videos); by class in %s",
        sum(missing for _, _, missing in rows),
        len(clips),
        save_folder / "missing.csv",
    )
    empty = [label for label, n, missing in rows if n == missing]
    if not empty:
        return
    if require_all_classes:
        raise InputError(
            f"class {empty[0]!r} has no clip left ({len(empty)} such classes, "
            f"see {save_folder / 'missing.csv'}); add audio, or remove their "
            f"rows from {CSV_FILE}"
        )
    logger.warning("%d classes have no clip left", len(empty))


def _check_settings(train, valid_share, min_clips, uses_labels):
    """Refuse settings that leave too few classes, or nothing to train with."""
    n_needed = 2 if uses_labels else 1
    largest = Counter(clip.label for clip in train).most_common(n_needed)
    require(
        len(largest) == n_needed,
        f"all clips to train with are of one class, {largest[0][0]!r}",
        "add clips of another class",
    )
    label, n = largest[-1]
    which = "second largest" if uses_labels else "largest"
    require(
        n >= min_clips,
        f"min_clips is {min_clips} and the {which} class, {label!r}, has {n} "
        "clips to train with",
        f"pass --min_clips {n} or less, or add clips",
    )
    n_videos = len({clip.patient_id for clip in train})
    require(
        max(1, round(valid_share * n_videos)) < n_videos,
        f"valid_share is {valid_share} of {n_videos} training videos, which "
        "leaves none to train with",
        "lower --valid_share, or add videos",
    )


def _drop_rare_classes(splits, min_clips, uses_labels):
    n_of = Counter(clip.label for clip in splits["train"] + splits["valid"])
    in_train = {clip.label for clip in splits["train"]}
    labels = {clip.label for clips in splits.values() for clip in clips}
    rare = {label for label in labels if n_of[label] < min_clips}
    if uses_labels:
        rare |= labels - in_train
    elif min_clips <= 1:
        # A subset may have one clip per class, in any split.
        rare = set()
    for split in splits:
        splits[split] = [c for c in splits[split] if c.label not in rare]
    if rare:
        logger.warning(
            "%d classes with fewer than %d clips to train with, or none in "
            "train, left out: %s",
            len(rare),
            min_clips,
            ", ".join(sorted(rare)),
        )


def _carve_valid(splits, valid_share):
    """Move the videos with the smallest hashes from train to valid."""
    videos = sorted(
        {clip.patient_id for clip in splits["train"]},
        key=lambda video: hashlib.sha256(video.encode()).digest(),
    )
    valid = set(videos[: max(1, round(valid_share * len(videos)))])
    clips = splits["train"]
    splits["train"] = [c for c in clips if c.patient_id not in valid]
    splits["valid"] = [c for c in clips if c.patient_id in valid]


if __name__ == "__main__":
    command_line(
        prepare_vggsound,
        valid_share=(0.1, "share of the training videos"),
        min_clips=(1, "leave out classes with fewer training clips"),
        group_by=(
            FILE,
            "or folder, or a regular expression with the individual in "
            "parentheses: what is held out together in a folder of any form",
        ),
    )
