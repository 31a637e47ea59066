"""Table of a study's encoders for the console."""

from itertools import product
from typing import List

from recipes.study.report.results import Results
from recipes.study.report.tables import interval_of, value_of
from recipes.study.stages import method_in_words


def table_lines(results: Results) -> List[str]:
    """A line for each encoder and control by falling AUC, under a heading."""
    n_runs, settings = len(results.plan.runs), results.settings
    task = settings.tasks[0].name
    cells = results.controls(task)
    of_controls = {*cells}
    for encoder, mode in product(settings.encoders, settings.modes):
        label = method_in_words(encoder, mode)
        cells[label] = results.cell(task, encoder, mode)
    known = {label: cell for label, cell in cells.items() if cell}
    n_done = n_runs - len(results.missing)
    so_far = f"{n_done} of {n_runs} runs are finished; " * (n_done < n_runs)
    lines = [
        f"{so_far}test AUC{' so far' * bool(so_far)}, mean over seeds, 95 % "
        "over patients:"
    ]
    width = max(map(len, known), default=0)
    for label in sorted(known, key=lambda name: -(known[name].mean or 0)):
        ends = interval_of(known[label])
        text = value_of(known[label]) + (f" ({ends})" if ends else "")
        n = len(known[label].by_seed)
        if label not in of_controls and n < len(settings.seeds):
            text += f", {n} of {len(settings.seeds)} seeds"
        lines.append(f"  {label:{width}}  {text}")
    return lines
