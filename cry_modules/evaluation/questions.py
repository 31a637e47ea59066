"""Questions to a classical baseline about what else it could have learned."""

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

import numpy as np

from cry_modules.evaluation.baseline import (
    Evidence,
    Settings,
    interval,
    judge,
    one_hot,
)
from cry_modules.metrics.bootstrap import LEAST_PATIENTS, patients_per_class
from cry_modules.metrics.words import count

#: What is told, from what, and whether patients are kept apart.
_QUESTIONS = {
    "label_audio_grouped": ("label", "audio", True),
    "label_audio_random": ("label", "audio", False),
    "label_site": ("label", "site", True),
    "label_file": ("label", "file", True),
    "label_background": ("label", "background", True),
    "site_audio": ("site", "audio", True),
    "site_background": ("site", "background", True),
}
_SOURCES = {
    "audio": "audio",
    "site": "site alone",
    "file": "file facts alone",
    "background": "quietest frames alone",
}


@dataclass
class Clues:
    """A database as the questions need it.

    Arguments
    ---------
    patients : numpy.ndarray
        Patient indices, ``[n]``.
    labels : numpy.ndarray
        Names, empty where there is none, ``[n]``.
    sites : numpy.ndarray
        Names, empty where there is none, ``[n]``.
    features : dict
        ``audio``, ``background`` and ``file``, each ``[n, features]``.
    """

    patients: np.ndarray
    labels: np.ndarray
    sites: np.ndarray
    features: Dict[str, np.ndarray]


@dataclass
class Probe:
    """One question and what came of it.

    Arguments
    ---------
    target : str
        What is told: ``label`` or ``site``.
    source : str
        From what: ``audio``, ``site``, ``file`` or ``background``.
    grouped : bool
        Whether patients are kept apart.
    classes : list of str
        What is told apart.
    fewest : tuple of (str, int)
        The class of fewest patients, and how many.
    evidence : Evidence or None
        None where the question cannot be asked.
    why_not : str
        Then why.
    """

    target: str
    source: str
    grouped: bool
    classes: List[str] = field(default_factory=list)
    fewest: Tuple[str, int] = ("", 0)
    evidence: Optional[Evidence] = None
    why_not: str = ""


@dataclass
class Gap:
    """AUC at random splits less AUC with patients kept apart.

    Arguments
    ---------
    value : float
        The difference.
    ci95 : list of float or None
        Both AUCs in the same draws of patients.
    """

    value: float
    ci95: Optional[List[float]]


def join_rare(
    labels: np.ndarray, patients: np.ndarray
) -> Tuple[np.ndarray, List[str]]:
    """Put classes of fewer than five patients together with the next rarest.

    Their recordings then still count; of two classes both stay.

    Shapes: labels ``[n]``, patients ``[n]``.

    Example
    -------
    >>> labels = np.array(["a"] * 9 + ["b"] * 6 + ["c"] * 2)
    >>> joined, notes = join_rare(labels, np.arange(17))
    >>> [str(name) for name in np.unique(joined)]
    ['a', 'b or c']
    >>> notes
    ['c: 2 patients, too few to be judged alone; put together with b.']
    """
    labels, notes = labels.astype(object), []
    while True:
        names = sorted({name for name in labels if name})
        n_of = {name: len(set(patients[labels == name])) for name in names}
        rarest = sorted(names, key=n_of.get)[:2]
        if len(names) < 3 or n_of[rarest[0]] >= LEAST_PATIENTS:
            return labels, notes
        notes.append(
            f"{rarest[0]}: {count(n_of[rarest[0]], 'patient')}, too few to be "
            f"judged alone; put together with {rarest[1]}."
        )
        labels[np.isin(labels, rarest)] = " or ".join(sorted(rarest))


def drop_rare(
    sites: np.ndarray, patients: np.ndarray
) -> Tuple[np.ndarray, List[str]]:
    """Leave out sites of fewer than five patients.

    Shapes: sites ``[n]``, patients ``[n]``.

    Example
    -------
    >>> sites = np.array(["a"] * 9 + ["b"])
    >>> drop_rare(sites, np.arange(10))[1]
    ['site b: 1 patient, too few; left out where sites are compared.']
    """
    sites, notes = sites.astype(object), []
    for name in sorted({name for name in sites if name}):
        n = len(set(patients[sites == name]))
        if n < LEAST_PATIENTS:
            sites[sites == name] = ""
            notes.append(
                f"site {name}: {count(n, 'patient')}, too few; left out where "
                "sites are compared."
            )
    return sites, notes


def examine(
    clues: Clues, settings: Settings
) -> Tuple[Dict[str, Probe], Optional[Gap], List[str]]:
    """Ask every question."""
    labels, joined = join_rare(clues.labels, clues.patients)
    sites, dropped = drop_rare(clues.sites, clues.patients)
    targets = {"label": labels, "site": sites}
    features = {**clues.features, "site": one_hot(sites.astype(str))}
    n_sites = len({name for name in sites if name})
    probes = {}
    for name, (target, source, grouped) in _QUESTIONS.items():
        probe = probes[name] = Probe(target, source, grouped)
        if "site" in (target, source) and n_sites < 2:
            probe.why_not = f"no two sites of {LEAST_PATIENTS} patients or more"
            continue
        known = targets[target] != ""
        if source == "site":
            known &= sites != ""
        _ask(
            probe,
            features[source][known],
            targets[target][known],
            clues.patients[known],
            settings,
        )
    gap = _gap(probes, labels, clues.patients)
    return probes, gap, [*joined, *dropped, *_fewer_folds(probes, settings)]


def _ask(probe, features, names, patients, settings):
    """Give the probe its evidence, or the reason why there is none."""
    probe.classes = sorted(set(names))
    if len(probe.classes) < 2:
        probe.why_not = f"fewer than two {probe.target}s"
        return
    indices = np.array([probe.classes.index(name) for name in names])
    per_class = patients_per_class(indices, patients)
    rarest = int(per_class.argmin())
    probe.fewest = (probe.classes[rarest], int(per_class[rarest]))
    if probe.fewest[1] < 2:
        probe.why_not = f"{probe.fewest[0]} has a single patient"
        return
    probe.evidence = judge(
        features, indices, patients, probe.grouped, settings, about(probe)
    )


def _gap(probes, labels, patients) -> Optional[Gap]:
    grouped, random = (
        probes[name].evidence
        for name in ("label_audio_grouped", "label_audio_random")
    )
    if grouped is None:
        return None
    known = labels != ""
    indices = np.unique(labels[known].astype(str), return_inverse=True)[1]
    return Gap(
        random.auc - grouped.auc,
        interval(random.draws - grouped.draws, indices, patients[known]),
    )


def _fewer_folds(probes, settings) -> List[str]:
    notes = []
    for probe in probes.values():
        if probe.evidence and probe.evidence.folds < settings.folds:
            name, n = probe.fewest
            notes.append(
                f"{probe.target}: {probe.evidence.folds} folds, since {name} "
                f"has {count(n, 'patient')}."
            )
    return list(dict.fromkeys(notes))


def about(probe: Probe, label: str = "label") -> str:
    """The question in words.

    Example
    -------
    >>> about(Probe("label", "audio", grouped=False), "trigger")
    'trigger from audio, recordings split at random'
    """
    text = f"{label if probe.target == 'label' else 'site'} from "
    text += _SOURCES[probe.source]
    if not probe.grouped:
        text += ", recordings split at random"
    return text
