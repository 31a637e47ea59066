"""Summary of the processor time that a study used."""

import resource
from collections import Counter
from datetime import timedelta
from typing import Dict, Iterable

from recipes.study import cost
from recipes.study.plan import Run
from recipes.study.settings import Settings
from recipes.study.stages import MODE_NAMES


def by_kind(runs: Iterable[Run], settings: Settings) -> Dict[str, float]:
    """Processor seconds by kind of run, as far as they were measured."""
    kinds: Counter = Counter()
    for run in runs:
        measured = cost.timed(run, settings)
        if measured is not None:
            kinds[_kind(run)] += measured["cpu_s"]
    page = cost.read(settings.output_folder / "costs/report.tsv")
    if page is not None:
        kinds["page"] = page["cpu_s"]
    return kinds


def _kind(run: Run) -> str:
    if run.rule == "train_cls":
        return f"{MODE_NAMES[run.facts['mode']]} classifiers"
    if run.rule.startswith("train_"):
        return "training of encoders"
    if run.rule in ("corpus", "audit", "tables"):
        return "corpus and tables"
    return {"embed": "embeddings for the page"}.get(run.rule, run.rule)


def used() -> float:
    """Processor seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def summary(kinds: Dict[str, float], total_s: float, wall_s: float) -> str:
    """Table of the shares of the processor time; the rest is Snakemake's."""
    rest = max(0.0, total_s - sum(kinds.values()))
    wall, total = (timedelta(seconds=round(s)) for s in (wall_s, total_s))
    lines = [f"{wall}, processor time {total}:"]
    for kind, seconds in {**kinds, "Snakemake, imports": rest}.items():
        share = 100 * seconds / total_s if total_s else 0.0
        lines.append(f"  {kind:28}{seconds:7.0f} s{share:5.0f} %")
    return "\n".join(lines)
