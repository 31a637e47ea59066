"""Tiny data sets for SpeechBrain's debug runs, computed from the synthetic
corpus.
"""

import json
import shutil
import tempfile
from pathlib import Path

import soundfile

from data_prep.manifest import CORPUS_FILE
from data_prep.synthetic.corpora import PARTS, make_corpus

#: Part of the synthetic corpus for each data set.
SAMPLES = {"VGGSound": "generic", "InfantCry": "cry"}
_SEED = 1


def make_sample(name: str, folder: Path) -> None:
    """Write a tiny data set in the form of a real one.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir")) / "VGGSound"
    >>> make_sample("VGGSound", folder)
    >>> sorted(path.name for path in folder.iterdir())
    ['audio', 'corpus.json', 'vggsound.csv']
    """
    part = SAMPLES[name]
    with tempfile.TemporaryDirectory() as scratch:
        make_corpus(scratch, "tiny", part, _SEED, workers=1)
        shutil.copytree(
            Path(scratch) / PARTS[part],
            folder,
            copy_function=_smaller,
            ignore=shutil.ignore_patterns(".*"),
        )
    corpus = folder / CORPUS_FILE
    facts = json.loads(corpus.read_text(encoding="utf-8"))
    facts = {name: facts[name] for name in ("name", "synthetic", "licence")}
    corpus.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _smaller(source: str, target: str) -> None:
    """Copy a file, WAV as FLAC: the same samples in half the size."""
    if not source.endswith(".wav"):
        shutil.copy(source, target)
        return
    samples, rate = soundfile.read(source, dtype="int16")
    soundfile.write(Path(target).with_suffix(".flac"), samples, rate)
