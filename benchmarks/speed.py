#!/usr/bin/env python3
"""Compare the speed of the project with a plain SpeechBrain recipe.

> make bench

Each row is one kind of work, done in turns by two processes (see ``duel``):
the plain recipe of ``reference.py``, and the project with its own settings, on
synthetic noise. Ratios are medians with quartiles. The table is printed; all
numbers are in ``benchmarks/results.json``, which is not committed.
"""

import argparse
import csv
import json
import platform
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

import numpy as np
import soundfile
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the recipes are not installed

from duel import Duel, Way, duel  # noqa: E402
from gpu_device import convolution_peak  # noqa: E402

from data_prep.files.errors import one_line_errors  # noqa: E402
from data_prep.files.tables import write_text  # noqa: E402
from data_prep.pack import pack  # noqa: E402

RESULTS = ROOT / "benchmarks/results.json"
N_FILES = 40
SECONDS = 10


def make_corpus(folder: Path, rate: int, n_files: int = N_FILES) -> None:
    """Write noise in VGGSound's form."""
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    rows = []
    for i in range(n_files):
        name = f"noise{i:04d}"
        sig = rng.normal(0, 0.1, rate * SECONDS).clip(-1, 1)
        soundfile.write(folder / f"audio/{name}_000000.wav", sig, rate)
        part = "test" if i % 10 == 0 else "train"
        rows.append([name, 0, f"class {i % 2}", part])
    with open(
        folder / "vggsound.csv", "w", newline="", encoding="utf-8"
    ) as file:
        csv.writer(file).writerows(rows)


class Row(NamedTuple):
    """Row of the table: title, ratio to reach, and the function that measures
    it, ``measure(work, rounds, threads)``."""

    title: str
    to_reach: float
    measure: Callable[[Path, int, int], Duel]


def simclr(work: Path, rounds: int, threads: int, width: int) -> Duel:
    """Time a training step of SimCLR, loading included."""
    options = {"width": width, "chunk_s": 4.0, "batch_size": 8}
    return duel(
        Way(
            "reference:simclr_step",
            {"folder": str(work / "wav44100"), **options},
        ),
        Way("project:simclr_step", {"folder": str(work / "pack"), **options}),
        rounds,
        threads,
        f"SimCLR, width {width}",
    )


def crops(work: Path, rounds: int, threads: int, rate: int) -> Duel:
    """Time two random crops of a recording, on one thread as loader workers
    do."""
    return duel(
        Way("reference:crops", {"folder": str(work / f"wav{rate}")}),
        Way("project:crops", {"folder": str(work / "pack")}),
        rounds,
        1,
        f"crops, {rate} Hz",
        steps={"reference": 20, "project": 200},
    )


#: Work by name.
ROWS = {
    **{
        f"simclr_{width}": Row(
            f"SimCLR step, width {width}, 4 s, batch 8",
            goal,
            partial(simclr, width=width),
        )
        for width, goal in ((64, 2.5), (8, 2.0))
    },
    **{
        f"crops_{rate}": Row(
            f"two 4 s crops of 10 s, {rate / 1000:g} kHz WAV, one thread",
            goal,
            partial(crops, rate=rate),
        )
        for rate, goal in ((44100, 50.0), (16000, 8.0))
    },
}


def table(rows: Dict[str, Dict]) -> str:
    """Format the rows as Markdown."""
    lines = [
        "| work | reference, s | project, s | ratio (quartiles) | to reach | "
        "GFLOP/s | MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        title, to_reach, _ = ROWS[name]
        low, high = row["quartiles"]
        speeds = [
            f"{row['gflop'][side] / row[f'{side}_s']:.3g}"
            for side in ("reference", "project")
        ]
        peaks = [
            f"{row['peak_mb'][side]:.0f}" for side in ("reference", "project")
        ]
        lines.append(
            f"| {title} | {row['reference_s']:.3g} | {row['project_s']:.3g} | "
            f"{row['ratio']:.3g} ({low:.3g} to {high:.3g}) | {to_reach:g} | "
            f"{' and '.join(speeds)} | {' and '.join(peaks)} |"
        )
    return "\n".join(lines)


def machine(threads: int) -> Dict:
    """Describe the machine, with its highest speeds."""
    return {
        "machine": f"{platform.machine()}, {threads} threads",
        "torch": torch.__version__,
        "peak_gflops": {
            name: 1000 * convolution_peak("cpu", getattr(torch, name), 16, n=1)
            for name in ("float32", "bfloat16")
        },
    }


def measure(names: List[str], rounds: int, threads: int, results: Dict):
    """Measure the named rows, and save all results after each row."""
    results["rows"] = {}
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        for rate in (44100, 16000):
            make_corpus(work / f"wav{rate}", rate)
        pack(str(work / "wav44100"), str(work / "pack"))
        for name in names:
            row = ROWS[name].measure(work, rounds, threads).row()
            results["rows"][name] = row
            write_text(RESULTS, json.dumps(results, indent=1) + "\n")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--rows",
        nargs="*",
        choices=ROWS,
        default=list(ROWS),
        help="default: all",
    )
    parser.add_argument("--rounds", type=int, default=7, help="repetitions")
    parser.add_argument(
        "--threads", type=int, default=2, help="threads of torch"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = machine(args.threads)
    measure(args.rows, args.rounds, args.threads, results)
    peaks = ", ".join(
        f"{name} {peak:.0f}" for name, peak in results["peak_gflops"].items()
    )
    print(f"\n{table(results['rows'])}\n", flush=True)
    print(f"Fastest convolutions of this machine, GFLOP/s: {peaks}.")
    print(f"\ndone: {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    with one_line_errors():
        main()
