"""Table of the encoders that a running study knows so far, and its page.

> python -m recipes.study.report.so_far results/study/demo --page
"""

import os
from pathlib import Path
from typing import Optional, Sequence

from data_prep.files.arguments import Arguments
from data_prep.files.errors import one_line_errors
from recipes.study.report.console import table_lines
from recipes.study.report.page import contents, read_results, write_report


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
