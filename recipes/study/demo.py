#!/usr/bin/env python3
"""The whole pipeline on the embedded synthetic corpus, in about 10 minutes.

> make demo

Unlabelled sounds become an encoder, the encoder a cry encoder with and
without replay, and each a classifier of neurological injury: by the public
commands, which are printed as they run. Steps that are done are not done
again, so an interrupted demo goes on.

Authors
 * The contributors of cry-ssl 2026
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no screen needed
from matplotlib import pyplot as plt

from cry_modules.report import with_interval
from data_prep.errors import one_line_errors
from data_prep.manifest import read_corpus
from data_prep.tables import write_text

ROOT = Path(__file__).resolve().parents[2]
OUT = Path("results/demo")
CORPUS = OUT / "corpus"

#: Encoder by row of the table: what it is called and where it comes from.
ENCODERS = {
    "random": "null",
    "SimCLR": f"{OUT}/simclr",
    "SimCLR + cries": f"{OUT}/adapt",
    "SimCLR + cries + replay": f"{OUT}/adapt_replay",
}
MODES = {"linear": "linear", "linear_bn": "linear+BN"}

# Shorter than the small-corpus settings, to fit the minutes. Half of a
# replay batch are cries, so half the epochs are as many steps.
SIMCLR_EPOCHS, ADAPT_EPOCHS, REPLAY_EPOCHS, BN_EPOCHS = 40, 10, 5, 10


def steps():
    """Yield (what is done, the file that shows it, the command)."""
    generic, cries = f"--data_folder={CORPUS}/vggsound", f"{CORPUS}/cry"
    yield (
        "synthetic corpus",
        CORPUS / "cry/corpus.json",
        ["-m", "data_prep.synthetic", CORPUS, "--scale=demo"],
    )
    yield (
        "SimCLR on generic sounds",
        OUT / "simclr/done",
        ["train_simclr.py", "hparams/small_simclr.yaml", generic]
        + [f"--output_folder={OUT}/simclr"]
        + [f"--number_of_epochs={SIMCLR_EPOCHS}", "--warmup_epochs=4"]
        + ["--n_masks=0"],
    )
    for name, n_epochs in (
        ("adapt", ADAPT_EPOCHS),
        ("adapt_replay", REPLAY_EPOCHS),
    ):
        replay = [f"--replay_folder={CORPUS}/vggsound"] * ("replay" in name)
        yield (
            "SimCLR on cries" + (" with replay" if replay else ""),
            OUT / name / "done",
            ["train_adapt.py", f"hparams/small_{name}.yaml"]
            + [f"--cry_folder={cries}", *replay]
            + [f"--encoder_source={OUT}/simclr"]
            + [f"--output_folder={OUT}/{name}"]
            + [f"--number_of_epochs={n_epochs}", "--warmup_epochs=1"]
            + ["--n_masks=0"],
        )
    for encoder, source in ENCODERS.items():
        for mode in MODES:
            folder = run_folder(encoder, mode)
            yield (
                f"neurological injury, {MODES[mode]} on {encoder}",
                folder / "metrics.json",
                ["train_cls.py", f"hparams/neuro_{mode}.yaml", "--width=8"]
                + [f"--data_folder={cries}", f"--encoder_source={source}"]
                + [f"--output_folder={folder}", "--chunk_s=2.0"]
                + [f"--number_of_epochs={BN_EPOCHS}"] * (mode == "linear_bn"),
            )


def run_folder(encoder, mode):
    """Folder of one classification run."""
    return OUT / f"{encoder.replace(' + ', '_')}_{mode}"


def run(number, total, title, shows, command):
    """Run one command where its result is not there yet."""
    command = [str(part) for part in command]
    print(f"\n[{number}/{total}] {title}", flush=True)
    if shows.is_file():
        print("already done", flush=True)
        return
    print("$ python " + " ".join(command), flush=True)
    status = subprocess.run([sys.executable, *command]).returncode
    if status:
        print(
            f"error: the command above failed with status {status}; mend what "
            "it says, then `make demo` goes on from there",
            file=sys.stderr,
        )
        raise SystemExit(status)
    if shows.name == "done":
        shows.touch()


def read_results():
    """Test AUC by recording, and its interval, of each run."""
    return {
        (encoder, mode): json.loads(
            (run_folder(encoder, mode) / "metrics.json").read_text("utf-8")
        )["test"]["recording"]
        for encoder in ENCODERS
        for mode in MODES
    }


def table(results):
    """AUC and interval of each run, as Markdown."""
    lines = [
        "| encoder | " + " | ".join(MODES.values()) + " |",
        "|---" * (1 + len(MODES)) + "|",
    ]
    for encoder in ENCODERS:
        cells = []
        for mode in MODES:
            cells.append(with_interval(results[encoder, mode]))
        lines.append(f"| {encoder} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(results, caption, path):
    """AUC with its interval of each run, as a picture."""
    figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    styles = {"linear": ("o", "#0072B2"), "linear_bn": ("s", "#D55E00")}
    for row, encoder in enumerate(reversed(ENCODERS)):
        for i, mode in enumerate(MODES):
            marker, colour = styles[mode]
            test = results[encoder, mode]
            y = row + 0.12 - 0.24 * i
            # A perfect AUC has none.
            ends = test["auc_ci95"] or [test["auc"], test["auc"]]
            axes.plot(ends, [y, y], color=colour, linewidth=2)
            axes.plot(
                test["auc"],
                y,
                marker,
                color=colour,
                label=MODES[mode] if row == 0 else None,
            )
    axes.axvline(0.5, color="grey", linestyle=":", label="chance")
    axes.set_yticks(range(len(ENCODERS)), list(reversed(ENCODERS)))
    axes.set_xlabel(f"test AUC, neurological injury\n{caption}")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main():
    """Run what is not done yet, then show the table."""
    os.chdir(ROOT)
    began = time.time()
    todo = list(steps())
    for number, step in enumerate(todo, start=1):
        run(number, len(todo), *step)
    results = read_results()
    corpus = read_corpus(CORPUS / "cry")["name"]
    test = results["random", "linear"]
    caption = (
        f"{corpus}\n95 % intervals: bootstrap over {test['n_patients']} test "
        "patients; one seed"
    )
    text = table(results)
    write_text(OUT / "demo.md", f"{text}\n\n{caption}\n")
    draw(results, caption, OUT / "demo.png")
    print(f"\nTest AUC (95 % interval over patients), {corpus}\n\n{text}\n")
    print(
        "The audio is synthetic: this shows that the pipeline works, and says "
        "nothing about infants."
    )
    minutes = (time.time() - began) / 60
    print(f"done in {minutes:.1f} minutes; picture in {OUT / 'demo.png'}")


if __name__ == "__main__":
    with one_line_errors():
        main()
