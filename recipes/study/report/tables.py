"""A study's tables: once as numbers, then as Markdown, LaTeX, csv and cells of
a page.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from cry_modules.metrics.figures import METRICS, shown_in
from cry_modules.metrics.predictions import UNITS
from data_prep.files.tables import write_table, write_text
from recipes.study.encoders import (
    ADAPTED,
    ENCODERS,
    FEW_LABELS,
    FEW_LABELS_MODES,
    TABLE_1,
    TABLE_2,
)
from recipes.study.report.results import Cell, Results
from recipes.study.settings import MODE_NAMES, Settings

#: What a table can be of, in words.
MEASURES = {
    (name, unit): f"{METRICS[name].words} by {unit}"
    for name in shown_in("study")
    for unit in (UNITS if name == "auc" else UNITS[:1])
}


@dataclass
class Row:
    """A method and its figures.

    Arguments
    ---------
    label : str
        The method.
    cells : list of (Cell or None)
        One a column; None: not run.
    control : bool
        Whether the others are held against it.
    """

    label: str
    cells: List[Optional[Cell]]
    control: bool = False


@dataclass
class Table:
    """Figures of methods.

    Arguments
    ---------
    name : str
        Of its files.
    title : str
        Above it.
    head : str
        Over the first column.
    columns : list of str
        Over the others.
    rows : list of Row
        From above.
    foot : list of list of str
        Further lines, as text.
    note : str
        Below it.
    """

    name: str
    title: str
    head: str
    columns: List[str]
    rows: List[Row]
    foot: List[List[str]] = field(default_factory=list)
    note: str = ""


def study_tables(results: Results) -> List[Table]:
    """Tables 1 to 3 and that of few labels, by recording; then the same by
    patient and of average precision.
    """
    found = []
    for metric, unit in MEASURES:
        found += _by_measure(results, metric, unit)
    return found


def _by_measure(results, metric, unit) -> List[Table]:
    tasks = results.settings.tasks
    of = MEASURES[metric, unit]
    suffix = (
        "" if (metric, unit) == ("auc", "recording") else f"_{metric}_{unit}"
    )
    column, encoders = tasks[0].label_column, {*results.settings.encoders}
    tables = []
    # A study of adaptation alone has all rows of table 1 in table 2.
    if encoders & {*TABLE_1} - {*TABLE_2} or not encoders & {*ADAPTED}:
        tables.append(
            _encoders_by_mode(
                results, f"table_1{suffix}", f"Pre-training: {column}, {of}",
                tasks[0].name, TABLE_1, metric, unit,
            )
        )  # fmt: skip
    if encoders & {*ADAPTED}:
        tables.append(
            _encoders_by_mode(
                results, f"table_2{suffix}", f"Adaptation: {column}, {of}",
                tasks[0].name, TABLE_2, metric, unit,
            )
        )  # fmt: skip
    for task in tasks[1:]:
        tables.append(
            _encoders_by_mode(
                results, f"table_3{suffix}",
                f"Adaptation: {task.label_column}, {of}",
                task.name, TABLE_2, metric, unit,
            )
        )  # fmt: skip
    if not suffix:
        for table in tables:
            _add_parameters(table, results)
            _add_classical(table, results, tasks[table.name == "table_3"].name)
    if few_labels_rows(results.settings):
        name = f"few_labels{suffix}"
        tables.append(_few_labels(results, name, of, metric, unit))
    return tables


def _encoders_by_mode(results, name, title, task, encoders, metric, unit):
    modes = results.settings.modes
    rows = [
        Row(
            ENCODERS[encoder].label,
            [
                results.cell(task, encoder, mode, 1.0, metric, unit)
                for mode in modes
            ],
            ENCODERS[encoder].control,
        )
        for encoder in encoders
        if encoder in results.settings.encoders
    ]
    columns = [MODE_NAMES[mode] for mode in modes]
    note = _note_on(results, task)
    return Table(name, title, "encoder", columns, rows, [], note)


def _note_on(results, task) -> str:
    """Why there are no intervals, where there are none."""
    why = results.no_interval(task)
    return f"No intervals over patients: {why}." if why else ""


def few_labels_rows(settings: Settings) -> List[Tuple[str, str]]:
    """Encoders and modes that a study trains on fewer labels."""
    if len(settings.fractions) == 1:
        return []
    return [
        (encoder, mode)
        for encoder in FEW_LABELS
        for mode in FEW_LABELS_MODES
        if encoder in settings.encoders and mode in settings.modes
    ]


def _few_labels(results, name, of, metric, unit) -> Table:
    """A row for each encoder and mode, a column for each fraction."""
    task, fractions = results.settings.tasks[0], results.settings.fractions
    rows = [
        Row(
            f"{ENCODERS[encoder].label}, {MODE_NAMES[mode]}",
            [
                results.cell(task.name, encoder, mode, fraction, metric, unit)
                for fraction in fractions
            ],
        )
        for encoder, mode in few_labels_rows(results.settings)
    ]
    return Table(
        name,
        f"Share of the labels: {task.label_column}, {of}",
        "encoder and mode",
        [percent(fraction) for fraction in fractions],
        rows,
    )


def _add_parameters(table: Table, results: Results) -> None:
    """The row of trained parameters."""
    task = results.settings.tasks[table.name == "table_3"].name
    cells = ["trained parameters"]
    for mode in results.settings.modes:
        found = results.of(task, "simclr", mode)
        cells.append(f"{found[0]['n_trainable']:,}" if found else "not run")
    table.foot.append(cells)


def _add_classical(table: Table, results: Results, task: str) -> None:
    """Classical controls stand in the column of the linear probe."""
    for label, cell in results.classical(task).items():
        table.rows.append(
            Row(label, [cell] + [None] * (len(table.columns) - 1), control=True)
        )


def percent(fraction: float) -> str:
    """A share of the labels.

    Example
    -------
    >>> percent(0.03), percent(1.0)
    ('3 %', '100 %')
    """
    return f"{100 * fraction:g} %"


def value_of(cell: Optional[Cell]) -> str:
    """Mean and spread of seeds.

    Example
    -------
    >>> value_of(Cell(0.8, [0.79, 0.81], 0.0141, None))
    '0.800 ± 0.014'
    """
    if cell is None:
        return ""
    if cell.mean is None:
        return "not defined"
    spread = "" if cell.sd is None else f" ± {cell.sd:.3f}"
    return f"{cell.mean:.3f}{spread}"


def interval_of(cell: Optional[Cell]) -> str:
    """The interval over patients.

    Example
    -------
    >>> interval_of(Cell(0.8, [0.8], None, [0.7, 0.9]))
    '0.700 to 0.900'
    """
    if cell is None or cell.ci95 is None:
        return ""
    return f"{cell.ci95[0]:.3f} to {cell.ci95[1]:.3f}"


def _text_of(cell: Optional[Cell]) -> str:
    interval = interval_of(cell)
    return value_of(cell) + (f" ({interval})" if interval else "")


def as_markdown(table: Table) -> str:
    """A table for a README."""
    lines = [
        "| "
        + " | ".join(map(_in_markdown, [table.head, *table.columns]))
        + " |",
        "|---" * (1 + len(table.columns)) + "|",
    ]
    for row in table.rows:
        label = f"*{row.label}*" if row.control else row.label
        cells = [label, *map(_text_of, row.cells)]
        lines.append("| " + " | ".join(map(_in_markdown, cells)) + " |")
    for cells in table.foot:
        lines.append("| " + " | ".join(map(_in_markdown, cells)) + " |")
    if table.note:
        lines += ["", _in_markdown(table.note)]
    return "\n".join(lines)


def _in_markdown(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def as_latex(table: Table, caption: str) -> str:
    """A table for a paper, with booktabs."""
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
    """A line for each figure: numbers as they are."""
    rows = []
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells):
            if cell is None:
                continue
            low, high = cell.ci95 or ("", "")
            seeds = " ".join(repr(value) for value in cell.by_seed)
            rows.append(
                [row.label, column, _or_empty(cell.mean), _or_empty(cell.sd)]
                + [low, high, seeds]
            )
    header = [table.head, "column", "mean", "sd_between_seeds"]
    header += ["patients_low95", "patients_high95", "by_seed"]
    write_table(path, header, rows)


def _or_empty(value):
    return "" if value is None else value


def write_tables(tables: Sequence[Table], note: str, folder: Path) -> None:
    """All tables as Markdown, LaTeX and csv."""
    markdown = [f"## {t.title}\n\n{as_markdown(t)}\n" for t in tables]
    write_text(folder / "tables.md", "\n".join([*markdown, note, ""]))
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
