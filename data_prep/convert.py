"""Phone and camera recordings to the mono 16 bit FLAC or WAV that the other
commands read, with proof that nothing was lost on the way: every file's
decoded length is held against the length its container states.

    python -m data_prep.convert SRC OUT
"""

import argparse
import logging
import math
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Dict, List, Optional, Set, Tuple, Union

from tqdm import tqdm

from data_prep.audio.ffmpeg import (
    ENCODERS,
    Processes,
    Undecodable,
    decode,
    probe,
    require_ffmpeg,
)
from data_prep.audio.folder import AUDIO
from data_prep.audio.measure import (
    CANCELS_DB,
    NOT_UNICODE,
    SILENT_DBFS,
    STREAMED,
    Audit,
    audit_file,
    check_rate,
    is_unicode,
    wav_bytes,
)
from data_prep.files.atomic import cannot_write, complete_or_absent, make_folder
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.journal import Journal, stamp
from data_prep.files.tables import write_table

logger = logging.getLogger(__name__)


#: Decoded and stated length may differ by the largest of these. Encoders pad
#: the first and the last packet, which decoders cut off or not: up to 1632
#: samples were seen in MP3, 768 in AAC. Two MPEG frames bound it.
TOLERANCE_S = 0.1
TOLERANCE = 0.02
TOLERANCE_SAMPLES = 2304

JOURNAL = "convert.journal.jsonl"
REPORT = "convert.csv"
REJECTED = "rejected.csv"

_LONGEST_NAME = 240  # bytes; disks take 255, and ".partial" comes between
_VERSION = 1  # outputs of another one are made again


@dataclass
class Conversion:
    """One row of ``convert.csv``.

    Arguments
    ---------
    path : str
        Of the source, relative to SRC.
    output : str
        Relative to OUT; empty where none was kept.
    codec : str
        ffmpeg's name of it; empty where the file could not be read.
    rate : int or str
        Of the source, Hz.
    channels : int or str
        Of the source.
    container_s : float or str
        Length that the container states; "unknown" where it states none.
    decoded_s : float or str
        Length of the output.
    verdict : str
        "ok", "flagged" (kept; the lengths differ a little) or "rejected".
    reason : str
        Why it was flagged or rejected.
    """

    path: str
    output: str = ""
    codec: str = ""
    rate: Union[int, str] = ""
    channels: Union[int, str] = ""
    container_s: Union[float, str] = ""
    decoded_s: Union[float, str] = ""
    verdict: str = "ok"
    reason: str = ""


@dataclass
class Summary:
    """What a run of ``convert`` did.

    Arguments
    ---------
    converted : int
        Files converted by this run.
    done : int
        Files that an earlier run had converted.
    rejected : int
        Files without an output; ``rejected.csv`` says why.
    ignored : int
        Files that are neither audio nor video by their suffix.
    seconds : float
        Length of all outputs.

    Example
    -------
    >>> print(Summary(10, 2, 1, 3, 5400))
    10 converted, 2 already done, 1 rejected, 1.50 hours; 3 other files ignored
    """

    converted: int
    done: int
    rejected: int
    ignored: int
    seconds: float

    def __str__(self):
        return (
            f"{self.converted} converted, {self.done} already done, "
            f"{self.rejected} rejected, {self.seconds / 3600:.2f} hours; "
            f"{self.ignored} other files ignored"
        )


def convert(
    source: str,
    out: str,
    rate: int = 16000,
    format: str = "flac",
    channel: Optional[int] = None,
    jobs: Optional[int] = None,
) -> Summary:
    """Convert recordings of any kind to mono 16 bit FLAC or WAV.

    OUT gets the tree of SRC, ``convert.csv`` with a row a file and
    ``rejected.csv``. SRC is only read. The same command goes on where it was
    interrupted, and makes anew what changed since.

    Example
    -------
    >>> tmp = Path(getfixture("tmpdir"))
    >>> convert(str(tmp), str(tmp / "out"))
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: .../out is inside ...; choose a folder ...
    """
    settings = _settings(rate, format, channel, jobs)
    root, out = _folders(Path(source), Path(out))
    names, n_ignored = _names(Path(source), root)
    require_ffmpeg()
    outputs = output_names(names, format)
    if Path(source).is_file():
        outputs = {name: outputs[name] for name in [Path(source).name]}
    _make(out)
    # The settings are part of the entries: a journal begun anew would forget
    # which of the files in OUT are ours.
    with Journal(out / JOURNAL, {"journal of": "data_prep.convert"}) as journal:
        work = _Work(root, out, settings, journal)
        rows, n_done = _convert_all(work, outputs, jobs or os.cpu_count())
        made = {row.output for row in rows if row.output}
        _remove_stale(work, outputs, made)
    if Path(source).is_dir():
        _warn_of_orphans(out, made)
    return _report(rows, n_done, n_ignored, out)


def _settings(rate, format, channel, jobs) -> Dict:
    check_rate(rate)
    if format not in ENCODERS:
        raise InputError(
            f"--format {format!r} is none of {', '.join(ENCODERS)}; pass one"
        )
    if channel is not None and channel < 0:
        raise InputError(f"--channel {channel} is negative; the first is 0")
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs {jobs} is less than 1; pass 1 or more")
    return {
        "version": _VERSION,
        "rate": rate,
        "format": format,
        "channel": channel,
    }


def _folders(source: Path, out: Path) -> Tuple[Path, Path]:
    """SRC as a folder, and OUT; neither can overwrite the other."""
    if not source.exists():
        raise InputError(f"SRC {source} does not exist; correct the path")
    src, dst = source.resolve(), out.resolve()
    if src == dst:
        raise InputError(f"OUT {out} is SRC itself; choose another folder")
    if src in dst.parents and source.is_dir():
        raise InputError(
            f"{out} is inside {source}; choose a folder beside it, or the "
            "next run would read the outputs"
        )
    if dst in src.parents:
        raise InputError(
            f"{source} is inside {out}; choose another folder for OUT, so that "
            "no original can be overwritten"
        )
    root = source if source.is_dir() else source.parent
    return Path(os.path.abspath(root)), Path(os.path.abspath(out))


def _make(out: Path) -> None:
    make_folder(out)
    try:
        (out / JOURNAL).touch()
    except OSError as error:
        raise cannot_write(out, error)


def _names(source: Path, root: Path) -> Tuple[List[str], int]:
    """Names of the files to convert, relative, sorted; how many others."""
    found, n_ignored = [], 0
    for folder, folders, files in os.walk(root, onerror=_unreadable):
        folders[:] = [] if source.is_file() else sorted(folders)
        for link in filter(os.path.islink, (Path(folder, f) for f in folders)):
            logger.warning(
                "%s is a link to a folder, which is not followed; pass that "
                "folder as SRC, with an OUT of its own",
                link,
            )
        for file in files:
            path = Path(folder, file)
            if _is_recording(path):
                found.append(path.relative_to(root).as_posix())
            else:
                n_ignored += 1
    if source.is_file():
        # Its neighbours are known so that its output has the same name as
        # when the folder is converted.
        n_ignored, found = 0, found if _is_recording(source) else []
    if not found:
        what = "is" if source.is_file() else f"holds {n_ignored} files and"
        raise InputError(
            f"{source} {what} no audio or video file; the suffixes known are "
            f"{' '.join(sorted(AUDIO))}"
        )
    return sorted(found), n_ignored


def _unreadable(error):
    raise InputError(
        f"{error.filename} cannot be read ({error.strerror}); allow it, or "
        "move the folder out of SRC"
    )


def _is_recording(path: Path) -> bool:
    # Hidden files: macOS leaves a ._x.m4a beside x.m4a on foreign disks.
    if path.suffix.lower() not in AUDIO or path.name.startswith("."):
        return False
    # A broken link is a recording that is missing; a pipe would block.
    return path.is_file() or not path.exists()


def output_names(names: List[str], format: str) -> Dict[str, str]:
    """Name each output; no two alike, and whatever the order of the names.

    Example
    -------
    >>> output_names(["a.3gp", "b.3gp", "b.caf"], "flac")
    {'a.3gp': 'a.flac', 'b.3gp': 'b.3gp.flac', 'b.caf': 'b.caf.flac'}
    """
    # Many disks take A.flac and a.flac for one file.
    plain = Counter(_plain(name, format).casefold() for name in names)
    outputs = {}
    for name in names:
        output = _plain(name, format)
        if plain[output.casefold()] > 1 or _is_ambiguous(name):
            output = f"{name}.{format}"
        outputs[name] = output
    owner: Dict[str, str] = {}
    for name, output in outputs.items():
        other = owner.setdefault(output.casefold(), name)
        if other != name:
            raise InputError(
                f"{name!r} and {other!r} differ in upper and lower case only, "
                "which not every disk can keep apart; rename one"
            )
    return outputs


def _plain(name: str, format: str) -> str:
    return f"{os.path.splitext(name)[0]}.{format}"


def _is_ambiguous(name: str) -> bool:
    """Whether the stem looks like a name that we give: of a source that keeps
    its suffix (a.3gp.wav), or of a half-written output (a.partial.wav)."""
    suffix = os.path.splitext(os.path.splitext(name)[0])[1].lower()
    return suffix in AUDIO or suffix == ".partial"


class _Work:
    """What the threads share: folders, settings, journal, processes."""

    def __init__(self, root: Path, out: Path, settings: Dict, journal: Journal):
        self.root = root
        self.out = out
        self.settings = settings
        self.journal = journal
        self.processes = Processes()
        self._lock = threading.Lock()

    def note(self, output: str, file: Path, found: Dict) -> None:
        """Add to the journal."""
        with self._lock:
            self.journal.add(output, file, found)


def _convert_all(
    work: _Work, outputs: Dict[str, str], jobs: int
) -> Tuple[List[Conversion], int]:
    done = {name: _done(work, name, outputs[name]) for name in outputs}
    for name, output in outputs.items():
        if done[name] is None:
            _check_ours(work, name, output)
    todo = [name for name in outputs if done[name] is None]
    with ThreadPoolExecutor(jobs) as pool:
        futures = {
            pool.submit(_convert_one, work, name, outputs[name]): name
            for name in todo
        }
        bar = tqdm(
            as_completed(futures),
            total=len(futures),
            desc="converting",
            unit="file",
            dynamic_ncols=True,
            disable=not futures,
        )
        try:
            for future in bar:
                done[futures[future]] = future.result()
        except BaseException:  # Ctrl-C and a full disk alike
            for future in futures:
                future.cancel()
            work.processes.stop()
            raise
        finally:
            bar.close()
    return list(done.values()), len(outputs) - len(todo)


def _done(work: _Work, name: str, output: str) -> Optional[Conversion]:
    """The row of an earlier run, if source, output and settings are as then.

    Rejected files are tried again: a permission granted or a newer ffmpeg
    leaves no trace in the file.
    """
    found = work.journal.get(output, work.out / output)
    if found is None or found["settings"] != work.settings:
        return None
    if found["stamp"] != stamp(work.root / name):
        return None
    return Conversion(**{**found["row"], "path": name})


def _check_ours(work: _Work, name: str, output: str) -> None:
    """Refuse to overwrite what this command did not make of this source."""
    path = work.out / output
    if not os.path.lexists(path):
        return
    found = work.journal.get(output, path)
    if found is None:
        raise InputError(
            f"{path} was not made by this command, or was changed since; move "
            "it away, or choose another OUT"
        )
    maker = found["source"]
    if maker != str(work.root / name) and os.path.exists(maker):
        raise InputError(
            f"{path} was made of {maker}, not of {work.root / name}; choose "
            "another OUT"
        )


def _convert_one(work: _Work, name: str, output: str) -> Conversion:
    row = Conversion(name)
    source = work.root / name
    found = {"source": str(source), "stamp": stamp(source)}
    try:
        if not is_unicode(name):
            raise Undecodable(NOT_UNICODE)
        if len(os.fsencode(Path(output).name)) > _LONGEST_NAME:
            raise Undecodable("name too long for its output; shorten it")
        stated = probe(work.processes, source)
        row.codec, row.rate = stated.codec, stated.rate
        row.channels, length_s = stated.channels, stated.length_s
        row.container_s = "unknown" if length_s is None else round(length_s, 3)
        _check_header(source)
        with complete_or_absent(work.out / output) as partial:
            partial.parent.mkdir(parents=True, exist_ok=True)
            channels_db = decode(
                work.processes,
                source,
                stated,
                partial,
                *(work.settings[key] for key in ("rate", "format", "channel")),
            )
            audit = audit_file(str(partial))
            row.decoded_s = round(audit.duration, 3)
            _judge(row, length_s, channels_db, audit)
            row.output = output
            # Noted before it is moved to its place (which keeps its stamp):
            # a kill in between leaves no output that the journal disowns.
            (work.out / output).unlink(missing_ok=True)
            found.update(settings=work.settings, row=asdict(row))
            work.note(output, partial, found)
    except Undecodable as error:
        row.verdict, row.reason = "rejected", str(error)
    return row


def _check_header(source: Path) -> None:
    """ffmpeg mends the header of a WAV file that was cut short, and says
    nothing."""
    promised = wav_bytes(source)
    if promised is not None and promised[0] < STREAMED:
        if promised[1] < promised[0]:
            raise Undecodable(
                f"truncated: {promised[1]} of {promised[0]} bytes of samples"
            )


def _judge(row, length_s, channels_db, audit: Audit) -> None:
    if not audit.duration:
        raise Undecodable("no samples in it")
    if length_s is not None:
        allowed = max(
            TOLERANCE_S, TOLERANCE * length_s, TOLERANCE_SAMPLES / row.rate
        )
        differ = abs(row.decoded_s - length_s)
        reason = f"decoded {row.decoded_s:.2f} s of {length_s:.2f} s"
        if differ > allowed:
            raise Undecodable(reason)
        if differ > max(TOLERANCE_S, TOLERANCE_SAMPLES / row.rate):
            row.verdict, row.reason = "flagged", reason
    if channels_db is None or not channels_db > SILENT_DBFS:
        return
    mix_db = -math.inf if audit.level_dbfs is None else audit.level_dbfs
    if mix_db < channels_db - CANCELS_DB:
        raise Undecodable(
            f"the channels cancel each other: {channels_db:.0f} dBFS each, "
            f"{mix_db:.0f} dBFS mixed; convert this file to another OUT with "
            "--channel 0"
        )


def _remove_stale(work: _Work, outputs: Dict[str, str], made: Set[str]) -> None:
    """Remove earlier outputs of these sources, of another name or format or
    since rejected: nobody shall read a recording twice, or a bad one."""
    n_removed = 0
    for name in outputs:
        for format in ENCODERS:
            for other in (_plain(name, format), f"{name}.{format}"):
                path = work.out / other
                found = work.journal.get(other, path)
                if found is None or other in made:
                    continue
                if found["source"] == str(work.root / name):
                    n_removed += path.is_file()
                    path.unlink(missing_ok=True)
    if n_removed:
        logger.warning(
            "%d earlier outputs of these files, of another format or since "
            "rejected, were removed",
            n_removed,
        )


def _warn_of_orphans(out: Path, made: Set[str]) -> None:
    there = (p for format in ENCODERS for p in out.rglob(f"*.{format}"))
    orphans = sorted(
        name
        for name in (path.relative_to(out).as_posix() for path in there)
        if name not in made
    )
    if orphans:
        logger.warning(
            "%s holds %d audio files of no source that is there now, the "
            "first: %s; remove them if they are not wanted",
            out,
            len(orphans),
            orphans[0],
        )


def _report(rows: List[Conversion], n_done, n_ignored, out: Path) -> Summary:
    columns = [field.name for field in fields(Conversion)]
    write_table(out / REPORT, columns, [astuple(row) for row in rows])
    doubtful = [row for row in rows if row.verdict != "ok"]
    bad = [row for row in doubtful if not row.output]
    write_table(
        out / REJECTED,
        ["path", "verdict", "reason"],
        [[row.path, row.verdict, row.reason] for row in doubtful],
    )
    if bad:
        first = " ".join(f"{bad[0].path}: {bad[0].reason}".split())
        message = (
            f"{len(bad)} of {len(rows)} files were rejected, the first "
            f"{first}; see {out / REJECTED}"
        )
        if len(bad) == len(rows):
            raise InputError(message)
        logger.warning("%s", message)
    return Summary(
        converted=len(rows) - n_done - len(bad),
        done=n_done,
        rejected=len(bad),
        ignored=n_ignored,
        seconds=sum(row.decoded_s for row in rows if row.output),
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=convert.__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("source", metavar="SRC", help="a folder or one file")
    parser.add_argument("out", metavar="OUT", help="a folder apart from SRC")
    parser.add_argument("--rate", type=int, default=16000, help="Hz")
    parser.add_argument("--format", choices=sorted(ENCODERS), default="flac")
    parser.add_argument(
        "--channel", type=int, help="take this channel (from 0), do not mix"
    )
    parser.add_argument("--jobs", type=int, help="files at once")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        print(convert(**vars(args)))


if __name__ == "__main__":
    main()
