#!/usr/bin/env python3
"""How fast the project is beside a plain SpeechBrain recipe, on this machine.

> make bench

Each row is one kind of work, done in turns by two processes (see ``duel``):
the plain recipe of ``reference.py``, and the project with its own settings.
Ratios are medians with their quartiles; the table is printed and, with all
numbers, left in ``benchmarks/results.json``. Runs on synthetic noise. Begun:
only SimCLR's step and the reading of crops are measured yet.

Authors
 * The contributors of cry-ssl 2026
"""

import argparse
import csv
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the recipes are not installed

from duel import Way, duel  # noqa: E402

from data_prep.errors import one_line_errors  # noqa: E402
from data_prep.pack import pack  # noqa: E402
from data_prep.tables import write_text  # noqa: E402

RESULTS = ROOT / "benchmarks/results.json"
N_FILES = 40
SECONDS = 10


def make_corpus(folder: Path, rate: int, n_files: int = N_FILES) -> None:
    """Noise in the form of VGGSound."""
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    rows = []
    for i in range(n_files):
        name = f"noise{i:04d}"
        sig = rng.normal(0, 0.1, rate * SECONDS).clip(-1, 1)
        soundfile.write(folder / f"audio/{name}_000000.wav", sig, rate)
        part = "test" if i % 10 == 0 else "train"
        rows.append([name, 0, f"class {i % 2}", part])
    with open(folder / "vggsound.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)


def convolution_peak(dtype: torch.dtype) -> float:
    """GFLOP/s of the best of some convolutions of CNN14's kind: what this
    machine can do at all."""
    best = 0.0
    for channels, size in ((128, (200, 40)), (256, (100, 20)), (512, (50, 10))):
        x = torch.randn(16, channels, *size).to(dtype)
        x = x.to(memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 3, 3).to(dtype)
        flop = 2 * 9 * channels**2 * 16 * size[0] * size[1]
        for _ in range(4):
            begin = time.perf_counter()
            F.conv2d(x, weight, padding=1)
            best = max(best, flop / (time.perf_counter() - begin) / 1e9)
    return best


def simclr(work: Path, width: int, rounds: int, threads: int):
    """A training step of SimCLR, data included."""
    options = {"width": width, "chunk_s": 4.0, "batch_size": 8}
    return duel(
        Way("reference:simclr_step", {"folder": str(work / "wav"), **options}),
        Way(
            "contenders:simclr_step", {"folder": str(work / "pack"), **options}
        ),
        rounds,
        threads,
        f"SimCLR, width {width}",
    )


def crops(work: Path, rate: int, rounds: int, threads: int):
    """Two random crops of a recording."""
    name = "wav" if rate == 44100 else f"wav{rate}"
    return duel(
        Way("reference:crops", {"folder": str(work / name)}),
        Way("contenders:crops", {"folder": str(work / "pack")}),
        rounds,
        threads,
        f"crops, {rate} Hz",
        steps={"reference": 20, "project": 200},
    )


#: Work by name: title, the ratio to reach, how it is measured.
ROWS = {
    "simclr_64": (
        "SimCLR step, width 64, 4 s, batch 8",
        2.5,
        lambda *how: simclr(how[0], 64, *how[1:]),
    ),
    "simclr_8": (
        "SimCLR step, width 8, 4 s, batch 8",
        2.0,
        lambda *how: simclr(how[0], 8, *how[1:]),
    ),
    "crops_44100": (
        "two 4 s crops of 10 s, 44.1 kHz WAV",
        50.0,
        lambda *how: crops(how[0], 44100, *how[1:]),
    ),
    "crops_16000": (
        "two 4 s crops of 10 s, 16 kHz WAV",
        8.0,
        lambda *how: crops(how[0], 16000, *how[1:]),
    ),
}


def table(results) -> str:
    """The rows as Markdown."""
    lines = [
        "| work | reference, s | project, s | ratio (quartiles) | to reach |",
        "|---|---|---|---|---|",
    ]
    for name, row in results["rows"].items():
        low, high = row["quartiles"]
        lines.append(
            f"| {ROWS[name][0]} | {row['reference_s']:.4g} | "
            f"{row['project_s']:.4g} | {row['ratio']:.2f} ({low:.2f} to "
            f"{high:.2f}) | {ROWS[name][1]:g} |"
        )
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = {
        "machine": f"{platform.machine()}, {args.threads} threads",
        "torch": torch.__version__,
        "peak_gflops": {
            name: convolution_peak(getattr(torch, name))
            for name in ("float32", "bfloat16")
        },
        "rows": {},
    }
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        make_corpus(work / "wav", 44100)
        make_corpus(work / "wav16000", 16000)
        pack(str(work / "wav"), str(work / "pack"))
        for name in args.rows:
            found = ROWS[name][2](work, args.rounds, args.threads)
            results["rows"][name] = found.row()
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    print(f"\n{table(results)}\n\ndone: {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    with one_line_errors():
        main()
