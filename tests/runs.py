"""History and checkpoints of runs, for comparison."""

import json

from cry_modules.checkpoints.checkpointer import read_meta


def history(folder):
    """Rows of history.json without columns that depend on the clock."""
    rows = json.loads((folder / "history.json").read_text())
    for row in rows:
        del row["seconds"], row["clips_per_s"]
    return rows


def checkpoints(folder):
    """Checkpoints, oldest first: names have a resolution of a second."""
    folders = [f for f in folder.glob("save/CKPT*") if read_meta(f)]
    return sorted(folders, key=lambda f: read_meta(f)["unixtime"])
