"""Write the report of a study.

> python -m recipes.study.report results/study/demo
"""

import os
from pathlib import Path

from data_prep.files.arguments import Arguments
from data_prep.files.errors import one_line_errors


def main() -> None:
    """Run the command line."""
    parser = Arguments(description="Write the report of a study.")
    parser.add_argument("study", metavar="STUDY", help="its output_folder")
    args = parser.parse_args()
    with one_line_errors():
        from recipes.study.report.page import make_report  # imports torch

        page = make_report(Path(os.path.normpath(args.study)))
        size = page.stat().st_size / 1e6
        print(f"done: {page} ({size:.1f} MB), tables and figures in its folder")


if __name__ == "__main__":
    main()
