"""What orders the embeddings of an encoder: labels, hospitals, or infants."""

from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from cry_modules.evaluation.linear_model import scaled
from cry_modules.evaluation.separability import knn_accuracy, retrieval_map
from recipes.study.report.pictures import OTHERS
from recipes.study.report.results import Results

#: Patients with as many recordings have a colour of their own.
_LEAST_RECORDINGS = 3
_MOST_PATIENTS = 12
_PERPLEXITY = 30.0
#: More points hide each other, and t-SNE takes seconds for a thousand.
_MOST_POINTS = 600


class Embeddings(NamedTuple):
    """Of cries, or of sounds.

    Arguments
    ---------
    embs : numpy.ndarray
        ``[n, emb_dim]``.
    labels : list of str
        Of each recording.
    patients : list of str
        Or sources.
    sites : list of str
        Hospitals.
    """

    embs: np.ndarray
    labels: List[str]
    patients: List[str]
    sites: List[str]


class Neighbours(NamedTuple):
    """How often the nearest other recording is alike.

    Arguments
    ---------
    same_patient : float or None
        Of recordings whose patient has others: how often it is one of them.
    by_chance : float or None
        The same of a random other recording.
    label : float or None
        Nearest recordings of other patients with the same label.
    label_by_chance : float or None
        The same of a random recording of another patient.
    site : float or None
        Nearest recordings of other patients with the same site.
    site_by_chance : float or None
        The same of a random one.
    """

    same_patient: Optional[float]
    by_chance: Optional[float]
    label: Optional[float]
    label_by_chance: Optional[float]
    site: Optional[float]
    site_by_chance: Optional[float]


def read(path: Path, what: str) -> Embeddings:
    """What ``embed`` wrote."""
    with np.load(path) as found:
        return Embeddings(
            found[f"{what}_embs"].astype(np.float64),
            *(
                found[f"{what}_{name}"].tolist()
                for name in ("labels", "patients", "sites")
            ),
        )


def of_encoder(results: Results, encoder: str, what: str):
    """Embeddings of an encoder, or None."""
    run = results.plan.runs.get(f"embeddings/{encoder}")
    done = run is not None and run.done
    return read(run.result, what) if done else None


def maps(embs: np.ndarray) -> Dict[str, np.ndarray]:
    """The plane that holds most of the spread, and a neighbours' map.

    Shapes: embs ``[n, emb_dim]``, returns ``[n, 2]``.
    """
    if len(embs) < 2:
        return {}
    standard = scaled(embs)
    found = {"PCA": PCA(2, random_state=0).fit_transform(standard)}
    if len(embs) >= 10:
        tsne = TSNE(
            2,
            perplexity=min(_PERPLEXITY, (len(embs) - 1) / 3),
            init="pca",
            random_state=0,
        )
        found["t-SNE"] = tsne.fit_transform(standard)
    return found


def drawn(embeddings: Embeddings) -> Embeddings:
    """A random choice of recordings, as many as a map can show.

    Example
    -------
    >>> names = [str(i) for i in range(1000)]
    >>> chosen = drawn(Embeddings(np.eye(1000), names, names, names))
    >>> len(chosen.labels), chosen.labels == chosen.sites
    (600, True)
    """
    chosen = np.random.default_rng(0).permutation(len(embeddings.labels))
    chosen = np.sort(chosen[:_MOST_POINTS])
    return Embeddings(
        embeddings.embs[chosen],
        *([column[i] for i in chosen] for column in embeddings[1:]),
    )


def pseudonyms(patients: List[str]) -> List[str]:
    """Numbers for those with most recordings; the rest are "others".

    Example
    -------
    >>> pseudonyms(["anna", "bob", "anna", "anna"])
    ['infant 1', 'others', 'infant 1', 'infant 1']
    """
    counts = Counter(patients)
    chosen = [
        patient
        for patient, n in sorted(counts.items(), key=lambda x: (-x[1], x[0]))
        if n >= _LEAST_RECORDINGS
    ][:_MOST_PATIENTS]
    name_of = {p: f"infant {i}" for i, p in enumerate(chosen, start=1)}
    return [name_of.get(patient, OTHERS) for patient in patients]


def neighbours(found: Embeddings) -> Neighbours:
    """How much an encoder orders recordings by their infant."""
    patients = np.array(found.patients)
    same = patients[:, None] == patients[None, :]
    np.fill_diagonal(same, False)
    asked = same.any(axis=1)
    told = chance = None
    if asked.any():
        standard = scaled(found.embs)
        length = np.linalg.norm(standard, axis=1, keepdims=True)
        likeness = standard / np.maximum(length, 1e-12)
        likeness = likeness @ likeness.T
        np.fill_diagonal(likeness, -np.inf)
        nearest = likeness.argmax(axis=1)
        told = float(same[np.arange(len(same)), nearest][asked].mean())
        chance = float((same.sum(axis=1) / (len(same) - 1))[asked].mean())
    sites = found.sites if len(set(found.sites)) > 1 else None
    return Neighbours(
        told,
        chance,
        knn_accuracy(found.embs, found.labels, found.patients),
        by_chance(found.labels, found.patients),
        sites and knn_accuracy(found.embs, sites, found.patients),
        sites and by_chance(sites, found.patients),
    )


def by_chance(values: List[str], patients: List[str]) -> Optional[float]:
    """How often a random recording of another patient has the same value.

    Example
    -------
    >>> by_chance(["a", "a", "b"], ["p", "q", "r"])
    0.3333333333333333
    """
    values, patients = np.array(values), np.array(patients)
    others = patients[:, None] != patients[None, :]
    asked = others.any(axis=1)
    if not asked.any():
        return None
    same = (values[:, None] == values[None, :]) & others
    shares = same.sum(axis=1)[asked] / others.sum(axis=1)[asked]
    return float(shares.mean())


def sounds_told(found: Embeddings) -> Dict[str, Optional[float]]:
    """How well held-out generic sounds of one class find each other."""
    return {
        "retrieval": retrieval_map(found.embs, found.labels, found.patients),
        "nearest": knn_accuracy(found.embs, found.labels, found.patients),
    }
