"""A study's report: one page that needs no network, and the same tables as
Markdown, LaTeX and csv.

> python -m recipes.study.report results/study/demo

Writes ``report.html``, ``tables.md``, ``tables.tex``, a csv for each table,
``figures/*.svg`` and ``results.json`` into the study's folder. Runs that are
missing are named in the page. Nobody's id, no path of a file and no date is in
any of them.

Authors
 * The contributors of cry-ssl 2026
"""

import argparse
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import jinja2
from markupsafe import Markup

from cry_modules.paired import p_in_words
from cry_modules.picture_results import PRECISION_RECALL, ROC
from data_prep.atomic import make_folder
from data_prep.errors import InputError, one_line_errors
from data_prep.tables import write_text
from recipes.study import (
    corpora,
    cost,
    hypotheses,
    maps,
    picture_curves,
    picture_rows,
    picture_sounds,
    pictures,
    reproduce,
    tables,
)
from recipes.study.checklist import rows as checklist_rows
from recipes.study.facts import facts_of
from recipes.study.plan import (
    ADAPTED,
    ENCODERS,
    FEW_LABELS,
    FEW_LABELS_MODES,
    TABLE_1,
    TABLE_2,
    Plan,
)
from recipes.study.results import Results
from recipes.study.settings import MODE_NAMES, check_settings, read_study
from recipes.study.sounds import heard_views

#: Encoders of the ROC curves: what the study is about.
_CURVES = ("random", "supervised", "simclr", "adapt_replay")
#: Encoders whose embeddings are mapped.
_MAPPED = ("simclr", "adapt_replay")
_BAND_DRAWS = 500
HOW_TO_READ = (
    "Mean over seeds ± standard deviation between seeds; in brackets or below, "
    "the 95 % interval over patients of the test split (bootstrap). A line in "
    "italics is a control."
)


def make_report(folder: Path) -> Path:
    """Write the report of a study, whatever of it is done.

    Arguments
    ---------
    folder : pathlib.Path
        The study's, with ``study.yaml``.

    Returns
    -------
    pathlib.Path
        ``report.html``.

    Raises
    ------
    InputError
        There is no study, or nothing of it is done.
    """
    source = Path(folder) / "study.yaml"
    if not source.is_file():
        raise InputError(
            f"{folder} holds no study.yaml; pass the output_folder of a study"
        )
    found = read_study(source)
    results = Results(Plan(check_settings(found, str(source))))
    if not any(
        run.result.is_file() for run in results.plan.of_rule("train_cls")
    ):
        raise InputError(
            f"no classifier of {folder} is done; run the study first, or read "
            "its logs"
        )
    context = contents(results)
    out = Path(folder)
    tables.write_tables(
        [*context["tables"], *context["more_tables"]], HOW_TO_READ, out
    )
    _write_figures(context, out / "figures")
    write_text(
        out / "results.json", json.dumps(_numbers(context), indent=1) + "\n"
    )
    page = out / "report.html"
    write_text(page, render(context))
    return page


def render(context: Dict[str, Any]) -> str:
    """The page.

    Arguments
    ---------
    context : dict
        Of ``contents``.

    Returns
    -------
    str
        HTML; all text in it is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        value=tables.value_of,
        interval=tables.interval_of,
        p=p_in_words,
        svg=lambda picture: Markup(picture.svg),  # its texts are escaped
    )
    template = environment.get_template("report.html.j2")
    return template.render(MODE_NAMES=MODE_NAMES, ENCODERS=ENCODERS, **context)


def contents(results: Results) -> Dict[str, Any]:
    """Everything the page shows.

    Arguments
    ---------
    results : Results
        Of a study.

    Returns
    -------
    dict
    """
    settings = results.settings
    every = tables.study_tables(results)
    main = [t for t in every if t.name in _MAIN_TABLES]
    verdicts = hypotheses.judge(results)
    generic = corpora.generic_corpus(results)
    cries = corpora.cry_corpora(results)
    heard = heard_views(results, generic, cries)
    sounds = {
        name: found
        for name in ENCODERS
        for found in [maps.of_encoder(results, name, "sound")]
        if found is not None
    }
    told = {name: maps.sounds_told(found) for name, found in sounds.items()}
    context = {
        "settings": settings,
        "title": settings.title,
        "synthetic": settings.synthetic is not None
        or any(c.synthetic for c in cries),
        "how_to_read": HOW_TO_READ,
        "missing": [run.name for run in results.missing],
        "n_runs": len(results.plan.runs),
        "generic": generic,
        "cries": cries,
        "splits": {
            task.label_column: corpora.split_table(results, task)
            for task in settings.tasks
        },
        "confounds": {
            task.label_column: corpora.confounds(results, task)
            for task in settings.tasks
        },
        "tables": main,
        "more_tables": [t for t in every if t.name not in _MAIN_TABLES],
        "auc_pictures": _auc_pictures(results),
        "verdicts": verdicts,
        "part_in_words": lambda part: hypotheses.in_words(part, results),
        "forest": _forest(verdicts, results),
        "curves": _curves(results),
        "few_labels": _few_labels(results),
        "training": _training(results),
        "views": heard,
        "view_pictures": [
            picture_sounds.views(f"views_{i}", one.title, one.pair, one.hparams)
            for i, one in enumerate(heard)
        ],
        "controls": _controls(results),
        "nuisance": _nuisance(results),
        "maps": _maps(results),
        "told": told,
        "n_sounds": next((len(f.labels) for f in sounds.values()), 0),
        "forgetting": _forgetting(results),
        "forgetting_picture": _forgetting_picture(results),
        "costs": _costs(results),
        "versions": reproduce.versions(),
        "commit": reproduce.commit(),
        "hardware": reproduce.hardware(),
        "commands": reproduce.commands(results.plan),
        "checksums": reproduce.checksums(results),
    }
    context["checklist"] = checklist_rows(facts_of(results, context))
    return context


_MAIN_TABLES = ("table_1", "table_2", "table_3", "few_labels")


def _auc_pictures(results) -> List[pictures.Picture]:
    """The tables as dots and lines."""
    found = []
    for i, task in enumerate(results.settings.tasks):
        encoders = TABLE_2 if i else tuple(dict.fromkeys(TABLE_1 + TABLE_2))
        encoders = sorted(encoders, key=list(ENCODERS).index)
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


def _forest(verdicts, results):
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
        "claims", "Each inequality of the four claims", rows
    )


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


def _curves(results) -> List[pictures.Picture]:
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


def _column(results) -> str:
    return results.settings.tasks[0].label_column


def _few_labels(results):
    """AUC against the share of labels."""
    settings = results.settings
    curves = []
    for encoder in FEW_LABELS:
        for mode in FEW_LABELS_MODES:
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


def _training(results) -> List[pictures.Picture]:
    """Curves of pre-training, and of the adaptations."""
    seed = results.settings.pretraining_seeds[0]
    groups = {
        "pretraining": ("Pre-training with SimCLR", ("simclr",)),
        "supervised": ("Supervised pre-training", ("supervised",)),
        "adaptation": ("Adaptation", tuple(ADAPTED)),
    }
    found = []
    for name, (title, encoders) in groups.items():
        histories = {}
        for encoder in encoders:
            run = (
                corpora.adaptation(results, encoder)
                if encoder in ADAPTED
                else results.plan.encoder(encoder, seed)
            )
            rows = results.history(run)
            if rows:
                histories[ENCODERS[encoder].label] = rows
        if histories:
            found.append(
                pictures.training(
                    f"training_{name}", f"{title}, seed {seed}", histories
                )
            )
    return found


def _controls(results) -> List[Dict]:
    """What a gain is worth: methods held against their controls."""
    pairs = (
        ("random_calibrated", "simclr"),
        ("random_calibrated", "adapt_replay"),
        ("adapt_control", "adapt_replay"),
        ("adapt_control", "adapt_all"),
    )
    found = []
    for task in results.settings.tasks:
        for control, method in pairs:
            for mode in results.settings.modes:
                one = results.difference(task.name, mode, control, method)
                if one is not None:
                    found.append(
                        {
                            "task": task.label_column,
                            "mode": MODE_NAMES[mode],
                            "method": ENCODERS[method].label,
                            "control": ENCODERS[control].label,
                            **one,
                        }
                    )
    return found


def _nuisance(results) -> List[Dict]:
    """What the embeddings tell of the site, beside log-mel statistics."""
    task, found = results.settings.tasks[0].name, []
    for encoder in ENCODERS:
        metrics = results.of(task, encoder, "linear")
        for column, probe in (
            metrics[0].get("nuisance", {}) if metrics else {}
        ).items():
            found.append(
                {
                    "encoder": ENCODERS[encoder].label,
                    "column": column,
                    "embedding": probe.get("embedding", {}).get("auc"),
                    "ci95": probe.get("embedding", {}).get("auc_ci95"),
                    "logmel": probe.get("log-mel", {}).get("auc"),
                }
            )
    return found


def _maps(results) -> List[Dict]:
    """Maps of embeddings, and what the nearest recording is."""
    found = []
    for encoder in _MAPPED:
        embeddings = maps.of_encoder(results, encoder, "cry")
        if embeddings is None:
            continue
        label = ENCODERS[encoder].label
        colourings = {"label": embeddings.labels}
        if len(set(embeddings.sites)) > 1:
            colourings["site"] = embeddings.sites
        colourings["patient"] = maps.pseudonyms(embeddings.patients)
        found.append(
            {
                "encoder": label,
                "n": len(embeddings.labels),
                "neighbours": maps.neighbours(embeddings),
                "picture": pictures_of_maps(
                    encoder, label, embeddings, colourings
                ),
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


def _forgetting(results) -> List[Dict]:
    """Contrastive accuracy on held-out generic audio and on cries, before
    and after each adaptation, by seed."""
    found = []
    for encoder in ADAPTED:
        runs = [
            run
            for run in results.plan.of_rule("train_adapt")
            if run.facts["encoder"] == encoder and run.result.is_file()
        ]
        entry = {"encoder": ENCODERS[encoder].label}
        for corpus in ("generic", "cry"):
            key = f"valid_accuracy_{corpus}"
            before, after = [], []
            for run in runs:
                first = corpora.read_json(run.folder / "before.json") or {}
                last = (results.history(run) or [{}])[-1]
                if key in first and key in last:
                    before.append(first[key])
                    after.append(last[key])
            entry[corpus] = {"before": before, "after": after}
        if runs:
            found.append(entry)
    return found


def _forgetting_picture(results):
    rows = []
    for entry in _forgetting(results):
        before, after = (entry["generic"][x] for x in ("before", "after"))
        if after:
            rows.append((entry["encoder"], sum(before) / len(before), after))
    return picture_rows.forgetting(
        "forgetting",
        "Held-out generic audio, before and after adaptation",
        rows,
        "contrastive accuracy",
    )


def _costs(results) -> List[Dict]:
    """Time, speed and memory by kind of run."""
    kinds: Dict[str, List] = {}
    for run in results.plan.runs.values():
        took = cost.timed(run, results.settings)
        if took is not None and run.result.is_file():
            kinds.setdefault(_kind(run), []).append((run, took))
    found = []
    for kind, runs in kinds.items():
        seconds = sorted(took["seconds"] for _, took in runs)
        speeds = [
            row["clips_per_s"]
            for run, _ in runs
            for row in results.history(run)[1:]
            if row.get("clips_per_s")
        ]
        found.append(
            {
                "kind": kind,
                "runs": len(runs),
                "median_s": seconds[len(seconds) // 2],
                "hours": sum(seconds) / 3600,
                "clips_per_s": _median(speeds),
                "peak_mb": max(took["peak_mb"] for _, took in runs),
            }
        )
    return found


def _kind(run) -> str:
    if run.rule == "train_cls":
        return f"{MODE_NAMES[run.facts['mode']]} classifier"
    if "encoder" in run.facts:
        return ENCODERS[run.facts["encoder"]].label
    return run.rule


def _median(values: Sequence[float]) -> Optional[float]:
    values = sorted(v for v in values if math.isfinite(v))
    return values[len(values) // 2] if values else None


def _all_pictures(context) -> List[pictures.Picture]:
    return [
        *context["auc_pictures"],
        context["forest"],
        *context["curves"],
        context["few_labels"],
        *context["training"],
        *context["view_pictures"],
        *(one["picture"] for one in context["maps"]),
        context["forgetting_picture"],
    ]


def _write_figures(context, folder) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
    for picture in _all_pictures(context):
        picture.write(make_folder(folder))


def _numbers(context) -> Dict:
    """The page's figures for a program: tables and verdicts."""
    return {
        "title": context["title"],
        "synthetic": context["synthetic"],
        "tables": {
            table.name: [
                {
                    "label": row.label,
                    "control": row.control,
                    "cells": [cell and cell._asdict() for cell in row.cells],
                }
                for row in table.rows
            ]
            for table in [*context["tables"], *context["more_tables"]]
        },
        "claims": [
            {
                "claim": verdict.claim.number,
                "text": verdict.claim.text,
                "verdict": verdict.verdict,
                "parts": [
                    {
                        **tested.part._asdict(),
                        "verdict": tested.verdict,
                        **{
                            key: (tested.found or {}).get(key)
                            for key in ("difference", "ci95", "p", "by_seed")
                        },
                    }
                    for tested in verdict.parts
                ],
            }
            for verdict in context["verdicts"]
        ],
        "forgetting": context["forgetting"],
        "generic_sounds": context["told"],
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="A study's report.", allow_abbrev=False
    )
    parser.add_argument("study", metavar="STUDY", help="its output_folder")
    args = parser.parse_args()
    with one_line_errors():
        page = make_report(Path(os.path.normpath(args.study)))
        size = page.stat().st_size / 1e6
        print(f"done: {page} ({size:.1f} MB), tables and figures beside it")


if __name__ == "__main__":
    main()
