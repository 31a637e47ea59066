"""Write embeddings and acoustic measures of recordings as a table.

    python -m cry_modules.embed ENCODER AUDIO_OR_MANIFEST --out embeddings.csv

The table has a row for each recording, or for each event of a table of events,
or with --window_s for each window: id, patient, start and stop in seconds, the
reason of a failure, numbers. ENCODER is any source that train_cls.py takes, an
exported model, or none for --acoustics alone.
"""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from tqdm import tqdm

from cry_modules.embed.inputs import Item, fingerprint, list_items, pseudonyms
from cry_modules.embed.table import KeptRows, check_format, write_whole
from data_prep.audio.folder import refuse_recordings
from data_prep.files.arguments import Arguments, add_columns, take_columns
from data_prep.files.atomic import make_folder, require_writable
from data_prep.files.errors import one_line_errors, require
from data_prep.files.lock import locked
from data_prep.files.words import count

#: ENCODER of a table of acoustic measures alone.
NONE = "none"
_VERSION = 2  # of the numbers: rows of another are made again
#: Arguments, how their values are read, and their help.
_ARGUMENTS = (
    ("encoder", {"metavar": "ENCODER"}, "run, file, model, hub id, or none"),
    ("audio", {"metavar": "AUDIO_OR_MANIFEST", "nargs": "+"},
     "recordings, folders of them, a manifest, a recordings.csv, or events"),
    ("--out", {"required": True}, "table: .csv, .npz or .parquet"),
    ("--window_s", {"type": float}, "a row a window of so many seconds"),
    ("--hop_s", {"type": float},
     "seconds from one window to the next (default: half a window)"),
    ("--readout", {},
     "place of the encoder, as in training (default: embedding)"),
    ("--front_end", {}, "of weights that do not say it"),
    ("--acoustics", {"action": "store_true"},
     "add F0, voice quality, durations: names end in their units"),
    ("--pseudonyms", {"action": "store_true"},
     "recording 1, infant 1 in place of ids"),
    ("--data_folder", {}, "folder that paths in the table begin at"),
    ("--device", {"default": "cpu"}, "cpu, cuda, cuda:1"),
)  # fmt: skip


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Parse the command line and write the table."""
    parser = Arguments(
        prog="python -m cry_modules.embed",
        description=__doc__.split("\n")[0],
        epilog="Exit status: 0 if every recording has numbers, 1 if some have "
        "none (the column error says why) or the command was interrupted, 2 "
        "for wrong usage.",
    )
    for name, how, words in _ARGUMENTS:
        parser.add_argument(name, help=words, **how)
    add_columns(parser)
    args = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        n_failed = _embed(argparse.Namespace(**take_columns(args)))
    if n_failed:
        raise SystemExit(1)


def _embed(args: argparse.Namespace) -> int:
    """Write the table; return the number of recordings without numbers."""
    path = Path(args.out)
    check_format(path)
    refuse_recordings(args.encoder, "ENCODER AUDIO_OR_MANIFEST")
    _check_options(args)
    items = list_items(args.audio, args.data_folder, args.named)
    inputs = (*args.audio, *(item.path for item in items))
    require(
        os.path.realpath(path) not in map(os.path.realpath, inputs),
        f"--out {path} is one of the inputs",
        "name another file",
    )
    make_folder(path.parent)
    require_writable(path)
    # These import torch, which takes seconds.
    from cry_modules.embed.encoder import caution, identity_of, load_embedder
    from cry_modules.embed.numbers import Numbers
    from cry_modules.training.devices import check_device

    check_device(args.device)
    embedder = None
    if args.encoder != NONE:
        embedder = load_embedder(args.encoder, args.readout, args.front_end)
        print(f"warning: {caution(args.encoder)}", file=sys.stderr)
    windows = args.window_s, args.hop_s
    numbers = Numbers(embedder, args.acoustics, *windows, args.device)
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
        return _write(path, items, kept, numbers.names, args.pseudonyms)


def _check_options(args: argparse.Namespace) -> None:
    require(
        args.encoder != NONE or args.acoustics,
        f"ENCODER is {NONE}, and no measures are requested",
        "pass --acoustics, or an encoder",
    )
    for name in ("readout", "front_end"):
        value = getattr(args, name)
        require(
            args.encoder != NONE or value is None,
            f"--{name} {value} is of an encoder, and ENCODER is {NONE}",
            f"leave out --{name}, or pass an encoder",
        )
    require(
        args.hop_s is None or args.window_s is not None,
        f"--hop_s {args.hop_s} is of windows",
        "pass --window_s too, or leave it out",
    )


def _compute(numbers, items: List[Item], kept: KeptRows) -> None:
    """Compute the rows that are not kept yet, with a progress bar."""
    has_windows = numbers.sizes is not None
    with tqdm(
        desc="embedding",
        total=numbers.n_windows(items) if has_windows else len(items),
        initial=len(kept.rows),
        unit="window" if has_windows else items[0].kind,
        dynamic_ncols=True,
    ) as bar:
        for rows in numbers.rows(items, kept.done()):
            kept.append(rows)
            bar.update(len(rows))
        bar.total = bar.n  # a recording that cannot be used has one row


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
    usable = {row.item for row in kept.rows if not row.error}
    failed = {r.item: r.error for r in kept.rows if r.item not in usable}
    line = f"done: {count(len(facts), 'row')} of "
    line += f"{count(len(names), 'number')} in {path}"
    if failed:
        first, reason = next(iter(failed.items()))
        line += (
            f"; {len(failed)} of {count(len(items), items[0].kind)} could not "
            f"be used, such as {labels[first][0]} ({reason}): see the column error"
        )
    print(line)
    return len(failed)


if __name__ == "__main__":
    main()
