"""Score recordings with a classifier that is one ONNX file, without torch.

    python -m cry_modules.export.run_onnx MODEL.onnx AUDIO... [--csv scores.csv]

This file stands by itself: copied beside a model it needs numpy, soundfile
and onnxruntime, and nothing of the project that it comes from. The table is
that of ``python -m cry_modules.inference``, and so are the scores, but for
rounding.

Exit status: 0 every recording has scores, 1 some could not be used (the
column ``error`` says why) or interrupted, 2 wrong usage, or no model.
"""

import argparse
import csv
import json
import math
import os
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence

import numpy as np
import soundfile
from numpy.lib.stride_tricks import sliding_window_view

#: Under which a model's own description stands in its file.
METADATA_KEY = "cry-ssl onnx 1"
#: Peak that recordings are scaled to.
PEAK = 0.9
#: Nothing to be heard: root mean square below this, dB of full scale.
SILENT_DBFS = -60.0
#: Shorter than this is not a recording, seconds.
SHORTEST_S = 0.1
#: What is longer is heard in windows, seconds: memory does not grow with it.
LONGEST_S = 120.0
#: Chunks that are heard at once, seconds; more are no faster on a CPU.
BATCH_S = 10.0
#: Suffixes of what is scored in a folder.
READABLE = (
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au",
    ".w64",
)  # fmt: skip
#: Columns of the table beside the classes'.
COLUMNS = ("path", "seconds", "call", "n_windows", "error")
#: Samples of a channel that are decoded at once.
_BLOCK = 1 << 18
#: Zero crossings of the resampling filter to each side, and its cut-off, of
#: the lower rate's half: those of torchaudio, which the models were trained
#: with.
_CROSSINGS, _ROLLOFF = 6, 0.99
#: Runs whose times ``--benchmark`` takes.
_RUNS = 20


class UsageError(Exception):
    """What the user can mend, in one line."""


class AudioError(Exception):
    """Why a recording has no scores."""

    def __init__(self, reason: str, seconds: float = 0.0):
        super().__init__(reason)
        self.seconds = seconds


@dataclass
class Sound:
    """What reading a file through shows.

    Arguments
    ---------
    path : str
        As it was given.
    rate : int
        Hz.
    n_frames : int
        Samples of a channel.
    peak : float
        Largest sample of the mono mix.
    """

    path: str
    rate: int
    n_frames: int
    peak: float

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.n_frames / self.rate


@dataclass
class Score:
    """What a classifier says of a file.

    Arguments
    ---------
    path : str
        As it was given.
    seconds : float
        Of the recording.
    scores : numpy.ndarray or None
        Probability of each class; None where there is an error.
    n_windows : int
        1 where it was heard at once.
    error : str
        Why there are no scores; empty where there are.
    """

    path: str
    seconds: float = 0.0
    scores: Optional[np.ndarray] = None
    n_windows: int = 0
    error: str = ""


@contextmanager
def opened(path: str) -> Iterator[soundfile.SoundFile]:
    """A file, open to be decoded.

    Example
    -------
    >>> with opened("no.wav"):
    ...     pass
    Traceback (most recent call last):
    ...
    cry_modules.export.run_onnx.AudioError: unreadable: no such file
    """
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except (OSError, soundfile.SoundFileError, TypeError) as error:
        # TypeError: soundfile asks for the rate of x.raw.
        raise AudioError(f"unreadable: {_reason(path, error)}")


def _reason(path, error) -> str:
    """One line of why a file could not be read."""
    if not os.path.exists(path):
        return "no such file"
    if not os.path.isfile(path):
        return "no regular file"
    text = getattr(error, "error_string", None) or str(error)
    return " ".join(text.split()).replace("Error : ", "").rstrip(".")


def examine(path: str) -> Sound:
    """Read a file through, block by block.

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("a.wav"))
    >>> soundfile.write(path, np.full(8000, 0.5), 8000)
    >>> examine(path).seconds, examine(path).peak
    (1.0, 0.5)
    """
    n_frames, energy, peak = 0, 0.0, 0.0
    with opened(path) as file:
        rate, promised = file.samplerate, file.frames
        exact = file.format in ("WAV", "FLAC")  # others' headers estimate
        while True:
            mono = read_mono(file, _BLOCK)
            if not len(mono):
                break
            if not np.isfinite(mono).all():
                raise AudioError("not finite: samples are NaN or infinite")
            n_frames += len(mono)
            energy += float(np.square(mono, dtype=np.float64).sum())
            peak = max(peak, float(np.abs(mono).max()))
    sound = Sound(path, rate, n_frames, peak)
    level = decibels(energy / max(1, n_frames))
    reason = _unusable(sound, level, promised if exact else n_frames)
    if reason:
        raise AudioError(reason, sound.seconds)
    return sound


def _unusable(sound, level, promised) -> str:
    """Why a recording that was decoded cannot be used."""
    if sound.n_frames == 0:
        return "empty: a header and no samples"
    if sound.n_frames < promised:
        end = promised / sound.rate
        return f"truncated: {sound.seconds:.3f} of {end:.3f} s"
    if sound.seconds < SHORTEST_S:
        return f"too short: {sound.seconds:.3f} s"
    return f"silent: {level:.0f} dBFS" if level < SILENT_DBFS else ""


def read_mono(file: soundfile.SoundFile, n_frames: int) -> np.ndarray:
    """The next samples of an open file.

    Shapes: returns ``[samples]``.
    """
    return file.read(n_frames, "float32", always_2d=True).mean(axis=1)


def decibels(power: float) -> float:
    """Of full scale.

    Example
    -------
    >>> decibels(0.01), decibels(0.0)
    (-20.0, -inf)
    """
    return 10 * math.log10(power) if power > 0 else float("-inf")


def resample(sig: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Samples at another rate, as torchaudio's ``Resample`` by its defaults: a
    sinc under a raised cosine, evaluated at each new sample.

    Shapes: sig ``[samples]``, returns ``[ceil(samples * new_rate / rate)]``.

    Example
    -------
    >>> resample(np.ones(8000, np.float32), 8000, 16000).shape
    (16000,)
    """
    if rate == new_rate:
        return sig
    divisor = math.gcd(rate, new_rate)
    old, new = rate // divisor, new_rate // divisor
    # Of ``new`` samples of the output to ``old`` of the input, again and
    # again, each has weights of its own.
    cutoff = _ROLLOFF * min(old, new)
    width = math.ceil(_CROSSINGS * old / cutoff)
    inputs = np.arange(-width, old + width) / old
    # In single precision, as there.
    outputs = np.arange(new, dtype=np.float32)[:, None] / np.float32(new)
    crossings = ((inputs - outputs) * cutoff).clip(-_CROSSINGS, _CROSSINGS)
    fade = np.cos(crossings * (np.pi / 2 / _CROSSINGS)) ** 2
    weights = (np.sinc(crossings) * fade * cutoff / old).astype(np.float32)
    padded = np.pad(sig, (width, width + old))
    spans = sliding_window_view(padded, weights.shape[1])[::old]
    # Not a product of matrices, which would take threads of its own.
    rows = np.einsum("ik,jk->ij", spans, weights)
    return rows.reshape(-1)[: -(-len(sig) * new // old)]


def covering(length: int, size: int) -> List[int]:
    """Beginnings of as few windows as cover a recording, evenly spaced.

    Example
    -------
    >>> covering(6, 4), covering(3, 4)
    ([0, 2], [0])
    """
    n_windows = max(1, -(-length // size))
    last = max(0, length - size)
    return [round(last * i / max(1, n_windows - 1)) for i in range(n_windows)]


def repeat_to(sig: np.ndarray, n_samples: int) -> np.ndarray:
    """Repeat a short recording until it has ``n_samples``; leave a long one.

    Shapes: sig ``[samples]``, returns ``[max(samples, n_samples)]``.

    Example
    -------
    >>> repeat_to(np.array([1, 2, 3]), 5)
    array([1, 2, 3, 1, 2])
    """
    if len(sig) >= n_samples:
        return sig
    return np.tile(sig, -(-n_samples // len(sig)))[:n_samples]


def read_windows(
    sound: Sound, seconds: float, new_rate: int
) -> Iterator[np.ndarray]:
    """Windows that cover a recording, one after the other.

    Shapes: returns ``[samples]``.
    """
    size, length = round(seconds * new_rate), round(sound.seconds * new_rate)
    with opened(sound.path) as file:
        for start in covering(length, size):
            stop = min(start + size, length) / new_rate
            first = min(round(start / new_rate * sound.rate), sound.n_frames)
            if first != file.tell():
                file.seek(first)
            block = read_mono(file, round(stop * sound.rate) - first)
            yield resample(block, sound.rate, new_rate)


class OnnxClassifier:
    """A classifier as its ONNX file describes it."""

    def __init__(self, path: str, threads: int = 1):
        self.session = open_session(path, threads)
        self.about = description(self.session, path)
        self.classes = self.about["classes"]
        self.rate = self.about["sample_rate"]

    def logits(self, sigs: Sequence[np.ndarray], peak: float) -> np.ndarray:
        """Before the softmax, of parts of one recording.

        Shapes: sigs ``[samples]``, returns ``[parts, n_classes]``.
        """
        sigs = [repeat_to(sig, self.about["shortest"]) for sig in sigs]
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

    def score(self, path: str) -> Score:
        """Score a file."""
        score = Score(path)
        try:
            sound = examine(path)
            score.seconds = sound.seconds
            logits = self._heard(sound)
        except AudioError as error:
            score.error = str(error)
            score.seconds = score.seconds or error.seconds
        else:
            score.scores = softmax(logits.mean(axis=0))
            score.n_windows = len(logits)
            if not np.isfinite(score.scores).all():
                score.scores, score.n_windows = None, 0
                score.error = "scores are not finite: the model is damaged"
        return score

    def _heard(self, sound: Sound) -> np.ndarray:
        """Logits of what is heard of a recording, one row each."""
        if sound.seconds > LONGEST_S:
            return self._windows(sound)
        with opened(sound.path) as file:
            sig = read_mono(file, sound.n_frames)
        sig = resample(sig, sound.rate, self.rate)
        return self.whole(sig)

    def whole(self, sig: np.ndarray) -> np.ndarray:
        """Logits of a recording as the model was tested, averaged.

        Shapes: sig ``[samples]``, returns ``[1, n_classes]``.
        """
        sig, parts = repeat_to(sig, self.about["shortest"]), []
        size = len(sig)
        if self.about["tested_on"] == "chunks":
            size = round(self.about["chunk_s"] * self.rate)
        peak = float(np.abs(sig).max())
        chunks = (sig[at : at + size] for at in covering(len(sig), size))
        for some in batches(chunks, self._at_once()):
            parts.append(self.logits(some, peak))
        return np.concatenate(parts).mean(axis=0, keepdims=True)

    def _windows(self, sound: Sound) -> np.ndarray:
        """Logits of the windows that are not silent."""
        windows = read_windows(sound, self.about["chunk_s"], self.rate)
        gain, found = PEAK / sound.peak, []
        for some in batches(windows, self._at_once()):
            loud = [
                sig
                for sig in some
                if decibels(np.mean((sig * gain) ** 2.0)) >= SILENT_DBFS
            ]
            if loud:
                found.append(self.logits(loud, sound.peak))
        if not found:
            raise AudioError("silent: in every window")
        return np.concatenate(found)

    def _at_once(self) -> int:
        """Chunks of a batch."""
        return max(1, int(BATCH_S / self.about["chunk_s"]))


def batches(
    sigs: Iterator[np.ndarray], size: int
) -> Iterator[List[np.ndarray]]:
    """Some at once.

    Example
    -------
    >>> [len(batch) for batch in batches(iter("abcde"), 2)]
    [2, 2, 1]
    """
    batch = []
    for sig in sigs:
        batch.append(sig)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities.

    Shapes: logits ``[n_classes]``, returns ``[n_classes]``.

    Example
    -------
    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def open_session(path: str, threads: int):
    """A session of onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(
            "onnxruntime is not installed; install it: pip install onnxruntime"
        )
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise UsageError(f"{path} {what}; pass the model's .onnx file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's have no class in common
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{path} is no ONNX file, is cut short or is newer than "
            f"onnxruntime {onnxruntime.__version__} ({reason}); get it again"
        )


def description(session, path: str) -> Dict:
    """What a model says of itself."""
    said = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if said is None:
        raise UsageError(
            f"{path} is not a classifier of this project, or is cut short "
            f"(it does not say {METADATA_KEY!r}); pass one that "
            "cry_modules.export.command wrote"
        )
    try:
        return json.loads(said)
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error}); get it again")


def list_audio(given: Sequence[str]) -> List[str]:
    """Files and those of folders, each once.

    Example
    -------
    >>> list_audio(["a.wav", "b.wav", "a.wav"])
    ['a.wav', 'b.wav']
    """
    found = []
    for name in given:
        if not os.path.isdir(name):
            found.append(name)
            continue
        inside = sorted(
            os.path.join(folder, file)
            for folder, _, files in os.walk(name)
            for file in files
            if file.lower().endswith(READABLE) and not file.startswith(".")
        )
        if not inside:
            raise UsageError(
                f"{name} holds no audio file ({', '.join(READABLE[:3])} and "
                "the like); pass the folder that does"
            )
        found += inside
    return list(dict.fromkeys(found))


def header_of(classes: Sequence[str]) -> List[str]:
    """Names of the table's columns.

    Example
    -------
    >>> header_of(["healthy", "call"])[-2:]
    ['healthy', 'class call']
    """
    names = list(COLUMNS)
    for name in classes:
        while name in names:
            name = f"class {name}"
        names.append(name)
    return names


def row_of(
    score: Score, classes: Sequence[str], threshold: Optional[float]
) -> List:
    """A row of the table.

    Example
    -------
    >>> score = Score("a.wav", 1.5, np.array([0.75, 0.25]), n_windows=1)
    >>> row_of(score, ["healthy", "injury"], threshold=0.2)
    ['a.wav', '1.500', 'injury', 1, '', '0.75', '0.25']
    """
    start = [score.path, f"{score.seconds:.3f}"]
    if score.error:
        return [*start, "", "", score.error, *("" for _ in classes)]
    call = classes[int(score.scores.argmax())]
    if threshold is not None:
        call = classes[-1] if score.scores[-1] >= threshold else classes[0]
    cells = [repr(value) for value in score.scores.tolist()]
    return [*start, call, score.n_windows, "", *cells]


def score_all(
    classifier: OnnxClassifier, paths: Sequence[str], out: Optional[str]
) -> int:
    """Write the table."""
    if out is None:
        sys.stdout.reconfigure(errors="backslashreplace")
        return _write_rows(classifier, paths, sys.stdout)
    partial = f"{out}.partial"
    how = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    try:
        with open(partial, "w", **how) as file:
            failed = _write_rows(classifier, paths, file)
        os.replace(partial, out)
    except OSError as error:
        raise UsageError(
            f"{out} could not be written ({error.strerror}); choose another "
            "place to write to"
        )
    finally:
        with suppress(OSError):  # moved, or never there
            os.unlink(partial)
    return failed


def _write_rows(classifier, paths, file) -> int:
    table = csv.writer(file, lineterminator="\n")
    classes = classifier.classes
    table.writerow(header_of(classes))
    failed = 0
    for done, path in enumerate(paths):
        _progress(done, len(paths))
        score = classifier.score(path)
        failed += bool(score.error)
        table.writerow(row_of(score, classes, classifier.about["threshold"]))
        file.flush()
    _progress(len(paths), len(paths))
    return failed


def _progress(done: int, n: int) -> None:
    """A line that is written over, where there is something to wait for."""
    if n > 1:
        end = "\n" if done == n else ""
        print(f"\r{done} of {n} files", end=end, file=sys.stderr, flush=True)


def benchmark(classifier: OnnxClassifier, sig: np.ndarray) -> str:
    """How long a recording takes, and the memory of the process.

    Shapes: sig ``[samples]``.
    """
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
    """Of this process."""
    with suppress(OSError), open("/proc/self/status", "rb") as file:  # Linux
        for line in file:
            # Not getrusage, which counts what the parent had before it.
            if line.startswith(b"VmHWM:"):
                return f"{int(line.split()[1]) * 1024 / 1e6:.0f} MB"
    try:
        import resource
    except ImportError:  # Windows
        return "not known here"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on a Mac, KiB elsewhere.
    return f"{peak / (1e6 if sys.platform == 'darwin' else 1e6 / 1024):.0f} MB"


def _benchmark_sound(classifier, paths) -> np.ndarray:
    """The first recording, else 10 s of noise."""
    if not paths:
        rng = np.random.default_rng(0)
        noise = rng.normal(0, 0.1, 10 * classifier.rate)
        return noise.astype(np.float32)
    try:
        sound = examine(paths[0])
        with opened(sound.path) as file:
            sig = read_mono(file, int(LONGEST_S * sound.rate))
    except AudioError as error:
        raise UsageError(f"{paths[0]}: {error}; pass another recording")
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
        help="recordings (WAV, FLAC, OGG, MP3) and folders of them",
    )
    parser.add_argument(
        "--csv", help="write the table there instead of printing it"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="that compute (default: 1)"
    )
    parser.add_argument(
        "--benchmark",
        action="store_true",
        help="time the first recording, or 10 s of noise, instead",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what is asked."""
    if args.threads < 1:
        raise UsageError(f"--threads is {args.threads}; 1 or more")
    if not args.audio and not args.benchmark:
        raise UsageError("no recordings; pass files or folders")
    paths = list_audio(args.audio)
    if args.csv and (args.csv in paths or args.csv.lower().endswith(READABLE)):
        raise UsageError(
            f"--csv {args.csv} is called like a recording, which would be "
            "lost; name a .csv file"
        )
    classifier = OnnxClassifier(args.model, args.threads)
    if args.benchmark:
        print(benchmark(classifier, _benchmark_sound(classifier, paths)))
        return 0
    print(classifier.about["caution"], file=sys.stderr)
    failed = score_all(classifier, paths, args.csv)
    print(
        f"done: {len(paths) - failed} of {len(paths)} recordings scored",
        file=sys.stderr,
    )
    return 1 if failed else 0


def main(argv: Optional[Sequence[str]] = None) -> None:
    """The command line."""
    args = make_parser().parse_args(argv)
    try:
        status = run(args)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 1
    except BrokenPipeError:  # whoever read the table has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    raise SystemExit(status)


if __name__ == "__main__":
    main()
