"""History and checkpoints of runs, for comparison."""

import json

from cry_modules.checkpoints.checkpointer import progress, read_meta


def history(folder):
    """Rows of history.json without columns that depend on the clock."""
    rows = json.loads((folder / "history.json").read_text())
    for row in rows:
        del row["seconds"], row["clips_per_s"]
    return rows


def checkpoints(folder):
    """Checkpoints, the most advanced last."""
    folders = [f for f in folder.glob("save/CKPT*") if read_meta(f)]
    return sorted(folders, key=lambda f: progress(read_meta(f)))
