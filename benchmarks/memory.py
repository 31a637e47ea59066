#!/usr/bin/env python3
"""Measure memory and time of a SimCLR step with and without activation
checkpointing.

> python benchmarks/memory.py --out memory.json

Each case runs in a new process, in turns: peak memory (VmHWM), processor time
and wall time of the second of two steps, and the estimate that a run would
print. Needs Linux. ``--largest_batch 8 24`` computes instead, from the same
estimate, the largest batches of ``hparams/vggsound.yaml`` in so many GB of a
GPU's memory.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the recipes are not installed

from cry_modules.training import memory as process_memory  # noqa: E402
from cry_modules.training.experiment import load  # noqa: E402
from cry_modules.training.forecast import (  # noqa: E402
    MARGIN,
    forecast_simclr,
    tone,
)
from cry_modules.training.recompute import recompute_blocks  # noqa: E402
from cry_modules.training.schedule import step_schedule  # noqa: E402
from cry_modules.training.simclr import SimCLRBrain  # noqa: E402
from data_prep.files.errors import one_line_errors  # noqa: E402
from data_prep.files.parent import program_ends_with_parent  # noqa: E402
from data_prep.files.tables import write_text  # noqa: E402

#: Width, batch size, chunk in seconds.
SIZES = ((8, 32, 4.0), (64, 8, 4.0))
PRECISIONS = ("fp32", "bf16")
CASES = [(p, recompute) for p in PRECISIONS for recompute in (False, True)]
#: Width and chunk of the paper, seconds.
_PAPERS = (64, 4.0)


def make_brain(width, batch_size, chunk_s, recompute, precision, folder):
    """Make a Brain with the paper's settings; return it and the
    hyperparameters."""
    hparams = load(
        str(ROOT / "hparams/vggsound.yaml"),
        {
            "output_folder": folder,
            "width": width,
            "batch_size": batch_size,
            "chunk_s": chunk_s,
            "checkpoint_activations": recompute,
        },
    )
    brain = SimCLRBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts={"device": "cpu", "precision": precision},
        checkpointer=hparams["checkpointer"],
    )
    brain.two_passes = False
    brain.schedule = step_schedule(hparams, 10, 1)
    brain.init_optimizers()
    return brain, hparams


def measure_one(width, batch_size, chunk_s, recompute, precision) -> dict:
    """Measure peak memory and the time of the second training step in this
    process."""
    with tempfile.TemporaryDirectory() as folder:
        brain, hparams = make_brain(
            width, batch_size, chunk_s, recompute, precision, folder
        )
        before = process_memory.resident_memory()
        forecast_simclr(brain, hparams, 10, 0)
        estimate = brain.forecast
        if recompute:
            recompute_blocks(hparams["encoder"])
        item = {"id": "", "chunks": tone(hparams["chunks"].n_samples)}
        item["chunks"] = item["chunks"].expand(2, -1)
        item |= {"gain": torch.ones(1), "corpus": ""}
        batch = PaddedBatch([item] * batch_size)
        brain.modules.train()
        brain.on_stage_start(sb.Stage.TRAIN, 1)
        for brain.step in (1, 2):
            start, cpu = time.perf_counter(), time.process_time()
            brain.fit_batch(batch)
            seconds = time.perf_counter() - start
            cpu_s = time.process_time() - cpu
    need = estimate.need(recompute=recompute).total()
    return {
        "peak_gb": process_memory.peak_memory() / 1e9,
        "estimated_gb": (before + need) / 1e9,
        "seconds": seconds,
        "estimated_s": estimate.step_s,
        "cpu_s": cpu_s,
    }


def largest_batches(gigabytes) -> str:
    """Table of the largest batch in each memory, of which a tenth stays free."""
    head = ["", *(f"{gb:g} GB" for gb in gigabytes)]
    rows = [head, ["---"] * len(head)]
    for precision, recompute in CASES:
        with tempfile.TemporaryDirectory() as folder:
            brain, hparams = make_brain(
                *(_PAPERS[0], 2, _PAPERS[1]), recompute, precision, folder
            )
            forecast_simclr(brain, hparams, 10, 0)
        brain.forecast.device = torch.device("cuda")  # its formula
        need = brain.forecast.need(recompute=recompute)
        each = need.activations / hparams["batch_size"]
        free = [1e9 * gb / MARGIN - need.state for gb in gigabytes]
        name = precision + ", checkpointing" * recompute
        rows.append([name, *(str(max(0, int(f / each))) for f in free)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def measure_all(sizes, rounds) -> list:
    """Measure all cases in turns, each time in a new process; return
    medians."""
    measured = {
        (*size, recompute, precision): []
        for size in sizes
        for precision, recompute in CASES
    }
    for _ in range(rounds):
        for key, rows in measured.items():
            command = [sys.executable, __file__, "--case", *map(str, key)]
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                check=True,
                preexec_fn=program_ends_with_parent(),
            )
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    names = ("width", "batch_size", "chunk_s", "recompute", "precision")
    return [
        dict(zip(names, key))
        | {name: median(row[name] for row in rows) for name in rows[0]}
        for key, rows in measured.items()
    ]


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions")
    parser.add_argument(
        "--sizes", type=json.loads, default=SIZES, help="JSON: sizes to measure"
    )
    parser.add_argument(
        "--largest_batch", nargs="+", type=float, metavar="GB",
        help="print the largest batches in so much memory",
    )  # fmt: skip
    parser.add_argument("--case", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.case:
        width, size, chunk_s, recompute, precision = args.case
        row = measure_one(
            *(int(width), int(size), float(chunk_s)),
            *(recompute == "True", precision),
        )
        print(json.dumps(row))
        return
    if args.largest_batch:
        print(largest_batches(args.largest_batch))
        return
    rows = measure_all(args.sizes, args.rounds)
    for row in rows:
        print(
            ", ".join(
                f"{k} {v:.3g}" if type(v) is float else f"{k} {v}"
                for k, v in row.items()
            )
        )
    if args.out:
        write_text(Path(args.out), json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
