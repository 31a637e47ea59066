"""The first results of a running study: its page and a table for the console,
made again for each further encoder."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Container, Dict, Optional, Set

from data_prep.files.parent import program_ends_with_parent
from recipes.study import cost
from recipes.study.command import THREADS
from recipes.study.encoders import ENCODERS
from recipes.study.plan import Plan, Run
from recipes.study.settings import Settings

#: In a study's folder: the table that its last page was made with.
TABLE = "encoders.txt"
#: Most processor time of these pages, as a share of the study's.
_SHARE = 0.03
_PAGE_S = 15.0  # of a first page, before one was measured
#: Encoder with the controls beside it, which every study has.
_FIRST = "simclr"


def is_first_look(run: Run, settings: Settings) -> bool:
    """True for the probes of the table that is shown first."""
    facts = run.facts
    return (
        run.rule == "train_cls"
        and facts["task"] == settings.tasks[0].name
        and facts["mode"] == "linear"
        and facts["fraction"] == 1.0
    )


def priority(run: Run, settings: Settings) -> int:
    """Priority of a run: the first seed of each encoder and its probe come
    first, encoders that are not adapted before all."""
    seeds = {"train_cls": settings.seeds}.get(
        run.rule, settings.pretraining_seeds
    )
    if "encoder" not in run.facts or run.facts["seed"] != seeds[0]:
        return 0
    if run.rule == "train_cls":
        return 3 * is_first_look(run, settings)
    if run.rule == "embed":
        return 0
    return 1 if ENCODERS[run.facts["encoder"]].cries else 2


class SoFar:
    """Starts a process for the table, and for the page if its processor time
    is small beside the study's. A failure there does not concern the study."""

    def __init__(self, plan: Plan, environment: Dict[str, str], jobs: int):
        self.plan, self.jobs = plan, jobs
        self.environment = {**environment, **THREADS}
        out = plan.settings.output_folder
        self.log = out / "logs/so_far.log"
        self.cost = out / "costs/so_far.tsv"
        self.shown: Optional[Set[str]] = None
        self.process: Optional[subprocess.Popen] = None
        self.spent_s, self.page_s = 0.0, _PAGE_S
        self.began, self.has_page = time.monotonic(), False

    def look(self, done: Container[str], left_s: float) -> str:
        """Start what the finished runs allow, with so many seconds to go;
        return the text of what has ended."""
        text = self._ended()
        known = {
            run.facts["encoder"]
            for run in self.plan.of_rule("train_cls")
            if run.name in done and is_first_look(run, self.plan.settings)
        }
        if self.shown is None:
            self.shown = known  # before this start
        if self.process is None and known - self.shown and left_s > 0:
            self.shown = known
            self.has_page = _FIRST in known and self._affordable(left_s)
            self._start()
        return text

    def _affordable(self, left_s: float) -> bool:
        total_s = self.jobs * (time.monotonic() - self.began + left_s)
        return self.spent_s + self.page_s <= _SHARE * total_s

    def _start(self) -> None:
        out = self.plan.settings.output_folder
        self.cost.unlink(missing_ok=True)
        command = [
            str(self.cost),
            "-m",
            "recipes.study.report.so_far",
            str(out),
        ]
        command += ["--page"] * self.has_page
        if self.has_page:
            forget_page(out)
        with open(self.log, "w", encoding="utf-8") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "recipes.study.command", *command],
                stdout=file, stderr=subprocess.STDOUT, env=self.environment,
                start_new_session=True, preexec_fn=program_ends_with_parent(),
            )  # fmt: skip

    def _ended(self) -> str:
        """Text of a process that has ended."""
        if self.process is None or self.process.poll() is None:
            return ""
        status, self.process = self.process.returncode, None
        measured = cost.read(self.cost)
        cpu_s = measured["cpu_s"] if measured else self.page_s
        self.spent_s += cpu_s
        if self.has_page:
            self.page_s = cpu_s
        if status:
            return f"the table could not be made, see {self.log}; the study goes on"
        return self.log.read_text("utf-8", "replace").rstrip()

    def stop(self) -> None:
        """End the process: the study's own page comes."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None


def forget_page(out: Path) -> None:
    """Remove the mark of a complete page, which is about to be replaced."""
    for mark in (out / "reports").glob("*"):
        mark.unlink()
