"""VGGSound (https://www.robots.ox.ac.uk/~vgg/data/vggsound/), or anything in
its form, to manifests.

``data_folder`` holds either the official ``vggsound.csv`` (no header: YouTube
id, start second, label, split) and ``audio/<id>_<start:06d>.wav|flac|ogg``, or
class folders ``{train,test}/<class>/<id>_<start:06d>.*``. Videos that are gone
are normal: counted and listed by class in ``missing.csv``.
"""

import argparse
import hashlib
import logging
import re
from collections import Counter
from pathlib import Path
from typing import Dict, List, Tuple

from data_prep import manifest
from data_prep.audio.folder import matching, name_of
from data_prep.audio.packs import PACK_FILE, pack_at
from data_prep.corpora import preparation
from data_prep.corpora.published import compare_with_published
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.tables import read_lines, write_table
from data_prep.manifest import Recording

logger = logging.getLogger(__name__)

CSV_FILE = "vggsound.csv"
EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")

Clip = Tuple[str, Recording]  # split

#: Clips by split and classes of the official csv.
PUBLISHED = {"train": 183730, "test": 15446, "classes": 309}
#: It has 199,176 rows; fewer than this is another corpus.
OFFICIAL_ROWS = 190000


def prepare_vggsound(
    data_folder: str,
    save_folder: str,
    valid_share: float = 0.1,
    min_clips: int = 1,
    require_all_classes: bool = False,
) -> None:
    """Write train, valid and test manifests; valid is carved out of train by
    video, so that no video is in two splits.

    Arguments
    ---------
    data_folder : str
        See the head of this file.
    save_folder : str
        Where the manifests go.
    valid_share : float
        Of the training videos: those that come first by a hash of their id.
        So a smaller share is part of a larger one, and what pre-training
        held out is held out in adaptation too.
    min_clips : int
        Classes with fewer training clips (valid included) are left out; the
        paper's code keeps those with more than ten, 308 of 309. Without
        labels 1 asks for nothing: a class that is only in test stays.
    require_all_classes : bool
        Whether labels are used: a class without any clip is then an error,
        not a warning, and one that has none in train is left out, since
        nothing could be learned of it.

    Raises
    ------
    InputError
        No corpus there, a bad row, or (see above) an empty class.

    Example
    -------
    >>> import numpy, soundfile
    >>> tmp = Path(getfixture("tmpdir"))
    >>> (tmp / "audio").mkdir()
    >>> noise = numpy.random.default_rng(0).normal(0, 0.1, 16000)
    >>> for i in range(4):
    ...     soundfile.write(tmp / f"audio/-a_{i}_000030.wav", noise, 16000)
    >>> rows = [f"-a_{i},30,dog,{'train' if i else 'test'}" for i in range(4)]
    >>> _ = (tmp / "vggsound.csv").write_text("\\n".join(rows))
    >>> prepare_vggsound(str(tmp), str(tmp / "manifest"), valid_share=0.34)
    >>> [len(manifest.read(tmp / f"manifest/{s}.csv")) for s in manifest.SPLITS]
    [2, 1, 1]
    """
    root = preparation.require_folder(
        data_folder, "--data_folder", f"{CSV_FILE} and audio/"
    )
    pack_at(root)  # looks at every shard: not in the middle of a run
    preparation.require_out(save_folder, root)
    table = root / CSV_FILE
    options = {
        "data_folder": str(root.resolve()),
        "valid_share": valid_share,
        "min_clips": min_clips,
        "require_all_classes": require_all_classes,
    }
    if not 0 < valid_share < 1:
        raise InputError(
            f"valid_share is {valid_share}; it must be above 0 and below 1"
        )

    def prepare():
        clips = _official(root) if table.is_file() else _class_folders(root)
        _prepare(clips, root, Path(save_folder), options)

    # A folder's time changes when a file is added to it.
    if table.is_file():
        sources = [table, *root.glob("audio"), *root.glob(PACK_FILE)]
    else:
        sources = [root, *sorted(p for p in root.glob("*/*") if p.is_dir())]
    preparation.once(Path(save_folder), options, sources, prepare)


def _official(root: Path) -> List[Clip]:
    """Clips of the csv; their ``wav`` is empty where the video is gone."""
    there = _files_by_stem(root)
    clips = []
    for n, row in enumerate(read_lines(root / CSV_FILE), start=1):
        if not row:
            continue
        source = f"{CSV_FILE} row {n}"
        video, start, label, split = _official_row(row, source)
        stem = f"{video}_{start:06d}"
        path = there.get(stem, "")
        clip = Recording(stem, 0.0, path, 0.0, 0.0, label, video, "", source)
        clips.append((split, clip))
    return clips


def _official_row(row, source):
    if len(row) != 4:
        raise InputError(
            f"{source}: {len(row)} cells, expected id, start, label, split; "
            "quote labels that hold a comma"
        )
    video, start, label, split = (cell.strip() for cell in row)
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
    clips = []
    for split in ("train", "test"):
        for name in matching(root, f"{split}/*/*"):
            path = Path(name)
            if path.suffix.lower() not in EXTENSIONS:
                continue
            # Without <id>_<start:06d>, each file is a source of its own.
            match = re.fullmatch(r"(.+)_\d{6}", path.stem)
            video = match[1] if match else name
            label = path.parent.name
            clip = Recording(name, 0.0, name, 0.0, 0.0, label, video, "", name)
            clips.append((split, clip))
    if not clips:
        raise InputError(
            f"{root} holds neither {CSV_FILE} nor train/<class>/ with "
            f"{', '.join(EXTENSIONS)} files; pass the folder that does"
        )
    return clips


def _prepare(clips, root, save_folder, options):
    if len(clips) >= OFFICIAL_ROWS:
        found = Counter(split for split, _ in clips)
        found["classes"] = len({clip.label for _, clip in clips})
        compare_with_published(found, PUBLISHED, "in all")
    _report_missing(clips, save_folder, options["require_all_classes"])
    there = [(split, clip) for split, clip in clips if clip.wav]
    if not there:
        raise InputError(f"none of the clips of {root} is there; add audio")
    audits = preparation.audit([clip for _, clip in there], root, save_folder)
    splits = {split: [] for split in manifest.SPLITS}
    for split, clip in there:
        if audits.files[clip.wav].usable:
            splits[split].append(clip)
    _carve_valid(splits, options["valid_share"])
    _drop_rare_classes(
        splits, options["min_clips"], options["require_all_classes"]
    )
    name = f"{name_of(root)} (in VGGSound's form)"
    corpus = preparation.corpus_of(
        root, "VGGSound" if len(clips) >= OFFICIAL_ROWS else name
    )
    preparation.finish(splits, audits, root, save_folder, corpus)


def _report_missing(clips, save_folder, require_all_classes):
    expected = Counter(clip.label for _, clip in clips)
    found = Counter(clip.label for _, clip in clips if clip.wav)
    rows = [
        (label, n, n - found[label])
        for label, n in sorted(expected.items())
        if found[label] < n
    ]
    write_table(
        save_folder / "missing.csv", ("label", "listed", "missing"), rows
    )
    if not rows:
        return
    logger.warning(
        "%d of %d clips are not there (videos that are gone); by class in %s",
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


def _drop_rare_classes(splits, min_clips, uses_labels):
    n_of = Counter(clip.label for clip in splits["train"] + splits["valid"])
    in_train = {clip.label for clip in splits["train"]}
    labels = {clip.label for clips in splits.values() for clip in clips}
    rare = {label for label in labels if n_of[label] < min_clips}
    if uses_labels:
        rare |= labels - in_train
    elif min_clips <= 1:
        # A subset may have one clip a class, in whichever split.
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
    videos = sorted(
        {clip.patient_id for clip in splits["train"]},
        key=lambda video: hashlib.sha256(video.encode()).digest(),
    )
    valid = set(videos[: max(1, round(valid_share * len(videos)))])
    clips = splits["train"]
    splits["train"] = [c for c in clips if c.patient_id not in valid]
    splits["valid"] = [c for c in clips if c.patient_id in valid]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=prepare_vggsound.__doc__.split("\n\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument("data_folder")
    parser.add_argument("--out", required=True, help="manifest folder")
    parser.add_argument("--valid_share", type=float, default=0.1)
    parser.add_argument("--min_clips", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        prepare_vggsound(
            args.data_folder,
            args.out,
            valid_share=args.valid_share,
            min_clips=args.min_clips,
        )


if __name__ == "__main__":
    main()
