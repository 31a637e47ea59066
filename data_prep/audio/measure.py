"""What reading an audio file shows, and whether it can be used."""

import os
import struct
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np
import soundfile

from data_prep.audio.folder import kind_of
from data_prep.audio.landmarks import landmarks
from data_prep.files.errors import InputError

#: Sample rates of recordings, Hz; what is outside was written in error.
RATES = (4000, 192000)
#: Shorter than this is not a recording, seconds.
SHORTEST_S = 0.1
#: Longer than this is more likely an uncut tape, seconds.
LONGEST_S = 600.0
#: Nothing to be heard: root mean square below this, dB of full scale. The
#: quietest usable cry of Donate-a-Cry has -59, its silent uploads -61 to -90.
SILENT_DBFS = -60.0
#: Stereo whose mono mix is so much weaker than its channels cancels, dB.
CANCELS_DB = 20.0
WEAKENS_DB = 6.0
NOT_UNICODE = "unreadable: name not Unicode; rename it"
#: Samples this close to full scale are clipped; more than this share is bad.
FULL_SCALE = 0.999
MOST_CLIPPED = 0.01
#: A larger mean than this is the recorder's fault, of full scale.
MOST_DC = 0.02
#: Share of 20 ms frames below ``SILENT_DBFS``.
MOST_SILENCE = 0.9
_MOST_FRAMES = 1 << 40  # more is libsndfile's way to say: not known
_LARGEST_PAGE = 65536  # of Ogg, bytes
_FRAME_S = 0.02
_FRAMES_AT_ONCE = 1000  # memory does not grow with the file
#: RIFF sizes that a recorder writes which does not know the length yet.
STREAMED = 0x7FFFF000
#: Header lengths of these are estimates: believed to 2 %.
_ESTIMATED = ("MP3", "OGG")


def check_rate(rate: int) -> None:
    """Refuse a ``--rate`` that is no sample rate of recordings.

    Example
    -------
    >>> check_rate(16000)
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(
            f"--rate {rate} is outside {RATES[0]} to {RATES[1]} Hz; the "
            "recipes use 16000"
        )


@dataclass
class Audit:
    """What reading a file showed.

    Arguments
    ---------
    path : str
        As it was given.
    format : str
        Container and coding.
    rate : int
        Hz.
    channels : int
        Of the file.
    header_s : float or None
        Length by the header, seconds; None where it does not say.
    duration : float
        Decoded, seconds; 0 where nothing could be.
    level_dbfs : float or None
        Root mean square of the mono mix, dB of full scale; None for digital
        silence.
    peak : float
        Largest sample of the mono mix, of full scale.
    clipped : float
        Share of samples at full scale.
    dc : float
        Mean, of full scale.
    silence : float
        Share of 20 ms frames that are silent.
    non_finite : int
        Samples that are NaN or infinite.
    verdict : str
        ``ok``, ``flagged`` or ``rejected``.
    reason : str
        Why; empty where it is ok.
    digest : str
        Of the decoded samples: equal for copies in other lossless formats.
    landmarks : numpy.ndarray or None
        See ``landmarks.py``; None where not asked for.
    """

    path: str
    format: str = ""
    rate: int = 0
    channels: int = 0
    header_s: Optional[float] = None
    duration: float = 0.0
    level_dbfs: Optional[float] = None
    peak: float = 0.0
    clipped: float = 0.0
    dc: float = 0.0
    silence: float = 0.0
    non_finite: int = 0
    verdict: str = "rejected"
    reason: str = ""
    digest: str = ""
    landmarks: Optional[np.ndarray] = None

    @property
    def usable(self) -> bool:
        """Whether training can use the file."""
        return self.verdict != "rejected"


COLUMNS = tuple(
    f.name for f in fields(Audit) if f.name not in ("digest", "landmarks")
)


class _Meter:
    """What is measured of the samples, block by block."""

    def __init__(self, rate: int, with_landmarks: bool):
        self.rate = rate
        self.frames = self.loud_frames = self.n_short = 0
        self.mono_energy = self.energy = self.total = self.peak = 0.0
        self.n_clipped = self.n_samples = self.non_finite = 0
        self.hash = blake2b(digest_size=16)
        self.cut_short = False
        self._kept = [] if with_landmarks else None

    def __call__(self, block: np.ndarray) -> None:
        """Arguments
        ---------
        block : numpy.ndarray
            ``[frames, channels]``, float32.
        """
        self.hash.update(block.tobytes())
        finite = np.isfinite(block)
        if not finite.all():
            self.non_finite += int((~finite).sum())
            block = np.where(finite, block, 0)
        mono = block[:, 0]
        if block.shape[1] > 1:
            mono = block.mean(axis=1, dtype=np.float64).astype(np.float32)
        self.n_samples += block.size
        self.n_clipped += int((np.abs(block) >= FULL_SCALE).sum())
        self.energy += float(np.square(block, dtype=np.float64).mean(1).sum())
        self.mono_energy += float(np.square(mono, dtype=np.float64).sum())
        self.total += float(mono.sum(dtype=np.float64))
        self.peak = max(self.peak, float(np.abs(mono).max()))
        self._count_silence(mono)
        if self._kept is not None and self.frames < LONGEST_S * self.rate:
            self._kept.append(mono)
        self.frames += len(mono)

    def _count_silence(self, mono):
        size = max(1, round(_FRAME_S * self.rate))
        whole = mono[: len(mono) // size * size].reshape(-1, size)
        levels = np.square(whole, dtype=np.float64).mean(axis=1)
        self.n_short += len(whole)
        self.loud_frames += int((levels >= 10 ** (SILENT_DBFS / 10)).sum())

    def landmarks(self) -> Optional[np.ndarray]:
        """See ``landmarks.py``; None where not asked for."""
        if self._kept is None or not self._kept:
            return None
        return landmarks(np.concatenate(self._kept), self.rate)


def audit_file(path: str, with_landmarks: bool = False) -> Audit:
    """Decode a file, measure and judge it.

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("a.wav"))
    >>> soundfile.write(path, np.zeros(16000), 16000)
    >>> audit_file(path).reason
    'silent: -inf dBFS'
    """
    if not is_unicode(path):
        return Audit(path, reason=NOT_UNICODE)
    if os.path.exists(path) and not os.path.isfile(path):
        return Audit(path, reason="unreadable: no regular file")
    try:
        with open(path, "rb") as file:
            head = file.read(64)
        header_bytes = wav_bytes(path)
    except OSError as error:
        return Audit(path, reason=f"unreadable: {error.strerror.lower()}")
    if not head:
        return Audit(path, reason="empty: the file has no bytes")
    audit, meter = Audit(path), None
    try:
        with soundfile.SoundFile(path) as file:
            meter = _Meter(file.samplerate, with_landmarks)
            _describe(audit, file, header_bytes)
            size = _FRAMES_AT_ONCE * max(1, round(_FRAME_S * file.samplerate))
            # Not file.blocks(): it fills up a block that a cut MP3 does not
            # fill with what was in memory.
            block = file.read(size, dtype="float32", always_2d=True)
            while len(block):
                meter(block)
                block = file.read(size, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        audit.reason = _decoding_failed(head, meter, audit, error)
        return audit
    except TypeError:  # soundfile asks for the rate of x.raw
        audit.reason = "unreadable: samples without a header"
        return audit
    if head[:4] == b"OggS":
        meter.cut_short = not _ogg_ends(path)
    _measure(audit, meter)
    rejected, flags = _judge(audit, meter, header_bytes, kind_of(head))
    audit.verdict = "rejected" if rejected else "flagged" if flags else "ok"
    audit.reason = rejected or "; ".join(flags)
    if audit.usable:
        audit.landmarks = meter.landmarks()
    return audit


def is_unicode(path: str) -> bool:
    r"""Names of another age have bytes that are no characters.

    Example
    -------
    >>> is_unicode("é"), is_unicode("\udce9")
    (True, False)
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def wav_bytes(path: Path) -> Optional[Tuple[int, int]]:
    """What a WAV file's header promises, and what follows it.

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("a.wav"))
    >>> soundfile.write(path, np.zeros(100), 16000)
    >>> wav_bytes(path)
    (200, 200)
    """
    with open(path, "rb") as file:
        if file.read(4) != b"RIFF":
            return None
        size = file.seek(0, os.SEEK_END)
        at = 12
        while at + 8 <= size:
            file.seek(at)
            name, length = struct.unpack("<4sI", file.read(8))
            if name == b"data":
                return length, size - at - 8
            at += 8 + length + length % 2
    return None


def _ogg_ends(path: str) -> bool:
    """Whether the last page of an Ogg file says that it is the last."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LARGEST_PAGE))
        tail = file.read()
    last = tail.rfind(b"OggS")
    return last >= 0 and bool(tail[last + 5 : last + 6][0] & 4)


def _describe(audit, file, header_bytes):
    audit.format = f"{file.format} {file.subtype}"
    audit.rate, audit.channels = file.samplerate, file.channels
    frames = file.frames
    if frames > _MOST_FRAMES or _is_streamed(header_bytes):
        return
    if header_bytes is not None:
        # libsndfile cuts what the header promises to what is there.
        promised, there = header_bytes
        frames = max(frames, promised * frames // max(there, 1))
    audit.header_s = frames / file.samplerate


def _is_streamed(header_bytes) -> bool:
    """A recorder that did not know the length wrote the largest there is; a
    file that is truly as long holds it."""
    return header_bytes is not None and (
        header_bytes[0] >= STREAMED and header_bytes[1] < header_bytes[0]
    )


def _decoding_failed(head, meter, audit, error) -> str:
    kind = kind_of(head)
    if kind == "text":
        return "unreadable: text, not audio"
    if kind in ("3GP or MP4", "CAF", "AMR", "WebM or Matroska", "WMA"):
        return f"unreadable: {kind}, convert it (data_prep.convert)"
    what = error.error_string.replace("Error : ", "").rstrip(".")
    if meter is not None and audit.header_s is None:
        return "unreadable: the header states no length, convert it"
    if meter is not None:  # its header was good
        return f"truncated or damaged: {what}"
    return f"unreadable: {what}"


def _measure(audit, meter):
    audit.duration = meter.frames / meter.rate
    audit.digest = meter.hash.hexdigest()
    audit.non_finite = meter.non_finite
    if not meter.frames:
        return
    if meter.mono_energy > 0:
        audit.level_dbfs = 10 * np.log10(meter.mono_energy / meter.frames)
    audit.peak = meter.peak
    audit.clipped = meter.n_clipped / meter.n_samples
    audit.dc = meter.total / meter.frames
    audit.silence = 1 - meter.loud_frames / max(1, meter.n_short)


def _judge(audit, meter, header_bytes, kind) -> Tuple[str, List[str]]:
    """Why a file cannot be used, and what to look at in one that can."""
    rejected = _cannot_be_used(audit, meter)
    if rejected:
        return rejected, []
    suffix = Path(audit.path).suffix.lower()
    named = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}
    flags = []
    if _is_streamed(header_bytes):
        flags.append("streamed: the header states no length, the end may miss")
    if kind is not None and named.get(suffix, kind) != kind:
        flags.append(f"misnamed: {suffix} holds {kind}")
    if audit.clipped > MOST_CLIPPED:
        flags.append(f"clipped: {audit.clipped:.1%} of samples at full scale")
    if abs(audit.dc) > MOST_DC:
        flags.append(f"DC offset: {audit.dc:+.3f} of full scale")
    if audit.silence > MOST_SILENCE:
        flags.append(f"mostly silent: {audit.silence:.0%} of its frames")
    if _weaker_than_channels(meter) > WEAKENS_DB:
        flags.append("channels out of phase: the mono mix is weakened")
    if audit.duration > LONGEST_S:
        flags.append(f"very long: {audit.duration:.0f} s, an uncut tape?")
    return "", flags


def _cannot_be_used(audit, meter) -> str:
    if meter.frames == 0:
        return "empty: a header and no samples"
    if not RATES[0] <= audit.rate <= RATES[1]:
        return f"implausible: a sample rate of {audit.rate} Hz"
    promised = audit.header_s
    believed = 0.98 if audit.format.startswith(_ESTIMATED) else 1.0
    if promised is not None and audit.duration < believed * promised:
        return f"truncated: {audit.duration:.3f} of {promised:.3f} s"
    if meter.cut_short:
        return "truncated: the last page of the stream is not there"
    if audit.duration < SHORTEST_S:
        return f"too short: {audit.duration:.3f} s"
    if audit.non_finite:
        return f"not finite: {audit.non_finite} samples are NaN or infinite"
    if meter.energy > 0 and _weaker_than_channels(meter) > CANCELS_DB:
        return (
            "channels in antiphase: they cancel in the mono mix, convert it "
            "with --channel 0"
        )
    level = -np.inf if audit.level_dbfs is None else audit.level_dbfs
    if level < SILENT_DBFS:
        return f"silent: {level:.0f} dBFS"
    return ""


def _weaker_than_channels(meter) -> float:
    """How much the mono mix is weaker than the channels, dB."""
    return 10 * np.log10(meter.energy / max(meter.mono_energy, 1e-30))
