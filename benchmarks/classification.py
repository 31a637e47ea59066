#!/usr/bin/env python3
"""Evaluate every fine-tuning mode on real audio, with a random and a SimCLR
encoder.

> python benchmarks/classification.py ../shared/data --out results/modes

Inductive: the encoder tested on a fold was pre-trained without that fold's
recordings and without any infant cry. Everything is trained by the public
commands; run the same command again to resume. Tables are printed and written
to ``modes.md``.
"""

import argparse
import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the recipes are not installed

from sounds import CRY, build_generic, read_sounds  # noqa: E402

from cry_modules.metrics.compare import compare, read_sets  # noqa: E402
from cry_modules.metrics.compare_report import sentence  # noqa: E402
from cry_modules.metrics.predictions import UNITS  # noqa: E402
from cry_modules.metrics.words import with_interval  # noqa: E402
from data_prep.files.errors import one_line_errors  # noqa: E402
from data_prep.files.parent import program_ends_with_parent  # noqa: E402
from data_prep.files.tables import write_text  # noqa: E402
from recipes.study.stages import MODE_NAMES as MODES  # noqa: E402

N_FOLDS = 5

#: Options of each task.
TASKS = {
    "sound": ("recordings_sounds.csv", "[other, crying_baby]"),
    "super_class": (
        "recordings_sounds.csv",
        "[animals, domestic, human, natural, urban]",
    ),
    "age": ("recordings_donateacry.csv", "[older, up_to_8_weeks]"),
    "trigger": ("recordings_donateacry.csv", "[discomfort, hunger, pain]"),
}
ENCODERS = {"random": "random, BatchNorm calibrated", "simclr": "SimCLR"}


class Cell(NamedTuple):
    """One run: keys of ``TASKS``, ``MODES`` and ``ENCODERS``, and a seed."""

    task: str
    mode: str
    encoder: str
    seed: int

    def folder(self, out: Path) -> Path:
        """Folder of the run; seeds of one kind share a parent."""
        name = f"{self.task}_{self.mode}_{self.encoder}"
        return out / name / str(self.seed)


def pre_train(data: Path, out: Path, seed: int, fold: int) -> None:
    """Train SimCLR on all generic sounds except those of a fold."""
    training = [
        row
        for row in read_sounds(data)
        if row["sound"] != CRY and row["fold"] != str(fold)
    ]
    generic = out / f"generic_{fold}"
    build_generic(training, generic)
    folder = out / f"simclr_{seed}_{fold}"
    if (folder / "done").is_file():
        return
    command = ["train_simclr.py", "hparams/small_simclr.yaml"]
    command += [f"--data_folder={generic}", f"--output_folder={folder}"]
    run([*command, f"--seed={seed}", "--precision=bf16"])
    (folder / "done").touch()


def train(cell: Cell, data: Path, out: Path, options: List[str]) -> None:
    """Run ``train_cls.py`` on all folds, unless it is done."""
    folder = cell.folder(out)
    if (folder / "metrics.json").is_file():
        return
    table, classes = TASKS[cell.task]
    source = "random_calibrated"
    if cell.encoder == "simclr":
        # No encoder was trained on these cries: the first one serves.
        fold = "{fold}" if table == "recordings_sounds.csv" else "0"
        source = f"{out}/simclr_{cell.seed}_{fold}"
    command = ["train_cls.py", f"hparams/neuro_{cell.mode}.yaml"]
    command += [f"--data_folder={data}", f"--recordings_csv={data / table}"]
    command += [f"--label_column={cell.task}", f"--classes={classes}"]
    command += ["--folds=all", "--width=8", f"--encoder_source={source}"]
    command += [f"--seed={cell.seed}", f"--output_folder={folder}"]
    run(command + options)


def run(command: List[str]) -> None:
    """Run a public command; exit with its status if it fails."""
    print("$ python " + " ".join(command), flush=True)
    log = subprocess.run(
        [sys.executable, *command, "--noprogressbar"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        preexec_fn=program_ends_with_parent(),
    )
    if log.returncode:
        print("\n".join(log.stdout.split("\n")[-15:]), file=sys.stderr)
        raise SystemExit(log.returncode)
    print(log.stdout.strip().split("\n")[-1], flush=True)


def table(task: str, done: List[Tuple[Cell, Dict]]) -> str:
    """Markdown of one task: a row for each run, then the controls."""
    rows = [
        f"{task}, within {N_FOLDS} folds (95 % interval over patients)",
        "",
        "| encoder | mode | seed | AUC by recording | by patient | mean of "
        "folds ± sd | average precision | accuracy (majority) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    of_task = [(cell, metrics) for cell, metrics in done if cell.task == task]
    for cell, metrics in of_task:
        recording, patient = (metrics["test"][unit] for unit in UNITS)
        folds = metrics["by_fold"]["auc"]
        rows.append(
            f"| {ENCODERS[cell.encoder]} | {MODES[cell.mode]} | {cell.seed} | "
            f"{with_interval(recording)} | {with_interval(patient)} | "
            f"{folds['mean']:.3f} ± {folds['sd']:.3f} | "
            f"{with_interval(recording, 'average_precision')} | "
            f"{recording['accuracy']:.3f} ({recording['majority_accuracy']:.3f}) |"
        )
    for name, entry in of_task[0][1]["controls"].items():
        block = entry["recording"]
        # A support vector machine has no probabilities to threshold.
        accuracy = block["accuracy"]
        rows.append(
            f"| *{name}* | | | *{with_interval(block)}* | "
            f"*{with_interval(entry['patient'])}* | | "
            f"*{with_interval(block, 'average_precision')}* | "
            + ("|" if accuracy is None else f"*{accuracy:.3f}* |")
        )
    return "\n".join(rows)


def differences(task: str, modes, out: Path) -> List[str]:
    """SimCLR compared with the random encoder in each mode, paired by
    patient, a line for each mode."""
    lines = []
    for mode in modes:
        places = [out / f"{task}_{mode}_{encoder}" for encoder in ENCODERS]
        if not all(place.is_dir() for place in places):
            continue
        sets = read_sets([str(place) for place in places], ["random", "SimCLR"])
        result = compare(sets)
        text = sentence(result["differences"][0], result)
        lines.append(f"- {MODES[mode]}: {text}")
    return lines


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the tables")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write"
    )
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=TASKS,
        default=list(TASKS),
        help="default: all",
    )
    parser.add_argument(
        "--modes",
        nargs="+",
        choices=MODES,
        default=list(MODES),
        help="default: all",
    )
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument(
        "--epochs", type=int, default=10, help="of linear+BN and end to end"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        help="option of every train_cls.py run: --option=--balance=none",
    )
    args = parser.parse_args()
    data, out = args.data.resolve(), args.out.resolve()
    for seed in range(args.seeds):
        for fold in range(N_FOLDS):
            pre_train(data, out, seed, fold)
    # Controls and pictures are those of the linear runs.
    fine_tuning = [f"--number_of_epochs={args.epochs}", "--chunk_s=2.0"]
    fine_tuning += ["--controls=False", "--figures=False"]
    done = []
    for seed, *names in product(
        range(args.seeds), args.tasks, args.modes, ENCODERS
    ):
        cell = Cell(*names, seed)
        options = [] if cell.mode == "linear" else fine_tuning
        train(cell, data, out, options + args.option)
        metrics = (cell.folder(out) / "metrics.json").read_text("utf-8")
        done.append((cell, json.loads(metrics)))
    parts = []
    for task in args.tasks:
        parts += [table(task, done), ""]
        parts += [*differences(task, args.modes, out), ""]
    text = "\n".join(parts)
    write_text(out / "modes.md", text)
    print(f"\n{text}\ndone: {len(done)} runs; {out / 'modes.md'}")


if __name__ == "__main__":
    with one_line_errors():
        main()
