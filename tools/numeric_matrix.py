#!/usr/bin/env python3
"""Run tests under several instruction sets, thread counts and locales.

> python tools/numeric_matrix.py tests/cry_modules --settings avx2 default

The variables are read when torch and NumPy are imported, so each setting is a
new process. Without pytest arguments the tests of modules are run, which
train next to nothing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple
from xml.etree import ElementTree

import numpy as np

from data_prep.files.parent import program_ends_with_parent

ROOT = Path(__file__).resolve().parents[1]
SELECTION = ["cry_modules", "data_prep", "tests/cry_modules"]
SELECTION += ["tests/data_prep"]

#: NumPy's instruction sets above its baseline that this processor has.
_NUMPY = " ".join(
    np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
)

#: Environment variables of each setting, on top of one thread.
SETTINGS = {
    "unset": {},
    "default": {"ATEN_CPU_CAPABILITY": "default"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "onednn": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "mkl": {"MKL_CBWR": "COMPATIBLE"},
    "numpy": {
        "NPY_DISABLE_CPU_FEATURES": _NUMPY,
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "oldest": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "NPY_DISABLE_CPU_FEATURES": _NUMPY,
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "threads_2": {"OMP_NUM_THREADS": "2"},
    "threads_4": {"OMP_NUM_THREADS": "4"},
    "locale": {
        "LC_ALL": "C",
        "PYTHONHASHSEED": "random",
        "TZ": "Pacific/Kiritimati",
    },
}
_CONTROLLED = {name for values in SETTINGS.values() for name in values}


class Outcome(NamedTuple):
    """Numbers of tests by outcome, and the names of those that failed."""

    passed: int
    skipped: int
    failed: List[str]
    seconds: float


def environment(setting: str, outside: Mapping[str, str]) -> Dict[str, str]:
    """The environment of a setting, without what is set outside."""
    kept = {k: v for k, v in outside.items() if k not in _CONTROLLED}
    return {**kept, "OMP_NUM_THREADS": "1", **SETTINGS[setting]}


def run(setting: str, arguments: List[str], xml: Path) -> Outcome:
    """Run pytest in a new process and read its report."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "not slow", *arguments]
        + ["-p", "no:cacheprovider", f"--junitxml={xml}"],
        cwd=ROOT,
        env=environment(setting, os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        preexec_fn=program_ends_with_parent(),
    )
    seconds = time.monotonic() - began
    if done.returncode not in (0, 1):
        tail = "\n".join(done.stdout.splitlines()[-20:])
        raise SystemExit(f"error: pytest failed under {setting}:\n{tail}")
    return read(xml, seconds)


def read(xml: Path, seconds: float) -> Outcome:
    """Read pytest's JUnit report."""
    passed, skipped, failed = 0, 0, []
    for case in ElementTree.parse(xml).iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif "skipped" in outcomes:
            skipped += 1
        else:
            passed += 1
    return Outcome(passed, skipped, failed, seconds)


def main() -> None:
    """Print a row for each setting; exit with 1 if any test failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--settings", nargs="+", choices=SETTINGS, help="default: all"
    )
    args, arguments = parser.parse_known_args()
    failures = 0
    print("| setting | variables | passed | skipped | failed | seconds |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for setting in args.settings or SETTINGS:
            outcome = run(
                setting, arguments or SELECTION, Path(folder, "report.xml")
            )
            variables = " ".join(
                f"{k}={v}" for k, v in SETTINGS[setting].items()
            )
            print(
                f"| {setting} | {variables} | {outcome.passed} "
                f"| {outcome.skipped} | {len(outcome.failed)} "
                f"| {outcome.seconds:.0f} |",
                *[f"  failed: {name}" for name in outcome.failed],
                sep="\n",
                flush=True,
            )
            failures += len(outcome.failed)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
