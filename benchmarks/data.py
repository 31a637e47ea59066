#!/usr/bin/env python3
"""Measure the speed and the limits of the data tools on your audio.

> python benchmarks/data.py /path/to/audio

Prints the speed of the audit on one core, the number of landmarks that copies
and different recordings have in common (the folder must hold no copies), and
how much faster an epoch is read from a pack than from the files. Times are
medians of five interleaved runs, with the range.
"""

import argparse
import io
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly

from cry_modules.audio import RecordingReader
from data_prep.audio import duplicates
from data_prep.audio.audits import audit_files
from data_prep.audio.folder import READABLE, audio_files
from data_prep.audio.landmarks import landmarks
from data_prep.audio.measure import Audit, audit_file
from data_prep.files.errors import one_line_errors
from data_prep.pack import pack

RUNS = 5
N_COPIED = 150


def spread(values, digits=0):
    """Median and range as text."""
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def audit_speed(root, paths):
    """Print the speed of the audit on one core, without and with landmarks."""
    speeds = {False: [], True: []}
    for _, with_landmarks in itertools.product(range(RUNS), (False, True)):
        begin = time.perf_counter()
        seconds = sum(
            audit_file(str(root / path), with_landmarks).duration
            for path in paths
        )
        elapsed = time.perf_counter() - begin
        speeds[with_landmarks].append(seconds / elapsed)
    print(f"audit, times real time: {spread(speeds[False])}")
    print(f"audit with landmarks, times real time: {spread(speeds[True])}")


def coded(samples, rate, container):
    """Encode in a lossy format and decode."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container)
    file.seek(0)
    return soundfile.read(file, dtype="float32")


def changed(samples, rate):
    """Altered copies of a recording by name: samples and rate."""
    rng = np.random.default_rng(0)
    level = 0.1 * np.sqrt(np.mean(samples**2))
    noisy = samples + rng.normal(0, level, len(samples))
    return {
        "shifted": (samples[round(0.373 * rate) :], rate),
        "MP3": coded(samples, rate, "MP3"),
        "Ogg": coded(samples, rate, "OGG"),
        "8 kHz": (resample_poly(samples, 8000, rate), 8000),
        "20 dB of noise": (noisy, rate),
        "second half": (samples[len(samples) // 2 + 33 :], rate),
    }


def common(marks, other_marks):
    """Largest number of audio landmarks that two recordings share at one time
    offset."""
    pair = [
        Audit(name, verdict="ok", digest=name, landmarks=landmarks)
        for name, landmarks in (("a", marks), ("b", other_marks))
    ]
    return max((c.common for c in duplicates.near_copies(pair)), default=0)


def landmarks_in_common(root, paths):
    """Print how many landmarks different recordings share, and a recording and
    its altered copies."""
    audits = audit_files(paths, root, None, True)
    usable = [a for a in audits.values() if a.landmarks is not None]
    duplicates.LEAST_COMMON, duplicates.LEAST_SHARE = 1, 0.0
    pairs = sorted(
        duplicates.near_copies(usable), key=lambda c: c.common, reverse=True
    )
    print(f"most landmarks in common, of {len(usable)} recordings:")
    for copy in pairs[:10]:
        print(f"  {copy.common}: {copy.path} and {copy.copy}")
    shared = {}
    chosen = np.random.default_rng(0).permutation(len(usable))[:N_COPIED]
    for audit in (usable[i] for i in chosen):
        samples, rate = soundfile.read(root / audit.path, dtype="float32")
        if samples.ndim > 1:
            samples = samples.mean(axis=1)
        for kind, (copy, copy_rate) in changed(samples, rate).items():
            copy = np.ascontiguousarray(copy, dtype=np.float32)
            marks = landmarks(copy, copy_rate)
            shared.setdefault(kind, []).append(common(audit.landmarks, marks))
    for kind, values in shared.items():
        low, middle = np.quantile(values, [0.05, 0.5])
        print(f"  copies, {kind}: median {middle:.0f}, 5 % below {low:.0f}")


def reading(root, paths):
    """Print how much longer an epoch is read from files than from a pack."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"pack: {pack(str(root), f'{folder}/pack')}")
        audits = audit_files(paths, root)
        spans = [(a.path, a.duration) for a in audits.values() if a.usable]
        ratios = []
        for _ in range(RUNS):
            elapsed = []
            for source in (root, Path(folder) / "pack"):
                reader = RecordingReader(16000)
                begin = time.perf_counter()
                for path, seconds in spans:
                    reader(f"{source}/{path}", 0.0, seconds)
                elapsed.append(time.perf_counter() - begin)
            ratios.append(elapsed[0] / elapsed[1])
    print(f"reading, files over pack: {spread(ratios, 1)}")


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("folder", type=Path, help="folder of audio")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    with one_line_errors():
        paths = audio_files(folder, READABLE)
        audit_speed(folder, paths)
        reading(folder, paths)
        landmarks_in_common(folder, paths)


if __name__ == "__main__":
    main()
