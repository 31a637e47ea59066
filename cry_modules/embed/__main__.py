"""Write embeddings and acoustic measures of recordings as a table.

    python -m cry_modules.embed ENCODER AUDIO_OR_MANIFEST --out embeddings.csv

A row a recording, or with --window_s a row a window: id, patient, start and stop
in seconds, the reason of a failure, numbers. ENCODER is any source that
train_cls.py takes, an exported model, or none for --acoustics alone.
"""

import logging
import os
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from tqdm import tqdm

from cry_modules.embed.encoder import NONE, caution, identity_of, load_embedder
from cry_modules.embed.inputs import Item, fingerprint, list_items, pseudonyms
from cry_modules.embed.numbers import Numbers
from cry_modules.embed.table import KeptRows, check_format, write_whole
from cry_modules.training.devices import check_device
from data_prep.files.arguments import Arguments, add_columns, take_columns
from data_prep.files.atomic import make_folder, require_writable
from data_prep.files.errors import one_line_errors, require
from data_prep.files.lock import locked

_VERSION = 1  # of the numbers: rows of another are made again


def embed_table(
    encoder: str,
    audio: Sequence[str],
    out: str,
    window_s: Optional[float] = None,
    hop_s: Optional[float] = None,
    readout: Optional[str] = None,
    front_end: Optional[str] = None,
    acoustics: bool = False,
    with_pseudonyms: bool = False,
    data_folder: Optional[str] = None,
    device: str = "cpu",
    named=None,
) -> int:
    """Write the table; return the number of recordings without numbers."""
    path = Path(out)
    check_format(path)
    check_device(device)
    _check_options(encoder, acoustics, readout, front_end, window_s, hop_s)
    items = list_items(audio, data_folder, named)
    _check_apart(path, items, audio)
    make_folder(path.parent)
    require_writable(path)
    embedder = None
    if encoder != NONE:
        embedder = load_embedder(encoder, readout, front_end)
        print(f"warning: {caution(encoder)}", file=sys.stderr)
    numbers = Numbers(embedder, acoustics, window_s, hop_s, device)
    key = {
        "version": _VERSION,
        "encoder": identity_of(embedder),
        "names": numbers.names,
        "window": numbers.sizes,
        "recordings": fingerprint(items),
    }
    folder = path.with_name(f"{path.name}.partial")
    with locked(folder):
        kept = KeptRows(folder, key, len(numbers.names))
        _compute(numbers, items, kept)
        return _write(path, items, kept, numbers.names, with_pseudonyms)


def _compute(numbers: Numbers, items: List[Item], kept: KeptRows) -> None:
    """Compute the rows that are not kept yet, with a progress bar."""
    has_windows = numbers.sizes is not None
    bar = tqdm(
        desc="embedding",
        total=None if has_windows else len(items),
        initial=len(kept.rows),
        unit="window" if has_windows else "recording",
        dynamic_ncols=True,
    )
    with bar:
        for rows in numbers.rows(items, kept.done()):
            kept.append(rows)
            bar.update(len(rows))


def _write(path, items, kept, names, with_pseudonyms) -> int:
    """Write the table and one line about it; return the number of failures."""
    labels = [(item.ID, item.patient) for item in items]
    if with_pseudonyms:
        labels = pseudonyms(items)
    # File names that are not Unicode are escaped.
    labels = [
        tuple(n.encode("utf-8", "backslashreplace").decode() for n in pair)
        for pair in labels
    ]
    facts = [
        (*labels[row.item], row.start, row.stop, row.error) for row in kept.rows
    ]
    write_whole(path, facts, names, kept.numbers())
    kept.remove()
    with_numbers = {row.item for row in kept.rows if not row.error}
    failed = {
        row.item: row.error for row in kept.rows if row.item not in with_numbers
    }
    line = f"done: {len(facts)} rows of {len(names)} numbers in {path}"
    if failed:
        first, reason = next(iter(failed.items()))
        line += (
            f"; {len(failed)} of {len(items)} recordings could not be used, "
            f"such as {labels[first][0]} ({reason}): see the column error"
        )
    print(line)
    return len(failed)


def _check_options(encoder, acoustics, readout, front_end, window_s, hop_s):
    require(
        encoder != NONE or acoustics,
        f"ENCODER is {NONE}, and no measures are requested",
        "pass --acoustics, or an encoder",
    )
    for name, value in (("readout", readout), ("front_end", front_end)):
        require(
            encoder != NONE or value is None,
            f"--{name} {value} is of an encoder, and ENCODER is {NONE}",
            f"leave out --{name}, or pass an encoder",
        )
    require(
        hop_s is None or window_s is not None,
        f"--hop_s {hop_s} is of windows",
        "pass --window_s too, or leave it out",
    )


def _check_apart(path: Path, items: List[Item], audio: Sequence[str]) -> None:
    """Refuse to replace what is read."""
    real = os.path.realpath(path)
    inputs = {os.path.realpath(p) for p in (*audio, *(i.path for i in items))}
    require(
        real not in inputs,
        f"--out {path} is one of the inputs",
        "name another file",
    )


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Parse the command line and write the table."""
    parser = Arguments(
        prog="python -m cry_modules.embed",
        description=__doc__.split("\n")[0],
        epilog="Exit status: 0 if every recording has numbers, 1 if some have "
        "none (the column error says why) or the command was interrupted, 2 "
        "for wrong usage.",
    )
    add = parser.add_argument
    add("encoder", metavar="ENCODER", help="run, file, model, hub id, or none")
    add(
        "audio",
        metavar="AUDIO_OR_MANIFEST",
        nargs="+",
        help="recordings, folders of them, a manifest or a recordings.csv",
    )
    add("--out", required=True, help="table: .csv, .npz or .parquet")
    add("--window_s", type=float, help="a row a window of so many seconds")
    add(
        "--hop_s",
        type=float,
        help="seconds from one window to the next (default: half a window)",
    )
    add(
        "--readout",
        help="place of the encoder, as in training (default: embedding)",
    )
    add("--front_end", help="of weights that do not say it")
    add(
        "--acoustics",
        action="store_true",
        help="add F0, voice quality, durations: names end in their units",
    )
    add(
        "--pseudonyms",
        dest="with_pseudonyms",
        action="store_true",
        help="recording 1, infant 1 in place of ids",
    )
    add("--data_folder", help="folder that paths in the table begin at")
    add("--device", default="cpu", help="cpu, cuda, cuda:1")
    add_columns(parser)
    args = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        n_failed = embed_table(**take_columns(args))
    if n_failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
