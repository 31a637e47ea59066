"""Tables have the numbers of the metrics files, in every format."""

import csv
import json
import statistics

import pytest
import studies

from recipes.study.encoders import ENCODERS, table_rows
from recipes.study.report import tables
from recipes.study.report.results import Cell, Results
from recipes.study.stages import MODE_NAMES


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    plan = studies.plan_of(studies.whole(tmp_path_factory.mktemp("study")))
    studies.pretend(plan)
    return Results(plan)


@pytest.fixture(scope="module")
def by_name(results):
    """The tables of the study by name."""
    with studies.fewer_draws():
        return {table.name: table for table in tables.study_tables(results)}


def test_tables_of_probes_with_fewer_labels(tmp_path):
    values = studies.whole(
        tmp_path, fractions=[0.2, 1.0], compared_at=[0.2], seeds=[1]
    )
    plan = studies.plan_of(values)
    studies.pretend(plan)
    results = Results(plan)
    by_name = {table.name: table for table in tables.study_tables(results)}
    for name, encoders in (("table_1_20", 1), ("table_2_20", 2)):
        table = by_name[name]
        assert table.main and "20 % of labels" in table.title
        assert table.columns == ["linear", "linear on blocks"]
        for row, encoder in zip(table.rows, table_rows(encoders)):
            expected = [
                results.cell("neuro", encoder, mode, 0.2)
                for mode in ("linear", "linear_blocks")
            ]
            assert row.cells == expected and None not in expected
    assert "table_3_20" not in by_name


def metrics_of(results, *where):
    runs = results.plan.classifiers(*where)
    return [json.loads((r.folder / "metrics.json").read_text()) for r in runs]


@pytest.mark.parametrize(
    "suffix, metric, unit",
    [
        ("", "auc", "recording"),
        ("_auc_patient", "auc", "patient"),
        ("_average_precision_recording", "average_precision", "recording"),
    ],
)
def test_cells_are_the_mean_and_spread_of_the_runs(
    results, by_name, suffix, metric, unit
):
    for name, task, encoders in (
        ("table_1", "neuro", table_rows(1)),
        ("table_2", "neuro", table_rows(2)),
        ("table_3", "trigger", table_rows(2)),
    ):
        table = by_name[name + suffix]
        assert table.columns == list(MODE_NAMES.values())
        assert [row.label for row in table.rows] == [
            ENCODERS[e].label for e in encoders
        ]
        for row, encoder in zip(table.rows, encoders):
            for cell, mode in zip(row.cells, MODE_NAMES):
                values = [
                    m["test"][unit][metric]
                    for m in metrics_of(results, task, encoder, mode)
                ]
                assert cell.by_seed == pytest.approx(values)
                assert cell.mean == pytest.approx(statistics.mean(values))
                assert cell.sd == pytest.approx(statistics.stdev(values))
                low, high = cell.ci95
                assert low < cell.mean < high


def test_few_labels_has_every_fraction(by_name):
    table = by_name["few_labels"]
    assert table.columns == ["10 %", "100 %"]
    assert len(table.rows) == 2 * 3  # encoders, modes
    assert all(cell is not None for row in table.rows for cell in row.cells)


def test_a_csv_holds_every_number(by_name, tmp_path):
    table = by_name["table_1"]
    tables.write_csv(table, tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").open(encoding="utf-8")))
    expected = [
        (row.label, column, cell)
        for row in table.rows
        for column, cell in zip(table.columns, row.cells)
    ]
    assert len(rows) == len(expected)
    for row, (label, column, cell) in zip(rows, expected):
        assert (row["encoder"], row["column"]) == (label, column)
        assert float(row["mean"]) == cell.mean
        assert float(row["patients_low95"]) == cell.ci95[0]
        assert [*map(float, row["by_seed"].split())] == cell.by_seed


def hostile():
    cell = Cell(0.5, [0.5], None, [0.4, 0.6])
    row = tables.Row("a_b & 50 % <script> | \\x {y} $z~^#", [cell, None])
    return tables.Table("t", "title", "head", ["x|y", "z_1"], [row])


def test_markdown_keeps_its_columns():
    lines = tables.as_markdown(hostile()).splitlines()
    for line in lines:
        assert len(line.replace("\\|", "").strip("|").split("|")) == 3
    assert "<script>" not in lines[-1]
    assert "0.500 (0.400 to 0.600)" in lines[-1]


def test_latex_is_escaped():
    text = tables.as_latex(hostile(), "50 % & more")
    (line,) = [x for x in text.splitlines() if "script" in x]
    assert line.startswith(
        r"a\_b \& 50 \% \textless{}script\textgreater{} | \textbackslash{}x "
        r"\{y\} \$z\textasciitilde{}\textasciicircum{}\#"
    )
    assert line.count(" & ") == 2
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert r"\caption{50 \% \& more}" in text


def test_missing_cells_are_empty():
    assert tables.value_of(None) == tables.interval_of(None) == ""
    assert tables.value_of(Cell(None, [], None, None)) == "not defined"
