"""Convert phone and camera recordings to mono 16 bit FLAC or WAV, without loss.

    python -m data_prep.convert SRC OUT

The decoded length of every file is compared with the length that its container
states.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Dict, List, Optional, Set, Tuple

from tqdm import tqdm

from data_prep.audio.conversion import (
    ENTRY,
    Conversion,
    Converter,
    output_names,
    with_format_suffix,
)
from data_prep.audio.ffmpeg import ENCODERS, require_ffmpeg
from data_prep.audio.folder import AUDIO, unreadable
from data_prep.audio.measure import check_rate
from data_prep.files.arguments import Arguments
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.files.folders import require_apart
from data_prep.files.journal import Journal
from data_prep.files.lock import locked
from data_prep.files.processors import n_processors
from data_prep.files.tables import write_table

logger = logging.getLogger(__name__)

JOURNAL = "convert.journal.jsonl"
REPORT = "convert.csv"
REJECTED = "rejected.csv"

_VERSION = 1  # outputs of another version are converted again


@dataclass
class Summary:
    """Numbers of files converted, rejected and ignored in one run.

    Example
    -------
    >>> print(Summary(10, 2, 1, 3, 5400))
    10 converted, 2 already done, 1 rejected, 1.50 hours; 3 other files ignored
    """

    converted: int  #: by this run
    done: int  #: by earlier runs
    rejected: int  #: without an output, listed in ``rejected.csv``
    ignored: int  #: neither audio nor video by their suffix
    seconds: float  #: length of all outputs

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

    OUT gets the folder tree of SRC, ``convert.csv`` with a row per file, and
    ``rejected.csv``. SRC is not changed. The same command resumes an
    interrupted run, and converts changed files again.
    """
    settings = _settings(rate, format, channel, jobs)
    root, out = _folders(Path(source), Path(out))
    names, n_ignored = _names(Path(source), root)
    require_ffmpeg()
    outputs = output_names(names, format)
    if Path(source).is_file():
        outputs = {name: outputs[name] for name in [Path(source).name]}
    with locked(out):
        # The settings are in the entries, not in the header: a new journal would
        # no longer know which files in OUT were made by this command.
        header = {"journal of": "data_prep.convert"}
        with Journal(out / JOURNAL, header, ENTRY) as journal:
            converter = Converter(root, out, settings, journal)
            rows, n_done = _convert_all(
                converter, outputs, jobs or n_processors()
            )
            made = {row.output for row in rows if row.output}
            _remove_stale(converter, outputs, made)
        if Path(source).is_dir():
            _warn_of_orphans(out, made)
        return _report(rows, n_done, n_ignored, out)


def _settings(rate, format, channel, jobs) -> Dict:
    check_rate(rate)
    require(
        format in ENCODERS,
        f"--format is {format!r}",
        f"pass {' or '.join(ENCODERS)}",
    )
    require(
        channel is None or channel >= 0,
        f"--channel {channel} is negative",
        "the first channel is 0",
    )
    require(
        jobs is None or jobs >= 1,
        f"--jobs {jobs} is less than 1",
        "pass 1 or more",
    )
    return {
        "version": _VERSION,
        "rate": rate,
        "format": format,
        "channel": channel,
    }


def _folders(source: Path, out: Path) -> Tuple[Path, Path]:
    """Folder of SRC, and OUT; neither can overwrite the other."""
    require(source.exists(), f"SRC {source} does not exist", "correct the path")
    require_apart(out, source)
    root = source if source.is_dir() else source.parent
    return Path(os.path.abspath(root)), Path(os.path.abspath(out))


def _names(source: Path, root: Path) -> Tuple[List[str], int]:
    """Sorted names of the files to convert, and the number of other files."""
    names, n_ignored = [], 0
    for folder, folders, files in os.walk(root, onerror=unreadable):
        folders[:] = [] if source.is_file() else sorted(folders)
        for link in filter(os.path.islink, (Path(folder, f) for f in folders)):
            logger.warning(
                "%s is a link to a folder, which is not followed; pass that "
                "folder as SRC, with another OUT",
                link,
            )
        for file in files:
            path = Path(folder, file)
            if _is_recording(path):
                names.append(path.relative_to(root).as_posix())
            else:
                n_ignored += 1
    if source.is_file():
        # Keep the other names: the output must be named as if the whole
        # folder were converted.
        n_ignored, names = 0, names if _is_recording(source) else []
    if not names:
        problem = "is not an audio or video file"
        if source.is_dir():
            problem = f"holds {n_ignored} files and no audio or video file"
        raise InputError(
            f"{source} {problem}; pass files with one of the suffixes "
            f"{' '.join(sorted(AUDIO))}"
        )
    return sorted(names), n_ignored


def _is_recording(path: Path) -> bool:
    # Hidden files: macOS writes ._x.m4a next to x.m4a on foreign disks.
    if path.suffix.lower() not in AUDIO or path.name.startswith("."):
        return False
    # A broken link is a missing recording; a pipe would block.
    return path.is_file() or not path.exists()


def _convert_all(
    converter: Converter, outputs: Dict[str, str], jobs: int
) -> Tuple[List[Conversion], int]:
    """Rows of all files, and the number that earlier runs converted."""
    rows = {
        name: converter.earlier_row(name, outputs[name]) for name in outputs
    }
    todo = [name for name in outputs if rows[name] is None]
    for name in todo:
        converter.check_overwrites(name, outputs[name])
    with ThreadPoolExecutor(jobs) as pool:
        futures = {
            pool.submit(converter.convert, name, outputs[name]): name
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
                rows[futures[future]] = future.result()
        except BaseException:  # including Ctrl-C
            for future in futures:
                future.cancel()
            converter.processes.stop()
            raise
        finally:
            bar.close()
    return list(rows.values()), len(outputs) - len(todo)


def _remove_stale(
    converter: Converter, outputs: Dict[str, str], made: Set[str]
) -> None:
    """Remove earlier outputs of these sources that are out of date.

    They have another name or format, or their source is now rejected: no
    recording may be read twice, and no bad one.
    """
    n_removed = 0
    for name in outputs:
        for format in ENCODERS:
            for other in (with_format_suffix(name, format), f"{name}.{format}"):
                path = converter.out / other
                entry = converter.journal.get(other, path)
                if entry is None or other in made:
                    continue
                if converter.is_source(name, entry["source"]):
                    n_removed += path.is_file()
                    path.unlink(missing_ok=True)
    if n_removed:
        logger.warning(
            "%d earlier outputs of these files were removed: they have another "
            "format, or their source is now rejected",
            n_removed,
        )


def _warn_of_orphans(out: Path, made: Set[str]) -> None:
    files = (p for format in ENCODERS for p in out.rglob(f"*.{format}"))
    names = (path.relative_to(out).as_posix() for path in files)
    orphans = sorted(name for name in names if name not in made)
    if orphans:
        logger.warning(
            "%s holds %d audio files without a source, such as %s; remove "
            "them if you do not need them",
            out,
            len(orphans),
            orphans[0],
        )


def _report(rows: List[Conversion], n_done, n_ignored, out: Path) -> Summary:
    columns = [field.name for field in fields(Conversion)]
    write_table(out / REPORT, columns, [astuple(row) for row in rows])
    doubtful = [row for row in rows if row.verdict != "ok"]
    rejected = [row for row in doubtful if not row.output]
    write_table(
        out / REJECTED,
        ["path", "verdict", "reason"],
        [[row.path, row.verdict, row.reason] for row in doubtful],
    )
    if rejected:
        first = f"{rejected[0].path}: {rejected[0].reason}"
        message = (
            f"{len(rejected)} of {len(rows)} files were rejected, such as "
            f"{' '.join(first.split())}; see {out / REJECTED}"
        )
        if len(rejected) == len(rows):
            raise InputError(message)
        logger.warning("%s", message)
    return Summary(
        converted=len(rows) - n_done - len(rejected),
        done=n_done,
        rejected=len(rejected),
        ignored=n_ignored,
        seconds=sum(row.decoded_s for row in rows if row.output),
    )


def main() -> None:
    """Parse the command line and convert."""
    parser = Arguments(
        description=convert.__doc__.split("\n")[0],
        epilog="Exit status: 0 if every recording has an output, 1 if some "
        f"were rejected (OUT/{REJECTED} says why) or the command was "
        "interrupted, 2 if all were, or for wrong usage.",
    )
    parser.add_argument("source", metavar="SRC", help="a folder or one file")
    parser.add_argument("out", metavar="OUT", help="a folder outside SRC")
    parser.add_argument("--rate", type=int, default=16000, help="Hz")
    parser.add_argument(
        "--format",
        choices=sorted(ENCODERS),
        default="flac",
        help="of the files to write (default: flac)",
    )
    parser.add_argument(
        "--channel", type=int, help="use this channel (from 0), do not mix"
    )
    parser.add_argument("--jobs", type=int, help="files converted in parallel")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        summary = convert(**vars(args))
        print(summary)
    if summary.rejected:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
