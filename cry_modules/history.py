"""``history.json``: what an epoch was, for people and for comparisons.

Authors
 * The contributors of cry-ssl 2026
"""

import json
from pathlib import Path
from typing import Dict

from data_prep.tables import write_text


class History:
    """``history.json``: a list, a row an epoch.

    Arguments
    ---------
    output_folder : str
        The run folder.

    Example
    -------
    >>> history = History(getfixture("tmpdir"))
    >>> history.add({"epoch": 1, "train_loss": 0.5})
    >>> history.add({"epoch": 1, "train_loss": 0.4})  # resumed, done again
    >>> history.rows
    [{'epoch': 1, 'train_loss': 0.4}]
    """

    def __init__(self, output_folder: str):
        self.path = Path(output_folder) / "history.json"
        self.rows = []
        if self.path.is_file():
            self.rows = json.loads(self.path.read_text(encoding="utf-8"))

    def add(self, row: Dict) -> None:
        """Append an epoch; what a stopped run wrote after its last
        checkpoint is replaced.

        Arguments
        ---------
        row : dict
            With ``epoch``, from 1.
        """
        kept = [old for old in self.rows if old["epoch"] < row["epoch"]]
        self.rows = [*kept, row]
        lines = ",\n".join(json.dumps(row) for row in self.rows)
        write_text(self.path, f"[\n{lines}\n]\n")
