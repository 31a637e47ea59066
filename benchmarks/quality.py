#!/usr/bin/env python3
"""Measure the quality that faster settings cost, and the time to a quality.

> python benchmarks/quality.py ../shared/data --out results/quality
> python benchmarks/quality.py ../shared/data --out results/quality \
    --objective nt_xent vicreg barlow_twins byol masked_spectrogram
> python benchmarks/quality.py ../shared/data --out results/quality_large \
    --more ../shared/data/replication/generic --seeds 5

Encoders of width 8 are trained on two thirds of the generic sounds, each on
one core, and evaluated frozen on the other third (see ``sounds.py``). The
reference is the plain recipe of ``reference.py`` with the settings for small
corpora and 15 minutes of processor time; the others are the public command
with other options. With ``--objective`` they are each objective at some shares
of the reference's steps, and the last table has the minutes of the first of
these that is as good as the reference. The recordings of a larger corpus join
all pre-training with ``--more``, those of other sources than DATA has.
An interrupted study resumes when the same command is run again.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import numpy as np
import torch
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the recipes are not installed

import reference  # noqa: E402
import sounds  # noqa: E402

from cry_modules.checkpoints.encoders import EncoderSource  # noqa: E402
from cry_modules.cnn14 import Cnn14  # noqa: E402
from cry_modules.objectives import OBJECTIVES  # noqa: E402
from cry_modules.training.schedule import warmup_cosine  # noqa: E402
from data_prep.files.errors import one_line_errors  # noqa: E402
from data_prep.files.parent import program_ends_with_parent  # noqa: E402
from data_prep.files.tables import write_text  # noqa: E402

WIDTH, BATCH_SIZE = 8, 32
MINUTES = 15.0


class Way(NamedTuple):
    """Steps (None: ``share`` of those that the reference makes), recordings in
    a batch and other options of ``train_simclr.py hparams/small_simclr.yaml``.
    """

    steps: Optional[int]
    options: List[str]
    share: float = 1.0
    batch_size: int = BATCH_SIZE


BF16 = ["--precision=bf16"]
FOUR_VIEWS = [*BF16, "--n_views=4"]
BARE = ["--n_masks=0", "--dropout=0"]
WAYS = {
    "same steps": Way(None, BF16),
    "same steps, fp32": Way(None, []),
    "a fifth, as it is": Way(700, BF16),
    "a fifth, no masks": Way(700, [*BF16, "--n_masks=0"]),
    "a fifth, no dropout": Way(700, [*BF16, "--dropout=0"]),
    "a fifth, 4 views": Way(795, FOUR_VIEWS, batch_size=16),
    "a fifth, 4 views, no masks": Way(
        795, [*FOUR_VIEWS, "--n_masks=0"], batch_size=16
    ),
    "a fifth, all three": Way(870, [*FOUR_VIEWS, *BARE], batch_size=16),
    "a fifth, 0.64 s, all three": Way(
        1300, [*FOUR_VIEWS, *BARE, "--chunk_s=0.64"], batch_size=16
    ),
    "a fifth, masked spectrogram": Way(
        870, [*BF16, "--objective=masked_spectrogram"]
    ),
}
#: Shares of the reference's steps at which an objective is compared with it,
#: each a run of its own, with its own schedule.
SHARES = (0.1, 0.2, 0.5, 1.0)
FIGURES = {
    "super_class": "sound group, accuracy",
    "category_map": "category, mAP",
    "sound_auc": "cry or not, AUC",
    "sound_ap": "cry or not, AP",
}


def train_reference(folder: Path, output: Path, seed: int) -> None:
    """Train the plain recipe with the settings of small_simclr.yaml for
    ``MINUTES`` of processor time."""
    random.seed(seed)
    torch.manual_seed(seed)
    paths = sorted(folder.glob("audio/*"))
    simclr = reference.SimCLR(WIDTH, 1.0, 0.1, augment_before_norm=False)
    optimizer = torch.optim.AdamW(simclr.model.parameters(), weight_decay=5e-4)
    begin, steps, budget = time.process_time(), 0, round(MINUTES * 60)
    spent = 0
    bar = tqdm(total=budget, desc="reference", unit="s", dynamic_ncols=True)
    while spent < budget:
        first = steps * BATCH_SIZE % (len(paths) // BATCH_SIZE * BATCH_SIZE)
        if first == 0:
            random.shuffle(paths)
        for group in optimizer.param_groups:
            group["lr"] = warmup_cosine(spent, budget, budget // 10, 0.002, 0.0)
        simclr.step(paths[first : first + BATCH_SIZE], optimizer)
        steps += 1
        spent = round(time.process_time() - begin)
        bar.update(spent - bar.n)
    torch.save(simclr.encoder.state_dict(), output / "encoder.ckpt")
    write_text(output / "steps.json", json.dumps(steps))


def run(command: List[str], log: Path) -> float:
    """Run a command on one core; return its seconds of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(log, "a", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=program_ends_with_parent(),
        )
    if done.returncode:
        print(log.read_text("utf-8")[-2000:], file=sys.stderr)
        raise SystemExit(done.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime
    return spent + after.ru_stime - before.ru_stime


def folder_of(way: str, out: Path, seed: int) -> Path:
    """Folder of a run: its seed, then its key of ``WAYS`` without commas and
    with underscores for blanks."""
    return out / f"{seed}" / way.replace(",", "").replace(" ", "_")


def ways_of(objective: str) -> Dict[str, Way]:
    """An objective at each of the shares.

    Example
    -------
    >>> [*ways_of("byol")][:2]
    ['byol, 0.1 of the steps', 'byol, 0.2 of the steps']
    """
    options = [*BF16, f"--objective={objective}"]
    return {
        f"{objective}, {share} of the steps": Way(None, options, share)
        for share in SHARES
    }


def train(name: str, way: Optional[Way], out: Path, seed: int) -> None:
    """Train one encoder, unless it is done; without a way, the reference."""
    place = out / f"{seed}"
    folder = folder_of(name, out, seed)
    if (folder / "seconds.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if way is None:
        command = ["benchmarks/quality.py", str(place / "generic")]
        command += ["--out", str(folder), "--reference", str(seed)]
    else:
        command = ["train_simclr.py", "hparams/small_simclr.yaml"]
        command += [f"--data_folder={place / 'generic'}", f"--seed={seed}"]
        command += [f"--output_folder={folder}", "--valid_share=0.02"]
        steps = way.steps
        if steps is None:
            made = (place / "reference/steps.json").read_text("utf-8")
            steps = way.share * json.loads(made)
        n_clips = len(list((place / "generic/audio").iterdir()))
        epochs = max(1, round(steps / (n_clips // way.batch_size)))
        command += [f"--batch_size={way.batch_size}"]
        command += [f"--number_of_epochs={epochs}", "--noprogressbar"]
        command += [f"--warmup_epochs={max(1, epochs // 10)}"]
        command += way.options
    print(f"seed {seed}, {name}: python {' '.join(command)}", flush=True)
    seconds = run(command, folder.with_suffix(".log"))
    write_text(folder / "seconds.json", json.dumps(seconds))


def evaluate(way: str, out: Path, seed: int, rows) -> Dict[str, float]:
    """Metrics and training minutes of one encoder, saved in its folder."""
    folder = folder_of(way, out, seed)
    path = folder / "figures.json"
    if not path.is_file():
        encoder = Cnn14(sounds.N_MELS, WIDTH)
        if way == "reference":  # SpeechBrain's Cnn14 has the same keys
            state = torch.load(folder / "encoder.ckpt", weights_only=True)
            encoder.load_state_dict(state)
        else:
            EncoderSource(folder).load(encoder, "fbank")
        embs = sounds.embeddings(rows, encoder.eval(), way)
        metrics = sounds.evaluate(embs, rows, sounds.hold_out(rows, seed, 0))
        seconds = json.loads((folder / "seconds.json").read_text("utf-8"))
        metrics["minutes"] = seconds / 60
        write_text(path, json.dumps(metrics, indent=1) + "\n")
    return json.loads(path.read_text("utf-8"))


def table(results: Dict[str, List[Dict[str, float]]]) -> str:
    """Markdown, a row for each way: means and deviations over seeds, and paired
    differences to the reference."""
    lines = [
        "| way | processor minutes | " + " | ".join(FIGURES.values()) + " |",
        "|---" * (2 + len(FIGURES)) + "|",
    ]
    for way, by_seed in results.items():
        minutes = sounds.mean_sd(np.array([m["minutes"] for m in by_seed]))
        cells = []
        for name in FIGURES:
            values = np.array([m[name] for m in by_seed])
            others = np.array([m[name] for m in results["reference"]])
            cell = sounds.mean_sd(values)
            if way != "reference":
                cell += f"; {sounds.difference(values, others)}"
            cells.append(cell)
        lines.append(f"| {way} | {minutes} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def minutes_to_quality(
    results: Dict[str, List[Dict[str, float]]], objectives: List[str]
) -> str:
    """Markdown, a row for each objective: for each metric the processor minutes
    of its shortest run that is as good as the reference of the seed, the mean
    over the seeds that reach it, and their number."""
    lines = [
        "| minutes to the reference's quality | "
        + " | ".join(FIGURES.values())
        + " |",
        "|---" * (1 + len(FIGURES)) + "|",
    ]
    for objective in objectives:
        runs = [results[name] for name in ways_of(objective)]
        cells = []
        for name in FIGURES:
            reached = []
            for seed, wanted in enumerate(results["reference"]):
                good = [
                    by_seed[seed]["minutes"]
                    for by_seed in runs
                    if by_seed[seed][name] >= wanted[name]
                ]
                reached += [min(good)] if good else []
            n = f"{len(reached)} of {len(results['reference'])} seeds"
            minutes = f"{np.mean(reached):.1f}, " if reached else ""
            cells.append(f"{minutes}{n}")
        lines.append(f"| {objective} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the tables")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write"
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument(
        "--ways",
        nargs="+",
        choices=WAYS,
        default=list(WAYS),
        help="default: all",
    )
    parser.add_argument(
        "--objective",
        nargs="+",
        choices=OBJECTIVES,
        default=[],
        help="minutes to the reference's quality of these, instead of --ways",
    )
    parser.add_argument(
        "--more",
        type=Path,
        help="folder in VGGSound's form with metadata.csv (clip, patient_id): "
        "more recordings to pre-train on",
    )
    # Used by this script to train a reference in a separate process.
    parser.add_argument("--reference", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    args = _options()
    data, out = args.data.resolve(), args.out.resolve()
    torch.set_num_threads(1)
    if args.reference is not None:
        train_reference(data, out, args.reference)
        return
    rows = sounds.read_sounds(data)
    more = sounds.read_more(args.more) if args.more else []
    ways = {name: WAYS[name] for name in args.ways}
    if args.objective:
        ways = {
            name: way
            for objective in args.objective
            for name, way in ways_of(objective).items()
        }
    results = {name: [] for name in ("reference", *ways)}
    for seed in range(args.seeds):
        held = sounds.hold_out(rows, seed, 0)
        training = sounds.pre_training(rows, held, more)
        sounds.build_generic(training, out / f"{seed}/generic")
        for way, by_seed in results.items():
            train(way, ways.get(way), out, seed)
            by_seed.append(evaluate(way, out, seed, rows))
    text = table(results)
    if args.objective:
        text += f"\n\n{minutes_to_quality(results, args.objective)}"
    write_text(out / "quality.md", text + "\n")
    print(
        f"\n{text}\n\nmean ± sd over {args.seeds} seeds; after the semicolon "
        "the paired difference to the reference and in how many seeds it is "
        f"a gain\ndone: {out / 'quality.md'}"
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
