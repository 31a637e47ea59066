"""The report of a study: one page that needs no network, and the same tables as
Markdown, LaTeX and csv.

``report.html``, ``paper.md``, ``tables.md``, ``tables.tex``, a csv for each
table, ``figures/*.svg`` and ``results.json`` in the study's folder contain no
patient id, no path and no date. The page names missing runs. ``doubtful.csv``
does name recordings and patients.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Dict, List

import jinja2
from markupsafe import Markup

from cry_modules.figures.page import style_sheet
from cry_modules.metrics.compare import ONE_SEED
from cry_modules.metrics.words import p_in_words
from data_prep.files.atomic import make_folder
from data_prep.files.errors import require
from data_prep.files.lock import locked
from data_prep.files.programs import commit
from data_prep.files.tables import write_text
from recipes.study.encoders import ENCODERS
from recipes.study.keys import options_as_keys
from recipes.study.plan import Plan
from recipes.study.report import (
    checklist,
    corpora,
    decisions,
    figures,
    findings,
    hypotheses,
    limits,
    maps,
    nested,
    objectives,
    paper,
    pictures,
    reproduce,
    tables,
)
from recipes.study.report.answers import answers
from recipes.study.report.console import table_lines
from recipes.study.report.doubtful import write_doubtful
from recipes.study.report.facts import facts_of
from recipes.study.report.results import Results
from recipes.study.report.sounds import examples
from recipes.study.settings import check_settings, read_study
from recipes.study.so_far import TABLE
from recipes.study.stages import MODE_NAMES

HOW_TO_READ = (
    "Mean over seeds ± standard deviation between seeds; in brackets or below, "
    "the 95 % interval over patients of the test set (bootstrap). Controls are "
    "in italics."
)


def make_report(folder: Path) -> Path:
    """Write the report of a study, as far as its runs are done."""
    results = read_results(folder)
    return write_report(results, contents(results))


def read_results(folder: Path) -> Results:
    """Read the plan of a study that has a finished classifier."""
    source = Path(folder) / "study.yaml"
    cure = "pass the output_folder of a study"
    require(source.is_file(), f"{folder} holds no study.yaml", cure)
    settings = read_study(source)
    settings["output_folder"] = str(folder)  # it may have been moved
    with options_as_keys(str(source)):
        results = Results(Plan(check_settings(settings, str(source))))
    done = any(run.done for run in results.plan.of_rule("train_cls"))
    cure = "run the study first, or read its logs"
    require(done, f"no classifier of {folder} is done", cure)
    return results


def write_report(results: Results, context: Dict[str, Any]) -> Path:
    """Write the page with these contents, and all files beside it."""
    folder = Path(results.settings.output_folder)
    # A lock of its own: a study, which holds that of the folder, runs this.
    with locked(folder, ".report.lock"):
        write_doubtful(results, folder)
        lines = table_lines(results)
        for label, answer in context["answers"].items():
            lines.append(f"{label}: {answer}")
        write_text(folder / TABLE, "\n".join(lines))
        return _write_report(folder, context)


def _write_report(out: Path, context: Dict[str, Any]) -> Path:
    for pattern in ("encoders_*.csv", "table_*.csv", "few_labels*.csv"):
        for old in out.glob(pattern):
            old.unlink()
    all_tables = [*context["encoders"], *context["paper_tables"]]
    differences = findings.as_markdown(context["pairs"], context["controls"])
    tables.write_tables(all_tables, HOW_TO_READ, out, differences)
    text = paper.as_markdown(context["paper"], context["title"])
    write_text(out / paper.FILE, text)
    _write_figures(context, out / "figures")
    numbers = json.dumps(_numbers(context), indent=1)
    write_text(out / "results.json", f"{numbers}\n")
    page = out / "report.html"
    write_text(page, render(context))
    return page


def render(context: Dict[str, Any]) -> str:
    """Render the page."""
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
    return environment.get_template("report.html.j2").render(
        MODE_NAMES=MODE_NAMES,
        ENCODERS=ENCODERS,
        ONE_SEED=ONE_SEED,
        light=style_sheet(0),
        dark=style_sheet(1),
        **context,
    )


def contents(results: Results) -> Dict[str, Any]:
    """Everything that the page shows, by its name in the template."""
    context = {
        **_corpora(results),
        **_results(results),
        **_sounds(results),
        "versions": reproduce.versions(),
        "commit": commit(),
        "hardware": reproduce.hardware(),
        "commands": reproduce.commands(results.plan),
        "checksums": reproduce.checksums(results),
    }
    context["decision_pictures"] = figures.decision_pictures(
        context["decisions"]
    )
    context["views"] = examples(results, context["generic"], context["cries"])
    context["view_pictures"] = [
        pictures.views(f"views_{i}", view.title, view.pair, view.hparams)
        for i, view in enumerate(context["views"])
    ]
    context["apart"] = corpora.adapted_without(context)
    context["paper"] = paper.paragraphs(results, context)
    context["checklist"] = checklist.rows(facts_of(results, context))
    context["guidelines"] = checklist.LINKS
    return context


def _corpora(results) -> Dict[str, Any]:
    settings = results.settings
    cries = corpora.cry_corpora(results)
    return {
        "settings": settings,
        "title": settings.title,
        "synthetic": settings.synthetic is not None
        or any(corpus.synthetic for corpus in cries),
        "modes_in_words": [_MODES_IN_WORDS[m] for m in settings.modes],
        "adapted": [n for n in settings.encoders if ENCODERS[n].cries],
        "how_to_read": HOW_TO_READ,
        "missing": [
            reproduce.without_fold(run, run.name) for run in results.missing
        ],
        "n_runs": len(results.plan.runs),
        "to_come": tables.rows_to_come(results),
        "heard_by_fold": any(
            map(results.plan.adapted_folds, _mapped(settings))
        ),
        "generic": corpora.generic_corpus(results),
        "cries": cries,
        "splits": {
            task.label_column: corpora.split_table(results, task)
            for task in settings.tasks
        },
        "confounds": {
            task.label_column: corpora.confounds(results, task)
            for task in settings.tasks
        },
    }


def _results(results) -> Dict[str, Any]:
    encoders, verdicts = (
        tables.encoder_tables(results),
        hypotheses.judge(results),
    )
    n_tasks = len(results.settings.tasks)
    paper_tables = tables.study_tables(results)
    all_pairs = findings.pairs(results)
    return {
        "encoders": encoders,
        "main_tables": encoders[:n_tasks],
        "has_spread": any(
            cell and cell.sd is not None
            for table in encoders[:n_tasks]
            for row in table.rows
            for cell in row.cells
        ),
        "fewer_labels": [
            table
            for table in (
                *encoders[n_tasks:],
                *(t for t in paper_tables if t.name.startswith("few_labels")),
            )
            if any(any(row.cells) for row in table.rows)
        ],
        "paper_tables": paper_tables,
        "pairs": all_pairs,
        "answers": answers(results.settings, all_pairs),
        "warnings": {
            task.label_column: limits.not_the_cry(results, task)
            for task in results.settings.tasks
        },
        "auc_pictures": figures.auc_pictures(results),
        "nested": {
            task.label_column: entry
            for task in results.settings.tasks
            if (entry := nested.nested(results, task.name))
        },
        "verdicts": verdicts,
        "claims_p": hypotheses.corrected_claims(verdicts),
        "claim_in_words": lambda v: hypotheses.claim_in_words(v, results),
        "part_in_words": lambda part: hypotheses.in_words(part, results),
        "forest": figures.claims_forest(verdicts, results),
        "curves": figures.ranking_curves(results),
        "decisions": decisions.decisions(results),
        "few_labels": figures.few_labels(results),
        "training": figures.training_curves(results),
        "controls": findings.controls(results, all_pairs),
        "nuisance": findings.nuisance(results),
        "maps": figures.embedding_maps(results),
        "forgetting": findings.forgetting(results),
        "forgetting_picture": figures.forgetting_picture(results),
        "costs": findings.costs(results),
        "objectives": objectives.by_objective(results),
        "outside": findings.outside(results),
        "objective_columns": objectives.columns(results),
    }


def _mapped(settings) -> List[str]:
    """Encoders that are adapted and whose embeddings are drawn."""
    rows = {name: ENCODERS[name] for name in settings.encoders}
    return [name for name, row in rows.items() if row.mapped and row.cries]


def _sounds(results) -> Dict[str, Any]:
    """How well held-out generic sounds retrieve their class, by encoder: mean
    over pre-training seeds."""
    retrieval, n_sounds = {}, 0
    for name in results.settings.encoders:
        embeddings = maps.of_seeds(results, name, "sound")
        cells = maps.retrieval_over_seeds(embeddings)
        if cells:
            retrieval[name] = cells
            n_sounds = max(n_sounds, *(len(e.labels) for e in embeddings))
    return {"generic_sounds": retrieval, "n_sounds": n_sounds}


_MODES_IN_WORDS = {
    "linear": "a linear probe",
    "linear_blocks": "a linear probe on the output of blocks, with frequency "
    "kept",
    "linear_bn": "a probe that also trains BatchNorm (linear+BN)",
    "end_to_end": "a network trained end to end",
}


def _write_figures(context, folder) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
    pictures = [
        *context["auc_pictures"],
        context["forest"],
        *context["curves"],
        *context["decision_pictures"],
        context["few_labels"],
        *context["training"],
        *context["view_pictures"],
        *(entry["picture"] for entry in context["maps"]),
        context["forgetting_picture"],
    ]
    for picture in filter(None, pictures):
        picture.write(make_folder(folder))


_OF_PARTS = ("difference", "ci95", "p", "detectable", "by_seed")


def _numbers(context) -> Dict:
    """Contents of results.json: tables and verdicts."""
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
            for table in [*context["encoders"], *context["paper_tables"]]
        },
        "pairs": [entry._asdict() for entry in context["pairs"]],
        "answers": context["answers"],
        "claims": [
            {
                "claim": verdict.claim.number,
                "text": context["claim_in_words"](verdict),
                "verdict": verdict.verdict,
                "p_holm": p,
                "left_out": verdict.left_out,
                "parts": [
                    {
                        **tested.part._asdict(),
                        "verdict": tested.verdict,
                        **{
                            key: (tested.result or {}).get(key)
                            for key in _OF_PARTS
                        },
                    }
                    for tested in verdict.parts
                ],
            }
            for verdict, p in zip(context["verdicts"], context["claims_p"])
        ],
        "decisions": context["decisions"],
        "nested": context["nested"],
        "forgetting": context["forgetting"],
        "objectives": [
            {
                **group,
                "rows": [
                    {**row, "cells": [c and c._asdict() for c in row["cells"]]}
                    for row in group["rows"]
                ],
            }
            for group in context["objectives"]
        ],
        "generic_sounds": {
            encoder: {name: cell._asdict() for name, cell in cells.items()}
            for encoder, cells in context["generic_sounds"].items()
        },
        "paper": context["paper"]._asdict(),
    }
