"""Where the time of a study went, in a few lines."""

import resource
from typing import Dict, Iterable, List

from recipes.study import cost
from recipes.study.plan import Run
from recipes.study.settings import MODE_NAMES, Settings

_PAGE = "page"
_REST = "Snakemake, imports"


def by_kind(runs: Iterable[Run], settings: Settings) -> Dict[str, float]:
    """Seconds of a processor by kind of run, as far as they were measured."""
    found: Dict[str, float] = {}
    for run in runs:
        took = cost.timed(run, settings)
        if took is not None:
            kind = _kind(run)
            found[kind] = found.get(kind, 0.0) + took["cpu_s"]
    page = cost.read(settings.output_folder / "costs/report.tsv")
    if page is not None:
        found[_PAGE] = page["cpu_s"]
    return found


def _kind(run: Run) -> str:
    if run.rule == "train_cls":
        return f"{MODE_NAMES[run.facts['mode']]} classifiers"
    if run.rule.startswith("train_"):
        return "training of encoders"
    if run.rule in ("corpus", "audit", "tables"):
        return "corpus and tables"
    return {"embed": "embeddings for the page"}.get(run.rule, run.rule)


def used() -> float:
    """Seconds of a processor that the processes of this one have used and
    that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def summary(kinds: Dict[str, float], total_s: float, wall_s: float) -> str:
    """The lines: shares of all processor time, the rest for the engine."""
    rest = max(0.0, total_s - sum(kinds.values()))
    lines: List[str] = [
        f"{in_minutes(wall_s)}, {in_minutes(total_s)} of a processor:"
    ]
    for kind, seconds in {**kinds, _REST: rest}.items():
        share = 100 * seconds / total_s if total_s else 0.0
        lines.append(f"  {kind:28}{seconds:7.0f} s{share:5.0f} %")
    return "\n".join(lines)


def in_minutes(seconds: float) -> str:
    """A short time, for people.

    Example
    -------
    >>> in_minutes(9.6), in_minutes(161)
    ('10 s', '2 min 41 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
