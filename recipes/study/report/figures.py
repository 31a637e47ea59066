"""The pictures of a study's page, from its results."""

from typing import Dict, List, Optional

from cry_modules.figures.results import PRECISION_RECALL, ROC
from cry_modules.figures.training import read_run
from recipes.study.encoders import ENCODERS, adapted, table_rows
from recipes.study.report import (
    corpora,
    hypotheses,
    maps,
    picture_curves,
    picture_rows,
    picture_sounds,
    pictures,
    tables,
)
from recipes.study.report.findings import forgetting
from recipes.study.settings import MODE_NAMES

#: Encoders of the ROC curves: what the study is about.
_CURVES = ("random", "supervised", "simclr", "adapt_replay")
#: Bootstrap draws of a curve's band.
_BAND_DRAWS = 500


def auc_pictures(results) -> List[pictures.Picture]:
    """The tables as dots and lines."""
    found = []
    for i, task in enumerate(results.settings.tasks):
        encoders = {*table_rows(2), *(() if i else table_rows(1))}
        encoders = [e for e in results.settings.encoders if e in encoders]
        rows = {
            ENCODERS[encoder].label: {
                MODE_NAMES[mode]: _as_dict(
                    results.cell(task.name, encoder, mode)
                )
                for mode in results.settings.modes
                if results.cell(task.name, encoder, mode)
            }
            for encoder in encoders
        }
        for label, cell in results.classical(task.name).items():
            rows[label] = {MODE_NAMES["linear"]: _as_dict(cell)}
        controls = {e.label for e in ENCODERS.values() if e.control}
        controls |= set(results.classical(task.name))
        found.append(
            picture_rows.auc_by_encoder(
                f"auc_{task.name}",
                f"Test AUC: {task.label_column}",
                rows,
                [MODE_NAMES[mode] for mode in results.settings.modes],
                controls,
            )
        )
    return found


def _as_dict(cell) -> Dict:
    return {"mean": cell.mean, "ci95": cell.ci95, "by_seed": cell.by_seed}


def claims_forest(verdicts, results) -> pictures.Picture:
    """The differences that the claims are made of, as far as they were run."""
    rows = [
        picture_rows.ForestRow(
            f"claim {verdict.claim.number}: {verdict.verdict}",
            hypotheses.in_words(tested.part, results),
            tested.found["difference"],
            tested.found["ci95"],
            1,
            tested.verdict,
        )
        for verdict in verdicts
        for tested in verdict.parts
        if tested.found is not None
    ]
    return picture_rows.forest(
        "claims", "Each inequality of the paper's claims", rows
    )


def ranking_curves(results) -> List[pictures.Picture]:
    """ROC, precision and recall, and calibration of the first task."""
    panels, column = _panels(results, _CURVES), _column(results)
    return [
        picture_curves.ranking(
            "roc", f"ROC curves: {column}", ROC, panels, _BAND_DRAWS
        ),
        picture_curves.ranking(
            "precision_recall",
            f"Precision and recall: {column}",
            PRECISION_RECALL,
            panels,
            _BAND_DRAWS,
        ),
        picture_curves.calibration(
            "calibration", f"Calibration: {column}", panels
        ),
    ]


def _panels(results, encoders) -> Dict[str, List]:
    """Test predictions of the first task, by mode."""
    task = results.settings.tasks[0].name
    found = {}
    for mode in results.settings.modes:
        sets = [results.set_of(task, encoder, mode) for encoder in encoders]
        sets = [one for one in sets if one is not None]
        if sets:
            found[MODE_NAMES[mode]] = sets
    return found


def _column(results) -> str:
    return results.settings.tasks[0].label_column


def few_labels(results) -> Optional[pictures.Picture]:
    """AUC against the share of labels; None where the study varies it not."""
    settings = results.settings
    if not tables.few_labels_rows(settings):
        return None
    curves = []
    for encoder, mode in tables.few_labels_rows(settings):
        cells = {
            fraction: results.cell(
                settings.tasks[0].name, encoder, mode, fraction
            )
            for fraction in settings.fractions
        }
        cells = {f: cell for f, cell in cells.items() if cell}
        curves.append(
            pictures.FractionCurve(
                f"{ENCODERS[encoder].label}, {MODE_NAMES[mode]}",
                list(cells),
                [cell.mean for cell in cells.values()],
                [cell.ci95 for cell in cells.values()],
                [cell.by_seed for cell in cells.values()],
            )
        )
    return pictures.label_fractions(
        "label_fractions", f"Few labels: {_column(results)}", curves
    )


def training_curves(results) -> List[pictures.Picture]:
    """Curves of pre-training, and of the adaptations."""
    seed = results.settings.pretraining_seeds[0]
    groups = {
        "pretraining": ("Pre-training with SimCLR", ("simclr",)),
        "supervised": ("Supervised pre-training", ("supervised",)),
        "adaptation": ("Adaptation", adapted()),
    }
    found = []
    for name, (title, encoders) in groups.items():
        histories = {}
        for encoder in encoders:
            if encoder not in results.settings.encoders:
                continue
            run = (
                corpora.adaptation(results, encoder)
                if ENCODERS[encoder].cries
                else results.plan.encoder(encoder, seed)
            )
            if results.history(run):
                rows = read_run(str(run.folder))
                histories[ENCODERS[encoder].label] = rows
        if histories:
            found.append(
                pictures.training(
                    f"training_{name}", f"{title}, seed {seed}", histories
                )
            )
    return found


def embedding_maps(results) -> List[Dict]:
    """Maps of embeddings, and what the nearest recording is."""
    found = []
    for encoder in [n for n, e in ENCODERS.items() if e.mapped]:
        embeddings = maps.of_encoder(results, encoder, "cry")
        if embeddings is None:
            continue
        label = ENCODERS[encoder].label
        drawn = maps.drawn(embeddings)
        colourings = {"label": drawn.labels}
        if len(set(drawn.sites)) > 1:
            colourings["site"] = drawn.sites
        infants = maps.pseudonyms(drawn.patients)
        if len(set(infants)) > 1:
            colourings["patient"] = infants
        found.append(
            {
                "encoder": label,
                "n": len(embeddings.labels),
                "n_drawn": len(drawn.labels),
                "neighbours": maps.neighbours(embeddings),
                "picture": pictures_of_maps(encoder, label, drawn, colourings),
            }
        )
    return found


def pictures_of_maps(encoder, label, embeddings, colourings):
    """Both maps of an encoder, coloured in three ways."""
    return picture_sounds.embedding_maps(
        f"maps_{encoder}",
        f"Embeddings of the cries: {label}",
        maps.maps(embeddings.embs),
        colourings,
    )


def forgetting_picture(results) -> pictures.Picture:
    """Generic audio before and after each adaptation, seeds apart."""
    rows = []
    for entry in forgetting(results):
        before, after = (entry["generic"][x] for x in ("before", "after"))
        if after:
            rows.append((entry["encoder"], sum(before) / len(before), after))
    return picture_rows.forgetting(
        "forgetting",
        "Held-out generic audio, before and after adaptation",
        rows,
        "contrastive accuracy",
    )
