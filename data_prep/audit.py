"""Read every file once before anything depends on it.

    python -m data_prep.audit MANIFEST_OR_FOLDER --out DIR

writes ``audit.csv`` (a row a file), ``rejected.csv`` (unusable and doubtful
files) and ``duplicates.csv``.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Iterable

import numpy as np

from data_prep.audio.audits import Audits, audit_corpus, write_rejected
from data_prep.audio.packs import pack_at
from data_prep.corpora.copies import report_copies
from data_prep.corpora.listing import read_recordings
from data_prep.files.arguments import Arguments, add_columns, take_columns
from data_prep.files.errors import one_line_errors, require
from data_prep.files.lock import locked


def summary(audits: Audits) -> str:
    """Describe a corpus in a few lines: length, formats, levels, verdicts."""
    files = audits.files.values()
    usable = [audit for audit in files if audit.usable]
    seconds = np.array([audit.duration for audit in usable] or [0.0])
    levels = [a.level_dbfs for a in usable if a.level_dbfs is not None]
    lines = [
        f"{len(files)} files, {len(usable)} usable, {seconds.sum() / 3600:.2f}"
        f" hours; length {seconds.min():.2f} to {seconds.max():.2f} s, median "
        f"{np.median(seconds):.2f} s",
        "rates: " + _most_common(f"{a.rate} Hz" for a in usable),
        "formats: " + _most_common(a.format for a in usable),
        "channels: " + _most_common(str(a.channels) for a in usable),
    ]
    if levels:
        low, middle, high = np.percentile(levels, [5, 50, 95])
        lines.append(
            f"level: median {middle:.0f} dBFS, 5 to 95 % {low:.0f} to "
            f"{high:.0f} dBFS"
        )
    for verdict in ("rejected", "flagged"):
        reasons = [
            reason.split(":")[0]
            for audit in files
            if audit.verdict == verdict
            for reason in audit.reason.split("; ")
        ]
        lines.append(f"{verdict}: " + (_most_common(reasons) or "none"))
    return "\n".join(lines)


def _most_common(names: Iterable[str], most: int = 8) -> str:
    counts = Counter(names).most_common()
    text = ", ".join(f"{name} ({n})" for name, n in counts[:most])
    more = f", {len(counts) - most} more" if len(counts) > most else ""
    return text + more


def main() -> None:
    """Parse the command line and audit."""
    parser = Arguments(
        description=__doc__.split("\n")[0],
        epilog="Exit status: 0 if every file has a verdict, also where that "
        "is to reject it (DIR/rejected.csv), 1 if the command was "
        "interrupted, 2 for wrong usage.",
    )
    parser.add_argument(
        "source",
        metavar="MANIFEST_OR_FOLDER",
        help="audio files, manifests, or recordings.csv",
    )
    parser.add_argument("--out", required=True, help="folder of the reports")
    parser.add_argument(
        "--data_folder", help="folder that paths in the csv are relative to"
    )
    parser.add_argument(
        "--label_column",
        help="column of recordings.csv: report copies with different labels",
    )
    parser.add_argument(
        "--exact_only",
        action="store_true",
        help="do not search for near-duplicates",
    )
    add_columns(parser)
    args = take_columns(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        _audit(Path(args.pop("source")), **args)


def _audit(source, out, data_folder, label_column, exact_only, named) -> None:
    require(source.exists(), f"{source} does not exist", "correct the path")
    root, splits = read_recordings(source, data_folder, label_column, named)
    recordings = [rec for recs in splits.values() for rec in recs]
    paths = list(dict.fromkeys(rec.wav for rec in recordings))
    out = Path(out)
    with locked(out):
        audits = audit_corpus(paths, root, out, compare=not exact_only)
        patient_of = {rec.wav: rec.patient_id for rec in recordings}
        write_rejected(audits, patient_of, [], out / "rejected.csv")
        copies = report_copies(audits.copies, splits, out / "duplicates.csv")
        if pack_at(root) is not None:
            print(f"{root} is a pack: these are the results of packing it")
        print(summary(audits))
        print(f"copies: {copies or 'none'}")
        print(f"Audited {len(paths)} files; reports in {out}")


if __name__ == "__main__":
    main()
