"""``history.json``: losses and metrics, one row for each epoch."""

import importlib.util
import json
import math
import os
from pathlib import Path
from typing import Dict, Optional, Sequence

from data_prep.files.errors import require
from data_prep.files.shapes import ANY_NUMBER, read_json, whole
from data_prep.files.tables import write_text

HISTORY_FILE, BEFORE_FILE = "history.json", "before.json"
_VALUES = {str: (ANY_NUMBER, str, bool, None)}
#: Shape of a row of ``history.json``, and of ``before.json``.
ROW, BEFORE = {"epoch": whole(0), **_VALUES}, {"epoch?": whole(0), **_VALUES}
_RESTORE = "restore it, or pass another --output_folder"


def read_before(output_folder: str) -> Dict:
    """Read the metrics before the first step, which a resume needs."""
    return read_json(Path(output_folder) / BEFORE_FILE, BEFORE, _RESTORE)


def taken_epoch(rows: Sequence[Dict]) -> Optional[int]:
    """Epoch whose checkpoint is used: the best on validation, of equal ones the
    newest; None if the rows do not tell.

    Example
    -------
    >>> scores = [0.5, 0.8, 0.8, 0.7]
    >>> taken_epoch([{"epoch": i, "score": s} for i, s in enumerate(scores, 1)])
    3
    >>> taken_epoch([{"epoch": 1, "valid_loss": 2.0}, {"epoch": 2}])
    1
    """
    worth = []
    for row in rows:
        loss = row.get("valid_loss")
        score = row.get("score", None if loss is None else -loss)
        if row["epoch"] and score is not None:
            worth.append((score, row["epoch"]))
    return max(worth)[1] if worth else None


class History:
    """Rows of ``history.json``, one an epoch; with ``tensorboard`` also
    scalars in ``tensorboard/``."""

    def __init__(self, output_folder: str, tensorboard: bool = False):
        self.path = Path(output_folder) / HISTORY_FILE
        self.rows = []
        if os.path.lexists(self.path):
            self.rows = read_json(self.path, [ROW], _RESTORE)
        require(
            not tensorboard or importlib.util.find_spec("tensorboard"),
            "--tensorboard is True and the package tensorboard is not "
            "installed",
            "pip install 'cry-ssl[logging]', or pass --tensorboard False",
        )
        self.tensorboard = tensorboard
        self._writer = None

    def require(self, n_epochs: int) -> None:
        """Check that the rows of all epochs before a resume are there."""
        n_rows = sum(row["epoch"] <= n_epochs for row in self.rows)
        require(
            n_rows >= n_epochs,
            f"{self.path} has {n_rows} of the {n_epochs} epochs done",
            _RESTORE,
        )

    def add(self, row: Dict) -> None:
        """Append an epoch, in place of rows of this and later epochs, which a
        stopped run wrote after its last checkpoint."""
        # JSON has no NaN, which --skip_nonfinite_grads lets pass.
        row = {
            name: None
            if isinstance(value, float) and not math.isfinite(value)
            else value
            for name, value in row.items()
        }
        kept = [old for old in self.rows if old["epoch"] < row["epoch"]]
        self.rows = [*kept, row]
        lines = ",\n".join(json.dumps(row) for row in self.rows)
        write_text(self.path, f"[\n{lines}\n]\n")
        if self.tensorboard:
            self._add_scalars(row)

    def _add_scalars(self, row):
        if self._writer is None:
            # Imported here: it takes seconds, and may not be installed.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(
                str(self.path.with_name("tensorboard")),
                # Hide the points of this and later epochs, which a stopped
                # run left.
                purge_step=row["epoch"],
            )
        for name, value in row.items():
            if name != "epoch" and isinstance(value, (int, float)):
                self._writer.add_scalar(name, value, row["epoch"])
        self._writer.flush()
