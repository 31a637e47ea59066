"""Calls of ffmpeg and ffprobe, and their results.

ffmpeg can lose most of a file and report success: of a packet with several
AMR frames, as phones write them in .3gp, it decodes only the first. AMR is
therefore unpacked first.
"""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from data_prep.audio.folder import foreign
from data_prep.audio.measure import RATES
from data_prep.files.errors import InputError, require
from data_prep.files.parent import program_ends_with_parent
from data_prep.files.programs import KILLED_S, run_limited

#: ffmpeg encoder of each output format; the muxer has the format's name.
ENCODERS = {"flac": "flac", "wav": "pcm_s16le"}
#: Containers that hold their own sound, by ffmpeg's names. Not playlists and
#: the like, which name other files, nor texts and pictures.
_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,eac3,flac,flv,matroska,"
    "mov,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
)
_INPUT = ("-protocol_whitelist", "file,pipe", "-format_whitelist", _DEMUXERS)
NOT_INSTALLED = (
    "ffmpeg is not installed; type: apt-get install ffmpeg (Debian, Ubuntu), "
    "brew install ffmpeg (macOS) or conda install ffmpeg"
)

# Anchored: a title may hold the same text later in the line.
_ERROR_LINE = re.compile(
    r"^(?:\[[^]]* @ \w+\] )*\[(?:error|fatal)\] (.+)", re.MULTILINE
)
_RMS_LINE = re.compile(
    r"^\[Parsed_astats_\d+ @ \w+\] \[info\] RMS level dB: (\S+)", re.MULTILINE
)
#: Seconds in which ffprobe must answer, and between two signs of ffmpeg's
#: progress: a large file on a slow disk takes long, but does not stand still.
STALLED_S = 120
_STEP_S = 0.5
#: Seconds in which ffmpeg must say its version.
_ANSWER_S = 60.0
# ffmpeg's messages are English in every locale.
_DISK_FULL = ("No space left on device", "File too large", "quota exceeded")


class Undecodable(Exception):
    """The file cannot be converted; the message is the reason."""


class Stopped(Exception):
    """Raised in all threads when a run is stopped."""


@dataclass
class Source:
    """First audio stream of a file, as its container describes it."""

    codec: str  #: ffmpeg's name
    rate: int  #: Hz
    channels: int
    length_s: Optional[float]  #: None if the container does not state it


def require_ffmpeg() -> None:
    """Raise ``InputError`` if ffmpeg or ffprobe is missing, or cannot run at
    all: each file would wait for it."""
    for name in ("ffmpeg", "ffprobe"):
        path = shutil.which(name)
        if path is None:
            raise InputError(NOT_INSTALLED)
        status, _ = run_limited(
            [path, "-version"], _ANSWER_S, stderr=subprocess.DEVNULL
        )
        problem = f"gave no answer within {_ANSWER_S:g} s"
        if status is not None:
            problem = f"ends with status {status}"
        require(
            status == 0,
            f"{path} -version {problem}",
            "install ffmpeg anew, or correct PATH",
        )


class Processes:
    """Runs programs from several threads, and can kill all of them."""

    def __init__(self):
        self._lock = threading.Lock()
        self._running = set()
        self._stopped = False

    def run(
        self,
        *command: str,
        data: Optional[bytes] = None,
        target: Optional[Path] = None,
    ) -> Tuple[int, bytes, str]:
        """Run a program; return its status, stdout and stderr.

        Raises ``Undecodable`` if it takes longer than ``STALLED_S``; if it
        writes a `target`, without that growing.
        """
        with tempfile.TemporaryFile() as stdin, self._lock:
            if self._stopped:
                raise Stopped
            # Not a pipe: Popen.communicate with a timeout may stop to write.
            stdin.write(data or b"")
            stdin.seek(0)
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                preexec_fn=program_ends_with_parent(),
            )
            self._running.add(process)
        try:
            output, errors = self._finished(process, target)
        finally:
            with self._lock:
                self._running.discard(process)
        if self._stopped:
            raise Stopped
        return process.returncode, output, errors.decode(errors="replace")

    def _finished(self, process, target) -> Tuple[bytes, bytes]:
        """Wait for a program; kill it if it stalls."""
        size, n_idle = -1, 0  # steps: a suspended computer is not a stall
        while True:
            try:
                return process.communicate(timeout=_STEP_S)
            except subprocess.TimeoutExpired:
                pass
            if self._stopped:
                _kill(process)
                raise Stopped
            before, size = size, _size(target)
            n_idle = 0 if size > before else n_idle + 1
            if n_idle * _STEP_S >= STALLED_S:
                _kill(process)
                raise Undecodable(
                    f"{process.args[0]} made no progress for {STALLED_S:g} s, "
                    "check the disk, else leave this file out"
                )

    def stop(self) -> None:
        """Kill all processes and start no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()


def _size(path: Optional[Path]) -> int:
    """Bytes of a file; 0 if there is none yet."""
    try:
        return 0 if path is None else os.stat(path).st_size
    except OSError:
        return 0


def _kill(process: subprocess.Popen) -> None:
    """Kill a program, and wait for its end as long as it can end."""
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(KILLED_S)
    process.stdout.close()
    process.stderr.close()


def probe(processes: Processes, path: Path) -> Source:
    """Describe a file's first audio stream with ffprobe; raise ``Undecodable``
    if it has none."""
    if path.exists() and path.stat().st_size == 0:
        raise Undecodable("empty file")
    other = foreign(str(path))
    if other is not None:
        raise Undecodable(f"unreadable: {other}")
    status, output, errors = processes.run(
        *"ffprobe -v warning -of json".split(),
        *"-show_error -show_streams -show_format".split(),
        *_INPUT,
        f"file:{path}",
    )
    try:
        facts = json.loads(output.decode(errors="replace"))
    except ValueError:
        facts = {}
    if "Format not on whitelist" in errors:
        raise Undecodable("not a recording: a playlist, a text or a picture")
    if status != 0 or "format" not in facts:
        error = facts.get("error", {}).get("string", f"status {status}")
        raise Undecodable(f"unreadable: {error}")
    audio = [s for s in facts["streams"] if s.get("codec_type") == "audio"]
    if not audio or not int(audio[0].get("sample_rate", 0)):
        raise Undecodable("no audio in it")
    rate = int(audio[0]["sample_rate"])
    if not RATES[0] <= rate <= RATES[1]:
        raise Undecodable(f"implausible: a sample rate of {rate} Hz")
    # Without a stated length, ffprobe estimates it from size and bit rate,
    # which is wrong for variable bit rates.
    estimated = "Estimating duration from bitrate" in errors
    return Source(
        codec=audio[0].get("codec_name", "unknown"),
        rate=rate,
        channels=int(audio[0].get("channels", 0)),
        length_s=None if estimated else _stated_length(facts, audio[0]),
    )


def _stated_length(facts: Dict, stream: Dict) -> Optional[float]:
    if "duration" in stream:
        return float(stream["duration"])
    # Matroska and WebM state the end of the stream, not its length.
    begin = max(0.0, float(stream.get("start_time", 0)))
    end = re.fullmatch(
        r"(\d+):(\d+):([\d.]+)", stream.get("tags", {}).get("DURATION", "")
    )
    if end:
        return int(end[1]) * 3600 + int(end[2]) * 60 + float(end[3]) - begin
    # The container is as long as its longest stream, which may be the video.
    others = [
        s
        for s in facts["streams"]
        if s is not stream and not s.get("disposition", {}).get("attached_pic")
    ]
    if others or "duration" not in facts["format"]:
        return None
    return float(facts["format"]["duration"]) - begin


def decode(
    processes: Processes,
    path: Path,
    source: Source,
    target: Path,
    rate: int,
    format: str,
    channel: Optional[int],
) -> Optional[float]:
    """Convert a file to mono 16 bit; return the level of its channels, dBFS.

    The level is None for a mono file and for a single `channel`.
    """
    data, inputs = None, [*_INPUT, "-i", f"file:{path}"]
    if source.codec in ("amr_nb", "amr_wb"):
        # In memory: an hour is 6 MB. One frame per packet: none is dropped.
        data = _unpack_amr(processes, path)
        inputs = [*_INPUT, "-f", "amr", "-i", "pipe:0"]
    # Do not fill gaps (aresample=async): silence in place of dropped frames
    # would hide the loss from the comparison of lengths.
    filters = [f"aresample={rate}", *_mix(channel, source.channels)]
    _, errors = _ffmpeg(
        processes,
        *inputs,
        *"-map 0:a:0 -map_metadata -1 -map_chapters -1".split(),
        # No place and date of the phone, no version of ffmpeg.
        *"-fflags +bitexact -flags:a +bitexact".split(),
        *["-filter:a", ",".join(filters), "-sample_fmt", "s16"],
        *["-c:a", ENCODERS[format], "-threads", "1"],
        *["-f", format, "-y", f"file:{target}"],
        data=data,
        target=target,
    )
    levels = _RMS_LINE.findall(errors)
    return float(levels[-1]) if levels else None


def _mix(channel: Optional[int], n: int) -> List[str]:
    """Filters that select or mix n channels to one."""
    if channel is not None:
        if channel >= n:
            raise Undecodable(
                f"has {n} channel(s), --channel {channel} is not one of them"
            )
        return [f"pan=mono|c0=c{channel}"]
    if n < 2:
        return []
    mean = "+".join(f"{1 / n}*c{i}" for i in range(n))
    return [
        "astats=measure_perchannel=none:measure_overall=RMS_level",
        f"pan=mono|c0={mean}",
    ]


def _unpack_amr(processes: Processes, path: Path) -> bytes:
    output, _ = _ffmpeg(
        processes,
        *[*_INPUT, "-i", f"file:{path}", "-map", "0:a:0"],
        *"-map_metadata -1 -c copy -f amr pipe:1".split(),
    )
    return output


def _ffmpeg(
    processes: Processes, *arguments: str, **options
) -> Tuple[bytes, str]:
    """Run ffmpeg; return stdout and stderr.

    Raises ``OSError`` for a full disk, which ffmpeg can report and yet exit
    with status 0, else ``Undecodable`` for a failure.
    """
    status, output, errors = processes.run(
        *"ffmpeg -nostdin -hide_banner -nostats -v level+info".split(),
        *arguments,
        **options,
    )
    lines = _ERROR_LINE.findall(errors)
    full = any(text in line for text in _DISK_FULL for line in lines)
    if full or status == -signal.SIGXFSZ:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if status != 0:
        reason = lines[0] if lines else f"ffmpeg ended with status {status}"
        raise Undecodable(f"not decodable: {reason.strip()[:120]}")
    return output, errors
