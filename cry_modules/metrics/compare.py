"""Runs compared: sets of test predictions, with what patients and seeds add
to chance.

> python -m cry_modules.metrics results/random results/SimCLR --out both.json

Each argument is a set of predictions: a predictions csv, a run folder, a
folder of runs of several seeds, or a quoted pattern of these; a file is a
seed. Each later set is compared to the first on the same recordings, with
the same draws of patients for all files.
"""

import argparse
import glob
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from cry_modules.metrics.bootstrap import (
    N_DRAWS,
    fewest_patients,
    logit_interval,
    why_no_interval,
)
from cry_modules.metrics.figures import UNITS, by_unit
from cry_modules.metrics.paired import (
    ALPHA,
    DIGITS,
    LEAST_DRAWS,
    METRICS,
    aligned,
    difference_of,
    figures,
    p_in_words,
    why_no_test,
)
from cry_modules.metrics.predictions import AGGREGATIONS, Predictions
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.tables import write_text

FILE = "predictions_test.csv"
_IN_WORDS = {"auc": "AUC", "average_precision": "average precision"}


@dataclass
class RunSet:
    """Predictions of one model, trained with several seeds.

    Arguments
    ---------
    name : str
        In tables and sentences.
    files : list of pathlib.Path
        One a seed.
    predictions : list of Predictions
        Of each file, all in the same order of recordings.
    """

    name: str
    files: List[Path]
    predictions: List[Predictions]

    @property
    def seeds(self) -> List[str]:
        """Names of the seeds: of the folders that the files are in."""
        return [file.absolute().parent.name for file in self.files]


def find_files(argument: str) -> List[Path]:
    """Files of a set, one a seed.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> for seed in ("2023", "2022"):
    ...     folder.mkdir(seed).join(FILE).write("")
    >>> [file.parent.name for file in find_files(str(folder))]
    ['2022', '2023']
    """
    there = os.path.exists(argument)
    places = [argument] if there else glob.glob(argument, recursive=True)
    if not places:
        raise InputError(
            f"{argument}: there is no such file or folder, and as a pattern "
            "it matches none; correct the path"
        )
    files = [file for place in places for file in _files_at(Path(place))]
    files.sort(key=lambda file: (file.absolute().parent.name, str(file)))
    seen = {}
    for file in files:
        first = seen.setdefault(file.resolve(), file)
        if first is not file:
            raise InputError(
                f"{argument} takes one file twice, as {first} and as {file}; "
                "a file is one seed, so pass it once"
            )
    return files


def _files_at(place: Path) -> List[Path]:
    """Of a run folder its own, of a folder of runs theirs."""
    if place.is_file():
        if place.suffix != ".csv":
            raise InputError(
                f"{place} is no csv file of predictions; pass the {FILE} of "
                "a run, or its folder"
            )
        return [place]
    if (place / FILE).is_file():
        return [place / FILE]
    files = list(place.glob(f"*/{FILE}"))
    if not files:
        raise InputError(
            f"{place} holds no {FILE}, nor do the folders in it; pass the "
            "output_folder of train_cls.py"
        )
    return files


def short_names(arguments: Sequence[str]) -> List[str]:
    """The part of each path that tells it from the others.

    Example
    -------
    >>> short_names(["results/random/2022", "results/SimCLR/2022/"])
    ['random', 'SimCLR']
    >>> short_names(["results/SimCLR/predictions_test.csv"])
    ['SimCLR']
    """
    paths = [Path(os.path.abspath(argument)) for argument in arguments]
    folders = [path.parent if path.name == FILE else path for path in paths]
    parts = [list(folder.parts) for folder in folders]
    for end in (0, -1):
        while (
            all(len(p) > 1 for p in parts) and len({p[end] for p in parts}) == 1
        ):
            for p in parts:
                del p[end]
    return ["/".join(p) for p in parts]


def read_sets(
    arguments: Sequence[str], names: Optional[Sequence[str]] = None
) -> List[RunSet]:
    """Read sets of predictions of the same recordings."""
    names = short_names(arguments) if names is None else list(names)
    if len(names) != len(arguments):
        raise InputError(
            f"--names has {len(names)} names ({', '.join(names)}) and there "
            f"are {len(arguments)} sets; give one a set, with commas between"
        )
    files_of = [find_files(argument) for argument in arguments]
    keys = [{file.resolve() for file in files} for files in files_of]
    for i, key in enumerate(keys):
        if key in keys[:i]:
            raise InputError(
                f"{arguments[i]} is the same as {arguments[keys.index(key)]}; "
                "keep one of them"
            )
    for name in names:
        if not name or names.count(name) > 1:
            raise InputError(
                f"the name {name!r} does not tell one set from the others; "
                "pass different ones with --names"
            )
    first, found = None, []
    for name, files in zip(names, files_of):
        predictions = []
        for file in files:
            one = Predictions.read(file)
            first = first or (one, file)
            predictions.append(aligned(*first, one, file))
        found.append(RunSet(name, files, predictions))
    return found


def compare(
    sets: Sequence[RunSet],
    unit: str = "recording",
    patient_score: str = "mean_log_odds",
    seed: int = 0,
    n_draws: int = N_DRAWS,
    metric: str = "auc",
) -> Dict:
    """Figures of each set, and of each later one its difference to the first."""
    units = [
        [by_unit(p, unit, patient_score) for p in one.predictions]
        for one in sets
    ]
    first = units[0][0]
    found = figures(sum(units, []), metric, seed, n_draws)
    ends = np.cumsum([len(one) for one in units])
    rows = [list(range(end - len(u), end)) for end, u in zip(ends, units)]
    why = why_no_interval(first.labels, first.patients, first.classes)
    differences = []
    for i in range(1, len(sets)):
        names = sets[0].name, sets[i].name
        no_test = why_no_test(units[0], units[i], names, n_draws)
        differences.append(
            {
                "a": names[0],
                "b": names[1],
                **difference_of(found, rows[0], rows[i], first, no_test),
                **_between_seeds(
                    sets[0],
                    found.values[rows[0]],
                    sets[i],
                    found.values[rows[i]],
                ),
            }
        )
    return {
        "metric": metric,
        "unit": unit,
        "patient_score": patient_score if unit == "patient" else None,
        "seed": seed,
        "n_draws": n_draws,
        "n": len(first.labels),
        "n_patients": len(set(first.patients)),
        "classes": first.classes,
        "no_interval": why,
        "sets": [
            _of_set(one, found.values[own], found.draws[own], first, seed, why)
            for one, own in zip(sets, rows)
        ],
        "differences": differences,
    }


def _of_set(one, values, draws, first, seed, why) -> Dict:
    """Mean and spread over seeds; intervals over patients, and over patients
    and one of the seeds at random."""
    several = len(values) > 1
    result = {
        "name": one.name,
        "files": [str(file) for file in one.files],
        "by_seed": [_defined(value) for value in values],
        "mean": _defined(values.mean()),
        "sd_between_seeds": _defined(_sd(values)) if several else None,
        "ci95": None,
        "ci95_new_seed": None,
    }
    if why is None:
        # The patients' draws have this seed; another stream for the seeds.
        rng = np.random.default_rng((seed, 1))
        own = rng.integers(len(values), size=draws.shape[1])
        of_one = draws[own, np.arange(draws.shape[1])]
        few = fewest_patients(first.labels, first.patients)
        result["ci95"], of_new_seed = (
            logit_interval(values.mean(), x, few, len(set(first.patients)))
            for x in (draws.mean(axis=0), of_one)
        )
        result["ci95_new_seed"] = of_new_seed if several else None
    return result


def _between_seeds(a: RunSet, of_a, b: RunSet, of_b) -> Dict:
    """How the difference varies between seeds: seed by seed where both have
    the same, else each seed of b against the mean of a."""
    paired = a.seeds == b.seeds and len(set(a.seeds)) == len(a.seeds) > 1
    by_seed = np.round(of_b - (of_a if paired else of_a.mean()), DIGITS)
    varied = [by_seed] if paired else [x for x in (of_a, of_b) if len(x) > 1]
    sd = np.sqrt(sum(_sd(x) ** 2 for x in varied)) if varied else None
    return {
        "paired_by_seed": paired,
        "by_seed": [_defined(value) for value in by_seed],
        "n_above": int((by_seed > 0).sum()),
        "n_below": int((by_seed < 0).sum()),
        "sd_between_seeds": _defined(sd) if varied else None,
    }


def _sd(values) -> float:
    """Of all equal values exactly 0."""
    if np.ptp(values) == 0:
        return 0.0
    return float(np.std(values, ddof=1))


def _defined(value) -> Optional[float]:
    return float(value) if np.isfinite(value) else None


def report(result: Dict) -> str:
    """What ``compare`` found, as Markdown tables and sentences."""
    figure = _IN_WORDS[result["metric"]]
    lines = [
        f"{figure} by {result['unit']}: {result['n']} {result['unit']}s"
        + f" of {result['n_patients']} patients" * (result["unit"] != "patient")
        + f", {result['n_draws']} draws of patients",
        "",
        f"| set | seeds | {figure} | sd between seeds | 95 % interval over "
        "patients | one run, new seed and new patients |",
        "|---" * 6 + "|",
    ]
    for one in result["sets"]:
        cells = (
            one["name"],
            len(one["by_seed"]),
            _number(one["mean"]),
            _number(one["sd_between_seeds"]),
            _range(one["ci95"]),
            _range(one["ci95_new_seed"]),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    if result["no_interval"]:
        lines += ["", f"No intervals: {result['no_interval']}."]
    if result["differences"]:
        lines += [
            "",
            f"| difference | {figure} | 95 % interval over paired patients | p "
            "| sd between seeds | seeds above |",
            "|---" * 6 + "|",
        ]
        lines += [_difference_row(d) for d in result["differences"]]
        lines += ["", *(sentence(d, result) for d in result["differences"])]
    if len(result["differences"]) > 1:
        lines.append(
            f"The p of these {len(result['differences'])} comparisons are not "
            "corrected for their number."
        )
    return "\n".join(lines)


def _difference_row(d) -> str:
    how = "paired by seed" if d["paired_by_seed"] else "not paired by seed"
    spread = d["sd_between_seeds"]
    cells = (
        f"{d['b']} - {d['a']}",
        _number(d["difference"], "+.3f"),
        _range(d["ci95"]),
        "none" if d["p"] is None else p_in_words(d["p"]).replace("p = ", ""),
        "none" if spread is None else f"{_number(spread)} ({how})",
        f"{d['n_above']} of {len(d['by_seed'])}",
    )
    return "| " + " | ".join(cells) + " |"


def sentence(difference: Dict, result: Dict) -> str:
    """A difference in words that a paper could print.

    Example
    -------
    >>> d = {
    ...     "a": "random",
    ...     "b": "SimCLR",
    ...     "difference": 0.05,
    ...     "p": 0.011,
    ...     "ci95": [0.01, 0.09],
    ...     "no_interval": None,
    ...     "by_seed": [0.05],
    ...     "sd_between_seeds": None,
    ...     "paired_by_seed": False,
    ... }
    >>> sentence(d, {"metric": "auc", "unit": "recording", "n_patients": 99})
    'SimCLR has an AUC 0.050 above random (95 % interval over 99 patients 0.010 to 0.090, p = 0.011; one seed each).'
    """
    d, n = difference, result["n_patients"]
    figure = _IN_WORDS[result["metric"]]
    figure += " by patient" * (result["unit"] == "patient")
    if d["difference"] is None:
        return (
            f"{figure} of {d['b']} and {d['a']} is not defined: "
            f"{d['no_interval']}."
        )
    seeds = _seeds_in_words(d)
    if d["p"] is not None and d["ci95"] is None:
        return (
            f"{d['b']} has the same {figure} as {d['a']} in every draw of "
            f"{n} patients ({p_in_words(d['p'])}; {seeds})."
        )
    side = "below" if d["difference"] < 0 else "above"
    found = f"{d['b']} has an {figure} {abs(d['difference']):.3f} {side}"
    found += f" {d['a']}"
    if d["p"] is None:
        return f"{found} (no interval and no p: {d['no_interval']}; {seeds})."
    if d["p"] >= ALPHA:
        up_to = max(map(abs, d["ci95"]))
        return (
            f"{found}, no difference that these {n} patients could show "
            f"({p_in_words(d['p'])}; a difference up to {up_to:.3f} is not ruled out; "
            f"{seeds})."
        )
    low, high = sorted(map(abs, d["ci95"]))  # both on one side of 0
    return (
        f"{found} (95 % interval over {n} patients {low:.3f} to {high:.3f}, "
        f"{p_in_words(d['p'])}; {seeds})."
    )


def _seeds_in_words(d) -> str:
    if d["sd_between_seeds"] is None:
        return "one seed each"
    side = "below" if d["difference"] < 0 else "above"
    n, n_side = len(d["by_seed"]), d[f"n_{side}"]
    spread = f"between seeds +-{d['sd_between_seeds']:.3f}"
    if d["sd_between_seeds"] > abs(d["difference"]):
        spread += ", more than the difference: another seed may reverse it"
    if d["paired_by_seed"]:
        return f"{n_side} of {n} seeds; {spread}"
    return (
        f"seeds not paired, {n_side} of {n} {side} the mean of {d['a']}; "
        f"{spread}"
    )


def _number(value, form=".3f") -> str:
    return "none" if value is None else format(value, form)


def _range(ends) -> str:
    return "none" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"


def main(argv: Optional[Sequence[str]] = None) -> None:
    """The command line of ``python -m cry_modules.metrics``."""
    parser = argparse.ArgumentParser(
        prog="python -m cry_modules.metrics",
        description="Compare runs: AUC of sets of predictions, and of each "
        "later set its difference to the first.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "sets",
        nargs="+",
        metavar="SET",
        help=f"a predictions csv, a run folder (its {FILE}), a folder of runs "
        "of several seeds, or a quoted pattern of these",
    )
    parser.add_argument("--unit", choices=UNITS, default=UNITS[0])
    parser.add_argument(
        "--patient_score",
        choices=tuple(AGGREGATIONS),
        help="how recordings become a patient's score, with --unit patient "
        "(default: mean_log_odds)",
    )
    parser.add_argument("--metric", choices=tuple(METRICS), default="auc")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument(
        "--n_draws", type=int, default=N_DRAWS, help="of patients"
    )
    parser.add_argument("--names", help="of the sets, with commas between")
    parser.add_argument("--out", help="json file for all numbers")
    args = parser.parse_args(argv)
    with one_line_errors():
        _check(args)
        names = args.names and [n.strip() for n in args.names.split(",")]
        result = compare(
            read_sets(args.sets, names),
            args.unit,
            args.patient_score or "mean_log_odds",
            args.seed,
            args.n_draws,
            args.metric,
        )
        if args.out:
            write_text(args.out, json.dumps(result, indent=1, allow_nan=False))
        print(report(result) + "\n")
        print(_summary(result, args.out))


def _check(args):
    if args.n_draws < LEAST_DRAWS:
        raise InputError(
            f"--n_draws is {args.n_draws}; it must be {LEAST_DRAWS} at least"
        )
    if args.seed < 0:
        raise InputError(f"--seed is {args.seed}; it must be 0 at least")
    if args.patient_score and args.unit != "patient":
        raise InputError(
            f"--patient_score {args.patient_score} changes nothing by "
            "recording; add --unit patient"
        )
    if args.out and not args.out.endswith(".json"):
        raise InputError(f"--out is {args.out}; let it end in .json")


def _summary(result, out) -> str:
    files = sum(len(one["files"]) for one in result["sets"])
    done = (
        f"done: sets {len(result['sets'])}, files {files}, by "
        f"{result['unit']}, patients {result['n_patients']}"
    )
    return f"{done}; numbers in {out}" if out else done
