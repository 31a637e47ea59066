#!/usr/bin/env python3
"""Type the commands of docs/first_evening.md and compare what they print.

> python tools/first_evening.py FOLDER           # half an hour: renews the page
> python tools/first_evening.py FOLDER --check   # minutes: small encoders

writes synthetic recordings of 22 babies to ``FOLDER/recordings``, kept as a
newcomer keeps hers, and types the commands of the page there. Each line that the
page shows below a command must be printed by it, in this order; only its numbers
may differ, and without ``--check`` they are renewed.
"""

import argparse
import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import soundfile

from data_prep.files.parent import program_ends_with_parent
from data_prep.synthetic.corpora import render_sound
from data_prep.synthetic.cry import make_cry
from data_prep.synthetic.plan import plan_sounds
from data_prep.synthetic.voices import draw_voice

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/first_evening.md"
#: Places that the page names, which are in FOLDER here.
PLACES = ("recordings/", "results/", "my_study.yaml")
#: Lines that stand for others which are not shown.
LEFT_OUT = "..."
RATE = 16000
N_BABIES, N_UNLABELLED, N_SOUNDS = 22, 200, 300
CONDITIONS = {"Vaccination": ("pain", 4), "Bath": ("discomfort", 8)}
FOLDERS = ("", "street/", "kitchen/morning/")
_NUMBER = re.compile(r"[-+]?\d[\d.,:]*(?:e-?\d+)?|\b(?:nan|inf)\b")
#: What the folds choose for the final model: its mode has one of the two.
_CHOSEN = re.compile(r"\((?:penalty C = #,?|# epochs?,)(?= the median)")


class Command(NamedTuple):
    """A command of the page and the lines that it shows of its output."""

    text: str
    first: int  # index of the first line of the output
    lines: List[str]


def commands(page: str) -> Iterator[Command]:
    """Commands of a page: lines ``$ ...`` of its ``console`` blocks."""
    lines, number = page.split("\n"), 0
    while number < len(lines):
        if not lines[number].startswith("$ "):
            number += 1
            continue
        text = lines[number][2:]
        while text.endswith("\\"):
            number += 1
            text = text[:-1].rstrip() + " " + lines[number].strip()
        first = last = number + 1
        while not lines[last].startswith(("$ ", "```")):
            last += 1
        yield Command(text, first, lines[first:last])
        number = last


def shape(line: str) -> str:
    """A line without its numbers and choices, and with single spaces.

    Example
    -------
    >>> shape("simclr   0.812 (0.777 to 0.842), 3 seeds")
    'simclr # (# to #), # seeds'
    >>> shape("(12 epochs, the median)") == shape("(penalty C = 1, the median)")
    True
    """
    line = _CHOSEN.sub("(#", _NUMBER.sub("#", line))
    return " ".join(line.split())


def renewed(shown: Sequence[str], printed: Sequence[str]) -> List[str]:
    """Lines of a page as they are printed now; ``...`` stays.

    Raises
    ------
    ValueError
        A line is not printed after those before it.

    Example
    -------
    >>> renewed(["...", "done: 3 runs"], ["1/5", "done: 5 runs"])
    ['...', 'done: 5 runs']
    """
    lines, rest = [], iter(printed)
    for line in shown:
        if line != LEFT_OUT:
            same = (text for text in rest if shape(text) == shape(line))
            found = next(same, None)
            if found is None:
                raise ValueError(f"not printed, or not here: {line}")
            line = found
        lines.append(line)
    return lines


def typed(text: str, folder: Path) -> List[str]:
    """Arguments of a command of the page, with its places in a folder."""
    found = re.fullmatch(r"make study STUDY=(\S+)", text)
    if found:
        text = f"python -m recipes.study.run real --study {found[1]}"
    for place in PLACES:
        text = re.sub(rf"(?<![\w/]){place}", f"{folder}/{place}", text)
    first, *rest = shlex.split(text)
    if "recipes.study.new" in rest:
        out = folder / "results/study/my_study"
        rest += ["--output_folder", str(out)]
    return [sys.executable if first == "python" else first, *rest]


def run(arguments: Sequence[str], folder: Path) -> List[str]:
    """Lines that a command prints, with the places of the page."""
    done = subprocess.run(
        arguments, cwd=ROOT, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=program_ends_with_parent(),
    )  # fmt: skip
    printed = done.stdout.replace(f"{folder}/", "")
    lines = printed.replace(sys.executable, "python").splitlines()
    if done.returncode:
        raise ValueError("\n".join([shlex.join(arguments), *lines]))
    return lines


def write_recordings(
    folder: Path,
    seed: int = 1234,
    n_babies: int = N_BABIES,
    n_unlabelled: int = N_UNLABELLED,
    n_sounds: int = N_SOUNDS,
) -> None:
    """Write recordings as a newcomer keeps them: a German table, folders that
    nobody planned, and up to six minutes of a night."""
    rng = np.random.default_rng(seed)
    rows = [["Baby", "File", "Condition", "Date"]]
    for baby in range(n_babies):
        voice = draw_voice(rng, 0.0)
        for condition, (trigger, number) in CONDITIONS.items():
            for i in range(number):
                name = f"B{baby + 1:02d}_{condition[0]}{i + 1}.wav"
                wave = _cry(rng, voice, trigger)
                _write(folder / "labelled" / name, wave)
                rows.append([f"B{baby + 1:02d}", name, condition, "14.03.2023"])
    table = folder / "labelled/babies.csv"
    with open(table, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    for i in range(n_unlabelled):
        wave = _cry(rng, draw_voice(rng, 0.0), "hunger")
        _write(folder / f"unlabelled/rec_{i:03d}.wav", wave)
    sounds = [render_sound(p) for p in plan_sounds("demo")[:n_sounds]]
    for i, wave in enumerate(sounds):
        name = f"{FOLDERS[i % len(FOLDERS)]}{i:03d}.wav"
        _write(folder / "sounds" / name, wave[: 3 * RATE])
    night = np.concatenate(sounds[:72])
    for start in range(20, len(night) // RATE - 20, 40):
        wave = _cry(rng, draw_voice(rng, 0.0), "pain")
        night[start * RATE :][: len(wave)] = wave
    _write(folder / "home_night.wav", night)


def _cry(rng, voice, trigger) -> np.ndarray:
    return make_cry(rng, voice, trigger, "site_a", rng.uniform(3, 6))


def _write(path: Path, wave: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE)


def make_small(study: Path) -> None:
    """Set a study to width 1, one seed and one epoch of everything."""
    text = study.read_text(encoding="utf-8")
    for old, new in (
        (r"number_of_epochs: \d+", "number_of_epochs: 1"),
        (r"warmup_epochs: \d+", "warmup_epochs: 0"),
        (r"bootstrap_draws: \d+", "bootstrap_draws: 100"),
        (r"(?m)^width: \d+", "width: 1"),
        (r"seeds: \[.*\]", "seeds: [1]"),
        (r"(?m)^fractions: \[.*\]", "fractions: [1.0]"),
    ):
        text = re.sub(old, new, text)
    study.write_text(text, encoding="utf-8")


def walk(folder: Path, small: bool) -> Tuple[str, List[str]]:
    """Type the commands of the page; return it renewed, and the lines of it
    that are not printed any more."""
    page, problems = PAGE.read_text(encoding="utf-8"), []
    lines = page.split("\n")
    for command in commands(page):
        if command.text.startswith(("make setup", "source ")):
            continue  # they have made what runs this
        print(f"$ {command.text}", flush=True)
        printed = run(typed(command.text, folder), folder)
        print("\n".join(printed), flush=True)
        if small and "recipes.study.new" in command.text:
            make_small(folder / "my_study.yaml")
        try:
            new = renewed(command.lines, printed)
        except ValueError as error:
            problems.append(f"{command.text}: {error}")
            continue
        lines[command.first : command.first + len(new)] = new
    return "\n".join(lines), problems


def main() -> int:
    """Parse the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description="Type the commands of docs/first_evening.md."
    )
    parser.add_argument("folder", type=Path, help="a new folder to work in")
    parser.add_argument(
        "--check", action="store_true",
        help="train hardly anything, and leave the page as it is",
    )  # fmt: skip
    args = parser.parse_args()
    folder = args.folder.absolute()
    if any(folder.glob("*")):
        parser.error(f"{folder} is not empty; pass a new folder")
    write_recordings(folder / "recordings")
    page, problems = walk(folder, args.check)
    for problem in problems:
        print(f"error: docs/first_evening.md: {problem}", file=sys.stderr)
    if not problems and not args.check:
        PAGE.write_text(page, encoding="utf-8")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
