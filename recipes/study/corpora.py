"""What a study's corpora hold: for its report, without a patient's name."""

import csv
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from data_prep.manifest import SPLITS, read, read_corpus
from recipes.study.plan import Run
from recipes.study.report.results import Results, read_json
from recipes.study.settings import Task

#: Adaptations whose manifests show all cries that a study adapts to. Those with
#: replay have generic sounds among them.
CRIES = {"adapt_labelled": "labelled", "adapt_all": "all"}


class Corpus(NamedTuple):
    """Audio that a study was made with.

    Arguments
    ---------
    name : str
        As its ``corpus.json`` says.
    what : str
        What it was used for.
    synthetic : bool
        Whether it was made by a program.
    licence : str
        In its own words; empty where it does not say.
    shareable : bool
        Whether its audio may be given on.
    recordings : int
        Used.
    patients : int
        Or sources.
    hours : float
        Used.
    sites : int
        0 where it names none.
    rejected : dict
        How many files were left out, by reason.
    duplicates : int
        Pairs of copies that were found.
    """

    name: str
    what: str
    synthetic: bool
    licence: str
    shareable: bool
    recordings: int
    patients: int
    hours: float
    sites: int
    rejected: Dict[str, int]
    duplicates: int


def generic_corpus(results: Results) -> Optional[Corpus]:
    """What was pre-trained on."""
    seed = results.settings.pretraining_seeds[0]
    run = results.plan.encoder("simclr", seed)
    what = "pre-training and replay"
    folder, root = run.folder / "manifest", results.settings.generic
    return _corpus(folder, what, ("train", "valid"), root, "generic sounds")


def cry_corpora(results: Results) -> List[Corpus]:
    """What was classified, a corpus a task, and what encoders adapted to."""
    found, root = [], results.settings.cries
    for task in results.settings.tasks:
        run = results.main_run(task)
        if run is not None:
            what = f"{task.label_column}: training and test"
            folder = folder_of(run) / "manifest"
            found.append(_corpus(folder, what, SPLITS, root, "cries"))
    for name, which in CRIES.items():
        run = adaptation(results, name)
        if run is None:
            continue
        what, folder = adapted_to(which), run.folder / "manifest"
        found.append(_corpus(folder, what, ("train", "valid"), root, "cries"))
    return [corpus for corpus in found if corpus is not None]


def adapted_to(which: str) -> str:
    """The use of a corpus that encoders adapt to."""
    return f"adaptation, {which} cries"


def adaptation(results: Results, name: str) -> Optional[Run]:
    """An adaptation's first run; None where the study leaves it out."""
    if name not in results.settings.encoders:
        return None
    seed = results.settings.pretraining_seeds[0]
    folds = results.plan.folds
    return results.plan.encoder(name, seed, folds[0] if folds else "")


def folder_of(run: Run) -> Path:
    """Of pooled folds, that of the first."""
    return next(iter(sorted(run.folder.glob("fold_0_*"))), run.folder)


def _corpus(manifests: Path, what, splits, root, name) -> Optional[Corpus]:
    """``name`` is for a corpus that does not say its own: a folder's name may
    tell a place or a date."""
    if not (manifests / "train.csv").is_file():
        return None
    about = read_corpus(manifests)
    rows = [rec for split in splits for rec in read(manifests / f"{split}.csv")]
    own = read_json(Path(root) / "corpus.json") or {}
    return Corpus(
        str(own.get("name") or name),
        what,
        bool(about.get("synthetic")),
        str(about.get("licence") or ""),
        bool(about.get("shareable_audio")),
        len(rows),
        len({rec.patient_id for rec in rows}),
        sum(rec.duration for rec in rows) / 3600,
        len({rec.site for rec in rows} - {""}),
        _reasons(manifests / "rejected.csv"),
        len(_rows(manifests / "duplicates.csv")),
    )


def _reasons(path: Path) -> Dict[str, int]:
    """Verdicts of files that were left out; reasons may name patients."""
    return dict(Counter(row["verdict"] for row in _rows(path)))


def _rows(path: Path) -> List[Dict[str, str]]:
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def split_table(results: Results, task: Task) -> Optional[List[List[str]]]:
    """Recordings, patients and hours by class and split, as the poster's
    table; the first line is its head."""
    run = results.main_run(task)
    if run is None:
        return None
    rows = _rows(folder_of(run) / "manifest/table.csv")
    splits = list(dict.fromkeys(row["split"] for row in rows))
    lines = [["class", *splits]]
    for name in dict.fromkeys(row["class"] for row in rows):
        cells = {row["split"]: row for row in rows if row["class"] == name}
        lines.append(
            [name]
            + [
                f"{cells[s]['recordings']} / {cells[s]['patients']} / "
                f"{float(cells[s]['hours']):.2f}"
                for s in splits
            ]
        )
    return lines


def confounds(results: Results, task: Task) -> Optional[Dict]:
    """Verdicts and figures of ``data_prep.confounds``, or None."""
    if not results.settings.confounds:
        return None
    run = results.plan[f"confounds/{task.name}"]
    return read_json(run.result)
