"""Two-dimensional maps of embeddings, and how often nearest neighbours share
patient, label or site."""

from collections import Counter
from typing import Dict, List, NamedTuple, Optional
from zipfile import BadZipFile

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from cry_modules.evaluation.linear_model import scaled
from cry_modules.evaluation.separability import knn_accuracy, retrieval_map
from data_prep.files.errors import InputError
from recipes.study.plan import Run
from recipes.study.report.pictures import OTHERS
from recipes.study.report.results import Cell, Results

#: Patients with so many recordings have a colour of their own.
_FEWEST_RECORDINGS = 3
_MOST_PATIENTS = 12
_PERPLEXITY = 30.0
#: More points hide each other, and t-SNE takes seconds for a thousand.
_MOST_POINTS = 600


class Embeddings(NamedTuple):
    """Embeddings ``[n, emb_dim]`` of cries or sounds, and label, patient (or
    source) and site of each recording."""

    embs: np.ndarray
    labels: List[str]
    patients: List[str]
    sites: List[str]


def of_encoder(
    results: Results, encoder: str, corpus: str
) -> Optional[Embeddings]:
    """Embeddings of ``cry`` or ``sound`` by an encoder of the first seed, if
    its run is complete."""
    run = next(iter(results.plan.embeddings(encoder)), None)
    return _read(run, corpus) if run and run.done else None


def of_seeds(results: Results, encoder: str, corpus: str) -> List[Embeddings]:
    """Embeddings by an encoder of each seed whose run is complete."""
    runs = results.plan.embeddings(encoder)
    return [_read(run, corpus) for run in runs if run.done]


def _read(run: Run, corpus: str) -> Embeddings:
    """Read embeddings from the file of ``recipes.study.embed``."""
    columns = ("labels", "patients", "sites")
    try:
        with np.load(run.result, allow_pickle=False) as arrays:
            return Embeddings(
                arrays[f"{corpus}_embs"].astype(np.float64),
                *(arrays[f"{corpus}_{name}"].tolist() for name in columns),
            )
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise InputError(
            f"{run.result} does not hold embeddings ({error}); delete it and "
            "run the study again"
        )


def costs_of(results: Results, encoder: str) -> Dict[str, float]:
    """Parameters of an encoder, and processor seconds for a minute of audio."""
    run = next(iter(results.plan.embeddings(encoder)), None)
    if run is None or not run.done:
        return {}
    with np.load(run.result, allow_pickle=False) as arrays:
        return {
            name: arrays[name].item()
            for name in ("n_parameters", "seconds")
            if name in arrays
        }


def maps(embs: np.ndarray) -> Dict[str, np.ndarray]:
    """Points ``[n, 2]`` of embeddings ``[n, emb_dim]`` by method."""
    standard = scaled(embs)
    points = {"PCA": PCA(2, random_state=0).fit_transform(standard)}
    if len(embs) >= 10:
        perplexity = min(_PERPLEXITY, (len(embs) - 1) / 3)
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=0)
        points["t-SNE"] = tsne.fit_transform(standard)
    return points


def drawn(embeddings: Embeddings) -> Embeddings:
    """A random choice of as many recordings as a map can show."""
    chosen = np.random.default_rng(0).permutation(len(embeddings.labels))
    chosen = np.sort(chosen[:_MOST_POINTS])
    return Embeddings(
        embeddings.embs[chosen],
        *([column[i] for i in chosen] for column in embeddings[1:]),
    )


def pseudonyms(patients: List[str]) -> List[str]:
    """Pseudonyms (``infant 1``) of the patients with most recordings; the
    others share one."""
    counts = Counter(sorted(patients)).most_common(_MOST_PATIENTS)
    chosen = [p for p, n in counts if n >= _FEWEST_RECORDINGS]
    name_of = {p: f"infant {i}" for i, p in enumerate(chosen, 1)}
    return [name_of.get(patient, OTHERS) for patient in patients]


def neighbours(embeddings: Embeddings) -> Dict[str, Optional[float]]:
    """Share of recordings whose nearest neighbour has the same patient, label
    or site, and the same share for a random recording.

    ``same_patient`` is a share of the recordings whose patient has others;
    ``label`` and ``site`` are shares of the nearest recordings of other
    patients.
    """
    embs, labels, patients, sites = embeddings
    n_of = Counter(patients)
    shares = [(n_of[p] - 1) / (len(patients) - 1) for p in patients]
    shares = [share for share in shares if share > 0]
    has_sites = len(set(sites)) > 1
    return {
        "same_patient": knn_accuracy(embs, patients, range(len(patients))),
        "by_chance": float(np.mean(shares)) if shares else None,
        "label": knn_accuracy(embs, labels, patients),
        "label_by_chance": by_chance(labels, patients),
        "site": knn_accuracy(embs, sites, patients) if has_sites else None,
        "site_by_chance": by_chance(sites, patients) if has_sites else None,
    }


def by_chance(values: List[str], patients: List[str]) -> Optional[float]:
    """Mean probability that a random recording of another patient has the same
    value (label or site)."""
    values, patients = np.array(values), np.array(patients)
    others = patients[:, None] != patients[None, :]
    n_others = others.sum(axis=1)
    if not n_others.any():
        return None
    n_same = ((values[:, None] == values[None, :]) & others).sum(axis=1)
    return float((n_same[n_others > 0] / n_others[n_others > 0]).mean())


def sound_retrieval(
    embeddings: Embeddings,
) -> Optional[Dict[str, Optional[float]]]:
    """How well held-out generic sounds retrieve those of their class; None if
    they have no two classes."""
    embs, labels, patients, _ = embeddings
    if len({*labels} - {""}) < 2:
        return None
    return {
        "retrieval": retrieval_map(embs, labels, patients),
        "nearest": knn_accuracy(embs, labels, patients),
    }


def retrieval_over_seeds(
    of_seeds: List[Embeddings],
) -> Optional[Dict[str, Cell]]:
    """``sound_retrieval`` by the encoders of several seeds, or None."""
    each = [*filter(None, map(sound_retrieval, of_seeds))]
    if not each:
        return None
    cells = {}
    for name in each[0]:
        by_seed = [values[name] for values in each if values[name] is not None]
        sd = float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None
        mean = float(np.mean(by_seed)) if by_seed else None
        cells[name] = Cell(mean, by_seed, sd, None)
    return cells
