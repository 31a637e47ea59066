"""A trained classifier with SpeechBrain's inference interface.

For research: not a medical device.
"""

import math
import os
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from speechbrain.dataio.encoder import CategoricalEncoder
from speechbrain.inference.classifiers import EncoderClassifier
from speechbrain.utils.autocast import AMPConfig, TorchAutocast
from speechbrain.utils.fetching import FetchConfig
from torch.nn.utils.rnn import pad_sequence

from cry_modules.audio import AudioNormalizer, shortest_input
from cry_modules.checkpoints.saved_model import SavedModel, load_model
from cry_modules.checkpoints.settings import YAML_FILE
from cry_modules.evaluation.out_of_distribution import Reference, Training
from cry_modules.inference.detector import Detector
from cry_modules.inference.recordings import (
    Unusable,
    Windows,
    audit_usable,
    longest_whole_s,
    read_whole,
    score_files,
    spans_of,
    window_outputs,
)
from cry_modules.inference.scores import (
    NOT_FINITE,
    FileScore,
    ScoreTrack,
    call_of,
    softmax,
)
from cry_modules.inference.windows import sliding
from cry_modules.lengths import float64
from cry_modules.training.devices import check_device
from data_prep.audio.measure import Audit
from data_prep.files.errors import InputError, require


class CryClassifier(EncoderClassifier):
    """Classifier of recordings.

    ``encode_batch``, ``classify_batch`` and ``classify_file`` are those of
    SpeechBrain's ``EncoderClassifier``: their label is the most probable
    class. ``call`` applies the operating point to the same scores, as the
    command and the demo page do.

    The scores of a recording of up to ``LONGEST_S`` equal those in
    ``predictions_test.csv`` of the training run. Longer ones are split into
    the same windows (see ``classify_files``); where they are resampled, scores
    may differ a little, since each window is resampled by itself here.

    Arguments
    ---------
    modules : dict
        ``embedding_model`` (waveforms and lengths to embeddings) and
        ``classifier`` (embeddings to log posteriors; None for an encoder
        without a classifier).
    hparams : dict
        ``sample_rate``, ``hop``, ``chunk_s``, ``classes``, ``threshold``,
        ``label_encoder``.
    run_opts : dict or None
        ``device``: ``cpu``, ``cuda``; ``precision``: ``fp32``, ``bf16``.
    freeze_params : bool
        See ``speechbrain.inference.interfaces.Pretrained``.

    Example
    -------
    >>> from cry_modules.checkpoints.description import Blueprint
    >>> from cry_modules.checkpoints.saved_model import build
    >>> model = build(Blueprint(1, classes=["a", "b"], log_prior=[0.0, 0.0]))
    >>> classifier = CryClassifier.from_model(model)
    >>> classifier.encode_batch(torch.randn(2, 8000)).shape
    torch.Size([2, 32])
    >>> log_posteriors, score, index, labels = classifier.classify_batch(
    ...     torch.randn(2, 8000)
    ... )
    >>> log_posteriors.shape, len(labels)
    (torch.Size([2, 2]), 2)
    >>> classifier.call(torch.tensor([0.6, 0.4]))
    'a'
    """

    MODULES_NEEDED = ["embedding_model", "classifier"]
    HPARAMS_NEEDED = ["sample_rate", "hop", "chunk_s", "classes", "threshold"]

    def __init__(
        self, modules=None, hparams=None, run_opts=None, freeze_params=True
    ):
        _check_run_opts(run_opts or {})
        super().__init__(modules, hparams, run_opts, freeze_params)
        #: Training recordings that others are compared with; None if unknown.
        self.reference: Optional[Reference] = None
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
        """Load a classifier.

        An ``InputError`` says why the model cannot be loaded, or which
        argument is unknown, unavailable or needs ``trust``.

        Arguments
        ---------
        source : str
            Exported folder, results folder of ``train_cls.py``, or Hugging
            Face id.
        hparams_file : str
            File to build the model from; read only with ``trust``.
        savedir : str or None
            Folder for downloaded files.
        trust : bool
            Build the model from ``hparams_file`` instead of ``model.json``.
            **That file can run any code.**
        run_opts : dict or None
            ``device`` and ``precision``.
        revision : str or None
            Commit, tag or branch of a Hugging Face id.
        **kwargs
            Arguments of SpeechBrain's ``from_hparams``; only with ``trust``.
        """
        _check_run_opts(run_opts or {})
        if not trust:
            if hparams_file != YAML_FILE:
                kwargs["hparams_file"] = hparams_file
            require(
                not kwargs,
                f"from_hparams() takes {', '.join(kwargs)} only with trust=True",
                "correct the name, or leave it out",
            )
            model = load_model(source, savedir, revision)
            return cls.from_model(model, run_opts)
        if revision is not None:
            kwargs["fetch_config"] = FetchConfig(revision=revision)
        kwargs.update(savedir=savedir, run_opts=run_opts)
        try:
            return super().from_hparams(source, hparams_file, **kwargs)
        except (KeyError, OSError, ValueError, ImportError) as error:
            reason = str(error).strip().split("\n")[0]
            if isinstance(error, KeyError):
                reason = f"it has no {reason}"
            raise InputError(
                f"{hparams_file} of {source} cannot be loaded as a classifier "
                f"({reason}); pass a folder that cry_modules.export wrote, or "
                "leave out trust"
            )

    @classmethod
    def from_model(
        cls, model: SavedModel, run_opts: Optional[Dict] = None
    ) -> "CryClassifier":
        """Make a classifier from a model in memory, a result of
        ``checkpoints.saved_model.build`` or ``load_model``."""
        blueprint = model.blueprint
        logmel = model.embedder.features.logmel
        hparams = {
            "sample_rate": logmel.sample_rate,
            "hop": logmel.hop,
            "chunk_s": blueprint.chunk_s,
            "classes": blueprint.classes,
            "threshold": model.threshold,
            "label_encoder": label_encoder(blueprint.classes),
        }
        modules = {
            "embedding_model": model.embedder,
            "classifier": model.posterior,
        }
        classifier = cls(modules, hparams, run_opts)
        known = model.facts.get("training_recordings")
        if known and model.posterior is not None:
            norm = model.posterior.head.norm
            statistics = norm.running_mean, norm.running_var
            classifier.reference = Reference(
                Training(**known),
                *(float64(s).cpu().numpy() for s in statistics),
            )
        return classifier

    @torch.inference_mode()
    def encode_batch(self, wavs, wav_lens=None, normalize=False):
        """Embed waveforms.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]`` or ``[samples]``, at the model's rate, as
            ``load_audio`` returns them.
        wav_lens : torch.Tensor or None
            Valid share of the samples, ``[batch]``.
        normalize : bool
            Not supported: the models hold no statistics of embeddings.

        Returns
        -------
        torch.Tensor
            ``[batch, emb_dim]``.
        """
        if normalize:
            raise ValueError("normalize is not supported; leave it out")
        wavs = torch.atleast_2d(wavs).float()
        if wav_lens is not None:
            wav_lens = wav_lens.to(self.device)
        # One for each thread: torch's keeps what it has to restore.
        precision = AMPConfig.from_name(self.precision).dtype
        with TorchAutocast(device_type=self.device_type, dtype=precision):
            return self.mods.embedding_model(wavs.to(self.device), wav_lens)

    @torch.inference_mode()
    def classify_batch(self, wavs, wav_lens=None):
        """Classify waveforms, given as for ``encode_batch``; the label is the
        most probable class, whatever the operating point (see ``call``).

        Returns
        -------
        log_posteriors : torch.Tensor
            ``[batch, n_classes]``.
        score : torch.Tensor
            Log posterior of the most probable class, ``[batch]``.
        index : torch.Tensor
            Index of that class, ``[batch]``.
        labels : list of str
            Name of that class.
        """
        logits, _ = self._outputs(wavs, wav_lens)
        return self._decide(torch.log_softmax(logits, dim=1))

    def classify_file(self, path, savedir=None, longest_s=None):
        """Classify one recording of any length (WAV, FLAC, OGG or MP3 at any
        rate), and return what ``classify_batch`` returns, for a batch of one.

        An ``InputError`` says why it cannot be used. ``savedir`` is unused, as
        nothing is downloaded; for ``longest_s`` see ``classify_files``.
        """
        (score,) = self.classify_files([path], longest_s)
        if score.error:
            raise Unusable(path, score.error)
        posteriors = torch.from_numpy(score.scores).float().unsqueeze(0)
        return self._decide(posteriors.log())

    def call(self, scores) -> str:
        """Assign a recording to a class at the operating point.

        ``scores`` are finite probabilities ``[n_classes]``: ``scores`` of a
        ``FileScore``, or a row of ``exp()`` of ``classify_batch``'s log
        posteriors.
        """
        scores = torch.as_tensor(scores).detach().cpu().numpy()
        return call_of(scores, self.hparams.classes, self.hparams.threshold)

    def load_audio(self, path, savedir=None):
        """Read a recording as model input ``[samples]``: mono, resampled,
        scaled to one peak, repeated if it is too short for the encoder.

        An ``InputError`` says why it cannot be used. ``savedir`` is unused.
        """
        sig = read_whole(audit_usable(path), self.audio_normalizer)
        return sig.to(self.device)

    def classify_files(
        self,
        paths: Sequence[Union[str, os.PathLike]],
        longest_s: Optional[float] = None,
        progressbar: bool = False,
        detector: Optional[Detector] = None,
    ) -> List[FileScore]:
        """Score many recordings in batches, and compare them with those of
        training; a file that cannot be used has an error instead of scores.

        Arguments
        ---------
        paths : sequence of str or os.PathLike
            Audio files.
        longest_s : float or None
            Longer recordings are split into windows of the model's chunk
            length, as few as cover them, whose log-odds are averaged; silent
            windows are left out. Default: ``LONGEST_S``, with a detector the
            chunk length.
        progressbar : bool
            Show how many files were read, then scored.
        detector : Detector or None
            Leaves out the recordings and windows in which it finds nothing;
            without any window left, a file has neither scores nor an error.

        Returns
        -------
        list of FileScore
            In the order of ``paths``.
        """
        require(
            not isinstance(paths, (str, os.PathLike)),
            f"classify_files takes a list of recordings, not {str(paths)!r}",
            "put it in a list",
        )
        self.require_classes()
        if longest_s is None:
            longest_s = longest_whole_s(self.hparams, detector)
        return score_files(self, paths, longest_s, progressbar, detector)

    def score_over_time(
        self,
        path: Union[str, os.PathLike],
        window_s: Optional[float] = None,
        hop_s: Optional[float] = None,
        detector: Optional[Detector] = None,
    ) -> ScoreTrack:
        """Score overlapping windows of a recording, in bounded memory; an
        ``InputError`` says why it cannot be used. For the windows, see
        ``window_sizes``; those in which a detector finds nothing have no
        scores (NaN), as silent ones.
        """
        self.require_classes()
        sizes, rate = (
            self.window_sizes(window_s, hop_s),
            self.hparams.sample_rate,
        )
        size, hop = (round(s * rate) for s in sizes)
        audit = audit_usable(path)
        length = round(audit.duration * rate)
        spans = spans_of(sliding(length, size, hop), size, length, rate)
        logits = np.full((len(spans), len(self.hparams.classes)), np.nan)
        kept, is_far = np.arange(len(spans)), np.zeros(len(spans), dtype=bool)
        if detector is not None:
            kept = np.flatnonzero(detector.finds(audit, spans))
        if len(kept):
            windows = self.windows(audit, [spans[i] for i in kept])
            logits[kept], is_far[kept] = windows.logits, windows.is_far
            if not np.isfinite(windows.logits[windows.is_loud]).all():
                raise Unusable(path, NOT_FINITE)
        starts, stops = np.array(spans).T
        return ScoreTrack(starts, stops, softmax(logits), is_far)

    def window_sizes(
        self, window_s: Optional[float] = None, hop_s: Optional[float] = None
    ) -> Tuple[float, float]:
        """Check window and hop of scores over time, in seconds.

        The window has at least the encoder's shortest input, the hop from one
        window to the next a sample. Defaults: the chunk length of training,
        and half of the window.
        """
        rate = self.hparams.sample_rate
        window_s = self.hparams.chunk_s if window_s is None else window_s
        hop_s = window_s / 2 if hop_s is None else hop_s
        for name, value, least in (
            ("window_s", window_s, self.audio_normalizer.shortest / rate),
            ("hop_s", hop_s, 1 / rate),
        ):
            require(
                least <= value < math.inf,
                f"{name} is {value}",
                f"pass a finite number of seconds, {least} or more",
            )
        return window_s, hop_s

    def require_classes(self) -> None:
        """Refuse an encoder without a classifier."""
        require(
            self.mods.classifier is not None,
            "this model is an encoder without classes",
            "train_cls.py trains a classifier on top of it",
        )

    def _outputs(
        self, wavs, wav_lens=None
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Logits and embeddings."""
        self.require_classes()
        emb = self.encode_batch(wavs, wav_lens).float()
        return self.mods.classifier.logits(emb), emb

    def outputs(self, sigs: List[torch.Tensor]) -> List[np.ndarray]:
        """Logits ``[n, n_classes]`` and embeddings ``[n, dimensions]`` of
        waveforms of different lengths."""
        wavs = pad_sequence(sigs, batch_first=True)
        lengths = torch.tensor([len(sig) for sig in sigs]) / wavs.shape[1]
        with torch.inference_mode():
            pair = self._outputs(wavs, lengths)
            return [float64(output).cpu().numpy() for output in pair]

    def windows(
        self, audit: Audit, spans: Sequence[Tuple[float, float]]
    ) -> Windows:
        """Outputs for windows of a recording, start and end in seconds."""
        return window_outputs(self, audit, spans)

    def _decide(self, log_posteriors):
        score, index = log_posteriors.max(dim=1)
        labels = self.hparams.label_encoder.decode_torch(index)
        return log_posteriors, score, index, labels


def label_encoder(classes: List[str]) -> CategoricalEncoder:
    """SpeechBrain's map from logit index to class name, for classes in the
    order of the logits.

    Example
    -------
    >>> label_encoder(["healthy", "injury"]).decode_ndim(1)
    'injury'
    """
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(classes, sequence_input=False)
    encoder.expect_len(len(classes))
    return encoder


def _check_run_opts(run_opts: Dict) -> None:
    """Refuse a device or precision that is unavailable."""
    check_device(str(run_opts.get("device", "cpu")))
    precision = run_opts.get("precision", "fp32")
    try:
        AMPConfig.from_name(precision)
    except ValueError:
        raise InputError(f"precision is {precision!r}; pass fp32, bf16 or fp16")
