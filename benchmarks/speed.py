#!/usr/bin/env python3
"""How fast the project is beside a plain SpeechBrain recipe, on this machine.

> make bench

Each row is one kind of work, done in turns by two processes (see ``duel``):
the plain recipe of ``reference.py``, and the project with its own settings.
Ratios are medians with their quartiles. After them, how cost grows with the
work (``growth.py``). Tables are printed and, with all numbers, left in
``benchmarks/results.json``, which is not committed. Runs on synthetic noise;
benchmarks/README.md says how the comparison is made.
"""

import argparse
import csv
import json
import platform
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

import numpy as np
import soundfile
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the recipes are not installed

import growth  # noqa: E402
from duel import Duel, Way, duel  # noqa: E402
from loss_contenders import beside  # noqa: E402
from probe_contenders import fine_tuning, linear_probe  # noqa: E402

from data_prep.files.errors import one_line_errors  # noqa: E402
from data_prep.files.tables import write_text  # noqa: E402
from data_prep.pack import pack  # noqa: E402

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


class Row(NamedTuple):
    """One kind of work.

    ``measure(work, rounds, threads)`` returns a Duel, or None where what it
    is measured against is not installed.
    """

    title: str
    to_reach: float
    measure: Callable[[Path, int, int], Optional[Duel]]


def simclr(work: Path, rounds: int, threads: int, width: int) -> Duel:
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


def crops(work: Path, rounds: int, threads: int, rate: int) -> Duel:
    """Two random crops of a recording; one thread, as loader workers have."""
    name = "wav" if rate == 44100 else f"wav{rate}"
    return duel(
        Way("reference:crops", {"folder": str(work / name)}),
        Way("contenders:crops", {"folder": str(work / "pack")}),
        rounds,
        1,
        f"crops, {rate} Hz",
        steps={"reference": 20, "project": 200},
    )


def probe(work: Path, rounds: int, threads: int) -> Duel:
    """A linear probe, embedding included; one thread: its steps are tiny."""
    return linear_probe(work, 256, 8, min(rounds, 5), 1)


def linear_bn(work: Path, rounds: int, threads: int, width: int) -> Duel:
    """A step of linear+BN, data included, beside full fine-tuning."""
    return fine_tuning(work, width, rounds, threads)


def losses(
    work: Path, rounds: int, threads: int, package: str, shapes: List
) -> Optional[Duel]:
    """NT-Xent, on the shape where the project gains least; one thread, as
    its steps are of milliseconds."""
    return beside(package, shapes, rounds, 1)


#: Rows and dimensions of the loss's input.
LARGE_AND_SMALL = [(n, d) for n in (64, 512, 4096) for d in (128, 2048)]

#: Work by name.
ROWS = {
    "simclr_64": Row(
        "SimCLR step, width 64, 4 s, batch 8", 2.5, partial(simclr, width=64)
    ),
    "simclr_8": Row(
        "SimCLR step, width 8, 4 s, batch 8", 2.0, partial(simclr, width=8)
    ),
    "linear_probe": Row(
        "linear probe, 100 epochs of 256 recordings of 4 s and validation on "
        "64, width 8, embedding included, one thread (reference: 100 times "
        "one epoch)",
        90.0,
        probe,
    ),
    "linear_bn_64": Row(
        "linear+BN step against full fine-tuning, width 64, 4 s, batch 8",
        1.6,
        partial(linear_bn, width=64),
    ),
    "linear_bn_8": Row(
        "linear+BN step against full fine-tuning, width 8, 4 s, batch 8",
        1.6,
        partial(linear_bn, width=8),
    ),
    "nt_xent_128": Row(
        "NT-Xent, 512 rows, D 128, against pytorch-metric-learning, one thread",
        500.0,
        partial(losses, package="pytorch_metric_learning", shapes=[(512, 128)]),
    ),
    "nt_xent_2048": Row(
        "NT-Xent, 512 rows, D 2048, against pytorch-metric-learning, one thread",
        70.0,
        partial(
            losses, package="pytorch_metric_learning", shapes=[(512, 2048)]
        ),
    ),
    "nt_xent_lightly": Row(
        "NT-Xent, 64 to 4096 rows, D 128 and 2048, against lightly, one thread: the least",
        1.0,
        partial(losses, package="lightly", shapes=LARGE_AND_SMALL),
    ),
    "crops_44100": Row(
        "two 4 s crops of 10 s, 44.1 kHz WAV, one thread",
        50.0,
        partial(crops, rate=44100),
    ),
    "crops_16000": Row(
        "two 4 s crops of 10 s, 16 kHz WAV, one thread",
        8.0,
        partial(crops, rate=16000),
    ),
}


def table(rows: Dict[str, Optional[Dict]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| work | reference, s | project, s | ratio (quartiles) | to reach | "
        "GFLOP/s | MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        title, to_reach, _ = ROWS[name]
        if row is None:
            why = "not installed: pip install -e '.[bench]'"
            lines.append(f"| {title} | | | {why} | {to_reach:g} | | |")
            continue
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
    """What the figures are of."""
    return {
        "machine": f"{platform.machine()}, {threads} threads",
        "torch": torch.__version__,
        "peak_gflops": {
            name: convolution_peak(getattr(torch, name))
            for name in ("float32", "bfloat16")
        },
    }


def measure(names: List[str], rounds: int, threads: int, results: Dict):
    """Add the rows, each as soon as it is known."""
    results["rows"] = {}
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        make_corpus(work / "wav", 44100)
        make_corpus(work / "wav16000", 16000)
        pack(str(work / "wav"), str(work / "pack"))
        for name in names:
            found = ROWS[name].measure(work, rounds, threads)
            results["rows"][name] = None if found is None else found.row()
            write_text(RESULTS, json.dumps(results, indent=1) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--growth", nargs="*", choices=growth.PARTS, default=growth.PARTS
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = machine(args.threads)
    measure(args.rows, args.rounds, args.threads, results)
    peaks = ", ".join(
        f"{name} {found:.0f}" for name, found in results["peak_gflops"].items()
    )
    print(f"\n{table(results['rows'])}\n", flush=True)
    print(f"Convolutions of this machine at their best, GFLOP/s: {peaks}.")
    if args.growth:
        results["growth"] = growth.measure(args.growth)
        write_text(RESULTS, json.dumps(results, indent=1) + "\n")
        print(f"\n{growth.markdown(results['growth'])}")
    print(f"\ndone: {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    with one_line_errors():
        main()
