"""Run a study: print plan and hours, run Snakemake, write the report.

> python -m recipes.study.run demo
> python -m recipes.study.run real --study my_study.yaml --dry_run

Finished runs are kept: run the same command again after an interruption or a
change of the settings. After a failed run, whose log is named, the others
continue. Options after ``--`` are passed to Snakemake.
"""

import copy
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Dict, Optional, Sequence

import yaml

from data_prep.files.arguments import Arguments
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.files.lock import locked
from data_prep.files.option_values import whole_number
from data_prep.files.parent import program_ends_with_parent
from data_prep.files.tables import write_text
from data_prep.files.yaml_text import read_settings, text_or_texts
from recipes.study import cost, spent
from recipes.study.engine import (
    report_so_far,
    snakemake_command,
    with_cache,
    work,
)
from recipes.study.keys import options_as_keys
from recipes.study.plan import SHARED, Plan, Run
from recipes.study.settings import STUDY_TEXTS, check_settings, read_study
from recipes.study.so_far import TABLE
from recipes.study.watch import Watch

ROOT = Path(__file__).resolve().parents[2]
PROFILES = Path(__file__).parent / "profiles"


def require_snakemake() -> None:
    """Raise InputError if Snakemake is not installed."""
    require(
        importlib.util.find_spec("snakemake"),
        "Snakemake is not installed",
        "run pip install --editable '.[study]', or make setup",
    )


def read_profile(folder: Path) -> Dict:
    """Read Snakemake's options from a profile."""
    path = folder / "config.yaml"
    known = sorted(p.parent.name for p in PROFILES.glob("*/config.yaml"))
    cure = f"use {', '.join(known)}, or a folder with a config.yaml"
    problem = f"profile {folder.name!r} does not exist"
    require(path.is_file(), problem, cure)
    profile = read_study(path)
    for name, kind in (("configfile", str), ("cores", int), ("jobs", int)):
        value = profile.get(name, profile.get("jobs", profile.get("cores")))
        problem = f"{path}: {name} is {value!r}"
        cure = "correct it as in recipes/study/profiles/demo/config.yaml"
        require(isinstance(value, kind), problem, cure)
    _check_profile(profile, path)
    return profile


#: Options of Snakemake that a profile may set: none runs a command or a file.
_PROFILE = {
    "configfile", "cores", "jobs", "keep-going", "rerun-incomplete",
    "rerun-triggers", "executor", "retries", "latency-wait", "slurm-requeue",
    "default-resources", "set-resources", "set-threads", "printshellcmds",
    "max-jobs-per-second", "max-status-checks-per-second", "restart-times",
    "resources", "local-cores", "quiet", "show-failed-logs", "nolock",
}  # fmt: skip
#: A value of a resource: Snakemake would compute any other Python expression.
_RESOURCE = re.compile(r"(\w+=)?('[\w:./ -]*'|\"[\w:./ -]*\"|[\w:./-]+)")


def _check_profile(profile: Dict, path: Path) -> None:
    """Refuse what Snakemake would run: a profile may come from a stranger."""
    cure = "pass it to Snakemake, after --, if you trust it"
    for name in profile:
        problem = f"{path}: {name!r} is not a setting of these profiles"
        require(name in _PROFILE, problem, cure)
    values = [profile.get(n) or [] for n in _PROFILE if n.endswith("resources")]
    while values:
        value = values.pop()
        if isinstance(value, (dict, list)):
            values += value.values() if isinstance(value, dict) else value
            continue
        problem = f"{path}: the resource {value!r:.80} is an expression"
        require(_RESOURCE.fullmatch(str(value)), problem, cure)


def read_changes(pairs: Sequence[str]) -> Dict:
    """Parse the values of ``--set``."""
    changes = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise InputError(f"--set {pair}: write it as name=value")
        require(name not in changes, f"--set {name} is given twice", "keep one")
        if name.rpartition(".")[2] in STUDY_TEXTS:
            changes[name] = text_or_texts(value)
        else:
            cure = "the value is not yaml: quote or correct it"
            content = f"value: {value}"
            read = read_settings(content, f"--set {pair}", cure, STUDY_TEXTS)
            changes[name] = read["value"]
    return changes


def apply_changes(settings: Dict, changes: Dict, source: str) -> Dict:
    """Return settings with changes; dots in a name separate nested keys."""
    settings = copy.deepcopy(settings)
    for name, value in changes.items():
        *path, last = name.split(".")
        parent = settings
        for key in path:
            parent = parent.get(key) if isinstance(parent, dict) else None
        problem = f"--set {name}: {source} has no such setting"
        require(isinstance(parent, dict), problem, "correct it")
        parent[last] = value
    return settings


def describe(plan: Plan, estimate: cost.Estimate, jobs: int) -> str:
    """Table of the runs by kind, and the estimated duration."""
    runs = list(plan.runs.values())
    done = [run for run in runs if run.done]
    todo = [run for run in runs if not run.done]
    lines = [f"{'':40}{'runs':>6}{'done':>6}{'core hours to go':>18}"]
    kinds = Counter(map(kind_of, runs))
    for kind, n in kinds.items():
        left = [run for run in todo if kind_of(run) == kind]
        hours = estimate.of(left, done) / 3600
        lines.append(f"{kind:40}{n:6}{n - len(left):6}{hours:18.2f}")
    seconds = estimate.of(todo, done)
    hours = seconds / 3600
    lines.append(f"{'total':40}{len(runs):6}{len(done):6}{hours:18.2f}")
    if todo:
        how = "corrected by finished runs" if done else "a rough estimate"
        lines.append(
            f"\nabout {cost.in_words(seconds / jobs)}, {jobs} at a time ({how})"
        )
    return "\n".join(lines)


def kind_of(run: Run) -> str:
    """Name of a run's kind in the plan."""
    facts = run.facts
    if run.rule == "train_cls":
        few = "" if facts["fraction"] == 1 else ", few labels"
        return f"{facts['task']}, {facts['mode']}{few}"
    if "encoder" in facts and run.rule != "embed":
        return f"encoder {facts['encoder']}"
    return run.rule


def parse(argv: Optional[Sequence[str]] = None):
    """Parse the command line; what follows ``--`` is for Snakemake."""
    argv = list(sys.argv[1:] if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    parser = Arguments(
        description="Run a study.",
        epilog="Options of Snakemake follow after --, such as: -- --touch",
    )
    parser.add_argument(
        "profile", help="miniature, demo, real, poster, slurm, or a folder"
    )
    parser.add_argument(
        "--study", help="yaml file of the study; default: the profile's"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="change a setting: --set 'seeds=[1, 2, 3]'",
    )  # fmt: skip
    parser.add_argument(
        "--dry_run", action="store_true", help="print the plan, run nothing"
    )
    parser.add_argument(
        "--cores",
        type=whole_number(1, 10_000),
        help="runs at a time; default: the profile's",
    )
    args = parser.parse_args(argv[:end])
    args.snakemake = argv[end + 1 :]
    return args


def dry_run(profile: Path, settings: Dict, more: Sequence[str]) -> int:
    """Let Snakemake print its plan, without writing into the study's folder."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "study.yaml"
        write_text(config, yaml.safe_dump(settings, sort_keys=False))
        quiet = ["--dry-run", "--quiet", "rules", "host", "reason"]
        command = snakemake_command(profile, config, [*more, *quiet])
        environment = with_cache(dict(os.environ), Path(folder) / "cache")
        return subprocess.run(
            command, env=environment, preexec_fn=program_ends_with_parent()
        ).returncode


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line; return the exit status."""
    args = parse(argv)
    with one_line_errors():
        require_snakemake()
        folder = PROFILES / args.profile
        if "/" in args.profile:
            folder = Path(args.profile).absolute()
        profile = read_profile(folder)
        # Paths in a study are relative to the root; the path of its yaml file
        # is relative to the current folder.
        source = args.study and os.path.abspath(args.study)
        os.chdir(ROOT)
        source = source or profile["configfile"]
        changes = read_changes(args.set)
        settings = apply_changes(read_study(source), changes, source)
        with options_as_keys(args.study or source):
            plan = Plan(check_settings(settings, source))
            estimate = cost.Estimate(plan)
        jobs = args.cores or profile.get("cores") or profile["jobs"]
        out = plan.settings.output_folder
        print(f"{plan.settings.title}\nto {out}\n")
        print(describe(plan, estimate, jobs), flush=True)
        cores = ["--cores", str(args.cores)] if args.cores else []
        more = [*args.snakemake, *cores]
        if args.dry_run:
            return dry_run(folder, settings, more)
        todo = [run for run in plan.runs.values() if not run.done]
        began = time.monotonic()
        with locked(out) as lock:
            config = out / "study.yaml"
            write_text(config, yaml.safe_dump(settings, sort_keys=False))
            command = snakemake_command(folder, config, more)
            watch = Watch(plan, estimate, jobs, out / "logs/snakemake.log")
            status = work(watch, command, lock, "executor" not in profile)
            if status or not all(run.done for run in plan.runs.values()):
                report_so_far(out)
                print(
                    "error: the study is not complete; fix the causes in the "
                    "logs and run the same command again",
                    file=sys.stderr,
                )
                return 1
            shutil.rmtree(out / SHARED, ignore_errors=True)
            mark = out / "reports" / plan.digest
            # A page of a part may have replaced it.
            if not mark.is_file() and report_so_far(out):
                write_text(mark, "")
        if todo:
            print((out / TABLE).read_text("utf-8"))
            kinds = spent.by_kind(todo, plan.settings)
            wall_s = time.monotonic() - began
            print(spent.summary(kinds, spent.used(), wall_s))
        print(farewell(plan))
        return 0


def farewell(plan: Plan) -> str:
    """Path of the page and, after a synthetic study, the next commands."""
    page = (plan.settings.output_folder / "report.html").absolute()
    text = f"done: {len(plan.runs)} runs; report in {page.as_uri()}"
    if plan.settings.synthetic is None:
        return f"{text}{_final_model(plan)}"
    return f"""{text}
your own audio, its study and then its hours:
  {_python()} -m recipes.study.new --cries TABLE.csv --label_column COLUMN --sounds FOLDER --out my_study.yaml
  make study STUDY=my_study.yaml OPTIONS=--dry_run
  make study STUDY=my_study.yaml"""


def _final_model(plan: Plan) -> str:
    """How to get a model of all patients, where folds have tested one."""
    if not plan.settings.folds:
        return ""
    folder = shlex.quote(_shown(plan.settings.output_folder))
    return (
        "\na model of all patients, to use and to share:\n  "
        f"{_python()} -m recipes.study.final {folder}"
    )


def _python() -> str:
    """This interpreter, as it is typed in the root."""
    return _shown(Path(sys.executable))


def _shown(path: Path) -> str:
    """A path as it is typed in the root."""
    return str(path.relative_to(ROOT) if ROOT in path.parents else path)


if __name__ == "__main__":
    sys.exit(main())
