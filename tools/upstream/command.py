"""The command line of ``tools/export_upstream.py``."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent
from typing import Dict, Optional, Sequence

from data_prep.files.errors import InputError, one_line_errors
from tools.upstream.checks import check, show
from tools.upstream.fixes import fixes, prove
from tools.upstream.layout import export, rendered, up_to
from tools.upstream.patches import growing, write_fixes, write_patches
from tools.upstream.series import SERIES

_EPILOG = """
The series is printed by --list, written as one tree by --out, as a tree of the
first ones by --out and --upto, and as patches for git am by --patches.
"""


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
    parts += ["Optional, found on the way; none of the others needs them.", ""]
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
    """Lines that a file has more than SpeechBrain's."""
    there = checkout / path
    before = there.read_text(encoding="utf-8") if there.is_file() else ""
    return len(texts[path].splitlines()) - len(before.splitlines())


def check_fixes(checkout: Path, work: Path) -> bool:
    """Show that each optional fix mends what its test finds."""
    good = True
    for fix in fixes():
        complaints = prove(fix, checkout, work / "fixed")
        good &= not complaints
        print(f"{'FAIL' if complaints else 'PASS'}  fix/{fix.name}", flush=True)
        for complaint in complaints:
            print(indent(complaint, "      "))
    return good


def check_each(checkout: Path, work: Path, results: str) -> bool:
    """Check the tree after each pull request of the series."""
    good = True
    for tree, request in growing(checkout, work / "tree", results=results):
        print(f"== up to {request.name}", flush=True)
        new_rows = [row["Hparam_file"] for row in request.rows]
        good &= show(check(checkout, tree, work / "check", rows=new_rows))
    return good


def main(argv: Optional[Sequence[str]] = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="This repository's recipes as pull requests for "
        "SpeechBrain.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--sb", metavar="CHECKOUT", help="of SpeechBrain")
    parser.add_argument("--out", metavar="TREE", help="folder for the files")
    parser.add_argument("--upto", metavar="NAME", help="only up to this one")
    parser.add_argument(
        "--results",
        metavar="URL",
        default="",
        help="where results are published; upstream asks for it",
    )
    parser.add_argument("--list", action="store_true", help="print the series")
    parser.add_argument("--patches", metavar="FOLDER", help="for git am")
    parser.add_argument(
        "--check",
        action="store_true",
        help="then run SpeechBrain's own checks on the tree",
    )
    parser.add_argument(
        "--check_each",
        metavar="WORK",
        help="run them after each pull request, in this folder",
    )
    parser.add_argument(
        "--check_fixes",
        metavar="WORK",
        help="show that the optional fixes mend what they say, in this folder",
    )
    args = parser.parse_args(argv)
    with one_line_errors():
        run(args)


def run(args: argparse.Namespace) -> None:
    """Do what the options say."""
    if args.list:
        # One file is added to: any SpeechBrain has it.
        found = args.sb or Path(find_spec("speechbrain").origin).parents[1]
        print(listing(Path(found)))
        return
    asked = (args.out, args.patches, args.check_each, args.check_fixes)
    if not args.sb or not any(asked):
        raise InputError(
            "pass --sb with a checkout of SpeechBrain, and --out with a folder "
            "for the files (or --list)"
        )
    if args.check and not args.out:
        raise InputError("--check is of a tree; pass --out")
    checkout, good = Path(args.sb), True
    if not (checkout / "tests/recipes").is_dir():
        raise InputError(
            f"{checkout} is no checkout of SpeechBrain; pass the folder that "
            "`git clone https://github.com/speechbrain/speechbrain` made"
        )
    series = up_to(args.upto) if args.upto else SERIES
    if args.out:
        export(Path(args.out), checkout, series, args.results)
        print(f"{len(series)} pull requests laid out in {args.out}")
    if args.patches:
        written = write_patches(
            checkout, Path(args.patches), series, args.results
        )
        print(f"{len(written)} patches in {args.patches}, which apply in turn")
        optional = Path(args.patches, "optional")
        write_fixes(checkout, optional)
        print(f"{len(fixes())} optional ones in {optional}, each for itself")
    if args.check:
        work = Path(f"{args.out}.check")
        good &= show(check(checkout, Path(args.out), work))
    if args.check_each:
        good &= check_each(checkout, Path(args.check_each), args.results)
    if args.check_fixes:
        good &= check_fixes(checkout, Path(args.check_fixes))
    if not good:
        raise SystemExit(1)
