"""The classifiers of a study: which encoders, modes and label fractions."""

from typing import List, Tuple

from recipes.study.encoders import ENCODERS, FEW_LABELS_MODES
from recipes.study.settings import Settings, Task
from recipes.study.stages import PROBES


def classifications(
    settings: Settings,
) -> List[Tuple[Task, str, str, float]]:
    """Task, encoder, mode and label fraction of all classifiers."""
    first = settings.tasks[0]
    cells = [
        (task, encoder, mode, 1.0)
        for task in settings.tasks
        for encoder in settings.encoders
        if task is first or 2 in ENCODERS[encoder].tables
        for mode in settings.modes
    ]
    cells += [
        (first, encoder, mode, fraction)
        for fraction in settings.compared_at
        for encoder in settings.encoders
        for mode in settings.modes
        if mode in PROBES and (encoder, mode) not in few_labels_rows(settings)
    ]
    cells += [
        (first, encoder, mode, fraction)
        for fraction in settings.fractions[:-1]
        for encoder, mode in few_labels_rows(settings)
    ]
    # Encoders of others are read as they are.
    return [
        (task, encoder, mode, fraction)
        for task, encoder, mode, fraction in cells
        if mode == "linear" or not ENCODERS[encoder].outside
    ]


def few_labels_rows(settings: Settings) -> List[Tuple[str, str]]:
    """Encoders and modes that are also trained with fewer labels."""
    if len(settings.fractions) == 1:
        return []
    return [
        (encoder, mode)
        for encoder in settings.encoders
        if ENCODERS[encoder].few_labels
        for mode in FEW_LABELS_MODES
        if mode in settings.modes
    ]
