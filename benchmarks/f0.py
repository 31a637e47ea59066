#!/usr/bin/env python3
"""Compare F0 trackers on synthetic cries, whose F0 is known.

> python benchmarks/f0.py

Cries with all modes of phonation (`data_prep/synthetic/cry.py`), without a room,
with background noise at several signal-to-noise ratios. Frames of dysphonation
and biphonation, whose F0 is ambiguous, are left out. The costs in
`cry_modules/evaluation/pitch.py` were chosen on other seeds (0 to 11).
swift-f0 is compared if it is installed (`pip install swift-f0`).
"""

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional, Tuple

import numpy as np
import torch
from speechbrain.processing.vocal_features import compute_autocorr_features

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # where the packages are not installed

from cry_modules.evaluation.pitch import (  # noqa: E402
    HIGHEST_HZ,
    HOP,
    LOWEST_HZ,
    RATE,
    pitch_contour,
)
from data_prep.synthetic import cry, signal, voices  # noqa: E402

SECONDS = 8.0
SNR_DB = (None, 20, 10, 5, 0)
FIRST_SEED = 1000

#: Time in seconds and F0 in Hz of each frame, 0 where unvoiced.
Tracked = Tuple[np.ndarray, np.ndarray]


class Cry(NamedTuple):
    """Synthetic cry and its truth, a value a sample."""

    wave: np.ndarray
    f0: np.ndarray  #: Hz, 0 in pauses
    is_clear: np.ndarray  #: without dysphonation and biphonation


def make_cry(seed: int) -> Tuple[np.random.Generator, Cry]:
    """Draw an infant and a cry, with the generator for its background."""
    rng = np.random.default_rng(seed)
    voice = voices.draw_voice(rng, severity=rng.uniform(0, 0.8))
    style = voices.draw_style(rng, sorted(voices.STYLES)[seed % 3])
    n = round(SECONDS * RATE)
    wave, f0, is_clear = np.zeros(n), np.zeros(n), np.ones(n, dtype=bool)
    for start, length in cry.burst_times(rng, voice, style, SECONDS):
        burst = cry.draw_burst(rng, voice, style, length)
        sound = cry.sound_burst(rng, burst, voice, style, length)
        sound *= np.exp(style.level_spread * rng.normal())
        first = int(start * RATE)
        here = np.arange(min(len(sound), n - first))
        knots = np.arange(len(burst.f0)) * signal.HOP
        part = slice(first, first + len(here))
        wave[part] += sound[: len(here)]
        f0[part] = np.interp(here, knots, burst.f0)
        rough = np.interp(here, knots, burst.rough)
        is_clear[part] = (rough == 0) & (burst.ratio == 0)
    return rng, Cry(wave, f0, is_clear)


def with_noise(
    rng: np.random.Generator, sounds: Cry, snr_db: Optional[float]
) -> np.ndarray:
    """Add pink noise at a ratio to the power of the expirations."""
    wave = sounds.wave
    if snr_db is not None:
        power = np.mean(wave[sounds.f0 > 0] ** 2) / 10 ** (snr_db / 10)
        pink = signal.band(40.0, 7800.0, 0.5)
        wave = wave + signal.shaped_noise(rng, len(wave), pink) * power**0.5
    return (0.9 * wave / np.abs(wave).max()).astype(np.float32)


def this_project(wave: np.ndarray) -> Tracked:
    """``cry_modules.evaluation.pitch``."""
    f0 = pitch_contour(wave).f0
    return (np.arange(len(f0)) + 0.5) * HOP / RATE, f0


def speechbrain(wave: np.ndarray) -> Tracked:
    """``speechbrain.processing.vocal_features``, 30 ms frames, voiced at the
    same height of the peak as Praat's default."""
    frames = torch.from_numpy(wave)[None].unfold(-1, 480, HOP)
    lags = round(RATE / HIGHEST_HZ), round(RATE / LOWEST_HZ)
    height, lag = compute_autocorr_features(frames, *lags)
    f0 = torch.where(height > 0.45, RATE / lag, 0.0)[0].double().numpy()
    return (np.arange(len(f0)) * HOP + 240) / RATE, f0


def swift_f0() -> Callable[[np.ndarray], Tracked]:
    """Build the detector of the package swift-f0."""
    from swift_f0 import SwiftF0

    detector = SwiftF0(threads=1, spin=False)

    def track(wave):
        result = detector.detect(wave, RATE, fmin=LOWEST_HZ, fmax=HIGHEST_HZ)
        voiced = result.confidence >= 0.5
        return result.timestamps, np.where(voiced, result.pitch_hz, 0.0)

    return track


def row(track: Callable, n_cries: int, snr_db: Optional[float]) -> Dict:
    """Errors and time of a tracker at one noise level."""
    seconds, truth, tracked = 0.0, [], []
    for seed in range(FIRST_SEED, FIRST_SEED + n_cries):
        rng, sounds = make_cry(seed)
        wave = with_noise(rng, sounds, snr_db)
        began = time.process_time()
        at, f0 = track(wave)
        seconds += time.process_time() - began
        at = np.minimum(np.round(at * RATE).astype(int), len(wave) - 1)
        kept = sounds.is_clear[at]
        truth.append(sounds.f0[at][kept])
        tracked.append(f0[kept])
    true, f0 = np.concatenate(truth), np.concatenate(tracked)
    both, crying, high = (true > 0) & (f0 > 0), true > 0, true > 1000
    cents = np.zeros(len(true))
    cents[both] = np.abs(1200 * np.log2(f0[both] / true[both]))
    gross = cents > 1200 * np.log2(1.2)
    return {
        "noise": "none" if snr_db is None else f"{snr_db} dB",
        "gross errors": f"{100 * gross[both].mean():.1f} %",
        "median error": f"{np.median(cents[both & ~gross]):.1f} cents",
        "unvoiced in cries": f"{100 * (f0 == 0)[crying].mean():.1f} %",
        "voiced in pauses": f"{100 * (f0 > 0)[~crying].mean():.1f} %",
        "hyperphonation: gross": f"{100 * (gross & both)[high].mean():.1f} %",
        "unvoiced": f"{100 * (f0 == 0)[high].mean():.1f} %",
        "s a minute": f"{seconds / (n_cries * SECONDS / 60):.2f}",
    }


def main() -> None:
    """Print the table, as markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cries", type=int, default=40, help="cries of 8 s")
    n_cries = parser.parse_args().cries
    torch.set_num_threads(1)
    trackers = {"this project": this_project, "speechbrain": speechbrain}
    if importlib.util.find_spec("swift_f0"):
        trackers["swift-f0"] = swift_f0()
    for i, (name, track) in enumerate(trackers.items()):
        for snr_db in SNR_DB:
            cells = {"tracker": name, **row(track, n_cries, snr_db)}
            if not i and snr_db is None:
                print("| " + " | ".join(cells) + " |")
                print("|---" * len(cells) + "|")
            print("| " + " | ".join(cells.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
