#!/usr/bin/env python3
"""Compare all ways to use an exported model: scores, latency and memory.

> python benchmarks/sharing.py results/neuro_linear/2022 EXPORTED --data_folder /path/to/cries

``EXPORTED`` is the output of ``python -m cry_modules.export RUN EXPORTED --onnx
--int8``. The first table compares the scores of the run's test recordings with
``predictions_test.csv``; the second has latency and memory for 10 s of audio in
a new process on one thread, the ways in turn.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, List

import numpy as np
from speechbrain.inference.classifiers import EncoderClassifier

from cry_modules.export.run_onnx import OnnxClassifier
from cry_modules.inference.classifier import CryClassifier
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import auc
from data_prep import manifest
from data_prep.files.errors import one_line_errors
from data_prep.files.parent import program_ends_with_parent

SECONDS = 10
ROUNDS = 5

#: Both print the median latency in ms and the process's peak memory in MB.
_TORCH = f"""
import sys, time
import numpy as np, torch
from cry_modules.inference.classifier import CryClassifier
torch.set_num_threads(1)
classifier = CryClassifier.from_hparams(sys.argv[1])
score = classifier.classify_batch
sig = torch.randn({SECONDS} * classifier.hparams.sample_rate) * 0.1
"""
_ONNX = f"""
import sys, time
import numpy as np
sys.path.insert(0, sys.argv[1])
from run_onnx import OnnxClassifier
classifier = OnnxClassifier(sys.argv[1] + "/" + sys.argv[2])
score = classifier.whole
rng = np.random.default_rng(0)
sig = rng.normal(0, 0.1, {SECONDS} * classifier.rate).astype(np.float32)
"""
_TIMING = """
times = []
for _ in range(21):
    begin = time.perf_counter()
    score(sig)
    times.append(1000 * (time.perf_counter() - begin))
# Not getrusage, which counts the parent's memory before the fork.
with open("/proc/self/status") as file:
    peak = next(int(l.split()[1]) for l in file if l.startswith("VmHWM"))
print(np.median(times[1:]), peak * 1024 / 1e6)
"""


def ways(run: Path, exported: Path) -> Dict[str, Callable]:
    """Scoring functions by name: path of a recording to class
    probabilities."""
    speechbrain = EncoderClassifier.from_hparams(
        source=str(exported), savedir=str(exported) + ".speechbrain"
    )
    scorers = {
        "`from_hparams`, results folder": _classifier(run),
        "`from_hparams`, safetensors": _classifier(exported),
        "SpeechBrain's `EncoderClassifier`": lambda path: (
            speechbrain.classify_file(path)[0].exp().numpy()[0]
        ),
    }
    for name in ("model.onnx", "model_int8.onnx"):
        model = OnnxClassifier(str(exported / name))
        scorers[f"`{name}`"] = lambda path, model=model: (
            model.score(path).scores
        )
    return scorers


def _classifier(source):
    classifier = CryClassifier.from_hparams(source=str(source))
    return lambda path: classifier.classify_files([path])[0].scores


def score_table(
    expected: Predictions, paths: List[str], by_way: Dict[str, Callable]
) -> List[str]:
    """Compare each way's scores with those of the training script."""
    reference = auc(expected.labels, expected.scores)
    rows = [
        "| scored by | largest difference of a score | AUC | difference |",
        "|---|---|---|---|",
        f"| the training script | | {reference:.4f} | |",
    ]
    for name, score in by_way.items():
        scores = np.stack([score(path) for path in paths])
        area = auc(expected.labels, scores)
        rows.append(
            f"| {name} | {np.abs(scores - expected.scores).max():.1e} | "
            f"{area:.4f} | {area - reference:+.4f} |"
        )
    return rows


def cost_table(exported: Path) -> List[str]:
    """Measure latency and memory in new processes, one thread, in turns."""
    commands = {"torch": _TORCH, "model.onnx": _ONNX, "model_int8.onnx": _ONNX}
    measured = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, code in commands.items():
            measured[name].append(_cost(code, str(exported), name))
    rows = [
        f"| {SECONDS} s of audio, one thread | ms, median of {ROUNDS} "
        "processes (range) | peak memory, MB | file, MB |",
        "|---|---|---|---|",
    ]
    files = {"torch": "model.safetensors"}
    for name, costs in measured.items():
        ms, memory = np.array(costs).T
        size = (exported / files.get(name, name)).stat().st_size / 1e6
        rows.append(
            f"| {name} | {np.median(ms):.0f} ({ms.min():.0f} to "
            f"{ms.max():.0f}) | {np.median(memory):.0f} | {size:.1f} |"
        )
    return rows


def _cost(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code + _TIMING, *arguments],
        capture_output=True,
        encoding="utf-8",
        check=True,
        preexec_fn=program_ends_with_parent(),
        env={"OMP_NUM_THREADS": "1", "PYTHONPATH": "."},
    )
    ms, memory = done.stdout.split()[-2:]
    return float(ms), float(memory)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("run", type=Path, help="results of train_cls.py")
    parser.add_argument(
        "exported", type=Path, help="exported with --onnx --int8"
    )
    parser.add_argument(
        "--data_folder", required=True, help="audio of the test recordings"
    )
    args = parser.parse_args()
    with one_line_errors():
        expected = Predictions.read(args.run / "predictions_test.csv")
        wav_of = {
            recording.ID: recording.wav
            for recording in manifest.read(args.run / "manifest/test.csv")
        }
        paths = [
            str(Path(args.data_folder) / wav_of[name]) for name in expected.ids
        ]
        by_way = ways(args.run, args.exported)
        print("\n".join(score_table(expected, paths, by_way)), flush=True)
        print()
        print("\n".join(cost_table(args.exported)))


if __name__ == "__main__":
    main()
