"""Download a corpus, unpack it and prepare it: from nothing to recordings.csv.

    python -m data_prep.download esc50 --out data/esc50

OUT gets ``archives`` (what was downloaded, to be deleted at will), ``corpus``
(unpacked), ``recordings.csv`` and the manifests. The same command resumes, and
does nothing again that is done.
"""

import logging
import shlex
from pathlib import Path
from typing import List, Optional, Sequence

from data_prep.audio.folder import files_below
from data_prep.corpora.database import TABLE
from data_prep.download.archives import is_rest_of_split, unpack
from data_prep.download.registry import CORPORA, Corpus, Source
from data_prep.download.transfer import (
    fetch,
    import_pooch,
    keep_checksum,
    require_space,
)
from data_prep.files.arguments import Arguments, nearest
from data_prep.files.atomic import make_folder
from data_prep.files.errors import one_line_errors, require
from data_prep.files.lock import locked

logger = logging.getLogger(__name__)

#: Space that unpacked audio takes at most, relative to its archive.
_UNPACKED = 1.5


def download(name: str, out: Path, parts: Sequence[str] = ()) -> bool:
    """Download and prepare a corpus; return False where it waits for files
    that the user gets by hand."""
    require(
        name in CORPORA,
        f"{name!r} is not a corpus that this command knows"
        f"{nearest(name, list(CORPORA))}",
        f"those are {', '.join(CORPORA)} (--list)",
    )
    corpus, out = CORPORA[name], Path(out)
    sources = corpus.chosen(parts)
    with locked(make_folder(out)):
        _require_own(corpus, out)
        print(
            f"{corpus.title}. Licence: {corpus.licence}. Cite: "
            f"{corpus.citation}.",
            flush=True,
        )
        waiting = _get(corpus, sources, out)
        root = None if waiting else _root(corpus, out / "corpus")
        if root is not None and corpus.fill:
            folder = make_folder(root / corpus.fill)
            waiting = [] if any(files_below(folder)) else [str(folder)]
        if waiting:
            _ask(corpus, waiting)
            return False
        corpus.prepare(str(root), str(out))
    _say_next(corpus, root, out)
    return True


def _get(corpus: Corpus, sources: List[Source], out: Path) -> List[str]:
    """Download and unpack what is not there; return what the user must get."""
    archives, unpacked = (make_folder(out / n) for n in ("archives", "corpus"))
    place = {s: archives / s.file_name for s in sources}
    marker = {s: _marker(unpacked, s.file_name) for s in sources}
    todo = [s for s in sources if not marker[s].is_file()]
    absent = [s for s in todo if not place[s].is_file()]
    waiting = [str(place[s]) for s in absent if s.by_hand]
    if waiting:
        return waiting
    halves = [place[s].with_name(f"{s.file_name}.part") for s in absent]
    coming = sum(s.gigabytes for s in absent)
    coming -= sum(p.stat().st_size for p in halves if p.is_file()) / 1e9
    unpacking = _UNPACKED * sum(s.gigabytes for s in todo)
    title = (
        f"{corpus.title} ({coming:.1f} GB to download, about {unpacking:.1f} "
        "GB unpacked)"
    )
    require_space(out, 1e9 * (coming + unpacking), title)
    for source in todo:
        if not source.by_hand:
            fetch(source, archives)
    for source in todo:
        if not is_rest_of_split(source.file_name):
            unpack(place[source], unpacked, marker[source])
            if not source.checksum and not source.by_hand:
                keep_checksum(place[source])
    return []


def _require_own(corpus: Corpus, out: Path) -> None:
    """Refuse a folder of another corpus, whose tables would be replaced."""
    names = {s.file_name for s in corpus.sources}
    others = [s.file_name for c in CORPORA.values() for s in c.sources]
    places = [
        path
        for name in set(others) - names
        for path in (_marker(out / "corpus", name), out / "archives" / name)
    ]
    if not any((out / name).is_dir() for name in ("corpus", "archives")):
        places.append(out / TABLE)
    taken = [path for path in places if path.exists()]
    require(
        not taken,
        f"{out} holds other recordings ({min(taken, default='')})",
        f"pass another --out for {corpus.title}",
    )


def _marker(unpacked: Path, name: str) -> Path:
    """Empty file that says that an archive is unpacked; its parts share it."""
    if is_rest_of_split(name):
        name = str(Path(name).with_suffix(".zip"))
    return unpacked / f".{name}.unpacked"


def _root(corpus: Corpus, unpacked: Path) -> Path:
    """Folder of the unpacked corpus that its preparation reads."""
    if corpus.root == ".":
        return unpacked
    folders = sorted(p for p in unpacked.glob(corpus.root) if p.is_dir())
    require(
        len(folders) == 1,
        f"{unpacked} holds {len(folders)} folders {corpus.root}",
        "one is expected: delete the folder, then run the same command again",
    )
    return folders[0]


def _ask(corpus: Corpus, waiting: Sequence[str]) -> None:
    """Print what the user must do by hand."""
    page = f" ({corpus.sources[0].address})" * corpus.sources[0].by_hand
    print(f"{corpus.title}{page} needs your hand: {corpus.how}.")
    print(f"Put there: {', '.join(waiting)}")
    print("Then run the same command again.", flush=True)


def _say_next(corpus: Corpus, root: Path, out: Path) -> None:
    folders = f"--data_folder {shlex.quote(str(root))}"
    table = shlex.quote(str(out / TABLE))
    command = f"python train_simclr.py hparams/small_simclr.yaml {folders}"
    if corpus.task:
        command = (
            f"python train_cls.py hparams/neuro_linear_bn.yaml {folders} "
            f"--recordings_csv {table} {corpus.task} "
            "--encoder_source null"
        )
    print(f"done: {corpus.title} is prepared in {out}; next, for example:")
    print(f"    {command}")


def table() -> str:
    """Corpora in columns: name, size, licence, what for."""
    rows = [("corpus", "download", "licence", "use it for")]
    for name, corpus in CORPORA.items():
        size = f"{sum(s.gigabytes for s in corpus.sources):.1f} GB"
        if corpus.how:
            size = "by hand"
        rows.append((name, size, corpus.licence, corpus.use))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows
    )


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Parse the command line and download."""
    parser = Arguments(
        prog="python -m data_prep.download",
        description=__doc__.split("\n")[0],
        epilog="Exit status: 0 if the corpus is prepared, 1 if it waits for "
        "files that you get by hand or the command was interrupted, 2 for "
        "wrong usage or a download that failed.",
    )
    parser.add_argument("corpus", nargs="?", help="its name, see --list")
    parser.add_argument("--out", help="folder of all output")
    parser.add_argument(
        "--parts", nargs="+", default=[], help="fsd50k: dev, eval or both"
    )
    parser.add_argument(
        "--list", action="store_true", help="list the corpora and end"
    )
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        if args.list:
            print(table())
            return
        require(
            args.corpus is not None and args.out is not None,
            "a corpus and --out are needed",
            "type python -m data_prep.download --list for the corpora",
        )
        import_pooch()
        is_ready = download(args.corpus, Path(args.out), args.parts)
    if not is_ready:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
