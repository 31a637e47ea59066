#!/usr/bin/env python3
"""Export this repository's recipes as pull requests for SpeechBrain.

> python tools/export_upstream.py --sb path/to/speechbrain --out tree
"""

import argparse
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent
from typing import Dict, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_prep.files.errors import InputError, one_line_errors  # noqa: E402
from data_prep.files.lock import locked_beside  # noqa: E402
from tools.upstream.checks import check, show  # noqa: E402
from tools.upstream.fixes import check_fix, fixes  # noqa: E402
from tools.upstream.layout import export, rendered, up_to  # noqa: E402
from tools.upstream.patches import (  # noqa: E402, E501
    growing,
    write_fixes,
    write_patches,
)
from tools.upstream.series import SERIES  # noqa: E402


def make_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        description="Export this repository's recipes as pull requests for "
        "SpeechBrain.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--sb", metavar="CHECKOUT", help="checkout of SpeechBrain"
    )
    parser.add_argument(
        "--out", metavar="TREE", help="write the files of the series"
    )
    parser.add_argument(
        "--upto",
        metavar="NAME",
        help="export only the pull requests up to this one",
    )
    parser.add_argument(
        "--results",
        metavar="URL",
        default="",
        help="address of published results, which SpeechBrain requires",
    )
    parser.add_argument("--list", action="store_true", help="print the series")
    parser.add_argument(
        "--patches",
        metavar="FOLDER",
        help="write a patch for git am per pull request",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="run SpeechBrain's own checks on TREE",
    )
    parser.add_argument(
        "--check_each",
        metavar="WORK",
        help="run them after each pull request, in this folder",
    )
    parser.add_argument(
        "--check_fixes",
        metavar="WORK",
        help="check that the optional fixes are needed and work, in this "
        "folder",
    )
    return parser


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    args = make_parser().parse_args(argv)
    with one_line_errors():
        _run(args)


def _run(args: argparse.Namespace):
    if args.list:
        # One file is appended to: any SpeechBrain has it.
        sb = args.sb or Path(find_spec("speechbrain").origin).parents[1]
        print(listing(Path(sb)))
        return
    outputs = (args.out, args.patches, args.check_each, args.check_fixes)
    if not args.sb or not any(outputs):
        raise InputError(
            "pass --sb with a checkout of SpeechBrain, and --out with a folder "
            "for the files (or --list)"
        )
    if args.check and not args.out:
        raise InputError("--check needs a tree; pass --out")
    checkout = Path(args.sb)
    if not (checkout / "tests/recipes").is_dir():
        raise InputError(
            f"{checkout} is not a SpeechBrain checkout; pass the folder that "
            "`git clone https://github.com/speechbrain/speechbrain` made"
        )
    with ExitStack() as stack:
        for path in filter(None, outputs):
            stack.enter_context(locked_beside(Path(path).absolute()))
        good = write_and_check(args, checkout)
    if not good:
        raise SystemExit(1)


def write_and_check(args: argparse.Namespace, checkout: Path) -> bool:
    """Write the requested outputs, and run the checks on it."""
    good, series = True, up_to(args.upto) if args.upto else SERIES
    if args.out:
        export(Path(args.out), checkout, series, args.results)
        print(f"{len(series)} pull requests written to {args.out}")
    if args.patches:
        patches = write_patches(
            checkout, Path(args.patches), series, args.results
        )
        print(f"{len(patches)} patches in {args.patches}, to apply in order")
        optional = Path(args.patches, "optional")
        write_fixes(checkout, optional)
        print(f"{len(fixes())} optional fixes in {optional}, each independent")
    if args.check:
        work = Path(f"{args.out}.check")
        good &= show(check(checkout, Path(args.out), work))
    if args.check_each:
        good &= check_each(checkout, Path(args.check_each), args.results)
    if args.check_fixes:
        good &= check_fixes(checkout, Path(args.check_fixes))
    return good


def listing(checkout: Path) -> str:
    """The series: titles, files with their sizes, descriptions."""
    parts = []
    texts = rendered(checkout, SERIES)
    for n, request in enumerate(SERIES, start=1):
        new = {path: added(checkout, path, texts) for path in request.files}
        parts.append(f"{n}. {request.name}: {request.title}")
        parts.append(f"   {sum(new.values())} lines in {len(new)} files")
        parts += [f"   {lines:5d}  {path}" for path, lines in new.items()]
        parts += [f"       ->  {link} -> {to}" for link, to in request.links]
        parts += [
            f"      row  {row['Script_file']} {row['Hparam_file']}"
            for row in request.rows
        ]
        parts += [f"   sample  tests/samples/{s}" for s in request.samples]
        parts += ["", indent(request.description, "   | ", lambda _: True), ""]
    parts += [
        "Optional fixes of SpeechBrain, which the series does not need.",
        "",
    ]
    for fix in fixes():
        lines = fix.patch.read_text(encoding="utf-8").splitlines()
        changed = sum(
            line[:1] in ("+", "-") and line[:3] not in ("+++", "---")
            for line in lines
        )
        parts.append(f"-  {fix.name}: {fix.title}")
        parts.append(f"   {changed} lines changed, {fix.test.name}")
        parts += ["", indent(fix.description, "   | ", lambda _: True), ""]
    return "\n".join(parts)


def added(checkout: Path, path: str, texts: Dict[str, str]) -> int:
    """Number of lines that a file has more than SpeechBrain's."""
    target = checkout / path
    before = target.read_text(encoding="utf-8") if target.is_file() else ""
    return len(texts[path].splitlines()) - len(before.splitlines())


def check_fixes(checkout: Path, work: Path) -> bool:
    """Check each optional fix, and print its problems."""
    good = True
    for fix in fixes():
        problems = check_fix(fix, checkout, work)
        good &= not problems
        print(f"{'FAIL' if problems else 'PASS'}  fix/{fix.name}", flush=True)
        for problem in problems:
            print(indent(problem, "      "))
    return good


def check_each(checkout: Path, work: Path, results: str) -> bool:
    """Check the tree after each pull request of the series."""
    good = True
    for tree, request in growing(checkout, work / "tree", results=results):
        print(f"== up to {request.name}", flush=True)
        new_rows = [row["Hparam_file"] for row in request.rows]
        good &= show(check(checkout, tree, work / "check", rows=new_rows))
    return good


if __name__ == "__main__":
    main()
