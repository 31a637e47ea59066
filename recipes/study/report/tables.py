"""A study's tables: all encoders together, and in the paper's layout; as
numbers, and as Markdown, LaTeX, csv and cells of the page.
"""

import re
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from cry_modules.metrics.figures import METRICS, shown_in
from cry_modules.metrics.predictions import UNITS
from cry_modules.metrics.words import units_in_words
from data_prep.files.tables import write_table, write_text
from recipes.study.classifications import few_labels_rows
from recipes.study.encoders import ENCODERS, table_rows
from recipes.study.report.corpora import confound_cells
from recipes.study.report.results import Cell, Results
from recipes.study.stages import MODE_NAMES, PROBES, method_in_words

#: Metric and unit of the main tables.
MAIN = ("auc", "recording")


@dataclass
class Row:
    """A method and its metrics, one cell for each column (None: not run);
    ``control`` rows are compared with the others."""

    label: str
    cells: List[Optional[Cell]]
    control: bool = False


@dataclass
class Table:
    """A table of methods; ``head`` is above the first column, ``foot`` are
    further lines of text."""

    name: str  # of its files
    title: str
    head: str
    columns: List[str]
    rows: List[Row]
    foot: List[List[str]] = field(default_factory=list)
    note: str = ""
    main: bool = False  # by AUC of recordings
    between: str = "seeds"  # what the standard deviations are between


def study_tables(results: Results) -> List[Table]:
    """Tables 1 to 3 and that of few labels, by AUC of recordings; then the
    same by patient, and for the other metrics of ``shown_in("study")``.
    """
    return [
        table
        for metric, unit in _measures()
        for table in _by_measure(results, metric, unit)
    ]


def _measures() -> List[Tuple[str, str]]:
    """Metrics of a study's tables, each with a unit."""
    return [
        (metric, unit)
        for metric in shown_in("study")
        for unit in (UNITS if metric == "auc" else UNITS[:1])
    ]


def encoder_tables(results: Results) -> List[Table]:
    """One table of all encoders and their controls for each task, and for
    each fraction at which all are compared."""
    settings = results.settings
    wanted = [(task, 1.0) for task in settings.tasks]
    wanted += [(settings.tasks[0], share) for share in settings.compared_at]
    return [_all_encoders(results, task, share) for task, share in wanted]


def _all_encoders(results: Results, task, share: float) -> Table:
    """A row for each encoder and mode, and for each control, by falling AUC."""
    settings, rows = results.settings, []
    for encoder, mode in product(settings.encoders, settings.modes):
        where = (task.name, encoder, mode, share)
        cells = [_over_encoders(results, *where, *m) for m in _measures()]
        label = method_in_words(encoder, mode)
        if any(cells):
            rows.append(Row(label, cells, ENCODERS[encoder].control))
    controls = [results.controls(task.name, share, *m) for m in _measures()]
    rows += [
        Row(label, [cells[label] for cells in controls], control=True)
        for label in controls[0]
    ]
    if share == 1.0:
        rows += [
            Row(label, [cell] + [None] * (len(controls) - 1), control=True)
            for label, cell in confound_cells(results, task).items()
        ]
    rows.sort(key=lambda row: -(row.cells[0].mean or 0))
    name = f"encoders_{task.name}" + (f"_{100 * share:g}" if share < 1 else "")
    title = at_share(f"All encoders: {task.label_column}", share)
    columns = [f"{METRICS[m].words} by {unit}" for m, unit in _measures()]
    trained = ", ".join(
        f"{MODE_NAMES[mode]} {_n_trained(results, task.name, mode, share)}"
        for mode in _modes_at(settings, share)
    )
    notes = [f"Trained parameters: {trained}.", _note(results, task.name)]
    notes.append(_units(results, task.name))
    return Table(
        name, title, "encoder and mode", columns, rows, [],
        " ".join(filter(None, notes)), main=True, between="pretraining_seeds",
    )  # fmt: skip


def rows_to_come(results: Results) -> List[str]:
    """Rows of the tables of all encoders that no finished run fills yet."""
    settings, rows = results.settings, []
    for task, encoder, mode in product(
        settings.tasks, settings.encoders, settings.modes
    ):
        runs = results.plan.classifiers(task.name, encoder, mode)
        if runs and not any(run.done for run in runs):
            row = method_in_words(encoder, mode)
            several = len(settings.tasks) > 1
            rows.append(row + f" ({task.label_column})" * several)
    return rows


def _over_encoders(results, *where) -> Optional[Cell]:
    """A cell whose standard deviation is between pre-trained encoders."""
    compared, cell = results.compared(*where), results.cell(*where)
    return cell and cell._replace(sd=compared["sets"][0]["sd_encoders"])


def _n_trained(results, task, mode, share) -> str:
    runs = results.of(task, "simclr", mode, share)
    return f"{runs[0]['n_trainable']:,}" if runs else "not run"


def _note(results, task) -> str:
    why = results.no_interval(task)
    return f"No intervals over patients: {why}." if why else ""


def _units(results, task) -> str:
    """Number of units by patient, if a patient has several classes."""
    mode = results.settings.modes[0]
    block = results.compared(task, "simclr", mode, unit="patient")
    if block is None or block["n"] == block["n_patients"]:
        return ""
    return f"By patient: {units_in_words('patient', block['n'], block['n_patients'])}."


def _by_measure(results, metric, unit) -> List[Table]:
    settings = results.settings
    main = (metric, unit) == MAIN
    measure = f"{METRICS[metric].words} by {unit}"
    suffix = "" if main else f"_{metric}_{unit}"
    first, *others = settings.tasks
    encoders = {*settings.encoders}
    adaptations = {name for name in encoders if ENCODERS[name].cries}
    wanted = []
    # In a study of adaptation only, table 2 has all rows of table 1.
    only_1 = {n for n in encoders if 2 not in ENCODERS[n].tables}
    if only_1 or not (encoders & adaptations):
        wanted.append(("table_1", "Pre-training", first, 1))
    if encoders & adaptations:
        wanted.append(("table_2", "Adaptation", first, 2))
    wanted = [(*table, 1.0) for table in wanted]
    wanted += [
        (f"{name}_{100 * share:g}", title, task, which, share)
        for share in settings.compared_at
        for name, title, task, which, _ in wanted
    ]
    wanted += [("table_3", "Adaptation", task, 2, 1.0) for task in others]
    tables = []
    for name, title, task, which, share in wanted:
        title = at_share(f"{title}: {task.label_column}", share)
        table = _encoders_by_mode(
            results, f"{name}{suffix}", f"{title}, {measure}", task.name,
            which, share, metric, unit,
        )  # fmt: skip
        if main:
            trained = [
                _n_trained(results, task.name, mode, share)
                for mode in _modes_at(settings, share)
            ]
            table.foot.append(["trained parameters", *trained])
        tables.append(table)
    if few_labels_rows(settings):
        name = f"few_labels{suffix}"
        tables.append(_few_labels(results, name, measure, metric, unit))
    return [replace(table, main=main) for table in tables]


def _encoders_by_mode(results, name, title, task, table, share, metric, unit):
    modes = _modes_at(results.settings, share)
    rows = [
        Row(
            ENCODERS[encoder].label,
            [
                results.cell(task, encoder, mode, share, metric, unit)
                for mode in modes
            ],
            ENCODERS[encoder].control,
        )
        for encoder in table_rows(table, results.settings.encoders)
    ]
    columns = [MODE_NAMES[mode] for mode in modes]
    return Table(
        name, title, "encoder", columns, rows, [], _note(results, task)
    )


def _modes_at(settings, share) -> List[str]:
    """Modes in which all encoders are compared with a share of the labels."""
    return [m for m in settings.modes if share == 1 or m in PROBES]


def _few_labels(results, name, measure, metric, unit) -> Table:
    """A row for each encoder and mode, a column for each fraction."""
    task, fractions = results.settings.tasks[0], results.settings.fractions
    rows = [
        Row(
            method_in_words(encoder, mode),
            [
                results.cell(task.name, encoder, mode, fraction, metric, unit)
                for fraction in fractions
            ],
        )
        for encoder, mode in few_labels_rows(results.settings)
    ]
    return Table(
        name,
        f"Share of the labels: {task.label_column}, {measure}",
        "encoder and mode",
        [percent(fraction) for fraction in fractions],
        rows,
    )


def at_share(text: str, fraction: float) -> str:
    """Add the fraction of the labels to a text, unless it is all of them."""
    return text if fraction == 1 else f"{text}, {percent(fraction)} of labels"


def percent(fraction: float) -> str:
    """Format a label fraction.

    Example
    -------
    >>> percent(0.03), percent(1.0)
    ('3 %', '100 %')
    """
    return f"{100 * fraction:g} %"


def value_of(cell: Optional[Cell]) -> str:
    """Format mean and standard deviation between seeds."""
    if cell is None:
        return ""
    if cell.mean is None:
        return "not defined"
    spread = "" if cell.sd is None else f" ± {cell.sd:.3f}"
    return f"{cell.mean:.3f}{spread}"


def interval_of(cell: Optional[Cell]) -> str:
    """Format the interval over patients."""
    if cell is None or cell.ci95 is None:
        return ""
    return f"{cell.ci95[0]:.3f} to {cell.ci95[1]:.3f}"


def _text_of(cell: Optional[Cell]) -> str:
    interval = interval_of(cell)
    return value_of(cell) + (f" ({interval})" if interval else "")


def as_markdown(table: Table) -> str:
    """Format a table as Markdown."""
    rows = [[table.head, *table.columns]]
    for row in table.rows:
        label = f"*{row.label}*" if row.control else row.label
        rows.append([label, *map(_text_of, row.cells)])
    rows += table.foot
    lines = [f"| {' | '.join(map(_in_markdown, cells))} |" for cells in rows]
    lines.insert(1, "|---" * (1 + len(table.columns)) + "|")
    if table.note:
        lines += ["", _in_markdown(table.note)]
    return "\n".join(lines)


def _in_markdown(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def as_latex(table: Table, caption: str) -> str:
    """Format a table as LaTeX with booktabs."""
    n = len(table.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{l{'c' * n}}}",
        r"\toprule",
        _latex_line([table.head, *table.columns]),
        r"\midrule",
    ]
    for before, row in zip([None, *table.rows], table.rows):
        if before is not None and row.control and not before.control:
            lines.append(r"\midrule")
        lines.append(_latex_line([row.label, *map(value_of, row.cells)]))
        intervals = [interval_of(cell) for cell in row.cells]
        if any(intervals):
            small = [rf"\small {_in_latex(i)}" if i else "" for i in intervals]
            lines.append(" & ".join(["", *small]) + r" \\")
    if table.foot:
        lines += [r"\midrule", *map(_latex_line, table.foot)]
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{_in_latex(caption)}}}",
        rf"\label{{tab:{table.name}}}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(map(_in_latex, cells)) + r" \\"


_LATEX = {
    "\\": r"\textbackslash{}", "±": r"$\pm$", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}  # fmt: skip


def _in_latex(text: str) -> str:
    return re.sub(
        r"[\\±~^<>&%$#_{}]", lambda match: _LATEX[match.group()], text
    )


def write_csv(table: Table, path: Path) -> None:
    """Write a line for each cell, with unrounded numbers."""
    rows = []
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells):
            if cell is None:
                continue
            numbers = (cell.mean, cell.sd, *(cell.ci95 or (None, None)))
            cells = ["" if value is None else value for value in numbers]
            seeds = " ".join(map(repr, cell.by_seed))
            rows.append([row.label, column, *cells, seeds])
    header = [table.head, "column", "mean", f"sd_between_{table.between}"]
    header += ["patients_low95", "patients_high95", "by_seed"]
    write_table(path, header, rows)


def write_tables(
    tables: Sequence[Table], note: str, folder: Path, differences: str = ""
) -> None:
    """Write all tables as Markdown, LaTeX and csv; the differences of methods
    as Markdown."""
    markdown = [f"## {t.title}\n\n{as_markdown(t)}\n" for t in tables]
    write_text(
        folder / "tables.md", "\n".join([*markdown, differences, note, ""])
    )
    latex = [
        as_latex(t, " ".join(filter(None, [f"{t.title}.", note, t.note])))
        for t in tables
    ]
    write_text(
        folder / "tables.tex",
        "% \\usepackage{booktabs}\n" + "\n\n".join(latex) + "\n",
    )
    for table in tables:
        write_csv(table, folder / f"{table.name}.csv")
