"""Detect events by log-mel statistics and a support vector machine.

> python benchmarks/night.py WINDOWS AUDIO... --out DIR

A yardstick for ``python -m cry_modules.detect``, whose options it has: the same
windows, thresholds and tables, with a machine that is trained on the windows of
``data_prep.detection_windows`` (split train) in place of a model. With a model
in place of WINDOWS it scores each window at one peak, as the clips of training:
for encoders that hear a level, such as speech_embedding.
"""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import List, Optional, Sequence

import numpy as np
import torch
from sklearn.svm import SVC
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from cry_modules.audio import PEAK, AudioNormalizer, RecordingReader
from cry_modules.detect.command import load
from cry_modules.detect.options import make_parser
from cry_modules.detect.run import detect
from cry_modules.embeddings import LogMelStatistics
from cry_modules.front_ends import LogMel
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.recordings import Windows, window_outputs
from data_prep.audio.measure import Audit
from data_prep.corpora.database import TABLE
from data_prep.files.errors import one_line_errors
from data_prep.files.tables import read_table

RATE = 16000
AT_ONCE = 64


class LogMelSvm:
    """A machine with the interface of ``CryClassifier`` that detection uses."""

    precision, reference = "fp32", None
    window_sizes = CryClassifier.window_sizes

    def __init__(self, folder: str):
        rows = [
            cells
            for _, cells in read_table(Path(folder, TABLE), ["path", "label"])
            if cells["split"] == "train"
        ]
        classes = sorted({row["label"] for row in rows} - {"other"})
        read = RecordingReader(RATE)
        self.statistics = LogMelStatistics(LogMel(RATE))
        sigs = [
            read(str(Path(folder, row["path"])), 0.0, 60.0)
            for row in tqdm(rows, desc="reading", dynamic_ncols=True)
        ]
        features = np.concatenate(
            [
                self._features(sigs[at : at + AT_ONCE])
                for at in range(0, len(sigs), AT_ONCE)
            ]
        )
        self.mean, self.std = features.mean(axis=0), features.std(axis=0)
        self.svm = SVC(class_weight="balanced")
        self.svm.fit(
            (features - self.mean) / self.std,
            [row["label"] == classes[0] for row in rows],
        )
        self.audio_normalizer = AudioNormalizer(RATE, RATE // 4)
        self.hparams = SimpleNamespace(
            sample_rate=RATE, classes=["other", classes[0]], threshold=None,
            chunk_s=len(sigs[0]) / RATE,
        )  # fmt: skip
        self.mods = nn.Module()  # identifies the model of a threshold
        vectors = torch.from_numpy(self.svm.dual_coef_)
        self.mods.register_buffer("vectors", vectors)

    @torch.no_grad()
    def _features(self, sigs: List[torch.Tensor]) -> np.ndarray:
        wavs = pad_sequence(at_one_peak(sigs), batch_first=True)
        lengths = torch.tensor([len(s) for s in sigs]) / wavs.shape[1]
        return self.statistics(wavs, lengths).double().numpy()

    def outputs(self, sigs: List[torch.Tensor]) -> List[np.ndarray]:
        """Decision values as logits, and the features."""
        features = self._features(sigs)
        values = self.svm.decision_function((features - self.mean) / self.std)
        return [np.stack([np.zeros(len(values)), values], axis=1), features]

    def windows(self, audit: Audit, spans: Sequence) -> Windows:
        """Outputs for windows of a recording."""
        return window_outputs(self, audit, spans)


def at_one_peak(sigs: List[torch.Tensor]) -> List[torch.Tensor]:
    """Windows scaled to the peak of recordings of training."""
    return [sig * (PEAK / sig.abs().max().clamp(min=1e-9)) for sig in sigs]


def detector(args):
    """The machine, or a model that gets windows at one peak."""
    if Path(args.model, TABLE).is_file():
        return LogMelSvm(args.model)
    classifier = load(args)
    outputs = classifier.outputs
    classifier.outputs = lambda sigs: outputs(at_one_peak(sigs))
    return classifier


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Train the machine and detect."""
    args = make_parser().parse_intermixed_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with one_line_errors():
        detect(args, detector)


if __name__ == "__main__":
    main()
