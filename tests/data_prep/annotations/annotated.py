"""Recordings to annotate, and the tables of the database made of them."""

import zlib

import numpy as np
import soundfile

from data_prep.files.tables import read_table

RATE = 4000


def tone(path, seconds=60, channels=1, rate=RATE):
    """A recording whose channel c holds a level of c tenths and some noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.as_posix()[-16:].encode()))
    noise = 0.02 * rng.standard_normal((seconds * rate, channels))
    soundfile.write(path, noise + 0.1 * np.arange(1, channels + 1), rate)


def rows(folder, name="recordings.csv"):
    return [cells for _, cells in read_table(folder / "out" / name, [])]


CRIES = ("--labels", "cry=cry,fuss", "--patient", "folder")
