"""A start of ``train_simclr.py`` that ends at its n-th batch, and says when
batches came and what memory its processes had then.

    python benchmarks/first_batches.py BEGAN N,N,... ARGUMENTS

BEGAN is the monotonic clock when the process was started, ARGUMENTS those of
``train_simclr.py``. The last line of the output is JSON. Needs Linux, whose
/proc tells memory.
"""

import json
import os
import sys
import time
from pathlib import Path

BEGAN = float(sys.argv[1])

import speechbrain  # noqa: E402, F401  the floor: it brings torch

FLOOR_S = time.monotonic() - BEGAN

import multiprocessing  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the recipes are not installed

from recipes.simclr import train_simclr  # noqa: E402


def memory(process="self"):
    """Megabytes of a process.

    ``resident``: all that is in memory for it, shared libraries included;
    ``peak``: the most that this ever was; ``own``: without files, and of what
    several processes have, each its share.
    """
    lines = []
    for file in ("status", "smaps_rollup"):
        lines += Path(f"/proc/{process}/{file}").read_text().splitlines()[1:]
    values = dict(line.split(":", 1) for line in lines)
    names = {"resident": "VmRSS", "peak": "VmHWM", "own": "Pss_Anon"}
    return {k: int(values[v].split()[0]) / 1024 for k, v in names.items()}


def report(n_batches):
    """Of this moment."""
    return {
        "batch": n_batches,
        "seconds": time.monotonic() - BEGAN,
        # Of processors, children that ended included: hardly longer where
        # others use the machine too.
        "cpu_s": sum(os.times()[:4]),
        "main": memory(),
        "workers": [memory(p.pid) for p in multiprocessing.active_children()],
    }


class Stopping(train_simclr.SimCLRBrain):
    """Reports when it is given certain batches; ends at the last of them."""

    n_batches = 0

    def fit_batch(self, batch):
        """Report before the step."""
        self.n_batches += 1
        if self.n_batches in WANTED:
            REPORTS.append(report(self.n_batches))
        if self.n_batches == max(WANTED):
            answer = {"floor_s": FLOOR_S, "imports_s": IMPORTS_S}
            print(json.dumps({**answer, "batches": REPORTS}), flush=True)
            sys.exit()
        return super().fit_batch(batch)


IMPORTS_S = time.monotonic() - BEGAN
WANTED = [int(n) for n in sys.argv[2].split(",")]
REPORTS = []

if __name__ == "__main__":
    train_simclr.SimCLRBrain = Stopping
    train_simclr.main(sys.argv[3:])
