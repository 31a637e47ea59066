"""A study's report: one page that needs no network, and the same tables as
Markdown, LaTeX and csv.

> python -m recipes.study.report results/study/demo

Writes ``report.html``, ``tables.md``, ``tables.tex``, a csv for each table,
``figures/*.svg`` and ``results.json`` into the study's folder. Runs that are
missing are named in the page. Nobody's id, no path of a file and no date is in
any of them.
"""

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List

import jinja2
from markupsafe import Markup

from cry_modules.figures.page import Picture, style_sheet
from cry_modules.metrics.words import p_in_words
from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.tables import write_text
from recipes.study import corpora
from recipes.study.encoders import ADAPTED, ENCODERS
from recipes.study.plan import Plan
from recipes.study.report import (
    figures,
    findings,
    hypotheses,
    maps,
    pictures,
    reproduce,
    tables,
)
from recipes.study.report.checklist import rows as checklist_rows
from recipes.study.report.facts import facts_of
from recipes.study.report.results import Results
from recipes.study.report.sounds import examples
from recipes.study.settings import MODE_NAMES, check_settings, read_study

HOW_TO_READ = (
    "Mean over seeds ± standard deviation between seeds; in brackets or below, "
    "the 95 % interval over patients of the test split (bootstrap). A line in "
    "italics is a control."
)


def make_report(folder: Path) -> Path:
    """Write the report of a study, whatever of it is done."""
    source = Path(folder) / "study.yaml"
    if not source.is_file():
        raise InputError(
            f"{folder} holds no study.yaml; pass the output_folder of a study"
        )
    found = read_study(source)
    # A copied study is read where it is.
    found["output_folder"] = str(folder)
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
    for old in [*out.glob("table_*.csv"), *out.glob("few_labels*.csv")]:
        old.unlink()
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
    """The page."""
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
    return template.render(
        MODE_NAMES=MODE_NAMES,
        ENCODERS=ENCODERS,
        light=style_sheet(0),
        dark=style_sheet(1),
        **context,
    )


def contents(results: Results) -> Dict[str, Any]:
    """Everything the page shows."""
    settings = results.settings
    every = tables.study_tables(results)
    main = [t for t in every if t.name in _MAIN_TABLES]
    verdicts = hypotheses.judge(results)
    generic = corpora.generic_corpus(results)
    cries = corpora.cry_corpora(results)
    shown = examples(results, generic, cries)
    sounds = {
        name: found
        for name in settings.encoders
        for found in [maps.of_encoder(results, name, "sound")]
        if found is not None
    }
    context = {
        "settings": settings,
        "title": settings.title,
        "synthetic": settings.synthetic is not None
        or any(c.synthetic for c in cries),
        "modes_in_words": [_MODES_IN_WORDS[m] for m in settings.modes],
        "adapted": [name for name in settings.encoders if name in ADAPTED],
        "how_to_read": HOW_TO_READ,
        "missing": [
            reproduce.without_fold(run, run.name) for run in results.missing
        ],
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
        "auc_pictures": figures.auc_pictures(results),
        "verdicts": verdicts,
        "part_in_words": lambda part: hypotheses.in_words(part, results),
        "forest": figures.claims_forest(verdicts, results),
        "curves": figures.ranking_curves(results),
        "few_labels": figures.few_labels(results),
        "training": figures.training_curves(results),
        "views": shown,
        "view_pictures": [
            pictures.views(f"views_{i}", one.title, one.pair, one.hparams)
            for i, one in enumerate(shown)
        ],
        "controls": findings.controls(results),
        "nuisance": findings.nuisance(results),
        "maps": figures.embedding_maps(results),
        "sound_retrieval": {
            name: maps.sound_retrieval(embs) for name, embs in sounds.items()
        },
        "n_sounds": next((len(f.labels) for f in sounds.values()), 0),
        "forgetting": findings.forgetting(results),
        "forgetting_picture": figures.forgetting_picture(results),
        "costs": findings.costs(results),
        "versions": reproduce.versions(),
        "commit": reproduce.commit(),
        "hardware": reproduce.hardware(),
        "commands": reproduce.commands(results.plan),
        "checksums": reproduce.checksums(results),
    }
    context["checklist"] = checklist_rows(facts_of(results, context))
    return context


_MODES_IN_WORDS = {
    "linear": "a linear probe",
    "linear_bn": "a probe that also trains BatchNorm (linear+BN)",
    "end_to_end": "a network trained end to end",
}
_MAIN_TABLES = ("table_1", "table_2", "table_3", "few_labels")


def _all_pictures(context) -> List[Picture]:
    return [
        *context["auc_pictures"],
        context["forest"],
        *context["curves"],
        *filter(None, [context["few_labels"]]),
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
                "left_out": verdict.claim.left_out,
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
        "generic_sounds": context["sound_retrieval"],
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
