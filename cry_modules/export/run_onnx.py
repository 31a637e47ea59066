"""Score recordings with a classifier that is one ONNX file, without torch.

    python run_onnx.py MODEL.onnx AUDIO... [--csv scores.csv]

This file needs numpy, soundfile and onnxruntime. Table and scores are those of
``python -m cry_modules.inference``, except for rounding.

Exit status: 0 if every recording has scores, 1 if some could not be used (the
column ``error`` says why) or the command was interrupted, 2 for wrong usage
or an unusable model.
"""

import argparse
import csv
import json
import os
import sys
import time
from contextlib import suppress
from typing import Dict, List, Optional, Sequence

import numpy as np

from cry_modules.audio import PEAK
from cry_modules.export.onnx_audio import (
    AudioError,
    Sound,
    decibels,
    examine,
    opened,
    read_mono,
    read_windows,
    repeat_to,
    resample,
)
from cry_modules.inference.recordings import LONGEST_S
from cry_modules.inference.scores import FileScore, header_of, rows_of
from cry_modules.inference.windows import batches
from cry_modules.lengths import covering
from data_prep.audio.folder import READABLE
from data_prep.audio.measure import SILENT_DBFS
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.files.tables import write_table

#: Key of the model's description in its file.
METADATA_KEY = "cry-ssl onnx 1"
#: Audio in one batch, seconds; more is not faster on a CPU.
BATCH_S = 10.0
#: Runs that ``--benchmark`` times.
_RUNS = 20


class OnnxClassifier:
    """A classifier from its ONNX file."""

    def __init__(self, path: str, threads: int = 1):
        self.session = open_session(path, threads)
        self.facts = description(self.session, path)
        self.classes = self.facts["classes"]
        self.rate = self.facts["sample_rate"]

    def logits(self, sigs: Sequence[np.ndarray], peak: float) -> np.ndarray:
        """Logits ``[parts, n_classes]`` of parts ``[samples]`` of a recording
        with this peak."""
        sigs = [repeat_to(sig, self.facts["shortest"]) for sig in sigs]
        n_samples = np.array([len(sig) for sig in sigs], np.int64)
        waveform = np.zeros((len(sigs), n_samples.max()), np.float32)
        for row, sig in zip(waveform, sigs):
            row[: len(sig)] = sig
        inputs = {
            "waveform": waveform,
            "n_samples": n_samples,
            "peak": np.array([peak], np.float32),
        }
        return self.session.run(["logits"], inputs)[0].astype(np.float64)

    def score(self, path: str) -> FileScore:
        """Score a file."""
        score = FileScore(path)
        try:
            sound = examine(path)
            score.seconds = sound.seconds
            if sound.seconds > LONGEST_S:
                logits = self._windows(sound)
            else:
                with opened(path) as file:
                    sig = read_mono(file, sound.n_frames)
                logits = self.whole(resample(sig, sound.rate, self.rate))
        except AudioError as error:
            score.error = str(error)
            score.seconds = score.seconds or error.seconds
        else:
            score.set_logits(logits.mean(axis=0), len(logits))
        return score

    def whole(self, sig: np.ndarray) -> np.ndarray:
        """Logits ``[1, n_classes]`` of a recording ``[samples]``: whole, or
        averaged over chunks, as the model was tested."""
        sig, parts = repeat_to(sig, self.facts["shortest"]), []
        size = len(sig)
        if self.facts["tested_on"] == "chunks":
            size = round(self.facts["chunk_s"] * self.rate)
        peak = float(np.abs(sig).max())
        chunks = (sig[at : at + size] for at in covering(len(sig), size))
        for batch in batches(chunks, self._batch_size()):
            parts.append(self.logits(batch, peak))
        return np.concatenate(parts).mean(axis=0, keepdims=True)

    def _windows(self, sound: Sound) -> np.ndarray:
        """Logits of the windows that are not silent."""
        windows = read_windows(sound, self.facts["chunk_s"], self.rate)
        gain, logits = PEAK / sound.peak, []
        for batch in batches(windows, self._batch_size()):
            loud = [
                sig
                for sig in batch
                if decibels(np.mean((sig * gain) ** 2.0)) >= SILENT_DBFS
            ]
            if loud:
                logits.append(self.logits(loud, sound.peak))
        if not logits:
            raise AudioError("silent: in every window")
        return np.concatenate(logits)

    def _batch_size(self) -> int:
        return max(1, int(BATCH_S / self.facts["chunk_s"]))


def open_session(path: str, threads: int):
    """Open an ONNX file with onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        raise InputError(
            "onnxruntime is not installed; install it: pip install onnxruntime"
        )
    if not os.path.isfile(path):
        problem = "is a folder" if os.path.isdir(path) else "does not exist"
        raise InputError(f"{path} {problem}; pass the model's .onnx file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's have no common class
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} is not an ONNX file, is truncated or is newer than "
            f"onnxruntime {onnxruntime.__version__} ({reason}); get it again"
        )


def description(session, path: str) -> Dict:
    """Description of a model, from the metadata of its file."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise InputError(
            f"{path} is not a classifier of cry-ssl, or is truncated (it has "
            f"no {METADATA_KEY!r}); pass one that python -m "
            "cry_modules.export wrote"
        )
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); get it again")


def list_audio(names: Sequence[str]) -> List[str]:
    """Files, and the audio files of folders, each once.

    Example
    -------
    >>> list_audio(["a.wav", "b.wav", "a.wav"])
    ['a.wav', 'b.wav']
    """
    paths = []
    for name in names:
        if not os.path.isdir(name):
            paths.append(name)
            continue
        inside = sorted(
            os.path.join(folder, file)
            for folder, _, files in os.walk(name)
            for file in files
            if file.lower().endswith(READABLE) and not file.startswith(".")
        )
        require(
            bool(inside),
            f"{name} holds no audio file ({', '.join(READABLE[:3])} and the "
            "like)",
            "pass the folder that does",
        )
        paths += inside
    return list(dict.fromkeys(paths))


def score_all(
    classifier: OnnxClassifier, paths: Sequence[str], out: Optional[str]
) -> int:
    """Write or print the table; return the number of files without scores."""
    scores = []

    def rows():
        for path in paths:
            _progress(len(scores), len(paths))
            scores.append(classifier.score(path))
            threshold = classifier.facts["threshold"]
            yield from rows_of(scores[-1:], classifier.classes, threshold)
        _progress(len(paths), len(paths))

    header = header_of(classifier.classes)
    if out is None:
        sys.stdout.reconfigure(errors="backslashreplace")
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows())
        sys.stdout.flush()
    else:
        write_table(out, header, rows())
    return sum(bool(score.error) for score in scores)


def _progress(done: int, n: int) -> None:
    if n > 1:
        end = "\n" if done == n else ""
        print(f"\r{done} of {n} files", end=end, file=sys.stderr, flush=True)


def benchmark(classifier: OnnxClassifier, sig: np.ndarray) -> str:
    """Time per recording ``[samples]`` and peak memory, in words."""
    classifier.whole(sig)
    times = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        classifier.whole(sig)
        times.append(1000 * (time.perf_counter() - begin))
    low, median, high = np.percentile(times, [25, 50, 75])
    return (
        f"{len(sig) / classifier.rate:.1f} s of sound: {median:.1f} ms, "
        f"quartiles {low:.1f} to {high:.1f} ({_RUNS} runs); "
        f"peak memory {_peak_memory()}"
    )


def _peak_memory() -> str:
    """Peak memory of this process."""
    with suppress(OSError), open("/proc/self/status", "rb") as file:  # Linux
        for line in file:
            # Not getrusage, which counts the parent's memory before the fork.
            if line.startswith(b"VmHWM:"):
                return f"{int(line.split()[1]) * 1024 / 1e6:.0f} MB"
    try:
        import resource
    except ImportError:  # Windows
        return "unknown"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, KiB elsewhere.
    return f"{peak / (1e6 if sys.platform == 'darwin' else 1e6 / 1024):.0f} MB"


def _benchmark_sound(classifier, paths) -> np.ndarray:
    """The first recording, or 10 s of noise."""
    if not paths:
        rng = np.random.default_rng(0)
        noise = rng.normal(0, 0.1, 10 * classifier.rate)
        return noise.astype(np.float32)
    try:
        sound = examine(paths[0])
        with opened(sound.path) as file:
            sig = read_mono(file, int(LONGEST_S * sound.rate))
    except AudioError as error:
        raise InputError(f"{paths[0]}: {error}; pass another recording")
    return resample(sig, sound.rate, classifier.rate)


def make_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        description="Score recordings with an exported classifier. For "
        "research: not a medical device.",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL.onnx", help="exported model")
    parser.add_argument(
        "audio",
        metavar="AUDIO",
        nargs="*",
        help="recordings (WAV, FLAC, OGG, MP3), or folders of recordings",
    )
    parser.add_argument(
        "--csv", help="file for the table (default: print the table)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="threads to use (default: 1)"
    )
    parser.add_argument(
        "--benchmark",
        action="store_true",
        help="time the first recording, or 10 s of noise, instead",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    require(args.threads > 0, f"--threads is {args.threads}", "pass 1 or more")
    require(
        bool(args.audio or args.benchmark),
        "AUDIO is missing",
        "pass recordings or folders of recordings",
    )
    paths = list_audio(args.audio)
    if args.csv and (args.csv in paths or args.csv.lower().endswith(READABLE)):
        raise InputError(
            f"--csv {args.csv} is a recording, or has the name of one; name "
            "the table to write, such as scores.csv"
        )
    classifier = OnnxClassifier(args.model, args.threads)
    if args.benchmark:
        print(benchmark(classifier, _benchmark_sound(classifier, paths)))
        return 0
    print(classifier.facts["caution"], file=sys.stderr)
    failed = score_all(classifier, paths, args.csv)
    print(
        f"done: {len(paths) - failed} of {len(paths)} recordings scored",
        file=sys.stderr,
    )
    return 1 if failed else 0


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command line."""
    args = make_parser().parse_args(argv)
    try:
        with one_line_errors():
            status = run(args)
    except BrokenPipeError:  # the reader of the table has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    raise SystemExit(status)


if __name__ == "__main__":
    main()
