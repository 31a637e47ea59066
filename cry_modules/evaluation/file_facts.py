"""Compare the files of classes and of splits before training: where a class can
be recognised by the length, rate, level, format or clipping of its files, a
model may learn that instead of the cry."""

import logging
import shlex
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cry_modules.evaluation.baseline import one_hot, ranks
from cry_modules.evaluation.cross_validation import Settings, cross_validate
from cry_modules.evaluation.linear_model import (
    folds,
    indices,
    out_of_fold_scores,
)
from cry_modules.metrics.bootstrap import LEAST_PATIENTS, patients_per_class
from cry_modules.metrics.within_folds import auc_of_folds
from cry_modules.metrics.words import interval_in_words, markdown_table
from data_prep import manifest
from data_prep.files.tables import read_columns
from data_prep.manifest import as_seconds

logger = logging.getLogger(__name__)

#: A class is recognised if the lower end of the AUC's interval is above this.
RECOGNISED = 0.6
#: Compared at most: looking must take about a second.
_MOST_RECORDINGS, _MOST_CLASSES = 400, 10
#: A few folds, and no shuffled labels. The radial kernel also finds classes of
#: one exact value among others that are spread around it.
_SETTINGS = Settings(model="svm", repeats=1, permutations=0)


class Fact(NamedTuple):
    """Property of a file, what is said of a group of files, and a cure."""

    column: str  # of audit.csv
    features: Callable[[np.ndarray], np.ndarray]  # [n, features]
    shown: str  # a format
    cure: str


def _ranks(values):
    """Ranks: a difference that reveals a source may be a millisecond."""
    return ranks(values.astype(float))


_CONFOUNDS = "python -m data_prep.confounds"
_CONVERT = "python -m data_prep.convert SRC OUT"
FACTS = {
    "length": Fact(
        "duration",
        _ranks,
        "{:.3g} s",
        "pass --trained_on chunks --tested_on chunks --chunk_s {chunk_s:g}",
    ),
    "sample rate": Fact(
        "rate",
        one_hot,
        "{} Hz",
        f"resample all files to the lowest rate: {_CONVERT} --rate {{rate}}",
    ),
    "level": Fact(
        "level_dbfs",
        _ranks,
        "{:.0f} dB",
        "record at one gain and distance (a model gets equal peaks, but louder "
        "noise behind weak cries)",
    ),
    "format": Fact(
        "format",
        one_hot,
        "{}",
        f"convert all from the originals: {_CONVERT}",
    ),
    "channels": Fact("channels", one_hot, "{}", f"mix down: {_CONVERT}"),
    "clipping": Fact("clipped", _ranks, "{:.1%}", "leave out what is clipped"),
}


class Files(NamedTuple):
    """Facts of the files of a run, an entry for each recording."""

    values: Dict[str, np.ndarray]  # by the column of audit.csv
    labels: np.ndarray
    splits: np.ndarray
    patients: np.ndarray  # indices

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: np.ndarray) -> "Files":
        """Select recordings."""
        values = {column: cells[rows] for column, cells in self.values.items()}
        return Files(values, *(part[rows] for part in self[1:]))


def read_files(
    manifests: Path, splits: Sequence[str] = manifest.SPLITS
) -> Optional[Files]:
    """Read what the audit has measured of the recordings of the splits, sorted
    by their IDs; None if the manifests were made without an audit."""
    table = Path(manifests) / "audit.csv"
    if not table.is_file():
        return None
    columns = [fact.column for fact in FACTS.values()]
    audits = {
        path: cells for path, *cells in read_columns(table, ["path", *columns])
    }
    rows = []
    for split in splits:
        rows += _recordings(Path(manifests) / f"{split}.csv", split)
    rows.sort(key=lambda row: row[0])
    if not all(row[1] in audits for row in rows) or not rows:
        return None
    _, wavs, seconds, labels, split_of, patients = zip(*rows)
    cells = zip(*(audits[wav] for wav in wavs))
    values = dict(zip(columns, map(np.array, cells)))
    values["duration"] = np.array(seconds)
    for column in ("level_dbfs", "clipped"):
        values[column] = np.array([float(v or -99) for v in values[column]])
    return Files(
        values,
        np.array(labels, dtype=object),
        np.array(split_of, dtype=object),
        indices(patients),
    )


def _recordings(path: Path, split: str) -> List[Tuple]:
    """ID, path, seconds, label, split and patient of the recordings of a
    manifest; none if there is no such file."""
    if not path.is_file():
        return []
    prefix = f"{manifest.DATA_ROOT}/"
    names = ("ID", "wav", "start", "stop", "label", "patient_id")
    return [
        (
            key,
            wav.removeprefix(prefix),
            as_seconds(path, "stop", stop) - as_seconds(path, "start", start),
            label,
            split,
            patient,
        )
        for key, wav, start, stop, label, patient in read_columns(path, names)
    ]


def recognised(files: Files, groups: np.ndarray) -> Dict[str, str]:
    """Facts by which groups of files are recognised, such as classes, each
    with its AUC over patients and what is usual in each group, as text."""
    files, groups = _compared(files, groups)
    if len(set(groups)) < 2:
        return {}
    names = sorted(set(groups))
    labels = np.array([names.index(name) for name in groups])
    result, together = {}, []
    for name, fact in FACTS.items():
        features = fact.features(files.values[fact.column])
        if len(np.unique(features, axis=0)) < 2:
            continue
        together.append(features)
        auc = _auc(features, labels, files.patients)
        if auc:
            usual = "; ".join(
                f"{group} {_usual(files.at(groups == group), fact)}"
                for group in names
            )
            result[name] = f"{name} ({auc}; {usual})"
    if not result and len(together) > 1:
        auc = _auc(np.hstack(together), labels, files.patients)
        if auc:
            result["all together"] = f"these facts together ({auc})"
    return result


def _compared(files, groups):
    """Recordings of the groups that have enough patients, of a part of the
    patients in a large corpus."""
    rng = np.random.default_rng(0)
    patients = rng.permutation(files.patients.max() + 1)
    place = np.argsort(patients)[files.patients]
    kept = place <= np.sort(place)[:_MOST_RECORDINGS].max()
    n_patients = {
        group: len(set(files.patients[kept & (groups == group)]))
        for group in sorted(set(groups))
    }
    known = [g for g, n in n_patients.items() if n >= LEAST_PATIENTS]
    if len(known) > _MOST_CLASSES:
        known = []
    kept &= np.isin(groups, known)
    return files.at(kept), groups[kept]


def _auc(features, labels, patients) -> Optional[str]:
    """AUC with its interval, None if the groups are not recognised."""
    patients = indices(patients)
    if patients_per_class(labels, patients).min() < LEAST_PATIENTS:
        return None
    # First without an interval, which takes longest and is seldom needed.
    splits = folds(labels, patients, _SETTINGS.folds, _SETTINGS.seed)
    scores = out_of_fold_scores(features, labels, splits, _SETTINGS.model)
    if (auc_of_folds(labels, *scores) or 0) <= RECOGNISED:
        return None
    evidence = cross_validate(features, labels, patients, True, _SETTINGS)
    if evidence.ci95 is None or evidence.ci95[0] <= RECOGNISED:
        return None
    ci95 = interval_in_words(evidence.ci95, ".2f")
    return f"AUC {evidence.auc:.2f}, {ci95}"


def _usual(files: Files, fact: Fact) -> str:
    """Median of a number, or the most frequent value, as text."""
    values = files.values[fact.column]
    if fact.features is _ranks:
        return fact.shown.format(float(np.median(values)))
    value, n = Counter(values.tolist()).most_common(1)[0]
    mostly = "mostly " * (n < len(values))
    return mostly + fact.shown.format(value)


def look_at_files(
    manifests: Path, label_column: str, settings: Dict
) -> Optional[Dict]:
    """Compare files by class and by split, and warn; return the entry
    ``files`` of ``metrics.json``: the sentences, and tables for the report.

    ``settings`` are ``trained_on``, ``tested_on`` and ``chunk_s``: chunks of
    one length hide the length of the recordings.
    """
    files = read_files(manifests)
    if files is None:
        return None
    shortest = files.values["duration"].min()
    is_cut = settings["trained_on"] == settings["tested_on"] == "chunks"
    facts = recognised(files, files.labels)
    if is_cut and settings["chunk_s"] <= shortest:
        facts.pop("length", None)
    entry = {"class_warning": None, "split_warning": None}
    if facts:
        known = {
            "chunk_s": max(0.1, np.floor(10 * shortest) / 10),
            "rate": min(map(int, files.values["rate"])),
        }
        cures = [FACTS[f].cure.format(**known) for f in facts if f in FACTS]
        entry["class_warning"] = (
            f"{label_column} can be predicted from the files alone, without "
            f"their sound, by {', '.join(facts.values())}; a model may learn "
            f"that instead of the cry: {'; '.join(cures) or _CONFOUNDS}"
        )
    compared = files.at(files.splits != "valid")
    facts = recognised(compared, compared.splits)
    if facts:
        entry["split_warning"] = (
            "the files of training and test differ, in "
            f"{', '.join(facts.values())}; the test is on another kind of "
            "recording"
        )
    for name in ("class_warning", "split_warning"):
        if entry[name]:
            warn_once(entry[name])
    entry["by_class"] = _table(files, files.labels)
    entry["by_split"] = _table(files, files.splits)
    return entry


@lru_cache(maxsize=None)
def warn_once(sentence: str) -> None:
    """Log a warning once, though each fold of a run repeats it."""
    logger.warning("%s", sentence)


def _table(files: Files, groups: np.ndarray) -> Dict[str, List[str]]:
    """Number of recordings and what is usual in each group, as text."""
    names = sorted(set(groups))
    if len(names) > _MOST_CLASSES:
        return {}
    parts = {name: files.at(groups == name) for name in names}
    return {
        name: [str(len(part)), *(_usual(part, f) for f in FACTS.values())]
        for name, part in parts.items()
    }


def report_lines(entry: Dict, label_column: str) -> List[str]:
    """Lines of ``report.md`` on the files of the classes and the splits."""
    lines = []
    for name in ("class_warning", "split_warning"):
        if entry[name]:
            lines += [f"**Warning:** {entry[name]}.", ""]
    tables = {label_column: "by_class", "split": "by_split"}
    for title, name in tables.items():
        if entry[name]:
            rows = [[group, *cells] for group, cells in entry[name].items()]
            head = [title, "recordings", *FACTS]
            lines += [*markdown_table(head, rows), ""]
    return [
        *lines,
        "Numbers are medians. Site, background and patient are examined by "
        f"`{_CONFOUNDS} RECORDINGS --label_column {shlex.quote(label_column)} "
        "--out DIR`.",
    ]


def warn_of_mixed_rates(
    manifests: Path, sample_rate: int, recordings: str
) -> None:
    """Warn of recordings of several sample rates below that of the encoder's
    input, by which views of one recording can be recognised."""
    table = Path(manifests) / "audit.csv"
    known = []
    if table.is_file():
        known = {*read_columns(table, ["verdict", "rate"])}
    used = {rate for verdict, rate in known if verdict != "rejected"}
    if len({min(int(rate), sample_rate) for rate in used}) < 2:
        return  # which is usual, and needs no manifest of 200,000 rows
    files = read_files(manifests)
    rates = Counter(
        min(int(rate), sample_rate)
        for rate in ([] if files is None else files.values["rate"])
    )
    if len(rates) < 2:
        return
    parts = [
        f"{n} of {rate} Hz{' or more' if rate == sample_rate else ''}"
        for rate, n in sorted(rates.items())
    ]
    lowest = min(rates)
    warn_once(
        f"the {recordings} have several sample rates ({', '.join(parts)}): "
        f"those of {lowest} Hz are empty above {lowest // 2} Hz, by which an "
        "encoder can tell them apart instead of by their sound; resample all "
        f"to the lowest: {_CONVERT} --rate {lowest}"
    )


def warn_of_narrow_band(
    manifests: Path,
    sample_rate: int,
    recordings: str,
    others: Sequence[Path] = (),
) -> None:
    """Warn of recordings of a lower sample rate than the encoder's input, which
    have nothing in its upper bands; `others` are manifests trained on too."""
    files = read_files(manifests)
    rates = [] if files is None else [int(r) for r in files.values["rate"]]
    low = [rate for rate in rates if rate < sample_rate]
    if not low:
        return
    usual = Counter(low).most_common(1)[0][0]
    beside = ""
    for other in others:
        its = read_files(other)
        if its is not None:
            rate = Counter(its.values["rate"].tolist()).most_common(1)[0][0]
            beside = f", the generic recordings mostly have {rate} Hz"
    warn_once(
        f"{len(low)} of {len(rates)} {recordings} have a sample rate of "
        f"{usual} Hz, and the encoder reads {sample_rate} Hz{beside}: above "
        f"{usual // 2} Hz they are empty, unlike the recordings of its "
        "pre-training; pre-train and replay on recordings of that band, made "
        f"by {_CONVERT} --rate {usual}"
    )
