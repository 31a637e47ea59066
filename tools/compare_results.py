"""Compare two results folders digit by digit, to show that a change of the code
has changed no number.

> make demo && cp -r results/study/miniature before
> make demo                                  # after the change, elsewhere
> python tools/compare_results.py before results/study/miniature

Compares tables, predictions, histories and metrics, but not logs, costs,
checkpoints or pictures. Exit status 1 if anything differs.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, List

SUFFIXES = (".csv", ".json", ".tsv")
#: Folders and files of times, versions and paths.
IGNORED = ("costs", "logs", "save", "prepared.json")
#: Entries of json files that hold times.
TIMES = ("seconds", "clips_per_s")


def compared(folder: Path) -> List[Path]:
    """List the files to compare, relative to the folder."""
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")))
    return [
        path
        for path in paths
        if path.suffix in SUFFIXES and not set(IGNORED) & set(path.parts)
    ]


def content(path: Path) -> Any:
    """Read what must be equal: a text file, or json without its times."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".json":
        return text
    try:
        return json.loads(
            text,
            object_hook=lambda entry: {
                key: value for key, value in entry.items() if key not in TIMES
            },
        )
    except (ValueError, RecursionError) as error:
        sys.exit(f"error: {path} is damaged, not JSON ({error}); run it again")


def differences(before: Path, after: Path) -> List[str]:
    """One line for each file that is missing or differs."""
    lines = []
    for path in sorted({*compared(before), *compared(after)}):
        if not (before / path).is_file():
            lines.append(f"only in {after}: {path}")
        elif not (after / path).is_file():
            lines.append(f"only in {before}: {path}")
        elif content(before / path) != content(after / path):
            lines.append(f"differs: {path}")
    return lines


def main() -> None:
    """Print the differences; exit with 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("before", type=Path, help="folder of results")
    parser.add_argument("after", type=Path, help="folder of newer results")
    args = parser.parse_args()
    for folder in (args.before, args.after):
        if not folder.is_dir():
            sys.exit(f"error: {folder} is not a folder; pass a results folder")
    lines = differences(args.before, args.after)
    print(*lines, f"{len(compared(args.before))} files compared", sep="\n")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
