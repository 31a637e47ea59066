"""Descriptions of a study's corpora for its report, without patient ids."""

import re
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from data_prep.files.errors import require
from data_prep.files.tables import read_lines, read_table
from data_prep.files.words import count
from data_prep.manifest import SPLITS, read, read_corpus
from recipes.study.encoders import ENCODERS
from recipes.study.plan import Run
from recipes.study.report.results import Cell, Results, read_if_there
from recipes.study.settings import Settings, Task

#: Names of corpora that have none.
UNNAMED_SOUNDS, UNNAMED_CRIES = "generic sounds", "cries"
#: Probes of ``data_prep.confounds`` that are controls of all encoders.
NOT_THE_CRY = {
    "label_background": "background alone (quietest frames)",
    "label_file": "all file facts together (length, level, rate, format)",
}
_ADAPTATION = "adaptation"
#: Kind of a reason of the audit, such as "DC offset" or "near copy".
_KIND = re.compile(r"(near|exact) copy|[A-Za-z ]+(?=: )|channels out of phase")
_EVIDENCE = {"auc": float, "ci95": ([float, float], None), str: object}
_CONFOUNDS = {
    "verdict": [str],
    "notes": [str],
    "probes?": {str: {"evidence?": (_EVIDENCE, None), str: object}},
    str: object,
}


class Corpus(NamedTuple):
    """Audio that a study used."""

    name: str
    purpose: str
    synthetic: bool
    licence: str  # empty if unknown
    shareable: bool  # whether its audio may be shared
    recordings: int
    patients: int  # or sources; 0 if each file counts as one: unknown
    hours: float
    sites: int  # 0 if unknown
    rejected: Dict[str, int]  # files by verdict: flagged ones are kept
    reasons: Dict[str, int]  # files by what is wrong with them
    duplicates: int  # pairs of copies


def generic_corpus(results: Results) -> Optional[Corpus]:
    """The corpus of pre-training and replay."""
    seed = results.settings.pretraining_seeds[0]
    folder = results.plan.encoder("simclr", seed).folder / "manifest"
    return _corpus(
        folder,
        "pre-training and replay",
        ("train", "valid"),
        results.settings.generic,
        UNNAMED_SOUNDS,
    )


def cry_corpora(results: Results) -> List[Corpus]:
    """Corpora of each classification task, then of adaptation."""
    settings, plan, uses = results.settings, results.plan, []
    for task in settings.tasks:
        run = results.main_run(task)
        if run is not None:
            use = (folder_of(run), classified(task), SPLITS, settings.cries)
            uses.append(use)
    for name, cries in adaptations(settings).items():
        folder, root = adaptation(results, name).folder, plan.cry_folder(name)
        uses.append((folder, adapted_to(cries), ("train", "valid"), root))
    cries = [
        _corpus(folder / "manifest", purpose, splits, root, UNNAMED_CRIES)
        for folder, purpose, splits, root in uses
    ]
    return [corpus for corpus in cries if corpus is not None]


def classified(task: Task) -> str:
    """Describe the purpose of a corpus for classification."""
    return f"{task.label_column}: training and test"


def adapted_to(cries: str) -> str:
    """Describe the purpose of a corpus for adaptation."""
    return f"{_ADAPTATION}, {cries} cries"


def adaptations(settings: Settings) -> Dict[str, str]:
    """Name one adaptation of the study to labelled cries and one to all cries,
    as far as there are any; the values are ``labelled`` and ``all``."""
    names = {
        ENCODERS[name].cries: name
        for name in reversed(settings.encoders)
        if ENCODERS[name].cries and not ENCODERS[name].control
    }
    return {name: cries for cries, name in sorted(names.items())[::-1]}


def adaptation(results: Results, name: str) -> Run:
    """First run of an adaptation."""
    seed = results.settings.pretraining_seeds[0]
    folds = results.plan.adapted_folds(name)
    return results.plan.encoder(name, seed, folds[0] if folds else "")


def folder_of(run: Run) -> Path:
    """Folder of a run; with folds, that of the first fold."""
    return next(iter(sorted(run.folder.glob("fold_0_*"))), run.folder)


def _corpus(manifests: Path, purpose, splits, root, name) -> Optional[Corpus]:
    """Describe a corpus; ``name`` is for a corpus without one, since a folder's
    name may reveal a place or a date."""
    if not (manifests / "train.csv").is_file():
        return None
    description = read_corpus(manifests) or {}
    rows = [rec for split in splits for rec in read(manifests / f"{split}.csv")]
    named = read_corpus(Path(root)) or {}
    columns = ("verdict", "reason")
    rejected = _rows(manifests / "rejected.csv", *columns)
    return Corpus(
        str(named.get("name") or name),
        purpose,
        bool(description.get("synthetic")),
        str(description.get("licence") or ""),
        bool(description.get("shareable_audio")),
        len(rows),
        0 if _has_no_ids(rows) else len({rec.patient_id for rec in rows}),
        sum(rec.duration for rec in rows) / 3600,
        len({rec.site for rec in rows} - {""}),
        dict(Counter(row["verdict"] for row in rejected)),
        dict(Counter(filter(None, map(_kind_of, rejected)))),
        len(_rows(manifests / "duplicates.csv")),
    )


def _has_no_ids(rows) -> bool:
    """True for files of a folder without a table: each counts as a patient."""
    return all(rec.patient_id == rec.wav for rec in rows)


def _kind_of(row: Dict[str, str]) -> str:
    """Kind of fault of a file, without names of patients."""
    kind = _KIND.match(row["reason"])
    return kind[0] if kind and row["verdict"] in ("flagged", "rejected") else ""


def whose(corpus: Corpus) -> str:
    """Say of how many patients the recordings of cries are."""
    if not corpus.patients:
        return "of unknown infants"
    return f"of {count(corpus.patients, 'patient')}"


def adapted_without(context: Dict) -> Optional[str]:
    """Say how adaptation and held-out patients were kept apart, and what only
    the authors can know; None if nothing is adapted."""
    if not context["adapted"]:
        return None
    heard = [c for c in context["cries"] if c.purpose.startswith(_ADAPTATION)]
    parts = []
    if any(corpus.patients for corpus in heard) or not heard:
        parts.append(
            "encoders were adapted without the patients of validation and test "
            "set, compared by id and by samples"
        )
    if not all(corpus.patients for corpus in heard):
        parts.append(
            "the cries of adaptation that have no patient ids were compared "
            "with the labelled ones by samples; that they are of other infants "
            "is for the authors to state"
        )
    return "; ".join(parts)


def _rows(path: Path, *columns: str) -> List[Dict[str, str]]:
    """Rows of a table that a preparer wrote, if it exists and has any."""
    if not path.is_file() or len(read_lines(path)) < 2:
        return []
    return [row for _, row in read_table(path, columns)]


def split_table(results: Results, task: Task) -> Optional[List[List[str]]]:
    """Recordings, patients and hours by class and split, like the poster's
    table; the first line is the head."""
    run = results.main_run(task)
    if run is None:
        return None
    table = folder_of(run) / "manifest/table.csv"
    columns = ("class", "split", "recordings", "patients", "hours")
    rows = _rows(table, *columns)
    for row in rows:
        require(
            re.fullmatch(r"\d+(\.\d+)?", row["hours"]),
            f"{table}: hours is not a number",
            "delete the folder of the run and start the study again",
        )
    splits = list(dict.fromkeys(row["split"] for row in rows))
    lines = [["class", *splits]]
    for name in dict.fromkeys(row["class"] for row in rows):
        cells = {row["split"]: row for row in rows if row["class"] == name}
        lines.append([name])
        for row in map(cells.get, splits):
            counts = f"{row['recordings']} / {row['patients']}"
            lines[-1].append(f"{counts} / {float(row['hours']):.2f}")
    return lines


def confounds(results: Results, task: Task) -> Optional[Dict]:
    """Output of ``data_prep.confounds``, or None."""
    if not results.settings.confounds:
        return None
    run = results.plan[f"confounds/{task.name}"]
    return read_if_there(run.result, _CONFOUNDS)


def confound_cells(results: Results, task: Task) -> Dict[str, Cell]:
    """AUC of what is not the cry: background and file facts alone."""
    probes = (confounds(results, task) or {}).get("probes", {})
    cells = {}
    for name, label in NOT_THE_CRY.items():
        evidence = probes.get(name, {}).get("evidence")
        if evidence:
            auc = evidence["auc"]
            cells[label] = Cell(auc, [auc], None, evidence["ci95"])
    return cells


def controls(results: Results, task: Task) -> Dict[str, Cell]:
    """AUC of the controls that are not encoders of the study, by label."""
    return {**results.controls(task.name), **confound_cells(results, task)}
