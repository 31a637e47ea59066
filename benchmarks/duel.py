"""Time two implementations of the same work in turns, each in its own process.

Other load and the clock of a shared machine change times: only the ratio of two
times measured one after the other is compared, with its spread.
"""

import multiprocessing
import resource
import time
from dataclasses import dataclass, field
from importlib import import_module
from typing import Dict, List, Optional

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm


@dataclass
class Way:
    """An implementation: ``module:function``, which prepares and returns the
    step, and its keyword arguments."""

    factory: str
    options: Dict = field(default_factory=dict)


@dataclass
class Duel:
    """Timings of two implementations in seconds, one pair for each round; and
    by implementation the floating point operations of a step (in 1e9,
    convolutions and matrix products) and the process's peak memory."""

    reference: List[float]
    project: List[float]
    gflop: Dict[str, float]
    peak_mb: Dict[str, float]

    def row(self) -> Dict:
        """Medians and quartiles for JSON."""
        ratios = np.array(self.reference) / np.array(self.project)
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        return {
            "reference_s": float(np.median(self.reference)),
            "project_s": float(np.median(self.project)),
            "ratio": float(middle),
            "quartiles": [float(low), float(high)],
            "rounds": len(self.project),
            "gflop": self.gflop,
            "peak_mb": self.peak_mb,
        }


class Contender:
    """A process that runs one implementation on request."""

    def __init__(self, way: Way, n_threads: int):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, way, n_threads), daemon=True
        )
        self.process.start()
        theirs.close()

    def request(self, name: str, *arguments):
        """Request a measurement from the process: ``seconds`` of the given
        number of steps, ``gflop`` of a step, or ``peak_mb`` so far."""
        self.pipe.send((name, arguments))
        return self.pipe.recv()

    def end(self):
        """Stop the process."""
        self.pipe.send(None)
        self.process.join()


def _serve(pipe, way, n_threads):
    torch.set_num_threads(n_threads)
    module, name = way.factory.split(":")
    step = getattr(import_module(module), name)(**way.options)
    answers = {
        "seconds": lambda n_steps: _seconds(step, n_steps),
        "gflop": lambda: _gflop(step),
        "peak_mb": lambda: (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        ),
    }
    for request, arguments in iter(pipe.recv, None):
        pipe.send(answers[request](*arguments))


def _seconds(step, n_steps):
    begin = time.perf_counter()
    for _ in range(n_steps):
        step()
    return time.perf_counter() - begin


def _gflop(step):
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9


def duel(
    reference: Way,
    project: Way,
    rounds: int = 7,
    n_threads: int = 2,
    title: str = "",
    steps: Optional[Dict[str, int]] = None,
) -> Duel:
    """Time two implementations in turns."""
    sides = {"reference": reference, "project": project}
    steps = {"reference": 1, "project": 1, **(steps or {})}
    contenders = {s: Contender(way, n_threads) for s, way in sides.items()}
    # Counting is the first of two warm-up steps.
    gflop = {s: c.request("gflop") for s, c in contenders.items()}
    for contender in contenders.values():
        contender.request("seconds", 1)
    seconds = {side: [] for side in sides}
    for _ in tqdm(range(rounds), desc=title, dynamic_ncols=True):
        for side, contender in contenders.items():
            taken = contender.request("seconds", steps[side])
            seconds[side].append(taken / steps[side])
    peak = {s: c.request("peak_mb") for s, c in contenders.items()}
    for contender in contenders.values():
        contender.end()
    return Duel(seconds["reference"], seconds["project"], gflop, peak)
