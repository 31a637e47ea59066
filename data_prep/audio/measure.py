"""Decode and measure one audio file; decide whether it can be used."""

import os
import sys
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np
import soundfile

from data_prep.audio.decode import RATES, open_audio, require_plausible
from data_prep.audio.folder import foreign, kind_of
from data_prep.audio.headers import SampleBytes, after_tags, sample_bytes
from data_prep.files.errors import require
from data_prep.files.shapes import is_unicode

#: Recordings below this length are rejected, seconds.
SHORTEST_S = 0.1
#: Recordings above this length are flagged as uncut tapes, seconds.
UNCUT_S = 600.0
#: Recordings whose root mean square is below this are silent, dB of full scale.
#: Donate-a-Cry: quietest usable cry -59, silent uploads -61 to -90.
SILENT_DBFS = -60.0
#: Channels cancel if the mono mix is this much weaker than they are, dB.
CANCELS_DB = 20.0
WEAKENS_DB = 6.0
HEADERLESS = "unreadable: samples without a header"
NOT_UNICODE = (
    "unreadable: name not Unicode; rename it"
    if sys.getfilesystemencoding() == "utf-8"
    # With PYTHONUTF8=0 in a locale that is not UTF-8.
    else "unreadable: the locale cannot read its name, set PYTHONUTF8=1"
)
#: Samples above this are clipped.
FULL_SCALE = 0.999
#: Larger samples are damage; floats may hold unscaled 32 bit integers.
LOUDEST = 2.0**31
#: A larger share of clipped samples is flagged.
MOST_CLIPPED = 0.01
#: A larger mean is flagged, of full scale.
MOST_DC = 0.02
#: A larger share of 20 ms frames below ``SILENT_DBFS`` is flagged.
MOST_SILENCE = 0.9
#: libsndfile reports more if the length is unknown.
MOST_FRAMES = 1 << 40
_LARGEST_PAGE = 65536  # bytes of an Ogg page
_FRAME_S = 0.02
_FRAMES_AT_ONCE = 50  # a second: it stays in the cache of a processor ...
_SAMPLES_AT_ONCE = 1 << 23  # ... and bounds the memory with many channels
#: Formats whose header length is an estimate, accepted to within 2 %.
_ESTIMATED = ("MP3", "OGG")


def check_rate(rate: int) -> None:
    """Refuse an implausible ``--rate``."""
    require(
        RATES[0] <= rate <= RATES[1],
        f"--rate {rate} is outside {RATES[0]} to {RATES[1]} Hz",
        "the recipes use 16000",
    )


@dataclass
class Audit:
    """Measurements and verdict of one audio file."""

    path: str
    format: str = ""  #: container and coding
    rate: int = 0  #: Hz
    channels: int = 0
    header_s: Optional[float] = None  #: length by the header, None if unknown
    duration: float = 0.0  #: decoded length, seconds; 0 if undecodable
    #: root mean square of the mono mix, dB of full scale; None: only zeros
    level_dbfs: Optional[float] = None
    peak: float = 0.0  #: largest sample of the mono mix, of full scale
    clipped: float = 0.0  #: share of samples at full scale
    dc: float = 0.0  #: mean of the mono mix, of full scale
    silence: float = 0.0  #: share of silent 20 ms frames
    non_finite: int = 0  #: number of NaN or infinite samples
    verdict: str = "rejected"  #: ``ok``, ``flagged`` or ``rejected``
    reason: str = ""  #: empty if ok
    digest: str = ""  #: hash of the decoded samples, equal in lossless copies
    landmarks: Optional[np.ndarray] = None  #: see ``landmarks.py``
    checksum: str = ""  #: of the file, see ``data_prep/files/fingerprint.py``
    #: the one that was measured, the first is 0; None: the mono mix
    channel: Optional[int] = None

    @property
    def usable(self) -> bool:
        """True unless the file was rejected."""
        return self.verdict != "rejected"


COLUMNS = tuple(
    f.name
    for f in fields(Audit)
    if f.name not in ("digest", "landmarks", "checksum", "channel")
)


class _Meter:
    """Measurements of the samples, accumulated over blocks."""

    def __init__(self, rate: int, with_landmarks: bool, with_digest: bool):
        self.rate = rate
        self.frames = self.loud_frames = self.n_short = 0
        self.mono_energy = self.energy = self.total = self.peak = 0.0
        self.n_clipped = self.n_samples = self.non_finite = 0
        self.hash = blake2b(digest_size=16) if with_digest else None
        self.cut_short = False
        self._landmarks = None
        if with_landmarks:
            # Imported here: takes scipy, which `run_onnx.py` does without.
            from data_prep.audio.landmarks import Landmarks

            self._landmarks = Landmarks(rate)

    def __call__(self, block: np.ndarray) -> None:
        """Add a block ``[frames, channels]``, float32."""
        if self.hash is not None:
            self.hash.update(np.ascontiguousarray(block))
        largest = _largest(block)
        if not np.isfinite(largest):
            finite = np.isfinite(block)
            self.non_finite += int((~finite).sum())
            block = np.where(finite, block, 0)
            largest = _largest(block)
        mono = block[:, 0]
        if block.shape[1] > 1:
            mono = _channel_mean(block).astype(np.float32)
        squares = np.square(mono, dtype=np.float64)
        mono_energy = float(squares.sum())
        self.n_samples += block.size
        if largest >= FULL_SCALE:
            self.n_clipped += int((np.abs(block) >= FULL_SCALE).sum())
        self.energy += mono_energy if block.shape[1] == 1 else _energy(block)
        self.mono_energy += mono_energy
        self.total += float(mono.sum(dtype=np.float64))
        self.peak = max(self.peak, _largest(mono))
        self._count_silence(squares)
        if self._landmarks and self.frames < UNCUT_S * self.rate:
            self._landmarks.add(mono)
        self.frames += len(mono)

    def _count_silence(self, squares):
        size = max(1, round(_FRAME_S * self.rate))
        whole = squares[: len(squares) // size * size].reshape(-1, size)
        levels = whole.mean(axis=1)
        self.n_short += len(whole)
        self.loud_frames += int((levels >= 10 ** (SILENT_DBFS / 10)).sum())

    def landmarks(self) -> Optional[np.ndarray]:
        """Landmarks of the first ``UNCUT_S`` seconds, None if not wanted."""
        return self._landmarks.result() if self._landmarks else None


def _largest(block: np.ndarray) -> float:
    """Largest magnitude; not finite if a sample is not."""
    return max(float(block.max()), -float(block.min()))


def _energy(block: np.ndarray) -> float:
    """Sum of the squares of ``[frames, channels]``, mean over the channels."""
    samples = block.ravel().astype(np.float64)
    # Not a matrix product, which would start threads of its own.
    return float(np.einsum("i,i->", samples, samples)) / block.shape[1]


def _channel_mean(block: np.ndarray) -> np.ndarray:
    """Mean of the channels ``[frames, channels]`` in double precision."""
    n_channels = block.shape[1]
    if n_channels > 7:
        return block.mean(axis=1, dtype=np.float64)
    # The same sums; numpy takes five times as long for a few columns.
    total = block[:, 0].astype(np.float64)
    for channel in range(1, n_channels):
        total += block[:, channel]
    return total / n_channels


def audit_file(
    path: str,
    with_landmarks: bool = False,
    channel: Optional[int] = None,
    with_digest: bool = True,
) -> Audit:
    """Decode and measure a file, or one of its channels, and decide whether it
    can be used."""
    if not is_unicode(path):
        return Audit(path, reason=NOT_UNICODE)
    if os.path.exists(path) and not os.path.isfile(path):
        return Audit(path, reason="unreadable: no regular file")
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            file.seek(after_tags(file))
            head = file.read(64) or head
        lengths = sample_bytes(path)
    except OSError as error:
        return Audit(path, reason=f"unreadable: {error.strerror.lower()}")
    if not head:
        return Audit(path, reason="empty: the file has no bytes")
    audit, meter = Audit(path, channel=channel), None
    try:
        with open_audio(path) as file:
            _describe(audit, file, lengths)
            if audit.reason:
                return audit
            meter = _Meter(file.samplerate, with_landmarks, with_digest)
            frame = max(1, round(_FRAME_S * file.samplerate))
            n_frames = _SAMPLES_AT_ONCE // (frame * file.channels)
            size = frame * max(1, min(_FRAMES_AT_ONCE, n_frames))
            # Not file.blocks(): at the end of a truncated MP3 it pads the
            # block with leftovers from memory.
            block = file.read(size, dtype="float32", always_2d=True)
            while len(block):
                meter(block if channel is None else block[:, [channel]])
                block = file.read(size, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        audit.reason = _decoding_failed(head, meter, audit, error)
        return audit
    except TypeError:  # soundfile needs a sample rate for x.raw
        audit.reason = HEADERLESS
        return audit
    if head[:4] == b"OggS":
        meter.cut_short = not _ogg_ends(path)
    _measure(audit, meter)
    rejected, flags = _judge(audit, meter, lengths)
    audit.verdict = "rejected" if rejected else "flagged" if flags else "ok"
    audit.reason = rejected or "; ".join(flags)
    if audit.usable:
        audit.landmarks = meter.landmarks()
    return audit


def header_facts(path: Path) -> Optional[Tuple[float, int, int]]:
    """Length in seconds, number of channels and rate of a recording by its
    header; None for a file that cannot be opened, or states no length or no
    plausible rate."""
    try:
        with open_audio(str(path)) as file:
            require_plausible(file)
            if file.frames > MOST_FRAMES:
                return None
            return file.frames / file.samplerate, file.channels, file.samplerate
    except (RuntimeError, TypeError, OSError):
        return None


def _ogg_ends(path: str) -> bool:
    """Check that the last page of an Ogg file is marked as the last."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LARGEST_PAGE))
        tail = file.read()
    last = tail.rfind(b"OggS")
    return last >= 0 and bool(tail[last + 5 : last + 6][0] & 4)


def _describe(audit, file, lengths: Optional[SampleBytes]):
    """Record what the header states, or a reason for rejection."""
    audit.format = f"{file.format} {file.subtype}"
    audit.rate, audit.channels = file.samplerate, file.channels
    if file.format == "RAW":  # libsndfile goes by suffixes such as .vox
        audit.reason = HEADERLESS
    elif not RATES[0] <= audit.rate <= RATES[1]:
        audit.reason = f"implausible: a sample rate of {audit.rate} Hz"
    frames = file.frames
    if frames > MOST_FRAMES or (lengths and lengths.is_unknown):
        return
    if lengths is not None:
        # libsndfile limits the header's length to the samples in the file.
        stated = lengths.stated * frames // max(lengths.present, 1)
        frames = max(frames, stated)
    audit.header_s = frames / file.samplerate


def _decoding_failed(head, meter, audit, error) -> str:
    """Reason for the rejection of a file that libsndfile cannot decode."""
    other, kind = foreign(audit.path), kind_of(head)
    if other is not None:
        return f"unreadable: {other}"
    if kind == "text":
        return "unreadable: text, not audio"
    if kind in ("3GP or MP4", "CAF", "AMR", "WebM or Matroska", "WMA"):
        return f"unreadable: {kind}, convert it (data_prep.convert)"
    if kind == "BW64":
        return "unreadable: BW64, convert it (data_prep.convert)"
    reason = error.error_string.replace("Error : ", "").rstrip(".")
    if "SF_INFO struct" in reason:
        reason = "the header states no plausible sample rate"
    if meter is None:  # the header cannot be read
        return f"unreadable: {reason}"
    if audit.header_s is None:
        return "unreadable: the header states no length, convert it"
    return f"truncated or damaged: {reason}"


def _measure(audit, meter):
    audit.duration = meter.frames / meter.rate
    audit.digest = meter.hash.hexdigest() if meter.hash else ""
    audit.non_finite = meter.non_finite
    if not meter.frames:
        return
    if meter.mono_energy > 0:
        audit.level_dbfs = 10 * np.log10(meter.mono_energy / meter.frames)
    audit.peak = meter.peak
    audit.clipped = meter.n_clipped / meter.n_samples
    audit.dc = meter.total / meter.frames
    audit.silence = 1 - meter.loud_frames / max(1, meter.n_short)


def _judge(audit, meter, lengths) -> Tuple[str, List[str]]:
    """Reason for a rejection, and flags of a usable file."""
    rejected = _rejection(audit, meter)
    if rejected:
        return rejected, []
    suffix = Path(audit.path).suffix.lower()
    named = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}
    kind = audit.format.split()[0]
    kind = "WAV" if kind in ("WAVEX", "RF64") else kind
    flags = []
    if lengths is not None and lengths.is_unknown:
        flags.append("streamed: the header states no length, may be truncated")
    if lengths is not None and not lengths.is_followed and audit.header_s:
        held = audit.header_s * lengths.present / lengths.stated
        if held - audit.header_s >= SHORTEST_S:
            flags.append(
                f"short header: {audit.header_s:.3f} s stated and read, the "
                f"file may hold {held:.3f} s"
            )
    if named.get(suffix, kind) != kind:
        flags.append(f"misnamed: {suffix} holds {kind}")
    if audit.clipped > MOST_CLIPPED:
        flags.append(f"clipped: {audit.clipped:.1%} of samples at full scale")
    if abs(audit.dc) > MOST_DC:
        flags.append(f"DC offset: {audit.dc:+.3f} of full scale")
    if audit.silence > MOST_SILENCE:
        flags.append(f"mostly silent: {audit.silence:.0%} of its frames")
    if _weaker_than_channels(meter) > WEAKENS_DB:
        flags.append("channels out of phase: the mono mix is weakened")
    if audit.duration > UNCUT_S:
        flags.append(f"very long: {audit.duration:.0f} s, an uncut tape?")
    return "", flags


def _rejection(audit, meter) -> str:
    """Reason for a rejection, empty for a usable file."""
    if meter.frames == 0:
        cause = ", the stream is cut off" if meter.cut_short else ""
        return f"empty: a header and no samples{cause}"
    promised = audit.header_s
    least = 0.98 if audit.format.startswith(_ESTIMATED) else 1.0
    if promised is not None and audit.duration < least * promised:
        return f"truncated: {audit.duration:.3f} of {promised:.3f} s"
    if meter.cut_short:
        return "truncated: the last page of the stream is missing"
    if audit.duration < SHORTEST_S:
        return f"too short: {audit.duration:.3f} s"
    if audit.peak > LOUDEST:
        return f"damaged: a sample is {audit.peak:.3g} times full scale"
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
    """Level of the channels relative to their mono mix, dB."""
    return 10 * np.log10(meter.energy / max(meter.mono_energy, 1e-30))
