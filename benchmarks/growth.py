#!/usr/bin/env python3
"""How cost grows as the work does.

> python benchmarks/growth.py --out growth.json

Start-up and memory of ``train_simclr.py`` against the size of the corpus, and
the time of a training step against batch, chunk, corpus and threads, each with
the line that fits it best. Values are measured in turns and medians taken, so
that a machine whose speed changes meanwhile does not pretend a trend. The
corpora are packs whose index names many recordings at the same samples: what
the system keeps of files that were read is not measured. Needs Linux.
"""

import argparse
import contextlib
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Sequence

import numpy as np
import soundfile
import torch
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the recipes are not installed

from contenders import simclr_step  # noqa: E402
from duel import Contender, Way  # noqa: E402

from data_prep.audio.packs import read_index, write_index  # noqa: E402
from data_prep.files.errors import InputError, one_line_errors  # noqa: E402
from data_prep.files.tables import write_text  # noqa: E402
from data_prep.pack import pack  # noqa: E402
from data_prep.vggsound_prepare import prepare_vggsound  # noqa: E402

PARTS = ("startup", "memory", "steps")
SIZES = (1000, 10000, 50000, 200000)
#: Recordings to validate with, before the first step: one batch.
N_VALID = 8
#: The work whose start-up is measured; small, since only the table grows.
SMALL = {"width": 2, "batch_size": 8, "chunk_s": 0.5, "min_clips": 1}
N_WORKERS = 2
#: What steps are timed against one of; the others stay as here. One thread:
#: two wait for each other, and long where others use the machine too.
STEP = {"batch_size": 8, "chunk_s": 1.0, "recordings": 1000, "threads": 1}
AXES = {
    "batch_size": (4, 8, 16, 32, 64),
    "chunk_s": (0.5, 1.0, 2.0, 4.0, 8.0),
    "recordings": (1000, 10000, 50000),
    "threads": (1, 2),
}


def make_corpus(folder: Path, n_recordings: int) -> Path:
    """A prepared corpus in the form of VGGSound, of any size."""
    sound, packed = folder / "sound", folder / "pack"
    (sound / "audio").mkdir(parents=True)
    noise = np.random.default_rng(0).normal(0, 0.1, 160000).clip(-1, 1)
    soundfile.write(sound / "audio/a.wav", noise, 16000)
    pack(str(sound), str(packed))
    videos = [f"{i:011d}" for i in range(n_recordings + N_VALID)]
    _repeat(packed, [f"audio/{video}_000000.wav" for video in videos])
    with open(packed / "vggsound.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            # As there, some labels hold a comma.
            (video, 0, f"kind {i % 300}{', loud' * (i % 5 == 0)}", "train")
            for i, video in enumerate(videos)
        )
    prepare_vggsound(
        str(packed), str(folder / "run/manifest"), _valid_share(n_recordings)
    )
    return folder


def _valid_share(n_recordings):
    return N_VALID / (n_recordings + N_VALID)


def _repeat(packed: Path, paths: List[str]):
    """Let a pack of one recording name it by many paths."""
    index, journal = packed / "pack-1of1.csv", packed / "pack-1of1.audit.jsonl"
    row = read_index(index)[0]
    write_index(index, (row._replace(path=path) for path in paths))
    about, line = journal.read_text().splitlines()
    _, stamp, audit = json.loads(line)
    audit["landmarks"] = None
    with open(journal, "w") as file:
        print(about, file=file)
        for path in paths:
            audit["digest"] = path  # not a copy of the others
            print(json.dumps([path, stamp, audit]), file=file)
    part = packed / "pack-1of1.json"
    about = json.loads(part.read_text())
    for name in (index.name, journal.name):
        about["files"][name]["bytes"] = os.stat(packed / name).st_size
    write_text(part, json.dumps(about))


def start(corpus: Path, n_recordings: int, batches: Sequence[int]) -> Dict:
    """Start ``train_simclr.py`` on a prepared corpus, up to a batch."""
    options = {
        **SMALL,
        "data_folder": corpus / "pack",
        "output_folder": corpus / "run",
        "valid_share": _valid_share(n_recordings),
        "num_workers": N_WORKERS,
        "device": "cpu",
    }
    command = [
        *(sys.executable, ROOT / "benchmarks/first_batches.py"),
        *(time.monotonic(), ",".join(map(str, batches))),
        ROOT / "hparams/vggsound.yaml",
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        reason = done.stderr.strip().split("\n")[-1]
        raise InputError(f"train_simclr.py failed on {corpus}: {reason}")
    return json.loads(done.stdout.splitlines()[-1])


def startup(corpora: Dict[int, Path], rounds: int = 3) -> List[Dict]:
    """From the start of the process to the first batch."""
    found = {n: [] for n in corpora}
    for _, n in _in_turns(corpora, rounds, "start-up"):
        found[n].append(start(corpora[n], n, [1]))
    return [
        {
            "recordings": n,
            "floor_s": _median(s["floor_s"] for s in starts),
            "imports_s": _median(s["imports_s"] for s in starts),
            **{
                name: _median(s["batches"][0][name] for s in starts)
                for name in ("seconds", "cpu_s")
            },
            **_megabytes([s["batches"][0] for s in starts], "peak"),
            "rounds": rounds,
        }
        for n, starts in found.items()
    ]


def memory(corpora: Dict[int, Path], n_batches: int = 100) -> List[Dict]:
    """What processes have to themselves after many batches.

    Memory without files and libraries; of a page that several processes have,
    each has its share (proportional set size, anonymous).
    """
    rows = {}
    for _, n in _in_turns(corpora, 1, "memory"):
        first, last = start(corpora[n], n, [1, n_batches])["batches"]
        row = {"recordings": n, "batches": n_batches}
        for prefix, batch in (("first_", first), ("", last)):
            row.update(_megabytes([batch], "own", prefix))
            processes = [batch["main"], *batch["workers"]]
            row[f"{prefix}all_mb"] = sum(p["own"] for p in processes)
        rows[n] = row
    return [rows[n] for n in corpora]


def _megabytes(batches, kind, prefix=""):
    largest = [max(w[kind] for w in batch["workers"]) for batch in batches]
    return {
        f"{prefix}main_mb": _median(batch["main"][kind] for batch in batches),
        f"{prefix}worker_mb": _median(largest),
    }


def steps(corpora: Dict[int, Path], rounds: int = 15) -> Dict[str, Dict]:
    """A training step of width 8 in bfloat16, data included."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(STEP["threads"])
    work = [(axis, value) for axis in AXES for value in AXES[axis]]
    threads = [case for case in work if case[0] == "threads"]
    others = [case for case in work if case not in threads]
    # Apart, since threads that wait keep the machine busy; and less often,
    # since two take seconds where others use it.
    seconds = _timed(corpora, others, rounds)
    seconds.update(_timed(corpora, threads, -(-rounds // 3)))
    torch.set_num_threads(n_threads)
    return {axis: _against(axis, seconds) for axis in AXES}


def _timed(corpora, cases, rounds):
    """Seconds of steps, by case, that is (axis, value)."""
    seconds = {case: [] for case in cases}
    with contextlib.ExitStack() as stack:
        bar = tqdm(cases, "getting ready", dynamic_ncols=True)
        step = {case: _step(corpora, *case, stack) for case in bar}
        for number, case in _in_turns(cases, rounds + 1, "steps"):
            elapsed = step[case]()
            if number:  # the first is a warm-up
                seconds[case].append(elapsed)
    return seconds


def _step(corpora, axis, value, stack) -> Callable[[], float]:
    """What makes one step and returns its seconds."""
    options = {**STEP, axis: value}
    n_threads = options.pop("threads")
    folder = corpora[options.pop("recordings")] / "pack"
    options.update(folder=str(folder), width=8)
    if axis == "threads":
        # In a process of its own, as its threads are from the start.
        contender = Contender(Way("contenders:simclr_step", options), n_threads)
        stack.callback(contender.end)
        return lambda: contender.ask("seconds", 1)
    with contextlib.redirect_stdout(None):
        step = simclr_step(**options)
    return lambda: _seconds(step)


def _seconds(step):
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def _against(axis, seconds):
    values = list(AXES[axis])
    medians = [_median(seconds[axis, value]) for value in values]
    x = [1 / v for v in values] if axis == "threads" else values
    return {"values": values, "seconds": medians, "line": fit(x, medians)}


def fit(x: Sequence[float], y: Sequence[float]) -> Dict:
    """The line of least squares.

    Example
    -------
    >>> fit([0, 1, 2], [1, 3, 5])["slope"]
    2.0
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    dx, dy = x - x.mean(), y - y.mean()
    slope = (dx * dy).sum() / (dx**2).sum()
    intercept = y.mean() - slope * x.mean()
    residuals = y - intercept - slope * x
    spread = (dy**2).sum()
    r2 = None
    if len(x) > 2 and spread > 0:
        r2 = float(1 - (residuals**2).sum() / spread)
    worst = int(np.abs(residuals).argmax())
    return {
        "intercept": float(intercept),
        "slope": float(slope),
        "r2": r2,
        "residual": float(residuals[worst]),
        "at": float(x[worst]),
    }


def _in_turns(cases, rounds, title):
    """(round, case), all cases in each round, in another order each time:
    what comes before must not count."""
    cases, rng = list(cases), np.random.default_rng(0)
    bar = tqdm(total=rounds * len(cases), desc=title, dynamic_ncols=True)
    with bar:
        for number in range(rounds):
            for i in rng.permutation(len(cases)):
                yield number, cases[i]
                bar.update()


def _median(values):
    return float(np.median(list(values)))


#: What the numbers of an axis are, and how the line's terms are called.
TITLES = {
    "batch_size": ("recordings in a batch, 1 s", "recording"),
    "chunk_s": ("seconds of a chunk, 8 recordings", "second"),
    "recordings": ("recordings of the corpus", "recording"),
    "threads": ("threads, 8 recordings of 1 s", "1 / threads"),
}


NOTES = (
    "Intercept: what a step costs whatever its size, calls of layers and the "
    "optimizer. Against threads the line is over 1 / threads: a slope below "
    "zero says that other programs used the machine, since threads wait for "
    "the slowest. Against the corpus a slope that is not worth a residual is "
    "none."
)


def markdown(results: Dict) -> str:
    """What was measured, as tables."""
    parts = []
    if "startup" in results:
        parts.append(_startup_table(results["startup"]))
    if "memory" in results:
        parts.append(_memory_table(results["memory"]))
    if "steps" in results:
        parts.append(_steps_table(results["steps"]))
    return "\n\n".join(parts)


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _line(x, y, unit, digits):
    """A fitted line, in words."""
    found = fit(x, y)
    per = 100000 * found["slope"]
    return (
        f"{found['intercept']:.{digits}f} {unit} + {per:.{digits}f} {unit} per "
        f"100,000 recordings; largest residual {found['residual']:+.{digits}f}"
        f" {unit}"
    )


def _startup_table(rows):
    names = ("floor_s", "imports_s", "seconds", "cpu_s")
    header = ["recordings", "torch and SpeechBrain, s", "all imports, s"]
    header += ["first batch, s", "of processors, s"]
    header += ["main process, MB", "worker, MB"]
    cells = [
        [f"{row['recordings']:,}"]
        + [f"{row[name]:.2f}" for name in names]
        + [f"{row[name]:.0f}" for name in ("main_mb", "worker_mb")]
        for row in rows
    ]
    n = [row["recordings"] for row in rows]
    lines = [
        f"{title}: {_line(n, [row[name] for row in rows], unit, digits)}."
        for title, name, unit, digits in (
            ("Time of processors", "cpu_s", "s", 2),
            ("Main process", "main_mb", "MB", 0),
            ("Worker", "worker_mb", "MB", 0),
        )
    ]
    return "\n\n".join([_table(header, cells), *lines])


def _memory_table(rows):
    names = ("main_mb", "worker_mb", "all_mb")
    header = ["recordings", "main, MB", "worker, MB", "all, MB"]
    header += [f"{name} at the first batch" for name in header[1:]]
    cells = [
        [f"{row['recordings']:,}"]
        + [f"{row[name]:.0f}" for name in names]
        + [f"{row['first_' + name]:.0f}" for name in names]
        for row in rows
    ]
    n = [row["recordings"] for row in rows]
    line = _line(n, [row["all_mb"] for row in rows], "MB", 0)
    title = f"After {rows[0]['batches']} batches, {N_WORKERS} workers:"
    return "\n".join([title, "", _table(header, cells), "", f"All: {line}."])


def _steps_table(axes):
    header = ["step against", "seconds at", "intercept, s", "slope, s per"]
    header += ["R^2", "largest residual"]
    cells = []
    for axis, found in axes.items():
        line, (title, unit) = found["line"], TITLES[axis]
        pairs = zip(found["values"], found["seconds"])
        cells.append(
            [
                title,
                ", ".join(f"{value:g}: {s:.3f}" for value, s in pairs),
                f"{line['intercept']:.3f}",
                f"{unit}: {line['slope']:.3g}",
                "-" if line["r2"] is None else f"{line['r2']:.4f}",
                f"{line['residual']:+.3f} at {line['at']:g}",
            ]
        )
    return f"{_table(header, cells)}\n\n{NOTES}"


def measure(parts: Sequence[str], rounds: int = 3) -> Dict:
    """Make the corpora and measure."""
    work = {
        "startup": lambda corpora: startup(corpora, rounds),
        "memory": memory,
        "steps": lambda corpora: steps(corpora, 5 * rounds),
    }
    sizes = AXES["recordings"] if set(parts) == {"steps"} else SIZES
    with tempfile.TemporaryDirectory() as folder:
        corpora = {
            n: make_corpus(Path(folder) / str(n), n)
            for n in tqdm(sizes, "corpora", dynamic_ncols=True)
        }
        return {part: work[part](corpora) for part in parts}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a JSON file to write")
    args = parser.parse_args()
    with one_line_errors():
        results = measure(args.parts, args.rounds)
        print(f"\n{markdown(results)}")
        if args.out is not None:
            write_text(args.out, json.dumps(results, indent=1) + "\n")
            print(f"\ndone: {args.out}")


if __name__ == "__main__":
    main()
