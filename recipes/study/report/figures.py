"""Pictures of a study's page from its results."""

from itertools import product
from typing import Dict, List, Optional

from cry_modules.figures import decision
from cry_modules.figures.page import Picture
from cry_modules.figures.training import read_run
from cry_modules.metrics.curves import PRECISION_RECALL, ROC
from recipes.study.encoders import ENCODERS, NT_XENT, OBJECTIVES
from recipes.study.report import (
    corpora,
    findings,
    hypotheses,
    maps,
    pictures,
    rows,
)
from recipes.study.stages import MODE_NAMES

#: Encoders of the ROC curves: the study's subject.
_CURVES = ("random", "supervised", "simclr", "adapt_replay")


def auc_pictures(results) -> List[Picture]:
    """Pictures of the test AUC, one for each task: by encoder and mode, then
    the controls, each with the best first."""
    drawn, modes = [], results.settings.modes
    for task in results.settings.tasks:
        cells = {
            ENCODERS[encoder].label: {
                MODE_NAMES[mode]: cell
                for mode in modes
                if (cell := results.cell(task.name, encoder, mode))
            }
            for encoder in results.settings.encoders
        }
        cells = {label: of_mode for label, of_mode in cells.items() if of_mode}
        if not cells:
            continue
        controls = corpora.controls(results, task)
        cells.update({label: {"": cell} for label, cell in controls.items()})
        drawn.append(
            rows.auc_by_encoder(
                f"auc_{task.name}",
                f"Test AUC of all encoders and controls: {task.label_column}",
                dict(sorted(cells.items(), key=_lowest_last)),
                [MODE_NAMES[mode] for mode in modes],
                {e.label for e in ENCODERS.values() if e.control} | {*controls},
            )
        )
    return drawn


def _lowest_last(entry) -> float:
    return -max(cell.mean or 0 for cell in entry[1].values())


def claims_forest(verdicts, results) -> Optional[Picture]:
    """Forest plot of the differences in AUC that test the claims; None if none
    was run."""
    groups = {}
    for verdict in verdicts:
        compared = {
            hypotheses.in_words(tested.part, results): tested
            for tested in verdict.parts
            if tested.result is not None
        }
        if compared:
            claim = f"claim {verdict.claim.number}: {verdict.verdict}"
            groups[claim] = compared
    title = "Each inequality of the claims"
    return rows.forest("claims", title, groups) if groups else None


def ranking_curves(results) -> List[Picture]:
    """Pictures of ROC, precision-recall and calibration for the first task."""
    task, panels = results.settings.tasks[0], {}
    for mode in results.settings.modes:
        sets = [results.set_of(task.name, name, mode) for name in _CURVES]
        if any(sets):
            panels[MODE_NAMES[mode]] = [runs for runs in sets if runs]
    if not panels:
        return []
    of = task.label_column
    return [
        pictures.ranking("roc", f"ROC curves: {of}", ROC, panels),
        pictures.ranking(
            "precision_recall",
            f"Precision and recall: {of}",
            PRECISION_RECALL,
            panels,
        ),
        pictures.calibration("calibration", f"Calibration: {of}", panels),
    ]


def decision_pictures(entry: Optional[Dict]) -> List[Picture]:
    """Pictures of the decisions of the best method: net benefit, if there are
    two classes, and abstention."""
    entry = entry or {"curve": None, "abstention": None}
    shown = {
        "curve": ("Decision curve", decision.draw_net_benefit),
        "abstention": ("Abstention", decision.draw_coverages),
    }
    return [
        pictures.decisions(
            f"decisions_{name}",
            f"{title}: {entry['task']}, {entry['method']}",
            f"{title} of one model. Bands are 95 % intervals over patients, "
            "pointwise. The numbers are in the tables below.",
            draw,
            entry[name],
        )
        for name, (title, draw) in shown.items()
        if entry[name]
    ]


def few_labels(results) -> Optional[Picture]:
    """Picture of test AUC by the share of labels, of all encoders and modes
    with runs at several shares."""
    settings, panels = results.settings, {}
    task = settings.tasks[0]
    for mode, encoder in product(settings.modes, settings.encoders):
        cells = {
            fraction: cell
            for fraction in settings.fractions
            if (cell := results.cell(task.name, encoder, mode, fraction))
        }
        if len(cells) > 1:
            curves = panels.setdefault(MODE_NAMES[mode], {})
            curves[ENCODERS[encoder].label] = cells
    if not panels:
        return None
    title = f"Few labels: {task.label_column}"
    return pictures.label_fractions("label_fractions", title, panels)


def training_curves(results) -> List[Picture]:
    """Pictures of training curves: of pre-training, and of the adaptations."""
    seed = results.settings.pretraining_seeds[0]
    known = {name: ENCODERS[name] for name in results.settings.encoders}
    adapted = [name for name, row in known.items() if row.cries]

    def of(stage, objective):
        wanted = stage, objective
        return [
            name
            for name, row in known.items()
            if (row.stage, row.objective) == wanted
        ]

    groups = {
        "pretraining": ("Pre-training with SimCLR", of("simclr", NT_XENT)),
        "supervised": ("Supervised pre-training", of("supervised", NT_XENT)),
        "adaptation": ("Adaptation", adapted),
    }
    for objective in [o for o in OBJECTIVES if o != NT_XENT]:
        title = f"Pre-training with {OBJECTIVES[objective]}"
        groups[f"pretraining_{objective}"] = title, of("simclr", objective)
    drawn = []
    for name, (title, encoders) in groups.items():
        histories = {}
        for encoder in encoders:
            run = (
                corpora.adaptation(results, encoder)
                if ENCODERS[encoder].cries
                else results.plan.encoder(encoder, seed)
            )
            if results.history(run):
                history = read_run(str(run.folder))
                histories[ENCODERS[encoder].label] = history
        if histories:
            drawn.append(
                pictures.training(
                    f"training_{name}", f"{title}, seed {seed}", histories
                )
            )
    return drawn


def embedding_maps(results) -> List[Dict]:
    """Two-dimensional maps of each encoder's cry embeddings, and how often
    nearest neighbours share patient, label or site."""
    drawn = []
    for encoder in [n for n, e in ENCODERS.items() if e.mapped]:
        embeddings = maps.of_encoder(results, encoder, "cry")
        if embeddings is None:
            continue
        label, chosen = ENCODERS[encoder].label, maps.drawn(embeddings)
        colourings = {"label": chosen.labels}
        if len(set(chosen.sites)) > 1:
            colourings["site"] = chosen.sites
        infants = maps.pseudonyms(chosen.patients)
        if len(set(infants)) > 1:
            colourings["patient"] = infants
        drawn.append(
            {
                "encoder": label,
                "n": len(embeddings.labels),
                "n_drawn": len(chosen.labels),
                "n_infants": len(set(chosen.patients)),
                "n_coloured": len({*infants} - {pictures.OTHERS}),
                "neighbours": maps.neighbours(embeddings),
                "picture": pictures.embedding_maps(
                    f"maps_{encoder}",
                    f"Embeddings of the cries: {label}",
                    maps.maps(chosen.embs),
                    colourings,
                ),
            }
        )
    return drawn


def forgetting_picture(results) -> Optional[Picture]:
    """Picture of the contrastive accuracy on held-out generic audio before and
    after each adaptation, by seed."""
    shown = {}
    for entry in findings.forgetting(results):
        before, after = (entry["generic"][x] for x in ("before", "after"))
        if after:
            shown[entry["encoder"]] = sum(before) / len(before), after
    if not shown:
        return None
    title = "Held-out generic audio, before and after adaptation"
    measure = "contrastive accuracy"
    return rows.forgetting("forgetting", title, shown, measure)
