"""The sentence that says whether training an encoder was worth it, by task."""

from typing import Dict, List, Optional, Set

from cry_modules.evaluation.controls import NAMES
from cry_modules.metrics.compare import ONE_SEED
from cry_modules.metrics.paired import ALPHA
from recipes.study.encoders import ENCODERS
from recipes.study.report.facts import and_
from recipes.study.report.findings import BASELINE, Pairs
from recipes.study.settings import Settings
from recipes.study.stages import MODE_NAMES

_UNTRAINED = "random", "random_calibrated"


def answers(settings: Settings, all_pairs: List[Pairs]) -> Dict[str, str]:
    """Sentence by label column, from the pairs in the mode that is read best:
    which trained encoders are better or worse than log-mel statistics, and than
    encoders that nobody trained, after Holm's correction."""
    sentences: Dict[str, str] = {}
    for task in settings.tasks:
        entries = [entry for entry in all_pairs if entry.task == task.name]
        if entries:
            sentence = _sentence(settings, entries[0])
            sentences.update({task.label_column: sentence} if sentence else {})
    return sentences


def _sentence(settings: Settings, entry: Pairs) -> Optional[str]:
    rows = {name: ENCODERS[name] for name in settings.encoders}
    trained = {
        row.label
        for name, row in rows.items()
        if name not in _UNTRAINED and not row.control
    }
    yardsticks = {NAMES[BASELINE]: NAMES[BASELINE]}
    for name in _UNTRAINED:
        if name in rows:
            label = rows[name].label
            yardsticks[label] = f"an untrained encoder ({label})"
    clauses = [_clause(entry.rows, trained, *y) for y in yardsticks.items()]
    text = "; ".join(filter(None, clauses))
    text = text[:1].upper() + text[1:]
    return f"{text} ({MODE_NAMES[entry.mode]}).".strip() if text else None


def _clause(
    rows: List[Dict], trained: Set[str], yardstick: str, words: str
) -> Optional[str]:
    """Name the encoders that are separable from a yardstick."""
    better, worse, reasons = [], [], []
    for row in rows:
        pair = {row["a"], row["b"]}
        others = pair & trained
        if yardstick not in pair or not others:
            continue
        reasons.append(row["no_interval"])
        if row["p_holm"] is not None and row["p_holm"] < ALPHA:
            is_first = row["a"] in others
            is_better = (row["difference"] > 0) == is_first
            (better if is_better else worse).extend(others)
    if not reasons:
        return None
    if ONE_SEED in reasons:
        return f"undecided against {words}: {ONE_SEED}"
    subject = f"{and_(better)} {_is(better)}"
    if not better:
        subject = "no trained encoder is shown to be"
    rest = f", and {and_(worse)} {_is(worse)} worse" if worse else ""
    return f"{subject} better than {words}{rest}"


def _is(names: List[str]) -> str:
    return "is" if len(names) == 1 else "are"
