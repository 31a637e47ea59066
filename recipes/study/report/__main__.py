"""Command line: write the report of a study."""

from recipes.study.report.command import main

if __name__ == "__main__":
    main()
