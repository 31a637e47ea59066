"""Summary of the processor time that a study used."""

import resource
from typing import Dict, Iterable, List

from recipes.study import cost
from recipes.study.plan import Run
from recipes.study.settings import MODE_NAMES, Settings

_REST = "Snakemake, imports"


def by_kind(runs: Iterable[Run], settings: Settings) -> Dict[str, float]:
    """Processor seconds by kind of run, as far as they were measured."""
    kinds: Dict[str, float] = {}
    for run in runs:
        measured = cost.timed(run, settings)
        if measured is not None:
            kind = _kind(run)
            kinds[kind] = kinds.get(kind, 0.0) + measured["cpu_s"]
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
    lines: List[str] = [
        f"{in_minutes(wall_s)}, processor time {in_minutes(total_s)}:"
    ]
    for kind, seconds in {**kinds, _REST: rest}.items():
        share = 100 * seconds / total_s if total_s else 0.0
        lines.append(f"  {kind:28}{seconds:7.0f} s{share:5.0f} %")
    return "\n".join(lines)


def in_minutes(seconds: float) -> str:
    """Format a duration in minutes and seconds.

    Example
    -------
    >>> in_minutes(9.6), in_minutes(161)
    ('10 s', '2 min 41 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
