"""Listen to the most doubtful cases on a local page, and correct their labels.

    python -m cry_modules.review SCORES RECORDINGS --out reviewed.csv --open

Only who has the printed address, on this machine, can open the page. Each
decision is on disk at once; the tables themselves are never changed. Ctrl-C
writes the new table, and the same command resumes.
"""

import secrets
from itertools import product
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from cry_modules.demo.server import HOST, announce, listen, until_signal
from cry_modules.demo.uploads import private_folder
from cry_modules.review.cases import Case, ScoreTable, read_scores
from cry_modules.review.decisions import EXCLUDED, UNSURE, Decisions
from cry_modules.review.inputs import table_in
from cry_modules.review.locate import add_labels, place, read_recordings
from cry_modules.review.order import ORDERS, make_queue, ordered
from cry_modules.review.result import (
    recordings_file,
    summary,
    training_command,
    write_results,
)
from data_prep.annotations.labels import check_label
from data_prep.audio.folder import AUDIO
from data_prep.files.arguments import (
    Arguments,
    add_columns,
    take_columns,
    texts,
)
from data_prep.files.atomic import is_stream, require_writable
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.files.fingerprint import sha256
from data_prep.files.lock import locked_beside
from data_prep.files.option_values import Number, whole_number

_SECONDS, _SHARE = Number(0, 300), Number(0, 1)
#: Arguments, how their values are read, and their help.
_ARGUMENTS = (
    ("scores", {"metavar": "SCORES"},
     "doubtful.csv of a study, predictions_*.csv of a run, a table of "
     "inference --csv, or events of detect"),
    ("recordings", {"metavar": "RECORDINGS"},
     "folder of the recordings, or their table (recordings.csv)"),
    ("--out", {"default": "reviewed.csv"},
     "new table; decisions are in its folder (default: reviewed.csv)"),
    ("--order", {"choices": ORDERS},
     "doubtful: nearest to another decision first; surprising: where the "
     "scores speak most against the label; default: doubtful, or given if the "
     "table is sorted already, as doubtful.csv"),
    ("--class", {"dest": "only"}, "play only cases of this label"),
    ("--limit", {"type": whole_number(1, 10**9)}, "play so many cases"),
    ("--classes", {"nargs": "+", "metavar": "LABEL"},
     "more labels that a case can get, next to those in the table (an event "
     "can always be other, a false alarm)"),
    ("--reviewer", {}, "name or initials for the new table"),
    ("--blind", {"action": "store_true"},
     "hide names, labels and scores until a case is decided"),
    ("--again", {"type": _SHARE, "default": 0.0, "metavar": "SHARE"},
     "play this share of the cases a second time, unannounced"),
    ("--around", {"type": _SECONDS, "default": 3.0, "metavar": "S"},
     "seconds to play before and after an event (default: 3)"),
    ("--seed", {"default": 0}, "of --order random and --again"),
    ("--label_column", {}, "labels in a table of recordings"),
    ("--data_folder", {}, "audio of a table (default: its folder)"),
    ("--port", {"type": whole_number(0, 65_535), "default": 7861},
     "port to listen on; 0: any free one (default: 7861)"),
    ("--open", {"action": "store_true"}, "open the page in a browser"),
)  # fmt: skip


def make_parser() -> Arguments:
    """Options of the command."""
    parser = Arguments(
        prog="python -m cry_modules.review", description=__doc__.split("\n")[0]
    )
    for name, how, words in _ARGUMENTS:
        parser.add_argument(name, help=words, **how)
    add_columns(parser)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Serve the page until Ctrl-C or SIGTERM; then write the new table."""
    args = make_parser().parse_args(argv)
    with one_line_errors():
        _review(args)


def _review(args) -> None:
    require(
        not _is_swapped(args),
        f"{args.scores} is a folder, and {args.recordings} a table of scores",
        f"the order is SCORES RECORDINGS: pass {args.recordings} {args.scores}",
    )
    table = read_scores(Path(args.scores))
    named = take_columns(args)["named"]
    recordings = read_recordings(args.recordings, args.data_folder, named)
    place(table, recordings)
    add_labels(table, recordings, args.label_column)
    cases, classes = _choose(args, table)
    out, inputs = Path(args.out), (args.scores, args.recordings)
    _check_out(out, [Path(name) for name in inputs])
    journal = out.with_suffix(".decisions.jsonl")
    with locked_beside(out):
        for path in (out, recordings_file(out)):
            require(
                journal.exists() or not path.exists(),
                f"{path} exists, and {journal} does not",
                "pass another --out; nothing is overwritten but the results of "
                "the same review",
            )
        require_writable(out)
        header = {"version": 1, "scores": sha256(Path(args.scores))}
        with Decisions(journal, header) as decisions:
            results = table, recordings, decisions
            if len(decisions):
                write_results(out, *results)
            queue = make_queue(cases, args.again, args.seed)
            # Mistakes of input are said before torch and matplotlib are imported.
            from cry_modules.review.session import Session, Settings

            how = args.blind, args.around, args.reviewer or ""
            settings = Settings(classes, *how, str(journal), str(out))
            _serve(args, Session(table.cases, queue, decisions, settings))
            if not len(decisions):
                print("nothing was decided, and no table is written")
                return
            names = " and ".join(map(str, write_results(out, *results)))
            print("\n".join(summary(table, decisions, classes)))
            print(f"new table in {names}, all decisions in {journal}")
            print(training_command(out, *results))


def _is_swapped(args) -> bool:
    """True if SCORES is a folder, and RECORDINGS a table of scores."""
    scores, recordings = Path(args.scores), args.recordings
    if not scores.is_dir() or table_in(scores):
        return False
    if recordings.lower().endswith(AUDIO):
        return False
    try:
        read_scores(Path(recordings))
    except InputError:
        return False
    return True


def _choose(args, table: ScoreTable) -> Tuple[List[Case], List[str]]:
    """Cases to play, in their order, and the labels that they can get."""
    more = texts(args.classes) or ()
    for name in more:
        check_label("--classes", name)
    classes = list(dict.fromkeys([*table.classes, *more]))
    for name in (EXCLUDED, UNSURE):
        require(
            name not in classes,
            f"{name} is a label, and a decision of this command",
            "give the label another name",
        )
    table.classes = classes
    cases = ordered(table, args.order, args.seed)
    if args.only is not None:
        cases = [case for case in cases if case.label == args.only]
        labels = sorted({case.label for case in table.cases})
        require(
            bool(cases),
            f"--class {args.only} is the label of no case",
            f"pass one of {', '.join(labels)}",
        )
    return cases[: args.limit], classes


def _check_out(out: Path, inputs: Sequence[Path]) -> None:
    require(
        out.suffix.lower() == ".csv" and not is_stream(out),
        f"--out {out} is not a csv file",
        "pass a name such as reviewed.csv",
    )
    for path, written in product(inputs, (out, recordings_file(out))):
        is_same = path.exists() and written.exists() and path.samefile(written)
        require(
            not is_same,
            f"--out {out} would replace {path}",
            "pass another name: the old table is never changed",
        )


def _serve(args, session) -> None:
    """Serve the page until a signal."""
    from cry_modules.review.handler import Server

    token = secrets.token_urlsafe(24)
    with until_signal(), listen(args.port) as listening:
        with private_folder() as folder:
            port = listening.getsockname()[1]
            print(f"{len(session)} cases to listen to")
            announce(f"http://{HOST}:{port}/{token}/", folder, args.open)
            Server(listening, session, token).serve_forever()


if __name__ == "__main__":
    main()
