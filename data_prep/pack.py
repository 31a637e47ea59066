"""Recordings decoded once, in a few large files that training reads as memory.

    python -m data_prep.pack MANIFEST OUT [--data_folder D]
    python -m data_prep.pack --verify OUT

OUT then stands for the data folder in every preparer and train script
(``--data_folder OUT``). MANIFEST is a csv file or folder of manifests, a
``recordings.csv``, or a folder of audio; what preparers are to find later
(other label columns, folds) must be named in it. D's ``vggsound.csv``,
``recordings.csv`` and ``corpus.json`` come along (once: correct a label in
OUT's copy), and so does the audit: rejected files are listed in the pack,
without samples.

Recordings become mono, of one rate, 16 bit. Whatever that holds without loss,
such as a mono 16 bit file of the rate, is kept to the bit. All else is mixed
and resampled as for training, scaled so that its peak uses all 16 bits, and
rounded: rounding noise is 101 dB below the peak (its root mean square). The
level is kept beside it.

Limits: a part of a recording (start, stop) whose file has another rate is cut
after resampling instead of before: it begins up to one sample earlier, and
its first and last millisecond differ.
Near-duplicates are looked for where the pack was made of up to 5,000 files.
Each recording is decoded in memory whole. Processes hold the index in memory:
0.12 kilobytes a recording. Packs are read, not changed: changed recordings
need a new one.
"""

import argparse
import hashlib
import json
import logging
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

import numpy as np
import torch
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
    VERSION,
    Packed,
    pack_at,
    part_name,
    read_json,
    write_index,
)
from data_prep.audio.read import read_mono
from data_prep.corpora.database import TABLE
from data_prep.corpora.listing import read_recordings
from data_prep.files.atomic import complete_or_absent, make_folder
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.journal import Journal, stamp
from data_prep.files.tables import read_table, write_text
from data_prep.manifest import CORPUS_FILE
from data_prep.vggsound_prepare import CSV_FILE

logger = logging.getLogger(__name__)

#: What preparers need besides the audio.
TABLES = (CSV_FILE, TABLE, CORPUS_FILE)
#: One step of a 16 bit file, of full scale: a power of two, so that nothing is
#: lost by multiplying.
STEP = 2.0**-15
_LARGEST = 32767
_SAMPLE_BYTES = 2
_BYTES_AT_ONCE = 1 << 22


@dataclass
class Summary:
    """What a part of a pack holds.

    Arguments
    ---------
    recordings : int
        Packed.
    rejected : int
        Listed without samples.
    seconds : float
        Of all recordings.
    bytes : int
        Of all shards.
    shards : int
        Files of samples.

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
) -> Summary:
    """Pack recordings, or one part of them.

    The same command goes on where it was interrupted, and ends with the same
    bytes. Parts may be made anywhere and copied into one folder.

    Example
    -------
    >>> import soundfile
    >>> tmp = Path(getfixture("tmpdir"))
    >>> (tmp / "in").mkdir()
    >>> noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    >>> soundfile.write(tmp / "in/a.wav", noise, 16000)
    >>> pack(tmp / "in", tmp / "out").bytes
    32000
    """
    number, n_parts = _check_options(rate, shard_mb, part)
    source, out = Path(source), Path(out)
    root, paths = _recordings(source, data_folder)
    _check_folders(root, out)
    if n_parts > len(paths):
        raise InputError(
            f"--part {part} asks for more parts than the {len(paths)} "
            "recordings there are; ask for fewer"
        )
    stamps = [stamp(root / path) for path in paths]
    head = {
        "pack": VERSION,
        "rate": rate,
        "dtype": DTYPE,
        "parts": n_parts,
        "shard_mb": shard_mb,
        # Sizes, not times: those of other machines' copies differ.
        "sources": _digest((p, size) for p, (size, _) in zip(paths, stamps)),
    }
    _begin(out, head, root)
    first, last = (n * len(paths) // n_parts for n in (number - 1, number))
    work = _Part(
        root,
        out,
        part_name(number, n_parts),
        head,
        paths[first:last],
        _digest(zip(paths[first:last], stamps[first:last])),
    )
    compare = len(paths) <= MOST_COMPARED
    return work.summary() if work.is_done() else work.write(source, compare)


def _check_options(rate, shard_mb, part) -> Tuple[int, int]:
    check_rate(rate)
    if not shard_mb > 0:
        raise InputError(f"--shard_mb {shard_mb} is not above 0; pass 512")
    match = re.fullmatch(r"(\d+)/(\d+)", part)
    number, n_parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= n_parts:
        raise InputError(
            f"--part {part} is none of 1/4, 2/4, 3/4, 4/4 and the like"
        )
    return number, n_parts


def _recordings(
    source: Path, data_folder: Optional[str]
) -> Tuple[Path, List[str]]:
    """The data folder and the paths to pack, each once."""
    if not source.exists():
        raise InputError(f"{source} does not exist; correct the path")
    root, splits = read_recordings(source, data_folder)
    if pack_at(root) is not None:
        raise InputError(
            f"{root} is a pack itself; pass the folder of the original files "
            "with --data_folder"
        )
    paths = [rec.wav for recs in splits.values() for rec in recs]
    for path in paths:
        if not (root / path).is_file():
            raise InputError(
                f"{path}, which {source} names, is not in {root}; pass the "
                "folder where paths begin with --data_folder, or remove the row"
            )
    return root, list(dict.fromkeys([*paths, *_rejected(source, root)]))


def _rejected(source: Path, root: Path) -> List[str]:
    """What preparing the manifests left out, so that it is left out again."""
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
    data, target = root.resolve(), out.resolve()
    if data == target or target in data.parents:
        raise InputError(
            f"OUT {out} holds the recordings themselves; pass another folder"
        )
    make_folder(out)
    if out.is_dir() and any(out.iterdir()) and not (out / PACK_FILE).is_file():
        raise InputError(
            f"OUT {out} holds other files and no pack; pass a new folder"
        )


def _digest(items: Iterable) -> str:
    """Sha256 of anything that prints the same everywhere."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item!r}\n".encode())
    return digest.hexdigest()


def _begin(out: Path, head: Dict, root: Path):
    """Say what OUT will be, or make sure that it is that already."""
    file = out / PACK_FILE
    if file.is_file():
        _check_same_pack(out, read_json(file), head)
    else:
        write_text(file, json.dumps(head, indent=1) + "\n")
    for name in TABLES:
        if (root / name).is_file() and not (out / name).exists():
            with complete_or_absent(out / name) as partial_file:
                shutil.copyfile(root / name, partial_file)


def _check_same_pack(out: Path, there: Dict, head: Dict):
    for key, value in head.items():
        if there.get(key) == value:
            continue
        what = f"a pack with {key} {there.get(key)}, not {value}"
        if key == "sources":
            what = "a pack of other recordings, or they have changed since"
        raise InputError(f"{out} is {what}; pass another OUT, or delete it")


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
        """Whether all files of the part are there, of these recordings."""
        if not self._file.is_file():
            return False
        if read_json(self._file)["stamps"] != self.stamps:
            raise InputError(
                f"{self.root} has changed since {self._file} was packed; pass "
                "another OUT, or delete it"
            )
        # Shards that are gone since are made again.
        return all(
            (self.out / name).is_file()
            and (self.out / name).stat().st_size == entry["bytes"]
            for name, entry in read_json(self._file)["files"].items()
        )

    def summary(self) -> Summary:
        """What the file that says it is done says."""
        about = read_json(self._file)
        sizes = [
            entry["bytes"]
            for name, entry in about["files"].items()
            if name.endswith(".i16")
        ]
        counts = (about[c] for c in ("recordings", "rejected", "seconds"))
        return Summary(*counts, sum(sizes), len(sizes))

    def write(self, source: Path, compare: bool) -> Summary:
        """Audit, write the shards, and last the file that says it is done."""
        work = self.out / f".{self.name}"
        work.mkdir(exist_ok=True)
        if (source / JOURNAL).is_file() and not (work / JOURNAL).exists():
            # What preparing read need not be read again.
            shutil.copyfile(source / JOURNAL, work / JOURNAL)
        audits = audit_files(self.paths, self.root, work, compare)
        about = {"head": self.head, "stamps": self.stamps}
        with Journal(work / "shards.jsonl", about) as journal:
            shards = self._write_shards(list(audits.values()), journal)
        if self.stamps != _digest((p, stamp(self.root / p)) for p in audits):
            raise InputError(
                f"{self.root} changed while it was packed; type the same "
                "command again"
            )
        self._finish(audits, shards)
        shutil.rmtree(work)
        return self.summary()

    def _write_shards(self, audits, journal) -> Dict[str, Dict]:
        """What is known of each shard, by its name."""
        shards = {
            f"{self.name}-{n:05d}.i16": content
            for n, content in enumerate(
                plan(audits, self.head["rate"], self.head["shard_mb"])
            )
        }
        done = {name: journal.get(name, self.out / name) for name in shards}
        self._check_room(shards, done)
        # Threads: decoding and resampling work outside Python's lock.
        pool = ThreadPoolExecutor(os.cpu_count())
        bar = tqdm(
            total=sum(map(len, shards.values())),
            initial=sum(len(shards[name]) for name in shards if done[name]),
            desc="packing",
            unit="file",
            dynamic_ncols=True,
        )
        try:
            for name in shards:
                if done[name] is None:
                    done[name] = self._write_shard(
                        name, shards[name], pool, bar
                    )
                    journal.add(name, self.out / name, done[name])
        finally:
            pool.shutdown(cancel_futures=True)
            bar.close()
        return done

    def _check_room(self, shards, done):
        seconds = sum(
            audit.duration
            for name in shards
            if done[name] is None
            for audit in shards[name]
        )
        needed = _SAMPLE_BYTES * self.head["rate"] * seconds
        free = shutil.disk_usage(self.out).free
        if needed > free:
            raise InputError(
                f"{self.out} needs {needed / 1e9:.2f} GB and {free / 1e9:.2f} "
                "GB are free; make room, or pass another OUT"
            )

    def _write_shard(self, name, audits, pool, bar) -> Dict:
        rows, offset, digest = [], 0, hashlib.sha256()
        work = partial(_decode, root=self.root, rate=self.head["rate"])
        with complete_or_absent(self.out / name) as partial_file:
            with open(partial_file, "wb") as file:
                decoded = pool.map(work, audits)
                for audit, (samples, scale) in zip(audits, decoded):
                    file.write(samples.tobytes())
                    digest.update(samples.tobytes())
                    rows.append(_row(audit, name, offset, samples, scale))
                    offset += len(samples)
                    bar.update()
        sha256 = digest.hexdigest()
        return {"rows": rows, "bytes": 2 * offset, "sha256": sha256}

    def _finish(self, audits: Dict[str, Audit], shards: Dict[str, Dict]):
        rows = {row[0]: row for s in shards.values() for row in s.pop("rows")}
        index = self.out / f"{self.name}.csv"
        write_index(index, (rows.get(p, Packed(p)) for p in audits))
        journal = self.out / f"{self.name}.audit.jsonl"
        with complete_or_absent(journal) as partial_file:
            partial_file.unlink(missing_ok=True)  # of a run that was killed
            write_journal(audits.values(), self.out, partial_file)
        files = {**shards, **{f.name: _checksum(f) for f in (index, journal)}}
        about = {
            "head": self.head,
            "name": self.root.resolve().name,
            "recordings": len(rows),
            "rejected": len(audits) - len(rows),
            "seconds": sum(audits[path].duration for path in rows),
            "stamps": self.stamps,
            "files": files,
        }
        write_text(self._file, json.dumps(about, indent=1) + "\n")


def plan(
    audits: Iterable[Audit], rate: int, shard_mb: float
) -> List[List[Audit]]:
    """Divide recordings among shards, in their order.

    Example
    -------
    >>> audits = [Audit(p, duration=10, verdict="ok") for p in "abc"]
    >>> [len(shard) for shard in plan(audits, rate=16000, shard_mb=0.5)]
    [2, 1]
    """
    shards, room = [], 0.0
    for audit in audits:
        if not audit.usable:
            continue
        if room <= 0:
            shards.append([])
            room = shard_mb * 1e6
        shards[-1].append(audit)
        room -= _SAMPLE_BYTES * audit.duration * rate
    return shards


def _decode(audit: Audit, root: Path, rate: int) -> Tuple[np.ndarray, float]:
    try:
        sig = read_mono(str(root / audit.path), 0.0, audit.duration, rate)
    except RuntimeError as error:
        raise InputError(
            f"{root / audit.path} could be read before and cannot now "
            f"({str(error).splitlines()[0]}); type the same command again"
        )
    return to_int16(sig)


def to_int16(sig: torch.Tensor) -> Tuple[np.ndarray, float]:
    """Samples as 16 bit hold them: exactly where they can.

    Shapes: sig ``[samples]``, samples ``[samples]``.

    Example
    -------
    >>> to_int16(torch.tensor([0.5, -1.0]))
    (array([ 16384, -32768], dtype=int16), 3.0517578125e-05)
    >>> to_int16(torch.tensor([0.3, 0.0]))[0]
    array([32767,     0], dtype=int16)
    """
    sig = sig.numpy()
    steps = sig / np.float32(STEP)
    whole = np.rint(steps)
    if (whole == steps).all() and -_LARGEST - 1 <= whole.min():
        if whole.max() <= _LARGEST:
            return whole.astype(DTYPE), STEP
    scale = np.abs(sig).max() / np.float32(_LARGEST)
    # In 64 bits, lest the peak be rounded beyond the largest number.
    steps = np.rint(sig / np.float64(scale)).clip(-_LARGEST, _LARGEST)
    return steps.astype(DTYPE), float(scale)


def _row(audit: Audit, shard, offset, samples, scale) -> Packed:
    peak = max(int(samples.max()), -int(samples.min()))
    frames = round(audit.duration * audit.rate)
    about = (len(samples), scale, peak, audit.rate, frames)
    return Packed(audit.path, shard, offset, *about)


def _checksum(path: Path, bar: Optional[tqdm] = None) -> Dict:
    digest, n_bytes = hashlib.sha256(), 0
    with open(path, "rb") as file:
        for block in iter(partial(file.read, _BYTES_AT_ONCE), b""):
            digest.update(block)
            n_bytes += len(block)
            if bar is not None:
                bar.update(len(block))
    return {"bytes": n_bytes, "sha256": digest.hexdigest()}


def verify(folder: str) -> str:
    """Read all of a pack and compare it with its checksums."""
    found = pack_at(Path(folder))
    if found is None:
        raise InputError(
            f"{folder} is no pack: it has no {PACK_FILE}; correct the path"
        )
    total = sum(entry["bytes"] for entry in found.files.values())
    bar = tqdm(
        total=total,
        desc="verifying",
        unit="B",
        unit_scale=True,
        dynamic_ncols=True,
    )
    with bar:
        damaged = [
            name
            for name, entry in found.files.items()
            if _checksum(found.folder / name, bar) != entry
        ]
    if damaged:
        raise InputError(
            f"{folder}: {', '.join(damaged)} is not what was packed (sha256); "
            "copy it again, or pack into a new folder"
        )
    return (
        f"{folder}: {len(found.files)} files, {total / 1e9:.2f} GB, undamaged"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument(
        "source",
        nargs="?",
        metavar="MANIFEST",
        help="manifests, recordings.csv, or a folder of audio",
    )
    parser.add_argument("out", nargs="?", metavar="OUT", help="a new folder")
    parser.add_argument("--data_folder", help="where paths begin")
    parser.add_argument("--rate", type=int, default=16000, help="Hz")
    parser.add_argument("--shard_mb", type=float, default=512)
    parser.add_argument(
        "--part", default="1/1", help="2/4: only the second quarter"
    )
    parser.add_argument(
        "--verify", metavar="OUT", help="check a pack instead of making one"
    )
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # One recording a thread, and sums in one order on every machine.
    torch.set_num_threads(1)
    with one_line_errors():
        folder = args.pop("verify")
        if folder is not None:
            print(verify(folder))
        elif args["out"] is None:
            raise InputError("pass MANIFEST and OUT, or --verify OUT")
        else:
            print(f"Packed {pack(**args)}; in {args['out']}")


if __name__ == "__main__":
    main()
