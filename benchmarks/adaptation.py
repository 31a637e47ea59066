#!/usr/bin/env python3
"""What adaptation to cries gives and costs, with and without replay.

> python benchmarks/adaptation.py ../shared/data --out results/adaptation_study

Inductive: a third of the recordings, by patient, is absent from all
pre-training, and cries of the task never enter pre-training or adaptation.
Encoders are trained by the public commands and judged frozen, beside the
controls without which no gain means anything. A stopped study goes on where
it was.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

import matplotlib

matplotlib.use("Agg")  # no screen needed
import numpy as np
import soundfile
import speechbrain as sb
import torch
from matplotlib import pyplot as plt
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
from tqdm import tqdm

from cry_modules.audio import RecordingReader, repeat_to, shortest_input
from cry_modules.checkpoints.encoders import find_encoder, load_encoder
from cry_modules.cnn14 import Cnn14
from cry_modules.embeddings import Embedder, embed
from cry_modules.evaluation.baseline import mean_and_spread
from cry_modules.figures.training import draw_curves, read_run
from cry_modules.finetune import calibrate_batch_norms
from cry_modules.front_ends import AugmentedFeatures, LogMel
from cry_modules.metrics.words import count
from cry_modules.views import RandomChunks
from data_prep.files.atomic import complete_or_absent, make_folder
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.tables import (
    read_lines,
    read_table,
    write_table,
    write_text,
)

ROOT = Path(__file__).resolve().parents[1]

#: What each method is called; encoders of the second group are trained.
UNTRAINED = {
    "logmel": "log-mel statistics, no network",
    "random": "random network",
    "random_calibrated": "random network, calibrated BatchNorm",
}
TRAINED = {
    "supervised": "supervised on generic sounds",
    "simclr": "SimCLR on generic sounds",
    "control": "SimCLR, then as many steps on generic sounds",
    "adapt": "SimCLR, then cries, no replay",
    "adapt_replay": "SimCLR, then cries with replay",
    "two_passes": "SimCLR, the views in two passes",
    "predictor": "SimCLR with a predictor",
}
#: Where the closest public code differs; judged where --only asks for it.
VARIANTS = ("two_passes", "predictor")
METHODS = {**UNTRAINED, **TRAINED}
ADAPTED = ("control", "adapt", "adapt_replay")
WITH_LOGMEL = " + log-mel"

FIGURES = {
    "sound_auc": "cry or not, AUC",
    "sound_ap": "cry or not, AP",
    "super_class": "sound group, accuracy",
    "category_1nn": "category, 1-NN",
    "category_map": "category, mAP",
    "age_auc": "age, AUC",
    "phone_auc": "phone (nuisance), AUC",
}
DIFFERENCES = (
    ("simclr", "random_calibrated"),
    ("simclr", "supervised"),
    ("adapt", "control"),
    ("adapt_replay", "control"),
    ("adapt_replay", "adapt"),
    ("adapt", "simclr"),
    ("adapt_replay", "simclr"),
    ("two_passes", "simclr"),
    ("predictor", "simclr"),
)

CRY = "crying_baby"
N_FOLDS = 3
INNER_FOLDS = 3
COSTS = (1e-3, 1e-2, 1e-1, 1.0)  # C of the logistic regression

SAMPLE_RATE, N_MELS = 16000, 80
WIDTH = 8  # of hparams/small_*.yaml
CALIBRATION_BATCHES, BATCH_SIZE = 6, 32
LOG_LINES = 15  # shown of a command that failed

Row = Dict[str, str]
Figures = Dict[str, float]


@dataclass(frozen=True)
class Study:
    """What the command line asks for.

    Arguments
    ---------
    data : pathlib.Path
        The folder of the tables and audio.
    out : pathlib.Path
        The folder of the results.
    seeds : int
        Seeds of the split and of all training.
    folds : int
        Folds held out for each seed, of three.
    epochs : int
        Of pre-training.
    adapt_epochs : int
        Of adaptation without replay.
    jobs : int
        Hold-outs trained at a time.
    precision : str
        Of training.
    methods : tuple of str
        Judged; those they begin with are trained too.
    """

    data: Path
    out: Path
    seeds: int
    folds: int
    epochs: int
    adapt_epochs: int
    jobs: int
    precision: str
    methods: Tuple[str, ...]

    @property
    def hold_outs(self) -> List[Tuple[int, int]]:
        """Seed and fold of each."""
        return [(s, f) for s in range(self.seeds) for f in range(self.folds)]

    def place(self, seed: int, fold: int) -> Path:
        """Folder of one hold-out."""
        return self.out / f"{seed}_{fold}"

    @property
    def trained(self) -> List[str]:
        """Methods to train, in an order in which they can be."""
        names = set(self.methods)
        if names & set(ADAPTED):
            names.add("simclr")
        return [name for name in TRAINED if name in names]


def read_recordings(data: Path, name: str, columns: Sequence[str]):
    """Rows of a table of recordings, each with its ``file``."""
    required = ("recording_id", "patient_id", "path", *columns)
    rows = []
    for source, row in read_table(data / name, required):
        file = data / row["path"]
        if not file.is_file():
            raise InputError(f"{source}: {file} does not exist; add it")
        rows.append({**row, "file": str(file)})
    return rows


def read_sounds(data: Path) -> List[Row]:
    """Generic sounds with their ``category``, and the cries with none."""
    rows = read_recordings(
        data, "recordings_sounds.csv", ("sound", "super_class")
    )
    table = data / "generic_dev/metadata.csv"
    category_of = {
        row["recording_id"]: row["category"]
        for _, row in read_table(table, ("recording_id", "category"))
    }
    for row in rows:
        if row["sound"] != CRY and row["recording_id"] not in category_of:
            raise InputError(
                f"{table} has no recording {row['recording_id']}; add its "
                "category"
            )
        row["category"] = category_of.get(row["recording_id"], "")
    return rows


def read_cries(data: Path) -> List[Row]:
    """Cries that no training hears, with age, phone and fold."""
    rows = read_recordings(
        data, "recordings_donateacry.csv", ("age", "site", "fold")
    )
    for name in ("age", "site"):
        values = sorted(set(column(rows, name)))
        if len(values) != 2:
            raise InputError(
                f"recordings_donateacry.csv has {len(values)} values of "
                f"{name} ({', '.join(values[:3])}); two are needed"
            )
    return rows


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    """One column, ``[n]``."""
    return np.array([row[name] for row in rows])


def hold_out(sounds: Sequence[Row], seed: int, fold: int) -> np.ndarray:
    """Which recordings are held out: a third, patients whole.

    Shapes: returns ``[n]``.

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


def vggsound_rows(rows: Sequence[Row]) -> List[List[str]]:
    """Cells of a vggsound.csv that trains on all of these recordings.

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


def with_one_test_row(cells: List[List[str]]) -> List[List[str]]:
    """The same rows, one of them to test on.

    The supervised command tests what it trained and needs a clip for it: a
    source of one clip, of a class that can spare it.

    Example
    -------
    >>> with_one_test_row([[v, "0", "Dog", "train"] for v in "aab"])[-1]
    ['b', '0', 'Dog', 'test']
    """
    clips_of = Counter(video for video, *_ in cells)
    clips_like = Counter(label for _, _, label, _ in cells)
    alone = [i for i, row in enumerate(cells) if clips_of[row[0]] == 1]
    if not alone:
        raise InputError(
            "recordings_sounds.csv has no source of one recording to test a "
            "supervised encoder on; leave supervised out of --only"
        )
    chosen = max(alone, key=lambda i: clips_like[cells[i][2]])
    return [
        [*row[:3], "test"] if i == chosen else row
        for i, row in enumerate(cells)
    ]


def build_generic(rows: Sequence[Row], folder: Path, supervised=False):
    """A folder in VGGSound's form, whose audio is links."""
    cells = vggsound_rows(rows)
    if supervised:
        cells = with_one_test_row(cells)
    table = folder / "vggsound.csv"
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
    # VGGSound's csv has no header: the first row stands in its place.
    write_table(table, cells[0], cells[1:])


def build_hold_out(study: Study, sounds, seed: int, fold: int) -> None:
    """What one hold-out's encoders may hear."""
    heard = pre_training(sounds, hold_out(sounds, seed, fold))
    place = study.place(seed, fold)
    build_generic(heard, place / "generic")
    if "supervised" in study.trained:
        build_generic(heard, place / "labelled", supervised=True)


def pre_training(sounds: Sequence[Row], held: np.ndarray) -> List[Row]:
    """Generic sounds that are not held out."""
    return [
        row for row, out in zip(sounds, held) if not out and row["sound"] != CRY
    ]


def training_command(study: Study, name: str, seed: int, fold: int):
    """The public command that trains one encoder."""
    place = study.place(seed, fold)
    generic = place / "generic"
    if name == "supervised":
        script, n_epochs = "train_cls.py", study.epochs
        more = [f"--data_folder={place / 'labelled'}"]
    elif name in ("simclr", *VARIANTS):
        script, n_epochs = "train_simclr.py", study.epochs
        more = [f"--data_folder={generic}"]
        more += [f"--{name}=True"] * (name in VARIANTS)
    else:
        script, n_epochs = "train_adapt.py", study.adapt_epochs
        more = adaptation_options(study, place)
    if name == "adapt_replay":
        # Half of its batches are cries and an epoch is one pass over the
        # cries: half the epochs are as many steps.
        n_epochs //= 2
    if name != "supervised":  # its yaml derives the warm-up
        more.append(f"--warmup_epochs={round(n_epochs / 10)}")
    if name == "control":
        more.append("--control=True")
    yaml = {
        "control": "adapt",
        "two_passes": "simclr",
        "predictor": "simclr",
    }.get(name, name)
    return [
        script,
        f"hparams/small_{yaml}.yaml",
        f"--output_folder={place / name}",
        f"--seed={seed}",
        f"--number_of_epochs={n_epochs}",
        f"--precision={study.precision}",
        "--noprogressbar",
        *more,
    ]


def adaptation_options(study: Study, place: Path) -> List[str]:
    """Cries to adapt to: none that is judged on, in any copy."""
    return [
        f"--cry_folder={study.data}",
        f"--recordings_csv={study.data / 'recordings_unlabelled.csv'}",
        f"--exclude={study.data / 'recordings_sounds.csv'}",
        f"--exclude={study.data / 'recordings_donateacry.csv'}",
        f"--exclude_folder={study.data}",
        "--excluded=drop",
        f"--replay_folder={place / 'generic'}",
        f"--encoder_source={place / 'simclr'}",
    ]


class Trainer:
    """Runs the commands of a study, some hold-outs at a time."""

    def __init__(self, study: Study):
        self.study = study
        self.total = len(study.trained) * len(study.hold_outs)
        self._count = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._running: List[subprocess.Popen] = []

    def train(self) -> None:
        """Train whatever is not trained yet."""
        with ThreadPoolExecutor(self.study.jobs) as pool:
            chains = [
                pool.submit(self._chain, *place)
                for place in self.study.hold_outs
            ]
            try:
                for chain in as_completed(chains):
                    chain.result()
            except BaseException:  # Ctrl-C too: the others must not go on
                self._stopped.set()
                for process in list(self._running):
                    process.terminate()
                raise

    def _chain(self, seed, fold):
        for name in self.study.trained:
            if self._stopped.is_set():
                return
            command = training_command(self.study, name, seed, fold)
            self._run(self.study.place(seed, fold) / name, command)

    def _run(self, folder, command):
        done, title = folder / "done", f"{folder.parent.name} {folder.name}"
        check_command(folder, command)
        if done.is_file():
            self._say(f"{title}: already done")
            return
        print(f"{title}: begins; log in {folder}.log", flush=True)
        began = time.time()
        with open(f"{folder}.log", "a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={**environ, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._running.append(process)
        status = process.wait()
        self._running.remove(process)
        if self._stopped.is_set():
            return
        if status:
            fail(folder, command, status)
        done.touch()
        self._say(f"{title}: {time.time() - began:.0f} s")

    def _say(self, text):
        with self._lock:
            self._count += 1
            print(f"[{self._count}/{self.total}] {text}", flush=True)


def check_command(folder: Path, command: List[str]) -> None:
    """A run folder goes on with its own command or not at all."""
    text, path = " ".join(command) + "\n", folder / "command.txt"
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise InputError(
            f"{folder} holds a run of another command, see {path.name} there; "
            "pass another --out, or delete the folder"
        )
    make_folder(folder)
    write_text(path, text)


def fail(folder: Path, command: List[str], status: int) -> None:
    """Show why a command failed, and stop."""
    log = Path(f"{folder}.log").read_text("utf-8", errors="replace")
    for line in log.splitlines()[-LOG_LINES:]:
        print(f"  {line}", file=sys.stderr)
    raise InputError(
        f"python {' '.join(command)} failed with status {status}; mend what "
        f"{folder}.log says, then the same command goes on from there"
    )


class Embeddings:
    """Embeddings of whole recordings, kept beside the runs."""

    def __init__(self, study: Study, rows: List[Row]):
        self.study = study
        self.rows = rows
        self.reader = RecordingReader(SAMPLE_RATE, cache_mb=2000)
        self.features = AugmentedFeatures(
            LogMel(SAMPLE_RATE, N_MELS), nn.Identity(), False
        ).eval()
        self._ids = hashlib.sha256(
            "\n".join(row["file"] for row in rows).encode()
        ).hexdigest()

    def logmel(self) -> np.ndarray:
        """Mean and deviation over time of each band, ``[n, 2 * N_MELS]``."""
        path = self.study.out / "logmel.npz"
        return self._kept(path, "log-mel", self._logmel)

    def _logmel(self):
        bar = tqdm(self.rows, desc="log-mel", leave=False, disable=None)
        log_mel = self.features.logmel
        with torch.no_grad():
            return np.stack(
                [
                    mean_and_spread(log_mel(self._whole(row)[None])[0][0])
                    for row in bar
                ]
            )

    def __call__(self, name: str, seed: int, fold: int) -> np.ndarray:
        """Arguments
        ---------
        name : str
            Of ``METHODS``.
        seed : int
            Of the hold-out.
        fold : int
            Of the hold-out.

        Returns
        -------
        numpy.ndarray
            ``[n, dimensions]``.
        """
        if name == "logmel":
            return self.logmel()
        place = self.study.place(seed, fold)
        key = f"seed {seed}, untrained"
        if name in TRAINED:
            file = find_encoder(place / name)
            key = f"{file.parent.name} {file.stat().st_mtime_ns}"

        def compute():
            return self.through(self._encoder(name, seed, place), name)

        return self._kept(place / f"{name}.npz", key, compute)

    def _encoder(self, name, seed, place):
        # The seed, and the order of building, of the training commands: a
        # random encoder is the one that SimCLR began with.
        sb.utils.seed_everything(seed)
        encoder = Cnn14(N_MELS, width=WIDTH)
        if name in TRAINED:
            load_encoder(encoder, place / name)
        elif name == "random_calibrated":
            files = sorted((place / "generic/audio").iterdir())
            calibrate_batch_norms(encoder, self._chunks(files, seed))
        return encoder

    def _chunks(self, files, seed):
        """Features of a few batches of random chunks of one second."""
        chunks = RandomChunks(1.0, SAMPLE_RATE, seed)
        order = np.random.default_rng(seed).permutation(len(files))
        order = order[: CALIBRATION_BATCHES * BATCH_SIZE]
        for first in range(0, len(order), BATCH_SIZE):
            batch = [files[i] for i in order[first : first + BATCH_SIZE]]
            sigs = [self._whole({"file": str(file)}) for file in batch]
            yield self.features(
                torch.stack(
                    [
                        chunks(sig, file.stem, 1)[0]
                        for sig, file in zip(sigs, batch)
                    ]
                )
            )[0]

    def _whole(self, row):
        # Links of a generic folder and the tables mean the same file.
        file = str(Path(row["file"]).resolve())
        sig = self.reader(file, 0.0, soundfile.info(file).duration)
        return repeat_to(sig, shortest_input(self.features.logmel.hop))

    def through(self, encoder: nn.Module, name: str) -> np.ndarray:
        """Embeddings by an encoder, ``[n, dimensions]``; the name is for the
        progress bar."""

        @sb.utils.data_pipeline.takes("file")
        @sb.utils.data_pipeline.provides("sig")
        def whole(file):
            return self._whole({"file": file})

        items = {
            str(i): {
                "file": row["file"],
                "duration": soundfile.info(row["file"]).duration,
            }
            for i, row in enumerate(self.rows)
        }
        dataset = DynamicItemDataset(
            items, dynamic_items=[whole], output_keys=["id", "sig"]
        ).filtered_sorted(sort_key="duration")  # little padding
        found = embed(
            Embedder(self.features, encoder),
            dataset,
            "cpu",
            description=f"embeddings, {name}",
            progressbar=sys.stderr.isatty(),
            batch_size=BATCH_SIZE // 4,
        ).data
        return np.stack([found[i]["emb"].numpy() for i in items])

    def _kept(
        self, path: Path, key: str, compute: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """From the file where it is of this key, else computed and kept."""
        key = f"{key} {self._ids}"
        if path.is_file():
            with np.load(path) as kept:
                if str(kept["key"]) == key:
                    return kept["embeddings"]
        embeddings = compute()
        with complete_or_absent(path) as partial:
            np.savez(partial, key=key, embeddings=embeddings)
        return embeddings


def probe(
    embeddings: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    test: np.ndarray,
) -> Tuple[np.ndarray, np.ndarray]:
    """Logistic regression fitted on the rest, its C by patient-grouped folds.

    Shapes: embeddings ``[n, dimensions]``, labels ``[n]``, patients ``[n]``,
    test ``[n]``.
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
    search.fit(embeddings[~test], labels[~test], groups=patients[~test])
    scores = search.predict_proba(embeddings[test])[:, -1]
    return search.predict(embeddings[test]), scores


def retrieve(
    embeddings: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    test: np.ndarray,
) -> Tuple[float, float]:
    """How well judged recordings find others of their label among the rest,
    by standardised cosine, a patient's own left out.

    Shapes: embeddings ``[n, dimensions]``, labels ``[n]``, patients ``[n]``,
    test ``[n]``.

    Example
    -------
    >>> x = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> labels, test = np.array(list("abba")), np.arange(4) == 0
    >>> retrieve(x, labels, np.arange(4), test)
    (0.0, 0.5)
    """
    scaled = StandardScaler().fit(embeddings[~test]).transform(embeddings)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit = scaled / np.maximum(lengths, 1e-12)
    nearest, precisions = [], []
    for i in np.flatnonzero(test):
        rest = np.flatnonzero(~test & (patients != patients[i]))
        order = rest[np.argsort(-unit[rest] @ unit[i], kind="stable")]
        right = labels[order] == labels[i]
        if right.any():
            ranks = np.flatnonzero(right) + 1
            nearest.append(right[0])
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return float(np.mean(nearest)), float(np.mean(precisions))


def judge(
    embeddings: np.ndarray,
    sounds: Sequence[Row],
    cries: Sequence[Row],
    held: np.ndarray,
) -> Figures:
    """All figures of one method and hold-out."""
    own, foreign = embeddings[: len(sounds)], embeddings[len(sounds) :]
    figures = judge_sounds(own, sounds, held)
    for name, target in (("age_auc", "age"), ("phone_auc", "site")):
        figures[name] = over_folds(foreign, cries, target)
    return figures


def judge_sounds(
    own: np.ndarray, sounds: Sequence[Row], held: np.ndarray
) -> Figures:
    """The figures of one hold-out that need no cries of families.

    Shapes: own ``[n, dimensions]``.
    """
    patients = column(sounds, "patient_id")
    is_cry = column(sounds, "sound") == CRY
    _, scores = probe(own, is_cry, patients, held)
    figures = {
        "sound_auc": float(roc_auc_score(is_cry[held], scores)),
        "sound_ap": float(average_precision_score(is_cry[held], scores)),
    }
    groups = column(sounds, "super_class")
    has = groups != ""
    called, _ = probe(own[has], groups[has], patients[has], held[has])
    figures["super_class"] = float(accuracy_score(groups[has & held], called))
    figures["category_1nn"], figures["category_map"] = retrieve(
        own[~is_cry],
        column(sounds, "category")[~is_cry],
        patients[~is_cry],
        held[~is_cry],
    )
    return figures


def over_folds(embeddings, cries: Sequence[Row], target: str) -> float:
    """Mean AUC over the folds that the table gives."""
    labels, folds = column(cries, target), column(cries, "fold")
    patients = column(cries, "patient_id")
    values = []
    for fold in np.unique(folds):
        test = folds == fold
        if len(set(labels[test])) < 2:
            raise InputError(
                f"recordings_donateacry.csv: fold {fold} has one value of "
                f"{target}; draw the folds anew"
            )
        _, scores = probe(embeddings, labels, patients, test)
        last = np.unique(labels)[-1]
        values.append(roc_auc_score(labels[test] == last, scores))
    return float(np.mean(values))


def evaluate(study: Study, sounds, cries) -> Dict[str, Dict[str, Figures]]:
    """Figures by method, then by hold-out."""
    embedder = Embeddings(study, [*sounds, *cries])
    logmel = embedder.logmel()
    results: Dict[str, Dict[str, Figures]] = {}
    todo = [(n, s, f) for n in study.methods for s, f in study.hold_outs]
    bar = tqdm(todo, desc="evaluation", unit="encoder", dynamic_ncols=True)
    for name, seed, fold in bar:
        held = hold_out(sounds, seed, fold)
        embeddings = embedder(name, seed, fold)
        readouts = {name: embeddings}
        if name != "logmel":
            both = np.hstack([embeddings, logmel])
            readouts[name + WITH_LOGMEL] = both
        for readout, x in readouts.items():
            results.setdefault(readout, {})[f"{seed}_{fold}"] = judge(
                x, sounds, cries, held
            )
    return results


def values_of(results, name: str, figure: str) -> np.ndarray:
    """One figure of a method on each hold-out."""
    return np.array([block[figure] for block in results[name].values()])


def mean_sd(values: np.ndarray, sign: str = "") -> str:
    """In words.

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
    """Paired difference, and how often it is a gain.

    Example
    -------
    >>> difference(np.array([0.3, 0.2]), np.array([0.1, 0.2]))
    '+0.100 ± 0.141 (1 of 2)'
    """
    gains = values - others
    return f"{mean_sd(gains, '+')} ({np.sum(gains > 0)} of {len(gains)})"


def markdown(head: str, rows: Sequence[Tuple[str, List[str]]]) -> str:
    """A table with the figures as columns."""
    lines = [
        "| " + " | ".join([head, *FIGURES.values()]) + " |",
        "|---" * (1 + len(FIGURES)) + "|",
    ]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows]
    return "\n".join(lines)


def label_of(name: str) -> str:
    """What a row is called; the short name is that of the differences."""
    plain = name.replace(WITH_LOGMEL, "")
    return f"{METHODS[plain]} ({plain}){name[len(plain) :]}"


def tables(results) -> str:
    """Figures of each method, then differences between methods."""
    methods = [
        (
            label_of(name),
            [mean_sd(values_of(results, name, figure)) for figure in FIGURES],
        )
        for name in results
    ]
    text = markdown("method", methods)
    pairs = [
        (
            f"{one} - {other}",
            [
                difference(
                    values_of(results, one, figure),
                    values_of(results, other, figure),
                )
                for figure in FIGURES
            ],
        )
        for one, other in DIFFERENCES
        if one in results and other in results
    ]
    if pairs:
        text += "\n\n" + markdown("paired difference", pairs)
    return text


def draw(results, caption: str, path: Path) -> None:
    """What replay protects and what it costs, as a picture."""
    panels = {
        "category_map": "generic sounds kept\n(category retrieval, mAP)",
        "sound_ap": "cries told from other sounds\n(average precision)",
        "age_auc": "age told from cries\n(AUC; chance is 0.5)",
        "phone_auc": "nuisance: phone told from cries\n(AUC; lower: less of it)",
    }
    names = [name for name in METHODS if name in results][::-1]
    figure, all_axes = plt.subplots(
        1,
        len(panels),
        figsize=(14, 1.8 + 0.42 * len(names)),
        sharey=True,
        layout="constrained",
    )
    for axes, (key, title) in zip(all_axes, panels.items()):
        for y, name in enumerate(names):
            values = values_of(results, name, key)
            colour = "#D55E00" if name in ADAPTED[1:] else "#0072B2"
            # Dots that coincide stay visible beside each other.
            shift = np.linspace(-0.16, 0.16, len(values) + 2)[1:-1]
            axes.plot(values, y + shift, "o", color=colour, alpha=0.6, ms=5)
            mean = np.mean(values)
            axes.plot([mean, mean], [y - 0.32, y + 0.32], color=colour, lw=2.5)
        if "simclr" in names:
            before = np.mean(values_of(results, "simclr", key))
            axes.axvline(before, color="grey", linestyle=":", zorder=0)
        axes.set_title(title, fontsize=10)
        axes.grid(axis="x", alpha=0.3)
    all_axes[0].set_yticks(range(len(names)), [METHODS[n] for n in names])
    figure.suptitle("What adaptation to cries gives, and what replay protects")
    figure.supxlabel(caption, fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_training(study: Study) -> None:
    """Curves of the first hold-out's adaptations, else of its SimCLR."""
    place = study.place(*study.hold_outs[0])
    names = [name for name in study.trained if name in ADAPTED]
    names = names or [name for name in study.trained if name == "simclr"]
    if names:
        histories = {TRAINED[n]: read_run(str(place / n)) for n in names}
        title = f"Training, hold-out {place.name} (seed_fold)"
        draw_curves(histories, study.out / "curves.png", title)


def report(study: Study, results) -> None:
    """Write and print what was found."""
    text = json.dumps({"figures": results}, indent=1, allow_nan=False)
    write_text(study.out / "results.json", text + "\n")
    caption = (
        f"{count(len(study.hold_outs), 'hold-out')} "
        f"({count(study.seeds, 'seed')}, {study.folds} of {N_FOLDS} folds), "
        f"{count(study.epochs, 'epoch')} of pre-training, "
        f"{study.adapt_epochs} of adaptation (half with replay: as many steps)"
    )
    text = tables(results)
    spread = "mean ± sd over the hold-outs; k of n: hold-outs that gain"
    write_text(study.out / "table.md", f"{text}\n\n{caption}; {spread}.\n")
    draw(
        results,
        "dot: one hold-out; bar: mean; dotted line: SimCLR before adaptation\n"
        + caption,
        study.out / "study.png",
    )
    draw_training(study)
    print(f"\n{text}\n\n{caption}; {spread}.\n")


def parse(argv=None) -> Study:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("data", type=Path, help="folder of the tables")
    parser.add_argument(
        "--out", type=Path, required=True, help="results; goes on if there"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=1, help="of 3, a seed")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--adapt_epochs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2, help="at a time")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument(
        "--only", nargs="+", choices=METHODS, help="methods to judge"
    )
    args = vars(parser.parse_args(argv))
    for name in ("seeds", "folds", "epochs", "adapt_epochs", "jobs"):
        if args[name] < 1:
            raise InputError(f"--{name} is {args[name]}; it must be 1 or more")
    if args["folds"] > N_FOLDS:
        raise InputError(
            f"--folds is {args['folds']}; there are {N_FOLDS}, pass fewer"
        )
    if args["adapt_epochs"] % 2:
        raise InputError(
            f"--adapt_epochs is {args['adapt_epochs']}; replay takes half as "
            "many, so pass an even number"
        )
    only = args.pop("only") or [n for n in METHODS if n not in VARIANTS]
    args["methods"] = tuple(name for name in METHODS if name in only)
    # The commands run in the repository; paths are of the caller.
    args["data"], args["out"] = args["data"].resolve(), args["out"].resolve()
    return Study(**args)


def main(argv=None) -> None:
    """Train what is not trained yet, then judge all."""
    with one_line_errors():
        study = parse(argv)
        torch.set_num_threads(1)
        sounds, cries = read_sounds(study.data), read_cries(study.data)
        make_folder(study.out)
        for seed, fold in study.hold_outs:
            build_hold_out(study, sounds, seed, fold)
        Trainer(study).train()
        report(study, evaluate(study, sounds, cries))
        print(
            f"done: {count(len(study.hold_outs), 'hold-out')}; in {study.out}"
        )


if __name__ == "__main__":
    main()
