"""Synthetic corpora in the form of VGGSound and of a clinical cry database.

    python -m data_prep.synthetic OUT [--scale demo|miniature|poster|tiny]
        [--part all|generic|cry] [--seed 1234] [--workers N]

writes two folders in the *form* of the real ones, so that a demo runs the real
preparers. All audio is computed (``sounds.py``, ``cry.py``); both corpora say
that they are synthetic.

    OUT/vggsound/vggsound.csv     id, start, label, split; no header
    OUT/vggsound/audio/<id>_<start:06d>.wav       about 5 % missing on purpose
    OUT/cry/recordings.csv        recording_id, patient_id, path, ...
    OUT/cry/audio/<recording_id>.flac             path is relative to OUT/cry
    OUT/{vggsound,cry}/corpus.json                written last

Rows of ``recordings.csv`` without labels and split are "extra" recordings, for
adaptation only; their patients are in no split. Counts are in ``plan.py``.

Difficulty was measured on demo corpora of version 1, which differs in the
recordings' levels (and poster's in lengths), for ten seeds (1 to 9 and 1234):
mean and deviation over time of an 80-band log-mel spectrogram, StandardScaler
and LogisticRegression of scikit-learn, fitted on train, evaluated on test
recordings (mean and deviation over seeds). Injury: AUC 0.80 +- 0.05, from the
site alone 0.53 +- 0.04, from the true severity 0.95 +- 0.02. Trigger: macro AUC
0.75 +- 0.04, from the site alone 0.51 +- 0.02. The site, a nuisance, is
predicted correctly in 99 % of the test recordings (40 % are of the largest). At
poster scale (one seed, 1), with more and longer recordings, AUCs were 0.88 for
injury and 0.88 for triggers. On the miniature (version 2, one seed, 1234) the
regression, balanced and with its strength chosen on validation, has an AUC of
0.76 for injury; the true severity has 0.94, and the length 0.50.

A recording depends only on the seed and its number: the bytes are the same for
any number of workers, and an interrupted run resumes. Any folder that is
neither empty nor a corpus of the same settings is refused.
"""

import csv
import functools
import io
import json
import multiprocessing
import os
import re
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from data_prep.audio.folder import AUDIO
from data_prep.audio.write import audio_output
from data_prep.files.errors import InputError
from data_prep.files.lock import locked
from data_prep.files.parent import end_with_parent
from data_prep.files.processors import n_processors
from data_prep.files.shapes import read_json
from data_prep.files.tables import write_text
from data_prep.synthetic.cry import make_cry
from data_prep.synthetic.plan import (
    CryPlan,
    CryRow,
    SoundPlan,
    Stream,
    find_scale,
    plan_cries,
    plan_sounds,
)
from data_prep.synthetic.signal import RATE, draw_recorder
from data_prep.synthetic.sounds import make_sound
from data_prep.synthetic.voices import draw_voice

VERSION = 2  # increment when the bytes of a corpus change
MARKER = ".synthetic-unfinished.json"
PARTS = {"generic": "vggsound", "cry": "cry"}  # part -> folder


def render_cry(plan: CryPlan, seed: int = 1234) -> np.ndarray:
    """Synthesise a cry recording ``[samples]``."""
    voice_rng = np.random.default_rng([seed, Stream.VOICE, plan.patient])
    rng = np.random.default_rng([seed, Stream.CRY, plan.index])
    voice = draw_voice(voice_rng, plan.severity)
    return make_cry(rng, voice, plan.trigger, plan.row.site, plan.seconds)


def render_sound(plan: SoundPlan, seed: int = 1234) -> np.ndarray:
    """Synthesise a generic clip ``[samples]``; a video has one recorder."""
    recorder = draw_recorder(
        np.random.default_rng([seed, Stream.VIDEO, plan.video])
    )
    rng = np.random.default_rng([seed, Stream.SOUND, plan.index])
    return make_sound(rng, plan.label_index, plan.seconds, recorder)


def _write_audio(task: Tuple[Path, object], seed: int) -> float:
    """Synthesise and write one file; return its length in seconds."""
    path, plan = task
    render = render_cry if isinstance(plan, CryPlan) else render_sound
    wave = np.round(render(plan, seed) * 32767).astype(np.int16)
    kind = "FLAC" if path.suffix == ".flac" else "WAV"
    with audio_output(path, RATE, kind) as write:
        write(wave)
    return len(wave) / RATE


def _settings(part: str, scale: str, seed: int) -> dict:
    """Content of corpus.json without the counts: equal settings, equal bytes."""
    sounds = "generic sounds" if part == "generic" else "infant cries"
    return {
        "name": f"synthetic {sounds} ({scale}, seed {seed})",
        "synthetic": True,
        "licence": "CC0-1.0",
        "shareable_audio": True,
        "generator": "data_prep.synthetic",
        "part": part,
        "scale": scale,
        "seed": seed,
        "version": VERSION,
    }


def _check_folder(folder: Path, settings: dict) -> None:
    """Raise ``InputError`` unless the folder is new, empty or of these settings."""
    cure = "choose another OUT, or another --part, or move that folder away"
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder; {cure}")
    for name in ("corpus.json", MARKER):
        if (folder / name).is_file():
            try:
                corpus = read_json(folder / name, {str: object}, cure)
            except InputError:
                corpus = {}
            if all(corpus.get(k) == v for k, v in settings.items()):
                return
            of = corpus.get("name", "unknown") if corpus else "unreadable"
            raise InputError(
                f"{folder} holds another corpus ({name}: {of}), not "
                f"{settings['name']} version {VERSION}; {cure}"
            )
    # A run killed at once leaves only a lock and the marker's temporary file.
    if not all(
        re.match(r"\.(lock$|.*\.partial)", p.name) for p in folder.iterdir()
    ):
        raise InputError(
            f"{folder} is not empty and not a synthetic corpus; nothing was "
            f"written, so that real and synthetic data never mix; {cure}"
        )


def _check_place(out: Path) -> None:
    """Refuse a folder of recordings, and one inside a corpus, whose next
    listing would mix real and synthetic sounds."""
    real = Path(os.path.realpath(out))
    inputs = [
        folder / name
        for folder in (real, real.parent)
        for name in ("recordings.csv", "vggsound.csv", "corpus.json")
        if (folder / name).is_file()
    ]
    if real.is_dir():
        inputs += [p for p in real.iterdir() if p.suffix.lower() in AUDIO]
    for path in inputs:
        raise InputError(
            f"OUT {out} is among real data, such as {path}; choose an OUT "
            "outside that folder"
        )


def _csv_text(part: str, plans: Sequence) -> str:
    """Csv table of a part, in the form of VGGSound or of a database."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if part == "cry":
        writer.writerow(CryRow._fields)
        writer.writerows(plan.row for plan in plans)
    else:
        rows = ((p.youtube_id, p.start, p.label, p.split) for p in plans)
        writer.writerows(rows)
    return out.getvalue()


def _make_part(
    folder: Path, part: str, settings: dict, workers: int
) -> Dict[str, float]:
    """Write one folder; return its counts and hours."""
    planner = plan_cries if part == "cry" else plan_sounds
    plans = planner(settings["scale"], settings["seed"])
    audio = folder / "audio"
    if part == "cry":
        files = [(folder / plan.row.path, plan) for plan in plans]
    else:
        files = [(audio / p.file_name, p) for p in plans if not p.missing]
    todo = [(path, plan) for path, plan in files if not path.is_file()]
    hours = sum(plan.seconds for _, plan in files) / 3600
    table = folder / ("recordings.csv" if part == "cry" else "vggsound.csv")
    counts = {"rows": len(plans), "files": len(files), "hours": round(hours, 4)}
    written = table.is_file() and (folder / "corpus.json").is_file()
    if written and not todo and not (folder / MARKER).exists():
        print(f"{folder}: {settings['name']} is complete, left unchanged")
        return counts
    with locked(folder):
        write_text(folder / MARKER, json.dumps(settings, indent=2))
        audio.mkdir(exist_ok=True)
        _run(todo, settings["seed"], workers, settings["name"])
        write_text(table, _csv_text(part, plans))
        write_text(
            folder / "corpus.json", json.dumps({**settings, **counts}, indent=2)
        )
        (folder / MARKER).unlink()
    return counts


def _run(todo: List[tuple], seed: int, workers: int, name: str) -> None:
    """Write the files in this process or several, with a progress bar."""
    work = functools.partial(_write_audio, seed=seed)
    bar = functools.partial(
        tqdm, total=len(todo), desc=name, unit="file", disable=None
    )
    if workers == 1 or len(todo) < 2:
        for _ in bar(map(work, todo)):
            pass
        return
    # Spawned, not forked: the threads of torch do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    try:
        pool = ProcessPoolExecutor(workers, spawn, _start_worker)
    except OSError:  # no shared memory for locks, as in some containers
        return _run(todo, seed, 1, name)
    with pool:
        for _ in bar(pool.map(work, todo, chunksize=4)):
            pass


def _start_worker() -> None:
    """Prepare a worker: Ctrl-C in a terminal reaches it, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def make_corpus(
    out,
    scale: str = "demo",
    part: str = "all",
    seed: int = 1234,
    workers: Optional[int] = None,
) -> Dict[str, Dict[str, float]]:
    """Write the synthetic corpora, unless they are complete."""
    find_scale(scale)
    if part not in ("all", *PARTS):
        raise InputError(f"part {part!r} is unknown; use all, generic or cry")
    if seed < 0:
        raise InputError(f"seed {seed} is negative; use 0 or more")
    if workers is None:
        workers = n_processors()
    if workers < 1:
        raise InputError(f"workers {workers} is too few; use 1 or more")
    parts = list(PARTS) if part == "all" else [part]
    settings = {p: _settings(p, scale, seed) for p in parts}
    _check_place(Path(out))
    for p in parts:  # check all before writing any
        _check_folder(Path(out) / PARTS[p], settings[p])
    return {
        p: _make_part(Path(out) / PARTS[p], p, settings[p], workers)
        for p in parts
    }
