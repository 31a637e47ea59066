"""Run a study: its plan and hours first, then Snakemake, then the report.

> python -m recipes.study.run demo
> python -m recipes.study.run real --study my_study.yaml --dry_run

Whatever is done stays done: type the same again after an interruption, or
after a change of the settings. A failed run names its log and leaves the rest
going. What follows ``--`` goes to Snakemake.

Authors
 * The contributors of cry-ssl 2026
"""

import argparse
import copy
import fcntl
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set

import yaml
from tqdm import tqdm

from data_prep.atomic import make_folder
from data_prep.errors import InputError, one_line_errors
from data_prep.tables import write_text
from recipes.study import cost
from recipes.study.plan import Plan, Run
from recipes.study.settings import check_settings, read_study

ROOT = Path(__file__).resolve().parents[2]
PROFILES = Path(__file__).parent / "profiles"
_SNAKEFILE = "recipes/study/Snakefile"
_LOOK_EVERY = 1.0  # seconds


def require_snakemake() -> None:
    """Refuse, in one line, where the workflow engine is missing.

    Raises
    ------
    InputError
        Snakemake is not installed.
    """
    if importlib.util.find_spec("snakemake") is None:
        raise InputError(
            "Snakemake is not installed; with Python 3.11 or newer type "
            "pip install --editable '.[study]', or make setup anew "
            "(make setup PYTHON=python3.12)"
        )


def read_profile(name: str) -> Dict:
    """Snakemake's options of a profile.

    Arguments
    ---------
    name : str
        A folder of ``recipes/study/profiles``, or one's own.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        There is no such profile.
    """
    path = profile_folder(name) / "config.yaml"
    if not path.is_file():
        known = sorted(p.parent.name for p in PROFILES.glob("*/config.yaml"))
        raise InputError(
            f"there is no profile {name!r}; use {', '.join(known)}, or a "
            "folder of your own with a config.yaml"
        )
    return yaml.safe_load(path.read_text("utf-8"))


def profile_folder(name: str) -> Path:
    """Of a profile's name, or a folder of one's own.

    Arguments
    ---------
    name : str
        See ``read_profile``.

    Returns
    -------
    pathlib.Path
    """
    return Path(name) if "/" in name else PROFILES / name


def read_changes(pairs: Sequence[str]) -> Dict:
    """Settings given on the command line.

    Arguments
    ---------
    pairs : sequence of str
        ``name=value``; the value as in the yaml file.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        Not such a pair.

    Example
    -------
    >>> read_changes(["seeds=[1, 2]", "stages.linear.lr=0.1"])
    {'seeds': [1, 2], 'stages.linear.lr': 0.1}
    """
    changes = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise InputError(f"--set {pair}: write it as name=value")
        try:
            changes[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {pair}: the value is no yaml")
    return changes


def apply_changes(found: Dict, changes: Dict, source: str) -> Dict:
    """Settings with some changed, dots leading into them.

    Arguments
    ---------
    found : dict
        Of a yaml file.
    changes : dict
        See ``read_changes``.
    source : str
        The file, for errors.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        A dot that leads nowhere.

    Example
    -------
    >>> apply_changes({"a": {"b": 1, "c": 2}}, {"a.b": 3}, "x.yaml")
    {'a': {'b': 3, 'c': 2}}
    """
    found = copy.deepcopy(found)
    for name, value in changes.items():
        *path, last = name.split(".")
        place = found
        for part in path:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise InputError(
                f"--set {name}: {source} has no such setting; correct it"
            )
        place[last] = value
    return found


@contextmanager
def alone(folder: Path):
    """Hold the study's lock, which ends with the processes that have it.

    Arguments
    ---------
    folder : pathlib.Path
        Of the study.

    Yields
    ------
    int
        Descriptor of the lock, for Snakemake to hold it too.

    Raises
    ------
    InputError
        Somebody else runs this study.
    """
    with open(make_folder(folder) / ".lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{folder} is being worked on by another process; wait for "
                "it, or stop it"
            )
        yield file.fileno()


def is_done(run: Run) -> bool:
    """Whether a run's result is there."""
    return run.result.is_file()


def describe(plan: Plan, estimate: cost.Estimate, jobs: int) -> str:
    """What will run, in a table, and how long it will take.

    Arguments
    ---------
    plan : Plan
        All runs.
    estimate : Estimate
        Of its hours.
    jobs : int
        Runs at a time.

    Returns
    -------
    str
    """
    runs = list(plan.runs.values())
    done = [run for run in runs if is_done(run)]
    todo = [run for run in runs if not is_done(run)]
    lines = [f"{'':40}{'runs':>6}{'done':>6}{'core hours to go':>18}"]
    kinds = Counter(map(kind_of, runs))
    for kind, n in kinds.items():
        left = [run for run in todo if kind_of(run) == kind]
        hours = estimate.of(left, done) / 3600
        lines.append(f"{kind:40}{n:6}{n - len(left):6}{hours:18.2f}")
    seconds = estimate.of(todo, done)
    lines.append(
        f"{'in all':40}{len(runs):6}{len(done):6}{seconds / 3600:18.2f}"
    )
    if todo:
        how = "corrected by the runs done" if done else "reckoned, not measured"
        lines.append(
            f"\nabout {cost.in_words(seconds / jobs)}, {jobs} at a time ({how})"
        )
    return "\n".join(lines)


def kind_of(run: Run) -> str:
    """What a run is, in words, for the plan."""
    facts = run.facts
    if run.rule == "train_cls":
        few = "" if facts["fraction"] == 1 else ", few labels"
        return f"{facts['task']}, {facts['mode']}{few}"
    if "encoder" in facts and run.rule != "embed":
        return f"encoder {facts['encoder']}"
    return run.rule


class Watch:
    """Tells what is done and what has failed, while Snakemake works.

    Arguments
    ---------
    plan : Plan
        All runs.
    estimate : Estimate
        Of its hours.
    jobs : int
        Runs at a time.
    log : pathlib.Path
        What Snakemake says.
    """

    def __init__(self, plan, estimate, jobs, log):
        self.plan, self.estimate, self.jobs = plan, estimate, jobs
        self.log, self.read = log, 0
        self.by_result = {str(run.result): run for run in plan.runs.values()}
        self.done: Set[str] = {r.name for r in plan.runs.values() if is_done(r)}
        self.failed: Dict[str, Path] = {}
        self.bar = tqdm(
            total=len(plan.runs), initial=len(self.done), unit="run",
            dynamic_ncols=True, bar_format="{l_bar}{bar}| {n}/{total} runs",
        )  # fmt: skip

    def look(self) -> None:
        """Tell what is new."""
        for run in self.plan.runs.values():
            if run.name not in self.done and is_done(run):
                self.done.add(run.name)
                self.failed.pop(run.name, None)
                self.bar.update()
                self.bar.write(self._line(run))
        for run in self._failures():
            if run.name not in self.failed:
                self.failed[run.name] = log_of(run, self.plan)
                self.bar.write(failure(run, self.failed[run.name]))

    def _line(self, run) -> str:
        took = cost.timed(run, self.plan.settings)
        took = f" in {took['seconds']:.0f} s" if took else ""
        done = [self.plan[name] for name in self.done]
        left = [r for r in self.plan.runs.values() if r.name not in self.done]
        seconds = self.estimate.of(left, done) / self.jobs
        ahead = f", about {cost.in_words(seconds)} left" if left else ""
        return f"{len(self.done)}/{len(self.plan.runs)} {run.name}{took}{ahead}"

    def _failures(self) -> List[Run]:
        """Runs that Snakemake has newly called failed."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        new, self.read = text[self.read :], len(text)
        outputs = re.findall(
            r"Error in rule \w+:.*?output: ([^\n]+)", new, re.S
        )
        found = [line.split(" (")[0].strip() for line in outputs]
        return [self.by_result[o] for o in found if o in self.by_result]

    def close(self) -> None:
        """The last look."""
        self.look()
        self.bar.close()


def log_of(run: Run, plan: Plan) -> Path:
    """What a run's command said."""
    out = plan.settings.output_folder
    if run.rule in ("corpus", "tables"):
        return out / "logs" / f"{run.rule}.log"
    place = run.folder.relative_to(out)
    return out / "logs" / place.parent / f"{place.name}.log"


def failure(run: Run, log: Path) -> str:
    """A line on a failed run: its log, and what stands last in it."""
    text = log.read_text("utf-8", errors="replace") if log.is_file() else ""
    # A progress bar may stand below the error, or before it in its line.
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    errors = [
        line[line.index("error: ") :] for line in lines if "error: " in line
    ]
    last = (errors or lines or ["its log is empty"])[-1].strip()
    return f"FAILED {run.name}, see {log}: {last}"


def snakemake_command(profile: str, config: Path, more: Sequence[str]):
    """How Snakemake is called.

    Arguments
    ---------
    profile : str
        See ``read_profile``.
    config : pathlib.Path
        The study's settings, resolved.
    more : sequence of str
        Further options.

    Returns
    -------
    list of str
    """
    return [
        sys.executable, "-m", "snakemake", "--snakefile", _SNAKEFILE,
        "--profile", str(profile_folder(profile)), "--configfile", str(config),
        # `alone` locks better: its lock ends with the process.
        "--nolock", *more,
    ]  # fmt: skip


@contextmanager
def interruptible():
    """Ctrl-C, a closed terminal and SIGTERM all interrupt."""

    def interrupt(*_):
        raise KeyboardInterrupt

    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.signal(name, interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def work(plan, estimate, jobs, command, lock) -> int:
    """Let Snakemake work, and say how it goes on.

    Returns
    -------
    int
        Exit status.
    """
    out = plan.settings.output_folder
    log = make_folder(out / "logs") / "snakemake.log"
    # `python` in a rule is the one that runs this.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT,
            env=environment, pass_fds=[lock], start_new_session=True,
        )  # fmt: skip
    watch = Watch(plan, estimate, jobs, log)
    try:
        with interruptible():
            while process.poll() is None:
                watch.look()
                time.sleep(_LOOK_EVERY)
    except KeyboardInterrupt:
        print("\nstopping: runs save where they are", file=sys.stderr)
        # To Snakemake and its runs, which end by themselves.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise KeyboardInterrupt(
            "interrupted; the same command goes on where it stopped"
        )
    finally:
        watch.close()
    if process.returncode and not watch.failed:
        print(_last_words(log), file=sys.stderr)
    for name, path in watch.failed.items():
        print(failure(plan[name], path), file=sys.stderr)
    return process.returncode


def _last_words(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return f"Snakemake stopped; the end of {log}:\n" + "\n".join(lines[-8:])


def parse(argv: Optional[Sequence[str]] = None):
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Run a study.", allow_abbrev=False
    )
    parser.add_argument(
        "profile", help="demo, real, poster, slurm, or a folder of your own"
    )
    parser.add_argument("--study", help="its yaml file; default: the profile's")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="another value of the yaml file: --set 'seeds=[1, 2, 3]'",
    )  # fmt: skip
    parser.add_argument(
        "--dry_run", action="store_true", help="print the plan, run nothing"
    )
    parser.add_argument(
        "--cores", type=int, help="runs at a time; default: the profile's"
    )
    parser.add_argument("snakemake", nargs="*", help="after --: its options")
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """From the command line to the report."""
    args = parse(argv)
    with one_line_errors():
        require_snakemake()
        profile = read_profile(args.profile)
        source = os.path.abspath(args.study) if args.study else ""
        os.chdir(ROOT)
        source = source or profile["configfile"]
        found = apply_changes(
            read_study(source), read_changes(args.set), source
        )
        settings = check_settings(found, source)
        plan = Plan(settings)
        jobs = args.cores or profile.get("cores") or profile["jobs"]
        estimate = cost.Estimate(plan)
        print(f"{settings.title}\nto {settings.output_folder}\n")
        print(describe(plan, estimate, jobs), flush=True)
        more = list(args.snakemake)
        if args.cores:
            more += ["--cores", str(args.cores)]
        with alone(settings.output_folder) as lock:
            config = settings.output_folder / "study.yaml"
            write_text(config, yaml.safe_dump(found, sort_keys=False))
            command = snakemake_command(args.profile, config, more)
            if args.dry_run:
                quiet = ["--dry-run", "--quiet", "rules", "host", "reason"]
                return subprocess.run([*command, *quiet]).returncode
            print("", flush=True)
            status = work(plan, estimate, jobs, command, lock)
        report = settings.output_folder / "report.html"
        if status:
            print(
                "error: the study is not complete; mend what the logs above "
                "say and type the same again",
                file=sys.stderr,
            )
            return 1
        print(f"done: {len(plan.runs)} runs; report in {report}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
