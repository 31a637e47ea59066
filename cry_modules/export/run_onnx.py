"""Score recordings with a classifier that is one ONNX file, without torch.

    python run_onnx.py MODEL.onnx AUDIO... [--csv scores.csv]
        [--detector MODEL2.onnx]

This file needs numpy, soundfile and onnxruntime. Table and scores are those of
``python -m cry_modules.inference``, except for rounding.

Exit status: 0 if every recording has scores, 1 if some could not be used (the
column ``error`` says why) or the command was interrupted, 2 for wrong usage
or an unusable model.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Dict, Iterator, Optional, Sequence, Tuple

import numpy as np

from cry_modules.audio import PEAK
from cry_modules.evaluation.out_of_distribution import (
    Reference,
    Training,
    band_powers,
)
from cry_modules.export.onnx_audio import read_whole, read_windows
from cry_modules.inference.command import (
    check_arguments,
    print_summary,
    warn_of_comparison,
    write_scores,
)
from cry_modules.inference.detector import Detector
from cry_modules.inference.options import scoring_parser
from cry_modules.inference.recordings import (
    Unusable,
    Windows,
    is_kept,
    longest_whole_s,
    reading,
    score_windows,
)
from cry_modules.inference.scores import FileScore
from cry_modules.inference.windows import batches
from cry_modules.lengths import covering
from cry_modules.metrics.saved import CLASSES, TRAINING
from data_prep.audio.measure import SILENT_DBFS, Audit, audit_file
from data_prep.files.errors import (
    InputError,
    not_a_file,
    one_line_errors,
    require,
)
from data_prep.files.shapes import checked, number, one_of, whole

#: Key of the model's description in its file.
METADATA_KEY = "cry-ssl onnx 1"
#: Audio in one batch, seconds; more is not faster on a CPU.
BATCH_S = 10.0
_STATISTICS = ("mean", "variance")  # of embeddings, in the description
#: Shape of the description.
FACTS = {
    "classes": CLASSES,
    "threshold": (number(0, 1.001), None),
    "caution": str,
    "sample_rate": whole(1000, 1 << 20),
    "tested_on": one_of("recordings", "chunks"),
    "chunk_s": number(0.3, 3600),
    "shortest": whole(1, 1 << 20),
    "training_recordings?": TRAINING,
    "embedding_mean?": [float],
    "embedding_variance?": [number(0)],
    str: object,
}


class OnnxClassifier:
    """A classifier from its ONNX file, which offers ``hparams`` and ``windows``
    as a ``CryClassifier`` does."""

    def __init__(self, path: str, threads: int = 1):
        self.path = path
        self.session = open_session(path, threads)
        self.facts = description(self.session, path)
        self.hparams = SimpleNamespace(**self.facts)
        self.classes, self.rate = self.hparams.classes, self.hparams.sample_rate
        self.reference = None
        if self.facts.get("training_recordings"):
            training = Training(**self.facts["training_recordings"])
            statistics = (self.facts[f"embedding_{k}"] for k in _STATISTICS)
            self.reference = Reference(training, *map(np.array, statistics))

    def outputs(self, sigs: Sequence[np.ndarray], peak: float) -> np.ndarray:
        """Logits and then the embedding ``[parts, n_classes + dimensions]`` of
        parts ``[samples]`` of a recording with this peak; without embedding if
        the training recordings are unknown."""
        sigs = [self._long_enough(sig) for sig in sigs]
        n_samples = np.array([len(sig) for sig in sigs], np.int64)
        waveform = np.zeros((len(sigs), n_samples.max()), np.float32)
        for row, sig in zip(waveform, sigs):
            row[: len(sig)] = sig
        inputs = {
            "waveform": waveform,
            "n_samples": n_samples,
            "peak": np.array([peak], np.float32),
        }
        try:
            names = ["logits", "embedding"][: 1 + bool(self.reference)]
            outputs = self.session.run(names, inputs)
        except Exception as error:  # onnxruntime's have no common class
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{self.path} cannot be run ({reason}); get it again"
            )
        widths = [len(self.classes)]
        if self.reference is not None:
            widths.append(len(self.reference.mean))
        for output, width in zip(outputs, widths):
            shape = (len(sigs), width)
            require(
                np.shape(output) == shape,
                f"{self.path} gives scores of shape {np.shape(output)}, not "
                f"{shape}",
                "get it again",
            )
        return np.concatenate(outputs, axis=1).astype(np.float64)

    def score(
        self,
        path: str,
        longest_s: Optional[float] = None,
        detector: Optional[Detector] = None,
    ) -> FileScore:
        """Score a file, or what a detector finds in it; a longer one than
        ``longest_s`` in windows."""
        audit = audit_file(path)
        score = FileScore(path, audit.duration)
        if not audit.usable:
            score.error = audit.reason
        elif audit.duration > (
            longest_s or longest_whole_s(self.hparams, detector)
        ):
            score_windows(self, score, audit, detector)
        elif is_kept(detector, score, audit):
            self._score_whole(score, audit)
        return score

    def _score_whole(self, score: FileScore, audit: Audit) -> None:
        """Score a whole recording."""
        try:
            with reading(audit.path):
                sig = self._long_enough(read_whole(audit, self.rate))
        except Unusable as error:
            score.error = error.reason
            return
        n, outputs = len(self.classes), self.whole(sig)[0]
        score.set_logits(outputs[:n], n_windows=1)
        powers = band_powers(sig, self.rate)
        score.compare(self.reference, audit.level_dbfs, powers, outputs[n:])

    def whole(
        self, sig: np.ndarray, peak: Optional[float] = None
    ) -> np.ndarray:
        """Outputs ``[1, n_classes + dimensions]`` of a recording ``[samples]``,
        or of a part of one with this peak: whole, or averaged over chunks, as
        the model was tested."""
        sig, parts = self._long_enough(sig), []
        size = self._longest_input(len(sig))
        peak = float(np.abs(sig).max()) if peak is None else peak
        chunks = (sig[at : at + size] for at in covering(len(sig), size))
        for batch in batches(chunks, self._batch_size()):
            parts.append(self.outputs(batch, peak))
        return np.concatenate(parts).mean(axis=0, keepdims=True)

    def windows(
        self, audit: Audit, spans: Sequence[Tuple[float, float]]
    ) -> Windows:
        """Outputs for windows of a recording, start and end in seconds, in
        bounded memory."""
        n, gain = len(self.classes), PEAK / audit.peak
        rows, is_loud, powers = [], [], 0.0
        sigs = read_windows(audit, spans, self.rate)
        with reading(audit.path):
            for batch in batches(sigs, self._batch_size()):
                least = 10 ** (SILENT_DBFS / 10)
                mask = [np.mean((s * gain) ** 2.0) >= least for s in batch]
                loud = [sig for sig, is_one in zip(batch, mask) if is_one]
                if loud:
                    rows.append(self._of_windows(loud, audit.peak))
                    powers += sum(band_powers(s, self.rate) for s in loud)
                is_loud += mask
        is_loud = np.array(is_loud, dtype=bool)
        logits, emb = np.full((len(is_loud), n), np.nan), np.zeros(0)
        if rows:
            outputs = np.concatenate(rows)
            logits[is_loud], emb = outputs[:, :n], outputs[:, n:].mean(axis=0)
        return Windows(logits, is_loud, powers, emb)

    def _of_windows(self, sigs: Sequence[np.ndarray], peak) -> np.ndarray:
        """Outputs of windows, a row each."""
        longest = max(map(len, sigs))
        if longest <= self._longest_input(longest):
            return self.outputs(sigs, peak)
        return np.concatenate([self.whole(sig, peak) for sig in sigs])

    def _longest_input(self, length: int) -> int:
        """Samples of a part of this length that the model takes at once."""
        if self.facts["tested_on"] == "chunks":
            return round(self.facts["chunk_s"] * self.rate)
        return length

    def _long_enough(self, sig: np.ndarray) -> np.ndarray:
        """Repeat a recording that is too short for the model."""
        return np.resize(sig, max(len(sig), self.facts["shortest"]))

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
        raise InputError(f"{not_a_file(path)}; pass the model's .onnx file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        path.encode()
        model = path
    except UnicodeEncodeError:  # onnxruntime takes paths of text only
        model = Path(path).read_bytes()
    try:
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
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
    cure = "pass one that python -m cry_modules.export wrote"
    if text is None:
        raise InputError(
            f"{path} is not a classifier of cry-ssl, or is truncated (it has "
            f"no {METADATA_KEY!r}); {cure}"
        )
    nodes = [*session.get_inputs(), *session.get_outputs()]
    require(
        {"waveform", "n_samples", "logits"} <= {node.name for node in nodes},
        f"{path} has other inputs and outputs than a classifier of cry-ssl",
        cure,
    )
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}); get it again")
    checked(facts, FACTS, f"{path}: its description", "get it again")
    sizes = {len(facts.get(f"embedding_{name}", "")) for name in _STATISTICS}
    require(
        not facts.get("training_recordings")
        or (len(sizes) == 1 and "embedding" in {node.name for node in nodes}),
        f"{path}: its description does not fit its embedding",
        "get it again",
    )
    return facts


def score_all(
    classifier: OnnxClassifier, paths: Sequence[str], *how
) -> Iterator[FileScore]:
    """Score files, showing the progress; `how` as in ``score``."""
    for done, path in enumerate(paths):
        _progress(done, len(paths))
        yield classifier.score(path, *how)
    _progress(len(paths), len(paths))


def _progress(done: int, n: int) -> None:
    if n > 1:
        end = "\n" if done == n else ""
        print(f"\r{done} of {n} files", end=end, file=sys.stderr, flush=True)


def make_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = scoring_parser("MODEL.onnx", "exported model")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads to use (default: 1)"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    require(args.threads > 0, f"--threads is {args.threads}", "pass 1 or more")
    paths = check_arguments(args)
    classifier = OnnxClassifier(args.model, args.threads)
    detector, scores = None, []
    if args.detector is not None:
        model = OnnxClassifier(args.detector, args.threads)
        detector = Detector(model, args.detected)
    print(classifier.facts["caution"], file=sys.stderr)
    if detector is not None:
        print(detector.in_words(), file=sys.stderr)

    def kept():
        """Scores one by one, kept for the summary."""
        for score in score_all(classifier, paths, args.longest_s, detector):
            scores.append(score)
            yield score

    threshold = classifier.facts["threshold"]
    known = classifier.reference
    training = known and known.training
    how = classifier.classes, threshold, args.csv, detector, training
    write_scores(kept(), *how)
    warn_of_comparison(scores, classifier.classes, training, detector)
    print_summary(scores, args.csv, detector)
    return 1 if any(score.error for score in scores) else 0


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command line."""
    args = make_parser().parse_intermixed_args(argv)
    with one_line_errors():
        status = run(args)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
