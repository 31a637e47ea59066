"""The reporting checklist of a study: TRIPOD+AI and STARD-AI, answered where
the pipeline knows and left to the authors where it cannot.

The items are in ``checklist.yaml``.
"""

from pathlib import Path
from string import Formatter
from typing import Dict, List, NamedTuple, Optional

import yaml

from data_prep.files.errors import InputError

CHECKLIST = Path(__file__).with_name("checklist.yaml")
BY_PIPELINE = "pipeline"
BY_AUTHORS = "for the authors"

#: What templates may name, and what it is: text without a final full stop,
#: or a whole number.
FACTS = {
    "title": "title of the report",
    "corpus": "names of the corpora",
    "synthetic": "whether the recordings are synthetic, a bool",
    "licence": "licence of the data",
    "sites": "how many sites, in words",
    "split_words": "how patients were split",
    "participants": "patients of each split by class, in words",
    "n_patients": "patients",
    "n_patients_test": "patients that are tested on",
    "n_recordings": "recordings",
    "n_recordings_test": "recordings that are tested on",
    "n_events_test": "patients of the rarest class that are tested on",
    "hours": "hours of sound",
    "label_columns": "columns of recordings.csv that are learnt",
    "predictors": "features and their scaling",
    "excluded": "recordings rejected or left out as duplicates, and why",
    "missing": "recordings without a label",
    "model_words": "architecture and number of parameters",
    "training_words": (
        "settings, `balance` among them, and how the epoch is selected"
    ),
    "tuning_words": "what was tuned, and on which patients",
    "comparators": "classical controls, random encoder",
    "measures": "measures of performance",
    "interval_words": "how intervals are made",
    "thresholds_words": "how thresholds are chosen",
    "calibration_words": "how well probabilities are calibrated",
    "subgroups_words": "figures by site, result of the nuisance probe",
    "results_words": "main AUC with its interval",
    "hypotheses_words": "hypotheses and their verdicts",
    "seeds": "seeds",
    "software": "versions of the software",
    "commit": "commit of this code",
    "hardware": "machine that the study ran on",
    "code": "command that runs the study again",
    "checksums": "checksums of the manifests",
    "audit_words": "result of the audit of the recordings",
    "confounds_words": "what about a recording tells its label",
    "leakage_words": "how patients are kept apart",
    "fairness_words": "what was done about fairness",
}


class Item(NamedTuple):
    """An item of a guideline, in this project's words.

    Arguments
    ---------
    guideline : str
        ``TRIPOD+AI`` or ``STARD-AI``.
    item : str
        Its number, such as ``5a``.
    section : str
        Part of the paper.
    topic : str
        What is asked.
    hint : str
        What authors should write.
    fill : str or None
        The pipeline's answer, with facts in braces; None: it cannot know.
    """

    guideline: str
    item: str
    section: str
    topic: str
    hint: str
    fill: Optional[str]


class Row(NamedTuple):
    """A row of the report's checklist.

    Arguments
    ---------
    guideline : str
        ``TRIPOD+AI`` or ``STARD-AI``.
    item : str
        Its number, such as ``5a``.
    section : str
        Part of the paper.
    topic : str
        What is asked.
    answer : str
        The pipeline's, or what authors should write. Facts stand in it as
        they are: who puts it into a page escapes it.
    by : str
        ``BY_PIPELINE`` or ``BY_AUTHORS``.
    """

    guideline: str
    item: str
    section: str
    topic: str
    answer: str
    by: str


def rows(facts: Dict[str, object], path: Path = CHECKLIST) -> List[Row]:
    """Answer the checklist.

    Example
    -------
    >>> title, abstract = rows({"title": "Cries of injury"})[:2]
    >>> title.answer
    'Cries of injury. Authors add: ...'
    >>> title.by, abstract.by
    ('pipeline', 'for the authors')
    """
    for name in facts:
        _check_fact(name, "facts of the checklist")
    known = {
        name: words
        for name, words in ((n, _words(v)) for n, v in facts.items())
        if words.strip()
    }
    return [_answer(item, known) for item in load(path)]


def load(path: Path = CHECKLIST) -> List[Item]:
    """Read the items of a checklist.

    Example
    -------
    >>> load()[0].item
    '1'
    """
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as yaml ({why}); mend it")
    if not isinstance(entries, list):
        raise InputError(f"{path}: not a list of items; begin each with '-'")
    items = [
        _item(entry, f"{path} item {k}") for k, entry in enumerate(entries, 1)
    ]
    seen = set()
    for item in items:
        if item[:2] in seen:
            raise InputError(
                f"{path}: {item.guideline} {item.item} is there twice;"
                " remove one"
            )
        seen.add(item[:2])
    return items


def _item(entry: object, where: str) -> Item:
    """Check one entry of the yaml file."""
    if not isinstance(entry, dict):
        raise InputError(f"{where}: {entry!r} has no fields; give a mapping")
    entry = dict(entry)
    number = f"{entry.get('guideline')} {entry.get('item')}"
    where += f" ({' '.join(number.split())})"
    authors = entry.pop("authors", False)
    if (authors is True) == ("fill" in entry):
        raise InputError(f"{where}: give either authors: True or fill")
    wanted = [n for n in Item._fields if n != "fill" or authors is not True]
    for name in wanted:
        if not (isinstance(entry.get(name), str) and entry[name].strip()):
            raise InputError(
                f"{where}: {name} is {entry.get(name)!r}; give text, in quotes"
            )
    for name in entry:
        if name not in wanted:
            raise InputError(f"{where}: unknown field {name!r}; remove it")
    item = Item(**{"fill": None, **entry})
    _names(item.fill or "", where)
    return item


def _names(template: str, where: str) -> List[str]:
    """Facts that a template needs; nothing but ``{fact}`` is allowed, so that
    no attribute of a value can be reached."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise InputError(f"{where}: fill has odd braces ({error}); mend them")
    names = []
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if spec or conversion:
            raise InputError(
                f"{where}: fill formats {name!r}; write its name alone"
            )
        _check_fact(name, where)
        names.append(name)
    return names


def _check_fact(name: str, where: str) -> None:
    if name not in FACTS:
        raise InputError(
            f"{where}: no fact {name!r}; use one of FACTS in checklist.py"
        )


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _answer(item: Item, known: Dict[str, str]) -> Row:
    """The pipeline's answer where all its facts are known, else the hint."""
    if item.fill is None or not known.keys() >= set(_names(item.fill, "")):
        return Row(*item[:4], item.hint, BY_AUTHORS)
    return Row(*item[:4], item.fill.format(**known), BY_PIPELINE)
