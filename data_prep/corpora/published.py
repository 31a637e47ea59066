"""Steps shared by the preparations of published corpora.

Each reads the file names or tables of its corpus and writes
``SAVE/recordings.csv``, with which ``train_cls.py --recordings_csv`` can train
on any label. ``prepare_clinical`` then writes the manifests of one label.
"""

import logging
import sys
from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

from data_prep.audio.folder import audio_files, find_file
from data_prep.corpora.database import TABLE, write_database
from data_prep.corpora.labelled import prepare_clinical
from data_prep.corpora.preparation import require_out
from data_prep.files.arguments import Arguments, texts
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.files.folders import RELATIVE
from data_prep.files.identifiers import identity
from data_prep.files.lock import locked

logger = logging.getLogger(__name__)

#: Differences from the published counts that are listed one by one.
MOST_LISTED = 5


def compare_with_published(
    counts: Dict[str, int], published: Dict[str, int], unit: str
) -> None:
    """Warn about counts of a copy that differ from the published ones."""
    differ = [
        name for name in published if counts.get(name, 0) != published[name]
    ]
    if len(differ) > MOST_LISTED:
        logger.warning(
            "%s: %d here, %d as published; %d of %d classes differ",
            unit,
            sum(counts.get(name, 0) for name in published),
            sum(published.values()),
            len(differ),
            len(published),
        )
        return
    for name in differ:
        logger.warning(
            "%s: %d %s here, %d as published",
            name,
            counts.get(name, 0),
            unit,
            published[name],
        )


def require_table(root: Path, name: str, corpus: str) -> Path:
    """Path of a table of the corpus, which must exist."""
    table = root / name
    if table.is_file():
        return table
    for deeper in sorted(root.glob(f"*/{name}")):
        folder = deeper.parents[name.count("/")]
        raise InputError(f"{root} has no {name}; pass {folder}, which has it")
    raise InputError(
        f"{root} has no {name}; pass the folder of {corpus} that holds it"
    )


def require_audio(path: str, root: Path, source: str, cure: str) -> str:
    """Path listed in a table of the corpus, which must exist in its folder."""
    spelt = find_file(root, path) if RELATIVE.holds(path) else None
    require(spelt is not None, f"{source}: {path} is not in {root}", cure)
    return spelt


def files_by_class(
    root: Path, class_of: Dict[str, str]
) -> List[Tuple[str, str]]:
    """List (class, path) of the audio files in a folder per class."""
    files, elsewhere = [], []
    for path in audio_files(root):
        folder, _, name = path.partition("/")
        if name and folder.lower() in class_of:
            files.append((class_of[folder.lower()], path))
        else:
            elsewhere.append(path)
    require(
        bool(files),
        f"{root} holds no class folder ({', '.join(class_of)}) with audio",
        "pass the folder that holds them",
    )
    if elsewhere:
        logger.warning(
            "%d audio files outside the class folders are left out",
            len(elsewhere),
        )
        logger.debug("outside the class folders: %s", ", ".join(elsewhere))
    return files


def write_recordings(
    rows: List[Dict[str, str]], root: Path, save_folder: str
) -> str:
    """Write ``recordings.csv``; return its path."""
    table = require_out(Path(save_folder), root, is_listed=True) / TABLE
    write_database(rows, table)
    logger.info(
        "%s: %d recordings of %d patients",
        table,
        len(rows),
        len({identity(row["patient_id"]) for row in rows}),
    )
    return str(table)


def prepare_published(
    rows: List[Dict[str, str]],
    root: Path,
    save_folder: str,
    label_column: str,
    labels: Sequence[str],
    **options,
) -> None:
    """Write ``recordings.csv`` and the manifests of one label column.

    `rows` are cells by column; `options` go to ``prepare_clinical``.
    """
    present = {row[label_column] for row in rows}
    classes = [label for label in labels if label in present]
    require(
        len(classes) > 1,
        f"the labels in {root} are: {', '.join(classes) or 'none'}",
        "two or more are needed: pass the folder that holds them all",
    )
    n_others = sum(row[label_column] not in classes for row in rows)
    if n_others:
        logger.info(
            "%d recordings with another %s, or none, are not in the manifests",
            n_others,
            label_column,
        )
    prepare_clinical(
        str(root),
        save_folder,
        label_column,
        classes,
        recordings_csv=write_recordings(rows, root, save_folder),
        other_labels="drop",
        **options,
    )


def command_line(prepare: Callable, **options: Tuple[object, str]) -> None:
    """Run a preparation ``prepare(SRC, OUT, **options)`` from the command line.

    `options` maps names to (default, help); the type is the default's, False
    makes a flag, an empty list an option that is repeated. The description is
    the first line of the module that is run.
    """
    description = sys.modules["__main__"].__doc__.split("\n")[0]
    parser = Arguments(description=description)
    parser.add_argument("data_folder", metavar="SRC", help="corpus folder")
    parser.add_argument("--out", required=True, help="folder of all output")
    for name, (default, words) in options.items():
        kind = {"default": default}
        if default is False:
            kind["action"] = "store_true"
        elif default == []:
            kind["action"], words = "append", f"{words}; repeatable"
        elif default == ():
            kind["nargs"] = "+"
        elif isinstance(default, list):
            kind["nargs"], words = "+", f"{words}; default: {' '.join(default)}"
        elif default is not None:
            kind["type"], words = type(default), f"{words}; default: {default}"
        parser.add_argument(f"--{name}", help=words, **kind)
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name, (default, _) in options.items():
        if default == ():
            args[name] = texts(args[name])
    with one_line_errors(), locked(args["out"]):
        prepare(args.pop("data_folder"), args.pop("out"), **args)
