"""Write the yaml file of a study of one's own recordings.

> python -m recipes.study.new --cries labelled/babies.csv \\
>     --label_column Condition --sounds sounds [--unlabelled unlabelled] \\
>     --out my_study.yaml

Reads and audits the recordings, chooses folds, encoders and sizes by what they
are, and measures the speed of this machine. Nothing is written among them.
"""

import logging
import os
import shlex
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from data_prep.files.arguments import Arguments
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.files.folders import require_outside
from data_prep.files.lock import locked
from data_prep.files.option_values import whole_number
from data_prep.files.tables import NAMED_BY, write_text
from recipes.study import cost
from recipes.study.data import has_labels
from recipes.study.encoders import PROPOSED
from recipes.study.plan import Plan
from recipes.study.proposal import (
    Proposal,
    Request,
    as_yaml,
    choose_folds,
    propose,
    settings_of,
)
from recipes.study.run import PROFILES, ROOT, read_profile
from recipes.study.settings import check_settings, read_study
from recipes.study.survey import (
    Cries,
    Folder,
    survey_cries,
    survey_folder,
    survey_sounds,
)


def parse(argv: Optional[Sequence[str]] = None):
    """Parse the command line."""
    parser = Arguments(
        description="Write the yaml file of a study of one's own recordings."
    )
    for name, words in {
        "cries": "table of the labelled cries: csv or xlsx",
        "label_column": "column of the classes",
        "out": "yaml file to write",
    }.items():
        parser.add_argument(f"--{name}", required=True, help=words)
    for name, words in {
        "data_folder": "folder of the labelled cries; default: the table's",
        "positive": "positive class; default: the last in the alphabet",
        "unlabelled": "folder of cries of other infants, for adaptation",
        "sounds": "folder of sounds without these babies, for pre-training",
    }.items():
        parser.add_argument(f"--{name}", help=words)
    for ours, option in NAMED_BY.items():
        words = f"column of the table; default: {ours}, or one like it"
        parser.add_argument(option, metavar="NAME", help=words)
    parser.add_argument(
        "--output_folder",
        help="folder of the study; default: results/study/NAME of --out",
    )
    parser.add_argument(
        "--width", type=whole_number(1, 1024), default=8,
        help="width of the encoder; 64 is the paper's",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=whole_number(1, 100), default=3,
        help="number of seeds of pre-training and of classifiers",
    )  # fmt: skip
    return parser.parse_args(argv)


def new_study(args) -> List[str]:
    """Write the yaml file; return what to print."""
    out = _output(args)
    named = (args.patient_column, args.path_column, args.positive)
    audit = out / "audit"
    with _removed_if_refused(audit if out.exists() else out), locked(out):
        cries = survey_cries(
            args.cries, args.label_column, args.data_folder, *named,
            audit / "cries",
        )  # fmt: skip
        choose_folds(cries)  # refuses what no study can be made of
        sounds = survey_sounds(args.sounds, cries, audit / "sounds")
        unlabelled = args.unlabelled and survey_folder(
            "--unlabelled", args.unlabelled, cries, audit / "unlabelled"
        )
        supervised = has_labels(sounds.root)
        if unlabelled:
            _require_others(unlabelled)
        request = Request(args.width, args.seeds, str(out))
        proposal = propose(cries, sounds, unlabelled, supervised, request)
        words = _write(args, proposal)
    return [
        *_of_data(cries, sounds, unlabelled),
        *_of_choices(proposal, supervised),
        *words,
    ]


@contextmanager
def _removed_if_refused(folder: Path):
    """Remove a folder that was not there before if the data are refused, unless
    the refusal names a file in it."""
    existed = folder.exists()
    try:
        yield
    except InputError as error:
        if not existed and str(folder) not in str(error):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _output(args) -> Path:
    """Folder of the study, outside the folders that are read."""
    cure = "pass a folder of a few hundred recordings of anything but these "
    cure += "babies, as it is: your own, ESC-50, UrbanSound8K, VGGSound"
    problem = "--sounds is missing, and every encoder begins with them"
    require(args.sounds is not None, problem, cure)
    default = ROOT / "results/study" / Path(args.out).stem
    out = Path(args.output_folder or default).absolute()
    for folder in filter(None, (args.sounds, args.unlabelled)):
        require_outside(out / "audit", Path(folder))
        require_outside(Path(args.out).absolute(), Path(folder))
    require(
        not Path(args.out).is_dir(),
        f"--out {args.out} is a folder",
        "pass the yaml file to write",
    )
    return out


def _require_others(unlabelled: Folder) -> None:
    """Refuse cries for adaptation that are all labelled ones."""
    require(
        len(unlabelled.copies) < unlabelled.n,
        f"all files of {unlabelled.root} are labelled cries: adaptation would "
        "hear the patients of the test",
        "leave out --unlabelled, which adapts to the training folds only",
    )


def _write(args, proposal: Proposal) -> List[str]:
    """Write the file with the measured speed and the estimated hours, unless
    the same is there already; return what to print."""
    path = Path(args.out).absolute()
    shown = args.out if Path.cwd() == ROOT else str(path)
    before = read_study(path) if path.exists() else {}
    values = settings_of(proposal)
    os.chdir(ROOT)  # paths in a study are relative to it
    speed = before.get("speed") or _speed(values)
    plan = Plan(check_settings({**values, "speed": speed}, args.out))
    jobs = read_profile(PROFILES / "real")["cores"]
    seconds = cost.Estimate(plan).of(plan.runs.values(), []) / jobs
    took = f"about {cost.in_words(seconds)}, {jobs} runs at a time"
    stages = proposal.pop("stages")
    proposal["speed"] = (speed, f"measured on this machine: {took}")
    proposal["stages"] = stages
    heading = "Written by recipes.study.new; change what you like."
    text = as_yaml(proposal, heading)
    if before:
        problem = f"{shown} exists, and is of other data, options or changes"
        cure = "pass another --out, or delete it"
        require(path.read_text("utf-8") == text, problem, cure)
    else:
        write_text(path, text)
    return [
        f"time: {took} (a rough estimate for {len(plan.runs)} runs)",
        f"{'unchanged' if before else 'written'}: {shown}, with the reason "
        "for each setting; next:",
        f"make study STUDY={shlex.quote(shown)}",
    ]


def _speed(values: Dict) -> float:
    """Speed of this machine, relative to that of the rates in ``cost``."""
    simclr = values["stages"]["simclr"]
    chunk_s, batch_size = simclr.get("chunk_s", 1.0), simclr.get("batch_size")
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # SpeechBrain's: nothing is trained
    try:
        # Imported here: torch and SpeechBrain take seconds.
        from recipes.study.calibration import audio_per_second

        rate = audio_per_second(values["width"], chunk_s, batch_size or 32)
    finally:
        logging.disable(level)
    return cost.relative_speed(rate, values["width"])


def _of_data(
    cries: Cries, sounds: Folder, unlabelled: Optional[Folder]
) -> List[str]:
    """Lines on what was found."""
    named, classes = cries.named, cries.classes
    of_classes = ", ".join(
        f"{name} {sum(rec.label == name for rec, _ in cries.rows)} of "
        f"{len(cries.patients[name])} patients"
        for name in classes
    )
    lines = [
        f"cries: {len(cries.rows)} recordings of {cries.n_patients} patients "
        f"(column {named['patient_id']}; files: {named['path']}): {of_classes}",
        f"positive: {classes[-1]} (another: --positive {classes[0]})",
        f"sounds: {sounds.n}, median {sounds.median_s:.1f} s",
    ]
    if unlabelled is not None:
        n_copies = len(unlabelled.copies)
        lines.append(
            f"unlabelled: {unlabelled.n}, median {unlabelled.median_s:.1f} s; "
            "they must be of other infants, which only you can know"
            + f" ({n_copies} labelled ones are left out)"
            * bool(n_copies)
        )
    return lines


def _of_choices(proposal: Proposal, supervised: bool) -> List[str]:
    """Lines on what was chosen and why."""
    folds, why = proposal["folds"]
    number = f"{folds}, of whole patients" if folds is not True else "given"
    lines = [f"folds: {number if folds else 'none'}: {why}"]
    left_out = []
    if not supervised:
        left_out.append("supervised (the sounds have no labels)")
    encoders = proposal["encoders"][0]
    if PROPOSED not in encoders:
        left_out.append("adaptation (too few cries to train with)")
    elif proposal["unlabelled"][0] is None:
        left_out.append(
            "adaptation to other infants (no --unlabelled: to the training "
            "folds only)"
        )
    without = f"; without {', '.join(left_out)}" if left_out else ""
    return [*lines, f"encoders: {', '.join(encoders)}{without}"]


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command line."""
    args = parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        print("\n".join(new_study(args)))


if __name__ == "__main__":
    main()
