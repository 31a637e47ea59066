"""Clips cut out of long recordings, each complete or absent."""

import logging
import re
from pathlib import Path, PurePosixPath
from typing import Dict, Iterator, Optional, Sequence, Set

import numpy as np
import soundfile
from tqdm import tqdm

from data_prep.annotations.segments import Recording, Segment
from data_prep.audio.decode import open_audio, read_mixed
from data_prep.audio.folder import files_below
from data_prep.audio.measure import SILENT_DBFS
from data_prep.audio.write import audio_output
from data_prep.files.atomic import make_folder
from data_prep.files.journal import FILE, Journal

logger = logging.getLogger(__name__)

FOLDER, JOURNAL = "clips", "clips.jsonl"
_HEADER = {"clips": 1}  # increment when clips are cut otherwise
_NAME = re.compile(r"\d+\.\d{3}-\d+\.\d{3}(\.ch\d+)?\.wav")
#: Codings of clips, by those of recordings; others are cut as 16 bits.
_CODINGS = {
    **{"PCM_24": "PCM_24", "PCM_32": "FLOAT"},
    **{"FLOAT": "FLOAT", "DOUBLE": "FLOAT"},
}
_ROUNDED_S = 0.01  #: a clip may be so much shorter, seconds
_BLOCK = 1 << 20  # samples, written at once


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


def is_audible(path: Path, segment: Segment) -> bool:
    """Check that a segment of a recording is not silent, as the audit of its
    clip would say; True if it cannot be read, which cutting reports."""
    try:
        with open_audio(str(path)) as file:
            energy, n_read = 0.0, 0
            for sig in _blocks(file, segment):
                energy += float(np.square(sig, dtype=np.float64).sum())
                n_read += len(sig)
    except soundfile.LibsndfileError:
        return True
    return not n_read or energy >= n_read * 10 ** (SILENT_DBFS / 10)


def cut_all(
    recordings: Sequence[Recording], root: Path, out: Path
) -> Dict[str, str]:
    """Cut the clips of all recordings into the output folder; return why a
    recording could not be decoded, by its path.

    Clips that an interrupted run has cut are kept, and those of another run
    that are not needed are removed.
    """
    needed: Set[str] = set()
    failed: Dict[str, str] = {}
    with Journal(out / JOURNAL, _HEADER, [FILE]) as journal:
        for recording in tqdm(
            recordings,
            desc="cutting clips",
            unit="recording",
            dynamic_ncols=True,
            disable=len(recordings) < 20 or None,  # None: not in a log file
        ):
            path, source = recording.path, root / recording.path
            done = {
                name
                for name in journal.get(path, source) or []
                if (out / name).is_file()
            }
            part_of = {clip_name(path, s): s for s in recording.segments}
            todo = {n: s for n, s in part_of.items() if n not in done}
            reason = _cut(source, todo, out)
            if reason:
                failed[path] = reason
                continue
            if todo:
                journal.add(path, source, sorted(done.union(part_of)))
            needed.update(part_of)
    _remove_others(out, needed)
    return failed


def _cut(path: Path, todo: Dict[str, Segment], out: Path) -> Optional[str]:
    """Cut clips of one recording; return why it cannot be decoded, else None."""
    if not todo:
        return None
    try:
        with open_audio(str(path)) as file:
            for name, segment in todo.items():
                make_folder((out / name).parent)
                if not _write(file, segment, out / name):
                    return "shorter than its header states"
    except soundfile.LibsndfileError as error:
        return str(error.error_string).rstrip(".")
    return None


def _write(file: soundfile.SoundFile, segment: Segment, target: Path) -> bool:
    """Write a segment of an open recording, in blocks, since an event may be
    long; False if the recording ends before its header says."""
    coding = _CODINGS.get(file.subtype, "PCM_16")
    n_written = 0
    with audio_output(target, file.samplerate, "WAV", coding) as write:
        for sig in _blocks(file, segment):
            write(sig)
            n_written += len(sig)
    return n_written >= (segment.seconds - _ROUNDED_S) * file.samplerate


def _blocks(
    file: soundfile.SoundFile, segment: Segment
) -> Iterator[np.ndarray]:
    """Yield the samples of a segment, in blocks."""
    channel = None if segment.channel is None else segment.channel - 1
    first = round(segment.start * file.samplerate)
    left = min(round(segment.stop * file.samplerate), file.frames) - first
    file.seek(first)
    while left > 0 and len(sig := read_mixed(file, min(left, _BLOCK), channel)):
        yield sig
        left -= len(sig)


def _remove_others(out: Path, needed: Set[str]) -> None:
    """Remove clips that are not needed any more."""
    folder = out / FOLDER
    names = list(files_below(folder)) if folder.is_dir() else []
    unneeded = [
        name
        for name in names
        if f"{FOLDER}/{name}" not in needed
        and _NAME.fullmatch(PurePosixPath(name).name)
    ]
    for name in unneeded:
        (folder / name).unlink()
    if unneeded:
        logger.info("%d clips of earlier options are removed", len(unneeded))
