"""Classifiers on an encoder: a plain recipe's and the project's.

Row 1, a linear probe: the plain recipe embeds every batch of every epoch
anew. Row 2, a step of fine-tuning: the plain recipe trains all of the
encoder, the project its BatchNorm alone (``linear_bn``).
"""

import csv
import random
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import speechbrain as sb
import torch
import torch.nn.functional as F
from contenders import endless
from duel import Duel, Way, duel
from reference import RATE, Features, cnn14, read
from torch import nn

from cry_modules.training.batches import EmbeddingSet
from cry_modules.training.experiment import load
from cry_modules.training.options import parse_arguments
from cry_modules.training.schedule import step_schedule
from recipes.classification import train_cls

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("healthy", "injury")
SECONDS = 4
EPOCHS = 100
#: Batch of the plain probe, and of hparams/neuro_linear.yaml.
BATCH_SIZE = 32


def make_clinic(folder: Path, n_train: int) -> Path:
    """Noise in the form of a cry database, 16 kHz: ``n_train`` recordings to
    train on, a quarter as many to validate, four to test; two a patient."""
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    rows = []
    for split, n in (
        ("train", n_train),
        ("valid", n_train // 4),
        ("test", 4),
    ):
        for i in range(n):
            name = f"{split}{i:04d}"
            sig = rng.normal(0, 0.1, RATE * SECONDS).clip(-1, 1)
            soundfile.write(folder / f"audio/{name}.wav", sig, RATE)
            patient = i // 2
            label = CLASSES[patient % 2]
            path = f"audio/{name}.wav"
            rows.append([name, f"{split}{patient}", path, label, split])
    header = ["recording_id", "patient_id", "path", "neuro_injury", "split"]
    with open(folder / "recordings.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder


def examples(folder: str, split: str):
    """Path and class of each recording."""
    with open(f"{folder}/recordings.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    return [
        (Path(folder) / row["path"], CLASSES.index(row["neuro_injury"]))
        for row in rows
    ]


def wavs_and_labels(batch):
    """Decoded files ``[batch, samples]`` and their classes ``[batch]``."""
    wavs = torch.stack([read(path) for path, _ in batch])
    return wavs, torch.tensor([label for _, label in batch])


def plain_epoch(folder: str, width: int):
    """An epoch of a linear probe as a plain recipe has it: training, then
    validation; frozen encoder, every recording decoded and embedded."""
    train, valid = (examples(folder, split) for split in ("train", "valid"))
    features = Features().eval()
    encoder = cnn14(width).eval().requires_grad_(False)
    head = nn.Linear(32 * width, len(CLASSES))
    optimizer = torch.optim.Adam(head.parameters(), lr=0.003)

    def batches(rows):
        for first in range(0, len(rows), BATCH_SIZE):
            wavs, labels = wavs_and_labels(rows[first : first + BATCH_SIZE])
            with torch.no_grad():
                embs = encoder(features(wavs)).squeeze(1)
            yield F.cross_entropy(head(embs), labels)

    def step():
        for loss in batches(random.sample(train, len(train))):
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            return sum(loss.item() for loss in batches(valid))

    return step


def project_probe(folder: str, width: int, n_runs: int):
    """All epochs of ``train_cls.py hparams/neuro_linear.yaml``, embedding and
    test included. A run cannot be done twice: each call does the next one of
    ``n_runs`` that are ready."""
    runs = [classifier("linear", folder, width) for _ in range(n_runs)]

    def step():
        brain, hparams, heard = runs.pop()
        embs = train_cls.embed_all(
            brain, hparams, heard, hparams["embedder"], "embedding"
        )
        datasets = {split: EmbeddingSet(part) for split, part in embs.items()}
        batches = train_cls.train_batches(hparams, heard["train"])
        train_cls.fit(brain, hparams, datasets, batches)
        train_cls.predict(brain, hparams, datasets)

    return step


def classifier(mode: str, folder: str, width: int, *options: str):
    """What ``train_cls.run`` makes before it trains: brain, settings,
    recordings by split."""
    out = tempfile.mkdtemp(dir=Path(folder).parent)
    yaml, run_opts, overrides = parse_arguments(
        [
            str(ROOT / f"hparams/neuro_{mode}.yaml"),
            *[f"--data_folder={folder}", f"--output_folder={out}"],
            *[f"--width={width}", "--device=cpu", "--noprogressbar"],
            *options,
        ]
    )
    hparams = load(yaml, overrides)
    manifests = f"{out}/manifest"
    hparams["prepare"](save_folder=manifests)
    labels, classes = train_cls.read_labels(manifests, hparams["classes"])
    heard = train_cls.dataio_prep(
        hparams, manifests, classes, hparams["trained_on"]
    )
    brain = train_cls.make_brain(hparams, run_opts, labels, classes)
    return brain, hparams, heard


def linear_probe(
    work: Path, n_train: int, width: int, rounds: int, n_threads: int
) -> Duel:
    """Row 1: one epoch of the plain recipe, times ``EPOCHS``, beside all of
    the project's."""
    folder = str(make_clinic(work / f"clinic{n_train}", n_train))
    options = {"folder": folder, "width": width}
    # Counting and warming up are runs too.
    n_runs = rounds + 2
    found = duel(
        Way("probe_contenders:plain_epoch", options),
        Way("probe_contenders:project_probe", {**options, "n_runs": n_runs}),
        rounds,
        n_threads,
        f"linear probe, {n_train} recordings",
    )
    found.reference = [EPOCHS * seconds for seconds in found.reference]
    found.gflop["reference"] *= EPOCHS
    return found


def plain_step(folder: str, width: int, batch_size: int):
    """A step of full fine-tuning: decode, features, encoder, head, Adam."""
    train = examples(folder, "train")
    features, encoder = Features().eval(), cnn14(width).train()
    head = nn.Linear(32 * width, len(CLASSES))
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-4)

    def step():
        wavs, labels = wavs_and_labels(random.sample(train, batch_size))
        logits = head(encoder(features(wavs)).squeeze(1))
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def project_step(
    mode: str, folder: str, width: int, batch_size: int, precision: str = ""
):
    """What ``fit`` does with a batch in one of the modes, data included;
    without a precision the project's default."""
    options = [f"--batch_size={batch_size}"]
    if precision:
        options.append(f"--precision={precision}")
    brain, hparams, heard = classifier(mode, folder, width, *options)
    loader = brain.make_train_loader(
        heard["train"], train_cls.train_batches(hparams, heard["train"]), 0
    )
    brain.schedule = step_schedule(
        hparams, len(loader), brain.grad_accumulation_factor
    )
    brain.init_optimizers()
    brain.on_stage_start(sb.Stage.TRAIN, 1)
    brain.modules.train()
    batches = endless(brain, loader)

    def step():
        brain.step += 1
        return float(brain.fit_batch(next(batches)))

    return step


def fine_tuning(
    work: Path, width: int, rounds: int, n_threads: int, precision: str = ""
) -> Duel:
    """Row 2: a step of the project's ``linear_bn`` beside one of plain full
    fine-tuning."""
    folder = work / "clinic64"
    if not folder.is_dir():
        make_clinic(folder, 64)
    options = {"folder": str(folder), "width": width, "batch_size": 8}
    return duel(
        Way("probe_contenders:plain_step", options),
        Way(
            "probe_contenders:project_step",
            {**options, "mode": "linear_bn", "precision": precision},
        ),
        rounds,
        n_threads,
        f"linear + BN, width {width}",
    )
