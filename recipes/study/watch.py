"""What a study says while it runs: what is done, what has failed and why, and
how long the rest will take.

Authors
 * The contributors of cry-ssl 2026
"""

import re
import sys
from pathlib import Path
from typing import Dict, List, Set

from tqdm import tqdm

from recipes.study import cost
from recipes.study.plan import Plan, Run


def is_done(run: Run) -> bool:
    """Whether a run's result is there."""
    return run.result.is_file()


class Watch:
    """Tells what is done and what has failed, while Snakemake works.

    Arguments
    ---------
    plan : Plan
        All runs.
    estimate : Estimate
        Of its hours.
    jobs : int
        Runs at a time.
    log : pathlib.Path
        What Snakemake says.
    """

    def __init__(self, plan, estimate, jobs, log):
        self.plan, self.estimate, self.jobs = plan, estimate, jobs
        self.log, self.read = log, 0
        self.by_result = {str(run.result): run for run in plan.runs.values()}
        self.done: Set[str] = {r.name for r in plan.runs.values() if is_done(r)}
        self.failed: Dict[str, Path] = {}
        self.bar = tqdm(
            total=len(plan.runs), initial=len(self.done), unit="run",
            dynamic_ncols=True, bar_format="{l_bar}{bar}| {n}/{total} runs",
        )  # fmt: skip

    def look(self) -> None:
        """Tell what is new."""
        for run in self.plan.runs.values():
            if run.name not in self.done and is_done(run):
                self.done.add(run.name)
                self.failed.pop(run.name, None)
                self.bar.update()
                self._say(self._line(run))
        for run in self._failures():
            if run.name not in self.failed:
                self.failed[run.name] = log_of(run, self.plan)
                self._say(failure(run, self.failed[run.name]))

    def _say(self, line: str) -> None:
        """At once, into a file too: somebody may be following it."""
        self.bar.write(line)
        sys.stdout.flush()

    def _line(self, run) -> str:
        took = cost.timed(run, self.plan.settings)
        took = f" in {took['seconds']:.0f} s" if took else ""
        done = [self.plan[name] for name in self.done]
        left = [r for r in self.plan.runs.values() if r.name not in self.done]
        seconds = self.estimate.of(left, done) / self.jobs
        ahead = f", about {cost.in_words(seconds)} left" if left else ""
        return f"{len(self.done)}/{len(self.plan.runs)} {run.name}{took}{ahead}"

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
        self.look()
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
