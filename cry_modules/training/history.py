"""``history.json``: what an epoch was, for people and for comparisons."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Dict

from data_prep.files.errors import InputError
from data_prep.files.tables import write_text


class History:
    """``history.json``: a list, a row an epoch; for TensorBoard as well, if
    wanted, in ``tensorboard/``.

    Example
    -------
    >>> history = History(getfixture("tmpdir"))
    >>> history.add({"epoch": 1, "train_loss": 0.5})
    >>> history.add({"epoch": 1, "train_loss": 0.4})  # resumed, done again
    >>> history.rows
    [{'epoch': 1, 'train_loss': 0.4}]
    """

    def __init__(self, output_folder: str, tensorboard: bool = False):
        self.path = Path(output_folder) / "history.json"
        self.rows = []
        if self.path.is_file():
            self.rows = self._read()
        if tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise InputError(
                "--tensorboard is True and the package tensorboard is not "
                "installed; pip install tensorboard, or pass --tensorboard "
                "False"
            )
        self.tensorboard = tensorboard
        self._writer = None

    def _read(self):
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except ValueError:
            raise InputError(
                f"{self.path} is damaged; bring it back, or pass another "
                "--output_folder"
            )

    def require(self, n_epochs: int) -> None:
        """Refuse to go on after epochs that are not in the file."""
        found = sum(row["epoch"] <= n_epochs for row in self.rows)
        if found < n_epochs:
            raise InputError(
                f"{self.path} has {found} of the {n_epochs} epochs done; bring "
                "it back, or pass another --output_folder"
            )

    def add(self, row: Dict) -> None:
        """Append an epoch; what a stopped run wrote after its last
        checkpoint is replaced.
        """
        # JSON knows no NaN, which --skip_nonfinite_grads lets pass.
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
            # Not at the top: it takes seconds, and may not be installed.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(
                str(self.path.with_name("tensorboard")),
                # Points of this epoch and later ones, which a stopped run
                # left, are hidden.
                purge_step=row["epoch"],
            )
        for name, value in row.items():
            if name != "epoch" and isinstance(value, (int, float)):
                self._writer.add_scalar(name, value, row["epoch"])
        self._writer.flush()
