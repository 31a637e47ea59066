"""What a study says while it runs: what is done, what has failed and why, and
how long the rest will take.

On a terminal that is a bar in one line, with a line for each failure; into a
file, a line for each run.
"""

import re
import sys
import time
from pathlib import Path
from typing import Dict, List, Set

from tqdm import tqdm

from recipes.study import cost
from recipes.study.plan import Plan, Run

_BAR = "{percentage:3.0f}%|{bar}| {postfix}"


def is_done(run: Run) -> bool:
    """Whether a run's result is there."""
    return run.result.is_file()


class Watch:
    """Tells what is done and what has failed, while Snakemake works."""

    def __init__(self, plan, estimate, jobs, log):
        self.plan, self.estimate, self.jobs = plan, estimate, jobs
        self.log, self.read = log, 0
        self.by_result = {str(run.result): run for run in plan.runs.values()}
        self.done: Set[str] = {r.name for r in plan.runs.values() if is_done(r)}
        self.failed: Dict[str, Path] = {}
        self.began = self.changed = time.monotonic()
        self.left_s = self._estimate_left()
        self.last = "starting"
        self.bar = None
        if sys.stdout.isatty():
            self.bar = tqdm(
                total=1.0, file=sys.stdout, dynamic_ncols=True, bar_format=_BAR
            )

    def look(self, ended: bool = False) -> None:
        """Report what is new. A run's costs are the last that it writes, so
        while the study runs it is done once they are there."""
        for run in self.plan.runs.values():
            if run.name in self.done or not is_done(run):
                continue
            if ended or cost.timed(run, self.plan.settings) is not None:
                self.done.add(run.name)
                self.failed.pop(run.name, None)
                self._say_done(run)
        for run in self._failures():
            if run.name not in self.failed:
                self.failed[run.name] = log_of(run, self.plan)
                self._say(failure(run, self.failed[run.name]))
        self._draw()

    def _say(self, line: str) -> None:
        """At once, into a file too: somebody may be following it."""
        if self.bar is None:
            print(line, flush=True)
        else:
            self.bar.write(line, file=sys.stdout)

    def _say_done(self, run: Run) -> None:
        took = cost.timed(run, self.plan.settings)
        took = f" in {took['seconds']:.0f} s" if took else ""
        self.changed, self.left_s = time.monotonic(), self._estimate_left()
        self.last = f"{run.name}{took}"
        if self.bar is None:
            print(f"{self._count()} {self.last}{self._ahead()}", flush=True)

    def _count(self) -> str:
        return f"{len(self.done)}/{len(self.plan.runs)}"

    def _ahead(self) -> str:
        if len(self.done) == len(self.plan.runs):
            return ", now the page"
        return f", about {cost.in_words(self.left_s)} left"

    def _estimate_left(self) -> float:
        """Seconds from now, by what the runs that are done took."""
        runs = self.plan.runs.values()
        done = [run for run in runs if run.name in self.done]
        left = [run for run in runs if run.name not in self.done]
        return self.estimate.of(left, done) / self.jobs

    def _draw(self) -> None:
        """The bar: the share of the time that is over."""
        if self.bar is None:
            return
        now = time.monotonic()
        left = max(1.0, self.left_s - (now - self.changed))
        over = now - self.began
        self.bar.n = over / (over + left)
        self.bar.set_postfix_str(
            f"{self._count()} runs{self._ahead()}: {self.last}"
        )

    def _failures(self) -> List[Run]:
        """Runs that Snakemake has newly called failed."""
        text = self.log.read_text("utf-8", errors="replace")
        new, self.read = text[self.read :], len(text)
        outputs = re.findall(
            r"Error in rule \w+:.*?output: ([^\n]+)", new, re.S
        )
        found = [line.split(" (")[0].strip() for line in outputs]
        return [self.by_result[o] for o in found if o in self.by_result]

    def close(self) -> None:
        """The last look."""
        self.look(ended=True)
        if self.bar is not None:
            self.bar.n = self.bar.total
            self.bar.set_postfix_str(f"{self._count()} runs")
            self.bar.close()


def log_of(run: Run, plan: Plan) -> Path:
    """What a run's command said."""
    out = plan.settings.output_folder
    if run.rule in ("corpus", "tables"):
        return out / "logs" / f"{run.rule}.log"
    place = run.folder.relative_to(out)
    return out / "logs" / place.parent / f"{place.name}.log"


def failure(run: Run, log: Path) -> str:
    """A line on a failed run: its log, and what stands last in it."""
    text = log.read_text("utf-8", errors="replace") if log.is_file() else ""
    # A progress bar may stand below the error, or before it in its line.
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    errors = [
        line[line.index("error: ") :] for line in lines if "error: " in line
    ]
    last = (errors or lines or ["its log is empty"])[-1].strip()
    return f"FAILED {run.name}, see {log}: {last}"
