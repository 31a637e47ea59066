"""Table of the encoders that a running study knows so far, and its page.

> python -m recipes.study.report.so_far results/study/demo --page
"""

import os
from itertools import product
from pathlib import Path
from typing import List, Optional, Sequence

from data_prep.files.arguments import Arguments
from data_prep.files.errors import one_line_errors
from recipes.study.encoders import ENCODERS
from recipes.study.report.page import contents, read_results, write_report
from recipes.study.report.results import Results
from recipes.study.report.tables import interval_of, value_of
from recipes.study.settings import MODE_NAMES


def table_lines(results: Results) -> List[str]:
    """A line for each encoder and control by falling AUC, under a heading."""
    n_runs, settings = len(results.plan.runs), results.settings
    task = settings.tasks[0].name
    cells = results.controls(task)
    for encoder, mode in product(settings.encoders, settings.modes):
        label = f"{ENCODERS[encoder].label}, {MODE_NAMES[mode]}"
        cells[label] = results.cell(task, encoder, mode)
    known = {label: cell for label, cell in cells.items() if cell}
    lines = [
        f"{n_runs - len(results.missing)} of {n_runs} runs are finished; test "
        "AUC so far, mean over seeds, 95 % over patients:"
    ]
    width = max(map(len, known), default=0)
    for label in sorted(known, key=lambda name: -(known[name].mean or 0)):
        ends = interval_of(known[label])
        text = value_of(known[label]) + (f" ({ends})" if ends else "")
        lines.append(f"  {label:{width}}  {text}")
    return lines


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command line."""
    parser = Arguments(
        description="Print what a running study knows of its encoders."
    )
    parser.add_argument("study", metavar="STUDY", help="its output_folder")
    parser.add_argument(
        "--page", action="store_true", help="write the page, too"
    )
    args = parser.parse_args(argv)
    os.nice(19)  # the study's runs come first
    with one_line_errors():
        folder = Path(os.path.normpath(args.study))
        results = read_results(folder)
        print("\n".join(table_lines(results)))
        if args.page:
            context = contents(results)
            if not results.missing:
                return  # the study's own page is on its way
            page = write_report(results, context)
            print(f"page of these runs: {page.absolute().as_uri()}")


if __name__ == "__main__":
    main()
