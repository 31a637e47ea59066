#!/usr/bin/env python3
"""What speed costs in quality, and how soon a quality is reached.

> python benchmarks/quality.py ../shared/data --out results/quality

Encoders of width 8 are trained on two thirds of the generic sounds, each on
one core, and judged frozen on the other third (see ``adaptation.py``): by the
plain recipe of ``reference.py`` with the settings for small corpora for 15
minutes of processor time, and by the public command with other settings.
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
from typing import Dict, List, Optional, Tuple

import numpy as np
import torch
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the recipes are not installed

import adaptation  # noqa: E402
import reference  # noqa: E402

from cry_modules.checkpoints.encoders import EncoderSource  # noqa: E402
from cry_modules.cnn14 import Cnn14  # noqa: E402
from cry_modules.training.schedule import warmup_cosine  # noqa: E402
from data_prep.files.errors import one_line_errors  # noqa: E402
from data_prep.files.tables import write_text  # noqa: E402

WIDTH, BATCH_SIZE = 8, 32
MINUTES = 15.0
#: Epochs (None: as many steps as the reference makes) and other options of
#: ``train_simclr.py hparams/small_simclr.yaml`` by way.
BF16 = ["--precision=bf16"]
FOUR_VIEWS = [*BF16, "--n_views=4", "--batch_size=16"]
WAYS: Dict[str, Tuple[Optional[int], List[str]]] = {
    "same steps": (None, BF16),
    "same steps, fp32": (None, []),
    "a fifth, as it is": (100, BF16),
    "a fifth, no masks": (100, [*BF16, "--n_masks=0"]),
    "a fifth, no dropout": (100, [*BF16, "--dropout=0"]),
    "a fifth, 4 views": (53, FOUR_VIEWS),
    "a fifth, 4 views, no masks": (53, [*FOUR_VIEWS, "--n_masks=0"]),
    "a fifth, all three": (58, [*FOUR_VIEWS, "--n_masks=0", "--dropout=0"]),
}
FIGURES = {
    "super_class": "sound group, accuracy",
    "category_map": "category, mAP",
    "sound_auc": "cry or not, AUC",
    "sound_ap": "cry or not, AP",
}


def train_reference(folder: Path, output: Path, seed: int) -> None:
    """The plain recipe with the settings of small_simclr.yaml, until its
    processor time is spent."""
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
    """A command on one core; seconds of processor time it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(log, "a", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        print(log.read_text("utf-8")[-2000:], file=sys.stderr)
        raise SystemExit(done.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime
    return spent + after.ru_stime - before.ru_stime


def train(way: str, out: Path, seed: int) -> None:
    """One encoder, unless it is there."""
    place = out / f"{seed}"
    folder = place / folder_name(way)
    if (folder / "seconds.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if way == "reference":
        command = ["benchmarks/quality.py", str(place / "generic")]
        command += ["--out", str(folder), "--reference", str(seed)]
    else:
        command = ["train_simclr.py", "hparams/small_simclr.yaml"]
        command += [f"--data_folder={place / 'generic'}", f"--seed={seed}"]
        command += [f"--output_folder={folder}", "--valid_share=0.02"]
        epochs, options = WAYS[way]
        epochs = epochs or epochs_of_reference(place)
        command += [f"--number_of_epochs={epochs}", "--noprogressbar"]
        command += [f"--warmup_epochs={max(1, epochs // 10)}"]
        command += options
    print(f"seed {seed}, {way}: python {' '.join(command)}", flush=True)
    seconds = run(command, folder.with_suffix(".log"))
    write_text(folder / "seconds.json", json.dumps(seconds))


def folder_name(way: str) -> str:
    """Of a way's runs: without blanks and commas."""
    return way.replace(",", "").replace(" ", "_")


def epochs_of_reference(place: Path) -> int:
    """Passes in as many steps as the reference made."""
    steps = json.loads((place / "reference/steps.json").read_text("utf-8"))
    per_epoch = len(list((place / "generic/audio").iterdir())) // BATCH_SIZE
    return round(steps / per_epoch)


def embeddings(embedder, folder: Path) -> np.ndarray:
    """Whole recordings through a frozen encoder, ``[n, 32 * WIDTH]``."""
    encoder = Cnn14(adaptation.N_MELS, WIDTH)
    if folder.name == "reference":  # its keys are ours
        state = torch.load(folder / "encoder.ckpt", weights_only=True)
        encoder.load_state_dict(state)
    else:
        EncoderSource(folder).load(encoder, "fbank")
    return embedder.through(encoder.eval(), folder.name)


def judge(way: str, out: Path, seed: int, embedder) -> Dict[str, float]:
    """Figures of one encoder and the minutes it took, kept beside it."""
    folder = out / f"{seed}" / folder_name(way)
    path = folder / "figures.json"
    if not path.is_file():
        sounds = embedder.rows
        held = adaptation.hold_out(sounds, seed, 0)
        found = adaptation.judge_sounds(
            embeddings(embedder, folder), sounds, held
        )
        seconds = json.loads((folder / "seconds.json").read_text("utf-8"))
        found["minutes"] = seconds / 60
        write_text(path, json.dumps(found, indent=1) + "\n")
    return json.loads(path.read_text("utf-8"))


def table(results: Dict[str, List[Dict[str, float]]]) -> str:
    """A row a way: means and deviations over seeds, and paired differences
    to the reference."""
    lines = [
        "| way | processor minutes | " + " | ".join(FIGURES.values()) + " |",
        "|---" * (2 + len(FIGURES)) + "|",
    ]
    for way, found in results.items():
        minutes = adaptation.mean_sd(np.array([f["minutes"] for f in found]))
        cells = []
        for name in FIGURES:
            values = np.array([f[name] for f in found])
            theirs = np.array([f[name] for f in results["reference"]])
            cell = adaptation.mean_sd(values)
            if way != "reference":
                cell += f"; {adaptation.difference(values, theirs)}"
            cells.append(cell)
        lines.append(f"| {way} | {minutes} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the tables")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    # How a run of the reference is started in a process of its own.
    parser.add_argument("--reference", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    data, out = args.data.resolve(), args.out.resolve()
    torch.set_num_threads(1)
    if args.reference is not None:
        train_reference(data, out, args.reference)
        return
    sounds = adaptation.read_sounds(data)
    embedder = adaptation.Embeddings(None, sounds)
    results = {way: [] for way in ("reference", *args.ways)}
    for seed in range(args.seeds):
        heard = adaptation.pre_training(
            sounds, adaptation.hold_out(sounds, seed, 0)
        )
        adaptation.build_generic(heard, out / f"{seed}/generic")
        for way, found in results.items():
            train(way, out, seed)
            found.append(judge(way, out, seed, embedder))
    text = table(results)
    write_text(out / "quality.md", text + "\n")
    print(
        f"\n{text}\n\nmean ± sd over {args.seeds} seeds; after the semicolon "
        "the paired difference to the reference and in how many seeds it is "
        f"a gain\ndone: {out / 'quality.md'}"
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
