"""Decode recordings once, into large files that training maps into memory.

    python -m data_prep.pack MANIFEST OUT [--data_folder D]
    python -m data_prep.pack --verify OUT

OUT then replaces the data folder in every preparer and train script
(``--data_folder OUT``). MANIFEST is a csv file or folder of manifests, a
``recordings.csv``, or a folder of audio. It must name all recordings that
preparers will use later, for other label columns or folds. The
``vggsound.csv``, ``recordings.csv`` and ``corpus.json`` of D are copied once
(correct a label in the copy in OUT), and so is the audit: rejected files are
listed in the pack, without samples.

Recordings become mono, of one rate, 16 bit. A recording that this holds without
loss, such as a mono 16 bit file of the rate, is kept bit for bit. All others
are mixed and resampled as for training, scaled so that the peak uses all 16
bits, and rounded: the rounding noise (root mean square) is 101 dB below the
peak. The original level is stored.

Limits: a part of a recording (start, stop) of another rate is cut after
resampling instead of before: it begins up to one sample earlier, and its first
and last millisecond differ. Near-duplicates are searched for in up to 5,000
files. The index takes 0.12 kB of memory per recording. Packs are not updated:
changed recordings need a new one.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

from tqdm import tqdm

from data_prep.audio.audits import (
    JOURNAL,
    MOST_COMPARED,
    audit_files,
    write_journal,
)
from data_prep.audio.measure import Audit, check_rate
from data_prep.audio.packs import (
    DTYPE,
    PACK_FILE,
    PART,
    ROW,
    SAMPLE_BYTES,
    VERSION,
    Packed,
    digest_of,
    pack_at,
    part_name,
    read_description,
    write_index,
)
from data_prep.corpora.database import TABLE
from data_prep.corpora.listing import read_recordings
from data_prep.files.arguments import Arguments, add_columns, take_columns
from data_prep.files.atomic import complete_or_absent, make_folder
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.files.fingerprint import fingerprint
from data_prep.files.folders import require_apart
from data_prep.files.journal import Journal
from data_prep.files.lock import locked
from data_prep.files.shapes import number, whole
from data_prep.files.tables import Named, read_table, write_text
from data_prep.manifest import CORPUS_FILE
from data_prep.vggsound_prepare import CSV_FILE

#: Files that preparers need besides the audio.
TABLES = (CSV_FILE, TABLE, CORPUS_FILE)
#: Shapes of the description of a finished part, and of a finished shard.
_DONE = {
    **PART,
    "recordings": whole(0),
    "rejected": whole(0),
    "seconds": number(0),
    "stamps": str,
}
_SHARD = {"rows": [ROW], "bytes": whole(0), "sha256": str}


@dataclass
class Summary:
    """Numbers of recordings, seconds and bytes in one part of a pack.

    Example
    -------
    >>> print(Summary(10, 1, 5400, 172800000, 1))
    10 recordings (1 rejected), 1.50 hours, 0.17 GB, 1 shard
    """

    recordings: int
    rejected: int
    seconds: float
    bytes: int
    shards: int

    def __str__(self):
        return (
            f"{self.recordings} recordings ({self.rejected} rejected), "
            f"{self.seconds / 3600:.2f} hours, {self.bytes / 1e9:.2f} GB, "
            f"{self.shards} shard{'' if self.shards == 1 else 's'}"
        )


def pack(
    source: str,
    out: str,
    data_folder: Optional[str] = None,
    rate: int = 16000,
    shard_mb: float = 512,
    part: str = "1/1",
    named: Optional[Named] = None,
) -> Summary:
    """Pack recordings, or one part of them.

    The same command resumes an interrupted pack, and gives the same bytes.
    Parts may be made on several machines and copied into one folder.
    """
    number, n_parts = _check_options(rate, shard_mb, part)
    source, out = Path(source), Path(out)
    root, paths = _recordings(source, data_folder, named)
    _check_folders(root, out)
    require(
        n_parts <= len(paths),
        f"--part {part} asks for more parts than the {len(paths)} recordings",
        "use fewer parts",
    )
    head = {
        "pack": VERSION,
        "rate": rate,
        "dtype": DTYPE,
        "parts": n_parts,
        "shard_mb": shard_mb,
        "sources": _digest((p, os.stat(root / p).st_size) for p in paths),
    }
    _begin(out, head, root)
    first, last = (n * len(paths) // n_parts for n in (number - 1, number))
    work = _Part(
        root,
        out,
        part_name(number, n_parts),
        head,
        paths[first:last],
        _identities(paths[first:last], root),
    )
    compare = len(paths) <= MOST_COMPARED
    with locked(out, f".{work.name}.lock"):  # other parts may be written, too
        return work.summary() if work.is_done() else work.write(source, compare)


def _check_options(rate, shard_mb, part) -> Tuple[int, int]:
    """Number of the part, and of all parts."""
    check_rate(rate)
    require(shard_mb > 0, f"--shard_mb {shard_mb} is not above 0", "pass 512")
    match = re.fullmatch(r"(\d+)/(\d+)", part)
    number, n_parts = map(int, match.groups()) if match else (0, 0)
    require(
        1 <= number <= n_parts,
        f"--part {part} is not a part such as 2/4",
        "pass 1/4, 2/4, 3/4 or 4/4, or the like",
    )
    return number, n_parts


def _recordings(
    source: Path, data_folder: Optional[str], named: Named
) -> Tuple[Path, List[str]]:
    """Data folder, and the paths to pack without repeats."""
    require(source.exists(), f"{source} does not exist", "correct the path")
    root, splits = read_recordings(source, data_folder, named=named)
    require(
        pack_at(root) is None,
        f"{root} is itself a pack",
        "pass the folder of the original files with --data_folder",
    )
    paths = [rec.wav for recs in splits.values() for rec in recs]
    for path in paths:
        require(
            (root / path).is_file(),
            f"{path}, listed in {source}, is not in {root}",
            "pass the folder that paths are relative to with --data_folder, or "
            "remove the row",
        )
    return root, list(dict.fromkeys([*paths, *_rejected(source, root)]))


def _rejected(source: Path, root: Path) -> List[str]:
    """Files that the preparer rejected; listed, so they stay rejected."""
    table = source / "rejected.csv"
    if not source.is_dir() or not table.is_file():
        return []
    lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) < 2:
        return []
    return [
        row["path"]
        for _, row in read_table(table, ["path", "verdict", "reason"])
        if row["verdict"] == "rejected" and (root / row["path"]).is_file()
    ]


def _check_folders(root: Path, out: Path):
    require_apart(out, root)
    make_folder(out)
    require(
        (out / PACK_FILE).is_file()
        # Hidden files: of another part that has just begun.
        or all(path.name.startswith(".") for path in out.iterdir()),
        f"OUT {out} holds other files and is not a pack",
        "pass a new folder",
    )


def _identities(paths: Iterable[str], root: Path) -> str:
    """Digest of the content of files, the same for copies elsewhere."""
    return _digest((path, fingerprint(root / path)) for path in paths)


def _digest(items: Iterable) -> str:
    """Sha256 of the items' representations."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item!r}\n".encode())
    return digest.hexdigest()


def _begin(out: Path, head: Dict, root: Path):
    """Write ``pack.json`` or check that it is the same; copy the tables."""
    file = out / PACK_FILE
    if not file.is_file():
        write_text(file, json.dumps(head, indent=1) + "\n")
    existing = read_description(file, {str: object})
    for key, value in head.items():
        difference = f"a pack with {key} {existing.get(key)}, not {value}"
        if key == "sources":
            difference = "a pack of other or of changed recordings"
        require(
            existing.get(key) == value,
            f"{out} is {difference}",
            "pass another OUT, or delete it",
        )
    for name in TABLES:
        if (root / name).is_file() and not (out / name).exists():
            with complete_or_absent(out / name) as partial_file:
                shutil.copyfile(root / name, partial_file)


@dataclass
class _Part:
    """The recordings that this command packs."""

    root: Path
    out: Path
    name: str
    head: Dict
    paths: List[str]
    stamps: str

    @property
    def _file(self):
        return self.out / f"{self.name}.json"

    def is_done(self) -> bool:
        """Check that the part's files exist and are of these recordings."""
        if not self._file.is_file():
            return False
        part = read_description(self._file, _DONE)
        require(
            part["stamps"] == self.stamps,
            f"{self.root} has changed since {self._file} was packed",
            "pass another OUT, or delete it",
        )
        # A shard that was deleted is written again.
        return all(
            (self.out / name).is_file()
            and (self.out / name).stat().st_size == entry["bytes"]
            for name, entry in part["files"].items()
        )

    def summary(self) -> Summary:
        """Summary of the finished part."""
        part = read_description(self._file, _DONE)
        sizes = [
            entry["bytes"]
            for name, entry in part["files"].items()
            if name.endswith(".i16")
        ]
        counts = (part[c] for c in ("recordings", "rejected", "seconds"))
        return Summary(*counts, sum(sizes), len(sizes))

    def write(self, source: Path, compare: bool) -> Summary:
        """Audit, write the shards, and last the part's json file."""
        work = self.out / f".{self.name}"
        work.mkdir(exist_ok=True)
        if (source / JOURNAL).is_file() and not (work / JOURNAL).exists():
            # Reuse the audit of the preparation.
            shutil.copyfile(source / JOURNAL, work / JOURNAL)
        audits = audit_files(self.paths, self.root, work, compare)
        header = {"head": self.head, "stamps": self.stamps}
        with Journal(work / "shards.jsonl", header, _SHARD) as journal:
            shards = self._write_shards(list(audits.values()), journal)
        require(
            self.stamps == _identities(audits, self.root),
            f"{self.root} changed while it was packed",
            "run the same command again",
        )
        self._finish(audits, shards)
        shutil.rmtree(work)
        return self.summary()

    def _write_shards(self, audits, journal) -> Dict[str, Dict]:
        """Index rows, size and checksum of each shard by name."""
        from data_prep.audio.shards import plan, write_shard  # imports torch

        shards = {
            f"{self.name}-{n:05d}.i16": content
            for n, content in enumerate(
                plan(audits, self.head["rate"], self.head["shard_mb"])
            )
        }
        done = {name: journal.get(name, self.out / name) for name in shards}
        self._check_room(shards, done)
        with tqdm(
            total=sum(map(len, shards.values())),
            initial=sum(len(shards[name]) for name in shards if done[name]),
            desc="packing",
            unit="file",
            dynamic_ncols=True,
        ) as bar:
            for name in shards:
                if done[name] is None:
                    path, rate = self.out / name, self.head["rate"]
                    done[name] = write_shard(
                        path, shards[name], self.root, rate, bar
                    )
                    journal.add(name, path, done[name])
        return done

    def _check_room(self, shards, done):
        seconds = sum(
            audit.duration
            for name in shards
            if done[name] is None
            for audit in shards[name]
        )
        needed = SAMPLE_BYTES * self.head["rate"] * seconds
        free = shutil.disk_usage(self.out).free
        require(
            needed <= free,
            f"{self.out} needs {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB "
            "are free",
            "free some space, or pass another OUT",
        )

    def _finish(self, audits: Dict[str, Audit], shards: Dict[str, Dict]):
        rows = {row[0]: row for s in shards.values() for row in s.pop("rows")}
        index = self.out / f"{self.name}.csv"
        write_index(index, (rows.get(p, Packed(p)) for p in audits))
        journal = self.out / f"{self.name}.audit.jsonl"
        with complete_or_absent(journal) as partial_file:
            write_journal(audits.values(), self.out, partial_file)
        files = {**shards, **{f.name: digest_of(f) for f in (index, journal)}}
        part = {
            "head": self.head,
            "name": self.root.resolve().name,
            "recordings": len(rows),
            "rejected": len(audits) - len(rows),
            "seconds": sum(audits[path].duration for path in rows),
            "stamps": self.stamps,
            "files": files,
        }
        write_text(self._file, json.dumps(part, indent=1) + "\n")


def verify(folder: str) -> str:
    """Compare all files of a pack with their checksums; return a summary, raise
    ``InputError`` if any differs."""
    opened = pack_at(Path(folder))
    if opened is None:
        raise InputError(
            f"{folder} is not a pack: it has no {PACK_FILE}; correct the path"
        )
    total = sum(entry["bytes"] for entry in opened.files.values())
    with tqdm(
        total=total,
        desc="verifying",
        unit="B",
        unit_scale=True,
        dynamic_ncols=True,
    ) as bar:
        damaged = [
            name
            for name, entry in opened.files.items()
            if digest_of(opened.folder / name, bar) != entry
        ]
    require(
        not damaged,
        f"{folder}: {', '.join(damaged)} differ from their checksums (sha256)",
        "copy them again, or pack into a new folder",
    )
    size = f"{total / 1e9:.2f} GB"
    return f"{folder}: {len(opened.files)} files, {size}, undamaged"


def main() -> None:
    """Parse the command line and pack, or verify a pack."""
    status = "Exit status: 0 also where rejected files are listed, unpacked."
    parser = Arguments(description=__doc__.split("\n")[0], epilog=status)
    parser.add_argument(
        "source",
        nargs="?",
        metavar="MANIFEST",
        help="manifests, recordings.csv, or a folder of audio",
    )
    parser.add_argument("out", nargs="?", metavar="OUT", help="a new folder")
    parser.add_argument(
        "--data_folder", help="folder that paths in MANIFEST are relative to"
    )
    parser.add_argument("--rate", type=int, default=16000, help="Hz")
    parser.add_argument(
        "--shard_mb", type=float, default=512, help="size of a shard"
    )
    parser.add_argument("--part", default="1/1", help="2/4: second quarter")
    parser.add_argument("--verify", metavar="OUT", help="only check this pack")
    add_columns(parser)
    args = take_columns(parser.parse_intermixed_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        folder = args.pop("verify")
        if folder is not None:
            print(verify(folder))
        elif args["out"] is None:
            raise InputError("MANIFEST or OUT is missing; pass both")
        else:
            # One thread per recording: sums have one order on all machines.
            import torch  # takes seconds

            torch.set_num_threads(1)
            print(f"Packed {pack(**args)}; in {args['out']}")


if __name__ == "__main__":
    main()
