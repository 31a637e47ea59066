"""Two ways to do the same work, timed in turns, each in its own process.

The machine may be shared and its clock may change: only the ratio of two
times taken one after the other means something, and its spread says how much.
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
    """How work is done: a function that gets ready and returns the step.

    Arguments
    ---------
    factory : str
        ``module:function``; what it returns does the work when called.
    options : dict
        Its keyword arguments.
    """

    factory: str
    options: Dict = field(default_factory=dict)


@dataclass
class Duel:
    """Seconds of both, one pair a round.

    Arguments
    ---------
    reference : list of float
        Seconds of the slow one.
    project : list of float
        Seconds of the fast one, taken right after.
    gflop : dict
        Floating point operations of one step, in 1e9, by side; convolutions
        and matrix products.
    peak_mb : dict
        Most memory that either process held.
    """

    reference: List[float]
    project: List[float]
    gflop: Dict[str, float]
    peak_mb: Dict[str, float]

    def ratios(self) -> np.ndarray:
        """How many times as fast the project is, round by round."""
        return np.array(self.reference) / np.array(self.project)

    def row(self) -> Dict:
        """Median and quartiles, as JSON can hold them."""
        low, middle, high = np.quantile(self.ratios(), [0.25, 0.5, 0.75])
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
    """A process that does one kind of work when it is told to."""

    def __init__(self, way: Way, n_threads: int):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, way, n_threads), daemon=True
        )
        self.process.start()
        theirs.close()

    def ask(self, what: str, *arguments):
        """``seconds``: of so many steps, one after the other; ``gflop``: of a
        step; ``peak_mb``: so far."""
        self.pipe.send((what, arguments))
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
    for what, arguments in iter(pipe.recv, None):
        pipe.send(answers[what](*arguments))


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
    """Time two ways in turns."""
    sides = {"reference": reference, "project": project}
    steps = {"reference": 1, "project": 1, **(steps or {})}
    contenders = {s: Contender(way, n_threads) for s, way in sides.items()}
    # Counting is the first of two warm-up steps.
    gflop = {s: c.ask("gflop") for s, c in contenders.items()}
    for contender in contenders.values():
        contender.ask("seconds", 1)
    seconds = {side: [] for side in sides}
    for _ in tqdm(range(rounds), desc=title, dynamic_ncols=True):
        for side, contender in contenders.items():
            taken = contender.ask("seconds", steps[side])
            seconds[side].append(taken / steps[side])
    peak = {s: c.ask("peak_mb") for s, c in contenders.items()}
    for contender in contenders.values():
        contender.end()
    return Duel(seconds["reference"], seconds["project"], gflop, peak)
