"""Clips cut out of long recordings, each complete or absent."""

import logging
import re
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Set

import numpy as np
import soundfile
from tqdm import tqdm

from data_prep.annotations.segments import Segment
from data_prep.audio.decode import open_audio
from data_prep.audio.folder import files_below
from data_prep.audio.measure import MOST_FRAMES
from data_prep.files.atomic import complete_or_absent, make_folder
from data_prep.files.journal import Journal
from data_prep.files.shapes import Rule

logger = logging.getLogger(__name__)

FOLDER, JOURNAL = "clips", "clips.jsonl"
_HEADER = {"clips": 1}  # increment when clips are cut otherwise
_NAMES = Rule(
    lambda value: isinstance(value, list)
    and all(isinstance(name, str) for name in value),
    "names of clips",
)
_NAME = re.compile(r"\d+\.\d{3}-\d+\.\d{3}(\.ch\d+)?\.wav")
#: Codings of clips, by those of recordings; others are cut as 16 bits.
_CODINGS = {
    **{"PCM_24": "PCM_24", "PCM_32": "FLOAT"},
    **{"FLOAT": "FLOAT", "DOUBLE": "FLOAT"},
}
_ROUNDED_S = 0.01  #: a clip may be so much shorter, seconds
_BLOCK = 1 << 18  # samples of all channels, read at once


def clip_name(recording: str, segment: Segment) -> str:
    """Path of a clip below the output folder.

    Example
    -------
    >>> clip_name("p1/night.flac", Segment(3.25, 4.5, "cry", 2))
    'clips/p1/night.flac/00003.250-00004.500.ch2.wav'
    """
    channel = f".ch{segment.channel}" if segment.channel else ""
    times = f"{segment.start:09.3f}-{segment.stop:09.3f}"
    return f"{FOLDER}/{recording}/{times}{channel}.wav"


def cut_all(
    segments_of: Dict[str, List[Segment]], root: Path, out: Path
) -> Dict[str, str]:
    """Cut the clips of all recordings into the output folder; return why a
    recording could not be decoded, by its path.

    Clips that an interrupted run has cut are kept, and those of another run
    that are not needed are removed.
    """
    needed: Set[str] = set()
    failed: Dict[str, str] = {}
    with Journal(out / JOURNAL, _HEADER, _NAMES) as journal:
        for path, segments in tqdm(
            segments_of.items(),
            desc="cutting clips",
            unit="recording",
            dynamic_ncols=True,
            disable=len(segments_of) < 20 or None,  # None: not in a log file
        ):
            names = [clip_name(path, segment) for segment in segments]
            done = set(journal.get(path, root / path) or [])
            done = {name for name in done if (out / name).is_file()}
            todo = [s for s, n in zip(segments, names) if n not in done]
            reason = _cut(root / path, path, todo, out)
            if reason:
                failed[path] = reason
                continue
            if todo:
                journal.add(path, root / path, sorted(done.union(names)))
            needed.update(names)
    _remove_others(out, needed)
    return failed


def _cut(
    path: Path, recording: str, segments: Sequence[Segment], out: Path
) -> Optional[str]:
    """Cut clips of one recording; return why it cannot be decoded, else None."""
    if not segments:
        return None
    try:
        with open_audio(str(path)) as file:
            for segment in segments:
                target = out / clip_name(recording, segment)
                make_folder(target.parent)
                with complete_or_absent(target) as partial:
                    is_whole = _write(file, segment, partial)
                if not is_whole:
                    return "shorter than its header states"
    except soundfile.LibsndfileError as error:
        return str(error.error_string).rstrip(".")
    return None


def _write(file: soundfile.SoundFile, segment: Segment, target: Path) -> bool:
    """Write a segment of an open recording, in blocks, since an event may be
    long; False if the recording ends before its header says."""
    coding = _CODINGS.get(file.subtype, "PCM_16")
    options = {"samplerate": file.samplerate, "channels": 1}
    with soundfile.SoundFile(
        str(target), "w", subtype=coding, format="WAV", **options
    ) as clip:
        for block in _blocks(file, segment):
            clip.write(block)
        return clip.frames >= (segment.seconds - _ROUNDED_S) * file.samplerate


def _blocks(
    file: soundfile.SoundFile, segment: Segment
) -> Iterator[np.ndarray]:
    first = round(segment.start * file.samplerate)
    left = min(round(segment.stop * file.samplerate), file.frames) - first
    file.seek(first)
    while left > 0:
        size = min(left, max(1, _BLOCK // file.channels))
        block = file.read(size, "float64", always_2d=True)
        if not len(block):
            return
        left -= len(block)
        yield (
            block.mean(axis=1)
            if segment.channel is None
            else block[:, segment.channel - 1]
        )


def _remove_others(out: Path, needed: Set[str]) -> None:
    """Remove clips that are not needed any more."""
    folder, n_removed = out / FOLDER, 0
    for name in list(files_below(folder)) if folder.is_dir() else []:
        path = folder / name
        if f"{FOLDER}/{name}" not in needed and _NAME.fullmatch(path.name):
            path.unlink()
            n_removed += 1
    if n_removed:
        logger.info("%d clips of earlier options are removed", n_removed)


def recording_facts(path: Path) -> Optional[tuple]:
    """Length in seconds, channels and rate of a recording by its header."""
    try:
        with open_audio(str(path)) as file:
            if file.frames > MOST_FRAMES:  # the length is unknown
                return None
            return file.frames / file.samplerate, file.channels, file.samplerate
    except (soundfile.LibsndfileError, TypeError, OSError):
        return None
