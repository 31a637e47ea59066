"""Generic sounds for ``quality.py`` and ``classification.py``: tables of
recordings, held-out sources, and metrics of a frozen encoder.

Evaluation is inductive: held-out recordings are absent from all pre-training,
and so are all cries.
"""

import sys
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
import soundfile
import speechbrain as sb
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    roc_auc_score,
)
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from speechbrain.dataio.dataset import DynamicItemDataset
from torch import nn

from cry_modules.audio import RecordingReader, shortest_input
from cry_modules.embeddings import Embedder
from cry_modules.evaluation.embed import embed
from cry_modules.front_ends import AugmentedFeatures, LogMel
from cry_modules.lengths import batches_in_order
from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError
from data_prep.files.tables import read_lines, read_table, write_table

CRY = "crying_baby"
SAMPLE_RATE, N_MELS = 16000, 80
N_FOLDS = 3
INNER_FOLDS = 3
COSTS = (1e-3, 1e-2, 1e-1, 1.0)  # C of the logistic regression
BATCH_SIZE = 8  # of embedding

Row = Dict[str, str]


def read_sounds(data: Path) -> List[Row]:
    """Rows of recordings_sounds.csv with ``file`` and ``category``; the
    category of a cry is empty."""
    required = ("recording_id", "patient_id", "path", "sound", "super_class")
    categories = data / "generic_dev/metadata.csv"
    category_of = {
        row["recording_id"]: row["category"]
        for _, row in read_table(categories, ("recording_id", "category"))
    }
    rows = []
    for source, row in read_table(data / "recordings_sounds.csv", required):
        file, name = data / row["path"], row["recording_id"]
        if not file.is_file():
            raise InputError(f"{source}: {file} does not exist; add it")
        if row["sound"] != CRY and name not in category_of:
            raise InputError(
                f"{categories} has no recording {name}; add its category"
            )
        row["category"] = category_of.get(name, "")
        rows.append({**row, "file": str(file)})
    return rows


def read_more(folder: Path) -> List[Row]:
    """Rows of all clips of a folder in VGGSound's form but those of crying
    babies; metadata.csv has their sources."""
    files = {path.stem: path for path in (folder / "audio").iterdir()}
    rows = []
    required = ("clip", "patient_id", "category")
    for source, row in read_table(folder / "metadata.csv", required):
        name = row["clip"]
        if name not in files:
            raise InputError(f"{source}: audio/ has no file {name}; add it")
        if row["category"] != CRY:
            rows.append({**row, "recording_id": name, "file": str(files[name])})
    return rows


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    """One column, ``[n]``."""
    return np.array([row[name] for row in rows])


def hold_out(sounds: Sequence[Row], seed: int, fold: int) -> np.ndarray:
    """Mask ``[n]`` of a held-out third; sources are kept whole.

    Example
    -------
    >>> rows = [{"patient_id": str(i), "super_class": ""} for i in range(9)]
    >>> int(hold_out(rows, seed=0, fold=1).sum())
    3
    """
    groups = [row["super_class"] or "cry" for row in sounds]
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    splits = folds.split(groups, groups, column(sounds, "patient_id"))
    held = np.zeros(len(sounds), dtype=bool)
    held[list(splits)[fold][1]] = True
    return held


def pre_training(
    sounds: Sequence[Row], held: np.ndarray, more: Sequence[Row] = ()
) -> List[Row]:
    """Generic sounds that are not held out, and ``more`` of other sources:
    neither held-out ones nor copies."""
    kept = [
        row for row, out in zip(sounds, held) if not out and row["sound"] != CRY
    ]
    sources = set(column(sounds, "patient_id"))
    return kept + [row for row in more if row["patient_id"] not in sources]


def vggsound_rows(rows: Sequence[Row]) -> List[List[str]]:
    """Rows of a vggsound.csv in which all these recordings are for training.

    Example
    -------
    >>> vggsound_rows([{"recording_id": "_a_000005", "category": "Dog"}])
    [['_a', '5', 'Dog', 'train']]
    """
    cells = []
    for row in rows:
        video, _, start = row["recording_id"].rpartition("_")
        if not video or len(start) != 6 or not start.isdigit():
            raise InputError(
                f"recordings_sounds.csv: {row['recording_id']} is not "
                "<id>_<start:06d>; rename the recording"
            )
        cells.append([video, str(int(start)), row["category"], "train"])
    return cells


def build_generic(rows: Sequence[Row], folder: Path) -> None:
    """Make a folder in VGGSound's form whose audio is symbolic links."""
    cells, table = vggsound_rows(rows), folder / "vggsound.csv"
    if table.is_file():  # written last
        if read_lines(table) != cells:
            raise InputError(
                f"{folder} holds other recordings than this study needs; pass "
                "another --out"
            )
        return
    make_folder(folder / "audio")
    for row in rows:
        suffix = Path(row["file"]).suffix
        link = folder / "audio" / f"{row['recording_id']}{suffix}"
        if not link.is_symlink():
            link.symlink_to(Path(row["file"]).resolve())
    # VGGSound's csv has no header: its first row takes the header's place.
    write_table(table, cells[0], cells[1:])


def embeddings(
    rows: Sequence[Row], encoder: nn.Module, name: str
) -> np.ndarray:
    """Embed whole recordings, ``[n, emb_dim]``; the progress bar shows the
    name."""
    reader = RecordingReader(SAMPLE_RATE, cache_mb=2000)
    features = AugmentedFeatures(
        LogMel(SAMPLE_RATE, N_MELS), nn.Identity(), False
    ).eval()

    @sb.utils.data_pipeline.takes("file", "duration")
    @sb.utils.data_pipeline.provides("sig")
    def whole(file, duration):
        shortest = shortest_input(features.logmel.hop)
        return reader.model_input(file, 0.0, duration, shortest)

    items = {
        str(i): {
            "file": str(Path(row["file"]).resolve()),
            "duration": soundfile.info(row["file"]).duration,
        }
        for i, row in enumerate(rows)
    }
    dataset = DynamicItemDataset(
        items, dynamic_items=[whole], output_keys=["id", "sig"]
    ).filtered_sorted(sort_key="duration")  # little padding
    embedded = embed(
        Embedder(features, encoder),
        dataset,
        "cpu",
        description=f"embeddings, {name}",
        progressbar=sys.stderr.isatty(),
        batch_sampler=batches_in_order(
            [items[i]["duration"] for i in dataset.data_ids], BATCH_SIZE
        ),
    ).data
    return np.stack([embedded[i]["emb"].numpy() for i in items])


def probe(
    embs: np.ndarray, labels: np.ndarray, sources: np.ndarray, test: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Predicted labels and scores of the test recordings, by logistic
    regression fitted on the others; C is chosen by folds that keep sources
    whole.

    Shapes: embs ``[n, emb_dim]``; labels, sources and test ``[n]``.
    """
    classes = np.unique(labels[~test])
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(class_weight="balanced", max_iter=2000),
    )
    search = GridSearchCV(
        model,
        {"logisticregression__C": COSTS},
        scoring="roc_auc" if len(classes) == 2 else "accuracy",
        cv=StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=0),
    )
    search.fit(embs[~test], labels[~test], groups=sources[~test])
    scores = search.predict_proba(embs[test])[:, -1]
    return search.predict(embs[test]), scores


def retrieve(
    embs: np.ndarray, labels: np.ndarray, sources: np.ndarray, test: np.ndarray
) -> Tuple[float, float]:
    """1-nearest-neighbour accuracy and mean average precision: test
    recordings retrieve the others, except those of their own source, by
    standardised cosine.

    Shapes: embs ``[n, emb_dim]``; labels, sources and test ``[n]``.

    Example
    -------
    >>> x = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> labels, test = np.array(list("abba")), np.arange(4) == 0
    >>> retrieve(x, labels, np.arange(4), test)
    (0.0, 0.5)
    """
    scaled = StandardScaler().fit(embs[~test]).transform(embs)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit = scaled / np.maximum(lengths, 1e-12)
    nearest, precisions = [], []
    for i in np.flatnonzero(test):
        rest = np.flatnonzero(~test & (sources != sources[i]))
        order = rest[np.argsort(-unit[rest] @ unit[i], kind="stable")]
        same = labels[order] == labels[i]
        if same.any():
            ranks = np.flatnonzero(same) + 1
            nearest.append(same[0])
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return float(np.mean(nearest)), float(np.mean(precisions))


def evaluate(
    embs: np.ndarray, sounds: Sequence[Row], held: np.ndarray
) -> Dict[str, float]:
    """All metrics of embeddings ``[n, emb_dim]`` on the held-out sounds."""
    sources = column(sounds, "patient_id")
    is_cry = column(sounds, "sound") == CRY
    _, scores = probe(embs, is_cry, sources, held)
    metrics = {
        "sound_auc": float(roc_auc_score(is_cry[held], scores)),
        "sound_ap": float(average_precision_score(is_cry[held], scores)),
    }
    groups = column(sounds, "super_class")
    has = groups != ""
    predicted, _ = probe(embs[has], groups[has], sources[has], held[has])
    metrics["super_class"] = float(
        accuracy_score(groups[has & held], predicted)
    )
    metrics["category_1nn"], metrics["category_map"] = retrieve(
        embs[~is_cry],
        column(sounds, "category")[~is_cry],
        sources[~is_cry],
        held[~is_cry],
    )
    return metrics


def mean_sd(values: np.ndarray, sign: str = "") -> str:
    """Mean and standard deviation as text.

    Example
    -------
    >>> mean_sd(np.array([0.1, 0.3])), mean_sd(np.array([0.1]), "+")
    ('0.200 ± 0.141', '+0.100')
    """
    text = f"{np.mean(values):{sign}.3f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.3f}"
    return text


def difference(values: np.ndarray, others: np.ndarray) -> str:
    """Paired difference, and how many of the pairs are gains.

    Example
    -------
    >>> difference(np.array([0.3, 0.2]), np.array([0.1, 0.2]))
    '+0.100 ± 0.141 (1 of 2)'
    """
    gains = values - others
    return f"{mean_sd(gains, '+')} ({np.sum(gains > 0)} of {len(gains)})"
