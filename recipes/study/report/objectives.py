"""Table of the self-supervised objectives of a study: what their encoders reach
and what they cost."""

from statistics import mean
from typing import Dict, List, Optional, Tuple

from recipes.study import cost
from recipes.study.encoders import (
    ENCODERS,
    OBJECTIVES,
    WITHOUT_OBJECTIVE,
    pretraining_of,
)
from recipes.study.report.results import Cell, Results
from recipes.study.report.tables import at_share
from recipes.study.settings import Task
from recipes.study.stages import MODE_NAMES, PROBES


def by_objective(results: Results) -> List[Dict]:
    """Encoders grouped by objective: test AUC by task and mode, and the
    processor minutes of training; empty with one objective."""
    names = [
        name
        for name in results.settings.encoders
        if ENCODERS[name].stage not in WITHOUT_OBJECTIVE
    ]
    groups = [
        {
            "objective": OBJECTIVES[objective],
            "rows": [
                {
                    "encoder": ENCODERS[name].label,
                    "cells": _cells(results, name),
                    "minutes": _minutes(results, name),
                }
                for name in names
                if ENCODERS[name].objective == objective
            ],
        }
        for objective in OBJECTIVES
    ]
    groups = [group for group in groups if group["rows"]]
    return groups if len(groups) > 1 else []


def columns(results: Results) -> List[str]:
    """Heads of the cells of ``by_objective``."""
    return [
        at_share(f"{task.label_column}, {MODE_NAMES[mode]}", share)
        for task, mode, share in _compared(results)
    ]


def _compared(results: Results) -> List[Tuple[Task, str, float]]:
    """Tasks, modes and fractions of the labels that all encoders have."""
    settings = results.settings
    where = [(task, m, 1.0) for task in settings.tasks for m in settings.modes]
    return where + [
        (settings.tasks[0], mode, share)
        for share in settings.compared_at
        for mode in settings.modes
        if mode in PROBES
    ]


def _cells(results: Results, encoder: str) -> List[Optional[Cell]]:
    return [
        results.cell(task.name, encoder, mode, share)
        for task, mode, share in _compared(results)
    ]


def _minutes(results: Results, encoder: str) -> Optional[float]:
    """Processor minutes of an encoder, mean over seeds: of an adaptation with
    its pre-training, in all folds; None unless all were measured."""
    plan, totals = results.plan, []
    for seed in results.settings.pretraining_seeds:
        folds = plan.adapted_folds(encoder) if ENCODERS[encoder].cries else []
        runs = [plan.encoder(encoder, seed, fold) for fold in folds or [""]]
        if ENCODERS[encoder].cries:
            runs.append(plan.encoder(pretraining_of(encoder), seed))
        measured = [cost.timed(run, results.settings) for run in runs]
        if None in measured:
            return None
        totals.append(sum(m["cpu_s"] for m in measured) / 60)
    return mean(totals)
