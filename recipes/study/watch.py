"""Progress of a running study: finished runs, failures, and remaining time.

On a terminal it is a progress bar and a line for each failure; in a file, a
line for each run.
"""

import re
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional, Set

from tqdm import tqdm

from data_prep.files.shapes import read_json
from recipes.study import cost
from recipes.study.clock import bring_back
from recipes.study.keys import as_keys, stage_of
from recipes.study.plan import Plan, Run
from recipes.study.so_far import SoFar

#: Longest silence of a study whose output is a file.
_SILENT_S = 180.0
#: Of ``confounds.json``.
_VERDICT = {"verdict": [str], str: object}
_BAR = "{percentage:3.0f}%|{bar}| {postfix}"


class Watch:
    """Reports finished and failed runs while Snakemake works."""

    def __init__(self, plan, estimate, jobs, log):
        self.plan, self.estimate, self.jobs = plan, estimate, jobs
        self.log, self.read = log, 0
        self.by_result = {str(run.result): run for run in plan.runs.values()}
        self.done: Set[str] = {r.name for r in plan.runs.values() if r.done}
        self.failed: Dict[str, Path] = {}
        self.interrupted = False  # runs then end because they are stopped
        self.so_far: Optional[SoFar] = None  # makes the first tables
        self.began = self.changed = self.said = time.monotonic()
        self.logs = self._changes_of_logs()
        self.left_s = self._estimate_left()
        self.last = "starting"
        self.bar = tqdm(
            total=1.0, file=sys.stdout, dynamic_ncols=True, bar_format=_BAR,
            disable=not sys.stdout.isatty(),
        )  # fmt: skip

    def look(self, ended: bool = False) -> None:
        """Report new events. While the study runs, a run counts as done once
        its costs exist, which it writes last."""
        n_ahead = bring_back(run.result for run in self.plan.runs.values())
        if n_ahead:
            self._write(
                f"{n_ahead} results are ahead of the clock, which was set back: "
                "their times are now"
            )
        for run in self.plan.runs.values():
            if run.name in self.done or not run.done:
                continue
            if ended or cost.timed(run, self.plan.settings) is not None:
                self.done.add(run.name)
                self.failed.pop(run.name, None)
                self._say_done(run)
        for run in self._failures():
            if run.name not in self.failed:
                self.failed[run.name] = log_of(run, self.plan)
                self._write(
                    f"stopped {run.name}"
                    if self.interrupted
                    else failure(run, self.failed[run.name])
                )
        self._look_so_far(ended)
        if not ended:
            self._say_running()
        self._draw()

    def _look_so_far(self, ended: bool) -> None:
        """Print the table of the encoders when one is new."""
        if self.so_far is None:
            return
        if ended or len(self.done) == len(self.plan.runs):
            self.so_far.stop()
            self.so_far = None
        elif text := self.so_far.look(self.done, self.left_s):
            self._write(text)

    def _write(self, text: str) -> None:
        self.bar.write(text, file=sys.stdout)
        sys.stdout.flush()  # somebody may follow the file

    def _say_done(self, run: Run) -> None:
        measured = cost.timed(run, self.plan.settings)
        took = f" in {measured['seconds']:.0f} s" if measured else ""
        self.changed, self.left_s = time.monotonic(), self._estimate_left()
        self.last = f"{run.name}{took}"
        if self.bar.disable:
            print(f"{self._count()} {self.last}{self._ahead()}", flush=True)
        if run.rule == "confounds":
            found = read_json(run.result, _VERDICT, "delete its folder")
            self._write("\n".join(found["verdict"]))

    def _say_running(self) -> None:
        """Say what runs, in a file or pipe, where nothing else was said for
        minutes."""
        now = time.monotonic()
        if (
            not self.bar.disable
            or now - max(self.said, self.changed) < _SILENT_S
        ):
            return
        self.said, before = now, self.logs
        self.logs = self._changes_of_logs()
        names = [
            f"{name}{_epoch(self.plan[name])}"
            for name, change in self.logs.items()
            if change != before.get(name) and name not in self.done
        ]
        if names:
            print(f"running: {', '.join(names)}", flush=True)

    def _changes_of_logs(self) -> Dict[str, int]:
        """Time of the last change of each run's log."""
        logs = {r.name: log_of(r, self.plan) for r in self.plan.runs.values()}
        return {
            name: log.stat().st_mtime_ns
            for name, log in logs.items()
            if log.is_file()
        }

    def _count(self) -> str:
        return f"{len(self.done)}/{len(self.plan.runs)}"

    def _ahead(self) -> str:
        if len(self.done) == len(self.plan.runs):
            return ", now the page"
        return f", about {cost.in_words(self.left_s)} left"

    def _estimate_left(self) -> float:
        """Estimate the remaining seconds from the finished runs."""
        runs = self.plan.runs.values()
        done = [run for run in runs if run.name in self.done]
        left = [run for run in runs if run.name not in self.done]
        return self.estimate.of(left, done) / self.jobs

    def _draw(self) -> None:
        """Draw the bar: the elapsed share of the estimated time."""
        now = time.monotonic()
        left = max(1.0, self.left_s - (now - self.changed))
        elapsed = now - self.began
        self.bar.n = elapsed / (elapsed + left)
        text = f"{self._count()} runs{self._ahead()}: {self.last}"
        self.bar.set_postfix_str(text)

    def _failures(self) -> List[Run]:
        """Runs that Snakemake has newly reported as failed."""
        text = self.log.read_text("utf-8", errors="replace")
        new, self.read = text[self.read :], len(text)
        pattern = r"Error in rule \w+:.*?output: ([^\n]+)"
        outputs = re.findall(pattern, new, re.S)
        results = [line.split(" (")[0].strip() for line in outputs]
        return [self.by_result[r] for r in results if r in self.by_result]

    def close(self) -> None:
        """Report for the last time."""
        self.look(ended=True)
        self.bar.n = self.bar.total
        self.bar.set_postfix_str(f"{self._count()} runs")
        self.bar.close()


def _epoch(run: Run) -> str:
    """Finished epochs of a training, as text; nothing of other runs."""
    finished, of = cost.epochs(run)
    return f" (epoch {finished} of {of})" if of else ""


def log_of(run: Run, plan: Plan) -> Path:
    """Path of the log of a run's command."""
    out = plan.settings.output_folder
    path = run.folder.relative_to(out)
    if run.rule in ("corpus", "tables"):
        path = Path(run.rule)
    return out / "logs" / path.parent / f"{path.name}.log"


def failure(run: Run, log: Path) -> str:
    """Describe a failed run: its log, and the last error in it."""
    text = log.read_text("utf-8", errors="replace") if log.is_file() else ""
    # A progress bar may follow the error, or precede it in the same line.
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    errors = re.findall("error: .*", "\n".join(lines))
    last = (errors or lines or ["its log is empty"])[-1].strip()
    return f"FAILED {run.name}, see {log}: {as_keys(last, stage=stage_of(run))}"
