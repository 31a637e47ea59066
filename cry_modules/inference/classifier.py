"""A trained classifier in use, in SpeechBrain's inference style.

    python -m cry_modules.inference MODEL AUDIO... --csv scores.csv --plot

gives each recording a probability of every class (``score_table.py``). For
research: not a medical device.
"""

import math
import os
from collections import deque
from concurrent.futures import Future, as_completed
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import soundfile
import torch
from scipy.special import softmax
from speechbrain.dataio.encoder import CategoricalEncoder
from speechbrain.inference.classifiers import EncoderClassifier
from speechbrain.utils.autocast import AMPConfig
from speechbrain.utils.fetching import FetchConfig
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from cry_modules.audio import PEAK, AudioNormalizer, repeat_to, shortest_input
from cry_modules.checkpoints.description import (
    YAML_FILE,
    SavedModel,
    load_model,
)
from cry_modules.inference.windows import (
    WindowReader,
    batches,
    level_dbfs,
    read_mixed,
    sliding,
)
from cry_modules.lengths import covering
from cry_modules.training.batches import batches_by_length
from data_prep.audio.measure import SILENT_DBFS, Audit, audit_file
from data_prep.files.errors import InputError

#: What is longer is heard in windows, seconds: memory does not grow with it.
LONGEST_S = 120.0
#: Sound that is heard at once, seconds, padding included.
BATCH_S = 120.0
#: Why a recording has no scores whose file is good.
NOT_FINITE = (
    "scores are not finite: the model is damaged, or this precision too small "
    "for its numbers; use fp32, or get the model again"
)

#: What a file raises that has changed since it was audited.
_UNREADABLE = (soundfile.LibsndfileError, OSError)


@dataclass
class FileScore:
    """What a classifier says of a file.

    Arguments
    ---------
    path : str
        As it was given.
    seconds : float
        Of the recording.
    scores : numpy.ndarray or None
        Probability of each class, ``[n_classes]``; None where there is an
        error.
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


@dataclass
class ScoreTrack:
    """Scores over the time of a recording.

    Arguments
    ---------
    starts : numpy.ndarray
        Of the windows, seconds, ``[n]``.
    stops : numpy.ndarray
        Of the windows, seconds, ``[n]``.
    scores : numpy.ndarray
        Probability of each class, ``[n, n_classes]``; not a number in windows
        of silence.
    """

    starts: np.ndarray
    stops: np.ndarray
    scores: np.ndarray


class CryClassifier(EncoderClassifier):
    """A classifier of recordings, ready to use.

    ``encode_batch``, ``classify_batch`` and ``classify_file`` are those of
    SpeechBrain's ``EncoderClassifier``: their label is the most probable
    class. ``call`` is what the operating point makes of the same scores, and
    what the command and the demo page say.

    A recording of up to ``LONGEST_S`` has the scores that
    ``predictions_test.csv`` of the training run has for it. A longer one is
    heard in windows, as no training run does (see ``classify_files``).

    Arguments
    ---------
    modules : dict
        ``embedding_model`` (waveforms and lengths to embeddings) and
        ``classifier`` (embeddings to log posteriors; None for an encoder
        alone).
    hparams : dict
        ``sample_rate``, ``hop``, ``chunk_s``, ``classes``, ``threshold``,
        ``label_encoder``.
    run_opts : dict or None
        ``device``: ``cpu``, ``cuda``; ``precision``: ``fp32``, ``bf16``.
    freeze_params : bool
        See ``speechbrain.inference.interfaces.Pretrained``.

    Example
    -------
    >>> from cry_modules.checkpoints.description import Blueprint, build
    >>> model = build(Blueprint(1, classes=["a", "b"], log_prior=[0.0, 0.0]))
    >>> classifier = CryClassifier.from_model(model)
    >>> classifier.encode_batch(torch.randn(2, 8000)).shape
    torch.Size([2, 32])
    >>> log_posteriors, score, index, labels = classifier.classify_batch(
    ...     torch.randn(2, 8000)
    ... )
    >>> log_posteriors.shape, len(labels)
    (torch.Size([2, 2]), 2)
    """

    MODULES_NEEDED = ["embedding_model", "classifier"]
    HPARAMS_NEEDED = ["sample_rate", "hop", "chunk_s", "classes", "threshold"]

    def __init__(
        self, modules=None, hparams=None, run_opts=None, freeze_params=True
    ):
        check_run_opts(run_opts or {})
        super().__init__(modules, hparams, run_opts, freeze_params)
        self.audio_normalizer = AudioNormalizer(
            self.hparams.sample_rate, shortest_input(self.hparams.hop)
        )

    @classmethod
    def from_hparams(
        cls,
        source: str,
        hparams_file: str = YAML_FILE,
        savedir: Optional[str] = None,
        trust: bool = False,
        run_opts: Optional[Dict] = None,
        revision: Optional[str] = None,
        **kwargs,
    ) -> "CryClassifier":
        """A classifier from where it was left.

        Arguments
        ---------
        source : str
            An exported folder, a results folder of ``train_cls.py``, or a
            Hugging Face id.
        hparams_file : str
            Of SpeechBrain, read with ``trust`` only.
        savedir : str or None
            Where to put what is downloaded.
        trust : bool
            Build what ``hparams_file`` says instead of reading
            ``model.json``. **It can run any code.**
        run_opts : dict or None
            ``device`` and ``precision``.
        revision : str or None
            Commit, tag or branch of a Hugging Face id.
        **kwargs
            Of SpeechBrain's ``pretrained_from_hparams``, with ``trust`` only.

        Returns
        -------
        CryClassifier

        Raises
        ------
        InputError
            See ``saved_model.load_model``; a device or precision that is not
            to be had; an argument that is not known, or for ``trust`` only.

        Example
        -------
        >>> CryClassifier.from_hparams("no/model", runopts={"device": "cuda"})
        Traceback (most recent call last):
        ...
        data_prep.files.errors.InputError: from_hparams() knows no argument \
'runopts' without trust=True; correct its name, or leave it out
        """
        check_run_opts(run_opts or {})
        if not trust:
            refuse_arguments(hparams_file, kwargs)
            model = load_model(source, savedir, revision)
            return cls.from_model(model, run_opts)
        if revision is not None:
            kwargs["fetch_config"] = FetchConfig(revision=revision)
        try:
            return super().from_hparams(
                source,
                hparams_file,
                savedir=savedir,
                run_opts=run_opts,
                **kwargs,
            )
        except KeyError as error:
            raise InputError(
                f"{hparams_file} of {source} has no {error}: it is not for "
                "inference; pass a folder that cry_modules.export.command wrote, or "
                "leave out trust"
            )
        except (OSError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise InputError(
                f"{hparams_file} of {source} is not to be had or not of a "
                f"classifier of ours ({reason}); correct the source, or leave "
                "out trust"
            )

    @classmethod
    def from_model(
        cls, model: SavedModel, run_opts: Optional[Dict] = None
    ) -> "CryClassifier":
        """A classifier from its parts.

        Arguments
        ---------
        model : SavedModel
            See ``saved_model.build``.
        run_opts : dict or None
            ``device`` and ``precision``.

        Returns
        -------
        CryClassifier
        """
        blueprint = model.blueprint
        logmel = model.embedder.features.logmel
        hparams = {
            "sample_rate": logmel.sample_rate,
            "hop": logmel.hop,
            "chunk_s": blueprint.chunk_s,
            "classes": blueprint.classes,
            "threshold": model.threshold(),
            "label_encoder": label_encoder(blueprint.classes),
        }
        modules = {
            "embedding_model": model.embedder,
            "classifier": model.posterior,
        }
        return cls(modules, hparams, run_opts)

    @torch.inference_mode()
    def encode_batch(self, wavs, wav_lens=None, normalize=False):
        """Embeddings ``[batch, dimensions]``.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]`` or ``[samples]``, at the model's rate, as
            ``load_audio`` returns them.
        wav_lens : torch.Tensor or None
            Valid share of the samples, ``[batch]``.
        normalize : bool
            Not supported.

        Returns
        -------
        torch.Tensor

        Raises
        ------
        ValueError
            ``normalize``: these models have no statistics of embeddings.
        """
        if normalize:
            raise ValueError("normalize: there are no statistics to do it by")
        wavs = (wavs if wavs.dim() == 2 else wavs.unsqueeze(0)).float()
        if wav_lens is not None:
            wav_lens = wav_lens.to(self.device)
        with self.inference_ctx:
            return self.mods.embedding_model(wavs.to(self.device), wav_lens)

    @torch.inference_mode()
    def classify_batch(self, wavs, wav_lens=None):
        """As SpeechBrain's: the label is the most probable class, whatever the
        operating point. That is applied by ``call``.

        Arguments
        ---------
        wavs : torch.Tensor
            See ``encode_batch``.
        wav_lens : torch.Tensor or None
            See ``encode_batch``.

        Returns
        -------
        log_posteriors : torch.Tensor
            ``[batch, n_classes]``.
        score : torch.Tensor
            Of the most probable class, ``[batch]``.
        index : torch.Tensor
            That class, ``[batch]``.
        labels : list of str
            Its name.
        """
        logits = self._logits(wavs, wav_lens)
        return self._decide(torch.log_softmax(logits, dim=1))

    def classify_file(self, path, savedir=None, longest_s=LONGEST_S):
        """As ``classify_batch``, of one recording of any length: the label is
        the most probable class. ``call`` applies the operating point.

        Arguments
        ---------
        path : str or os.PathLike
            WAV, FLAC, OGG or MP3 at any rate.
        savedir : str or None
            Unused: nothing is fetched.
        longest_s : float
            See ``classify_files``.

        Returns
        -------
        tuple
            See ``classify_batch``; a batch of one.

        Raises
        ------
        InputError
            The file cannot be used.
        """
        found = self.classify_files([path], longest_s)[0]
        if found.error:
            raise InputError(f"{path}: {found.error}; pass another recording")
        posteriors = torch.from_numpy(found.scores).float().unsqueeze(0)
        return self._decide(posteriors.log())

    def call(self, scores) -> str:
        """What the model calls a recording: see ``call_of``.

        Arguments
        ---------
        scores : numpy.ndarray or torch.Tensor
            Probability of each class, ``[n_classes]``: ``scores`` of a
            ``FileScore``, or a row of ``exp()`` of ``classify_batch``'s log
            posteriors.

        Returns
        -------
        str

        Raises
        ------
        InputError
            They are not finite.

        Example
        -------
        >>> from cry_modules.checkpoints.description import Blueprint, build
        >>> model = build(
        ...     Blueprint(1, classes=["no", "yes"], log_prior=[0.0, 0.0])
        ... )
        >>> CryClassifier.from_model(model).call(torch.tensor([0.6, 0.4]))
        'no'
        """
        scores = torch.as_tensor(scores).detach().cpu().numpy()
        return call_of(scores, self.hparams.classes, self.hparams.threshold)

    def load_audio(self, path, savedir=None):
        """A recording as the model hears it: mono, its rate, its peak.

        Arguments
        ---------
        path : str or os.PathLike
            WAV, FLAC, OGG or MP3.
        savedir : str or None
            Unused: nothing is fetched.

        Returns
        -------
        torch.Tensor
            ``[samples]``.

        Raises
        ------
        InputError
            The file cannot be used.
        """
        audit = self._audit(path)
        try:
            return self._whole(audit).to(self.device)
        except _UNREADABLE as error:
            raise InputError(
                f"{path}: {_reason(error)}; pass another recording"
            )

    def forward(self, wavs, wav_lens=None):
        """``classify_batch``."""
        return self.classify_batch(wavs, wav_lens)

    def classify_files(
        self,
        paths: Sequence[Union[str, os.PathLike]],
        longest_s: float = LONGEST_S,
        progressbar: bool = False,
    ) -> List[FileScore]:
        """Score many recordings, many at once; a file that cannot be used
        stops nothing.

        Arguments
        ---------
        paths : sequence of str or os.PathLike
            Of the files.
        longest_s : float
            What is longer is heard in windows of the model's chunk length,
            as few as cover it, whose log-odds are averaged; silent ones are
            left out.
        progressbar : bool
            Whether to show how many files are read, then scored.

        Returns
        -------
        list of FileScore
            In the order given.

        Raises
        ------
        InputError
            One path instead of several; the model is an encoder alone.
        """
        if isinstance(paths, (str, os.PathLike)):
            raise InputError(
                f"classify_files hears several recordings, and {str(paths)!r} "
                "is one: put it in a list"
            )
        self._require_classes()
        audits = _audit_all([os.fspath(path) for path in paths], progressbar)
        found = [
            FileScore(
                audit.path,
                audit.duration,
                error="" if audit.usable else audit.reason,
            )
            for audit in audits
        ]
        usable = [i for i, score in enumerate(found) if not score.error]
        short = [i for i in usable if found[i].seconds <= longest_s]
        seconds = [found[i].seconds for i in short]
        with _bar(len(usable), "scoring", progressbar) as bar:
            for batch in batches_by_length(seconds, BATCH_S):
                some = [short[j] for j in batch]
                self._score_short([found[i] for i in some], [audits[i] for i in some])  # fmt: skip
                bar.update(len(some))
            for i in sorted(set(usable) - set(short)):
                self._score_long(found[i], audits[i])
                bar.update()
        return found

    def score_over_time(
        self,
        path: Union[str, os.PathLike],
        window_s: Optional[float] = None,
        hop_s: Optional[float] = None,
    ) -> ScoreTrack:
        """Scores of windows of a recording, in bounded memory.

        Arguments
        ---------
        path : str or os.PathLike
            WAV, FLAC, OGG or MP3.
        window_s : float or None
            See ``window_sizes``.
        hop_s : float or None
            See ``window_sizes``.

        Returns
        -------
        ScoreTrack

        Raises
        ------
        InputError
            The file cannot be used, its scores are not finite, or see
            ``window_sizes``.
        """
        self._require_classes()
        rate = self.hparams.sample_rate
        sizes = [
            round(seconds * rate)
            for seconds in self.window_sizes(window_s, hop_s)
        ]
        audit = self._audit(path)
        length = round(audit.duration * rate)
        spans = _spans(sliding(length, *sizes), sizes[0], length, rate)
        try:
            logits, loud = self._window_logits(audit, spans)
        except _UNREADABLE as error:
            raise InputError(
                f"{path}: {_reason(error)}; pass another recording"
            )
        if not np.isfinite(logits[loud]).all():
            raise InputError(f"{path}: {NOT_FINITE}")
        starts, stops = np.array(spans).T
        return ScoreTrack(starts, stops, softmax(logits, axis=1))

    def window_sizes(
        self, window_s: Optional[float] = None, hop_s: Optional[float] = None
    ) -> Tuple[float, float]:
        """Windows of scores over time, as asked or by default.

        Arguments
        ---------
        window_s : float or None
            Seconds; None: the length of the chunks in training.
        hop_s : float or None
            Seconds from one to the next; None: a half of the window.

        Returns
        -------
        window_s : float
        hop_s : float

        Raises
        ------
        InputError
            A window that is shorter than the encoder needs, a hop shorter
            than a sample, or either without end.
        """
        rate = self.hparams.sample_rate
        shortest = self.audio_normalizer.shortest / rate
        window_s = self.hparams.chunk_s if window_s is None else window_s
        hop_s = window_s / 2 if hop_s is None else hop_s
        if not shortest <= window_s < math.inf:
            raise InputError(
                f"window_s is {window_s}; this model needs {shortest} s at "
                "least, and an end"
            )
        if not 1 / rate <= hop_s < math.inf:
            raise InputError(
                f"hop_s is {hop_s}; a sample is {1 / rate} s, and a hop no "
                "less and not without end"
            )
        return window_s, hop_s

    def _require_classes(self):
        if self.mods.classifier is None:
            raise InputError(
                "this model is an encoder and knows no classes; train_cls.py "
                "trains a classifier on it"
            )

    def _audit(self, path) -> Audit:
        """Of a file that is needed."""
        audit = audit_file(os.fspath(path))
        if not audit.usable:
            raise InputError(f"{path}: {audit.reason}; pass another recording")
        return audit

    def _whole(self, audit: Audit) -> torch.Tensor:
        with soundfile.SoundFile(audit.path) as file:
            sig = read_mixed(file, round(audit.duration * audit.rate))
        if not len(sig):
            raise OSError("its samples have gone")
        return self.audio_normalizer(sig, audit.rate)

    def _logits(self, wavs, wav_lens=None) -> torch.Tensor:
        self._require_classes()
        emb = self.encode_batch(wavs, wav_lens)
        return self.mods.classifier.logits(emb.float())

    def _padded_logits(self, sigs: List[torch.Tensor]) -> np.ndarray:
        """Logits of recordings of different lengths, ``[n, n_classes]``."""
        wavs = pad_sequence(sigs, batch_first=True)
        lengths = torch.tensor([len(sig) for sig in sigs]) / wavs.shape[1]
        with torch.inference_mode():
            return self._logits(wavs, lengths).double().cpu().numpy()

    def _score_short(self, scores: List[FileScore], audits: List[Audit]):
        sigs, heard = [], []
        for score, audit in zip(scores, audits):
            try:
                sigs.append(self._whole(audit))
                heard.append(score)
            except _UNREADABLE as error:
                score.error = _reason(error)
        if not heard:
            return
        for score, logits in zip(heard, self._padded_logits(sigs)):
            _set_scores(score, logits, n_windows=1)

    def _score_long(self, score: FileScore, audit: Audit):
        rate = self.hparams.sample_rate
        size = round(self.hparams.chunk_s * rate)
        length = round(audit.duration * rate)
        spans = _spans(covering(length, size), size, length, rate)
        try:
            logits, loud = self._window_logits(audit, spans)
        except _UNREADABLE as error:
            score.error = _reason(error)
            return
        if not loud.any():
            score.error = "silent: in every window"
            return
        _set_scores(score, logits[loud].mean(axis=0), int(loud.sum()))

    def _window_logits(
        self, audit: Audit, spans: List[Tuple[float, float]]
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Logits of windows, not a number where they are silent, and which
        are not silent."""
        gain = PEAK / audit.peak if audit.peak > 0 else 1.0
        reader = WindowReader(audit.path, self.hparams.sample_rate, gain)
        longest = max(stop - start for start, stop in spans)
        found, heard = [], []
        for some in batches(reader(spans), max(1, int(BATCH_S / longest))):
            rows = np.full((len(some), len(self.hparams.classes)), np.nan)
            loud = np.array([level_dbfs(sig) >= SILENT_DBFS for sig in some])
            sigs = [
                repeat_to(sig, self.audio_normalizer.shortest)
                for sig, is_loud in zip(some, loud)
                if is_loud
            ]
            if sigs:
                rows[loud] = self._padded_logits(sigs)
            found.append(rows)
            heard.append(loud)
        return np.concatenate(found), np.concatenate(heard)

    def _decide(self, log_posteriors):
        score, index = log_posteriors.max(dim=1)
        labels = self.hparams.label_encoder.decode_torch(index)
        return log_posteriors, score, index, labels


def call_of(
    scores: np.ndarray, classes: Sequence[str], threshold: Optional[float]
) -> str:
    """What a model calls a recording.

    Shapes: scores ``[n_classes]``.

    Example
    -------
    >>> call_of(np.array([0.8, 0.2]), ["healthy", "injury"], 0.15)
    'injury'
    """
    if not np.isfinite(scores).all():
        raise InputError(NOT_FINITE)
    if threshold is None:
        return classes[int(scores.argmax())]
    return classes[-1] if scores[-1] >= threshold else classes[0]


def label_encoder(classes: List[str]) -> CategoricalEncoder:
    """SpeechBrain's way to say which index is which class.

    Arguments
    ---------
    classes : list of str
        In the order of the logits.

    Returns
    -------
    CategoricalEncoder

    Example
    -------
    >>> label_encoder(["healthy", "injury"]).decode_ndim(1)
    'injury'
    """
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(classes, sequence_input=False)
    encoder.expect_len(len(classes))
    return encoder


def check_run_opts(run_opts: Dict) -> None:
    """Refuse a device or precision that is not to be had.

    Example
    -------
    >>> check_run_opts({"device": "cpu", "precision": "bf16"})
    """
    device = str(run_opts.get("device", "cpu"))
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = None
    if kind not in ("cpu", "cuda"):
        raise InputError(f"device is {device!r}; pass cpu, cuda or cuda:0")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"device is {device} and torch finds no GPU here; pass cpu"
        )
    precision = run_opts.get("precision", "fp32")
    try:
        AMPConfig.from_name(precision)
    except ValueError:
        raise InputError(f"precision is {precision!r}; pass fp32, bf16 or fp16")


def refuse_arguments(hparams_file: str, others: Dict) -> None:
    """Refuse what only a ``hyperparams.yaml`` could follow.

    Example
    -------
    >>> refuse_arguments("hyperparams.yaml", {})
    """
    if others:
        raise InputError(
            f"from_hparams() knows no argument {next(iter(others))!r} without "
            "trust=True; correct its name, or leave it out"
        )
    if hparams_file != YAML_FILE:
        raise InputError(
            f"hparams_file is {hparams_file!r}, which is read with trust=True "
            "only; leave it out"
        )


def _audit_all(paths: Sequence[str], progressbar: bool) -> List[Audit]:
    """Each file read once, as a preparer would, in the order given."""
    audits = [Future() for _ in paths]
    todo = deque(zip(paths, audits))

    def read():
        with suppress(IndexError):  # none is left
            while True:
                path, audit = todo.popleft()
                try:
                    audit.set_result(audit_file(path))
                except BaseException as error:  # for whoever waits
                    audit.set_exception(error)

    try:
        for _ in range(min(os.cpu_count(), len(paths))):
            # libsndfile works outside Python's lock. Daemons: whoever
            # interrupts does not wait for a tape of hours.
            Thread(target=read, daemon=True).start()
        with _bar(len(paths), "reading", progressbar) as bar:
            for _ in as_completed(audits):
                bar.update()
        return [audit.result() for audit in audits]
    finally:
        todo.clear()


def _bar(n_files: int, description: str, is_shown: bool) -> tqdm:
    return tqdm(
        total=n_files,
        unit="file",
        desc=description,
        dynamic_ncols=True,
        disable=not is_shown,
    )


def _set_scores(score: FileScore, logits: np.ndarray, n_windows: int):
    """What is no number must not become a call."""
    probabilities = softmax(logits)
    if not np.isfinite(probabilities).all():
        score.error = NOT_FINITE
        return
    score.scores, score.n_windows = probabilities, n_windows


def _spans(
    starts: List[int], size: int, length: int, rate: int
) -> List[Tuple[float, float]]:
    """Begin and end of windows, seconds."""
    return [
        (start / rate, min(start + size, length) / rate) for start in starts
    ]


def _reason(error: Exception) -> str:
    """Why a file that has changed since it was audited has no scores."""
    return f"unreadable: {' '.join(str(error).split())}"
