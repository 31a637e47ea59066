"""Early stopping as an epoch counter."""

from pathlib import Path

import yaml
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.epoch_loop import EpochCounter

from data_prep.files.shapes import ANY_NUMBER, checked, whole

#: Attributes in a checkpoint, and their shapes.
_STATE = {"current": whole(0), "best": ANY_NUMBER, "best_epoch": whole(0)}


@register_checkpoint_hooks
class EarlyStopping(EpochCounter):
    """Epoch counter that also ends if the score stops getting better.

    SpeechBrain's ``EpochCounterWithStopper`` is not registered for
    checkpoints, so a resumed run forgets its best score; and it counts an
    equal score as better, so that an AUC of 1 never ends.

    Arguments
    ---------
    limit : int
        Largest number of epochs.
    patience : int
        Number of epochs without a better score after which training ends.

    Example
    -------
    >>> counter = EarlyStopping(limit=9, patience=2)
    >>> for epoch, score in zip(counter, [0.5, 0.7, 0.7, 0.6, 0.9]):
    ...     counter.update(score)
    >>> counter.current, counter.should_stop
    (4, True)
    """

    def __init__(self, limit: int, patience: int):
        super().__init__(limit)
        self.patience = patience
        self.best, self.best_epoch = -float("inf"), 0

    @property
    def should_stop(self) -> bool:
        """True after ``patience`` epochs without a better score."""
        return self.current - self.best_epoch >= self.patience

    def __next__(self) -> int:
        if self.current and self.should_stop:
            raise StopIteration
        return super().__next__()

    def update(self, score: float) -> None:
        """Record the score of the current epoch; larger is better."""
        if score > self.best:
            self.best, self.best_epoch = score, self.current

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Write the state."""
        state = {name: getattr(self, name) for name in _STATE}
        Path(path).write_text(yaml.safe_dump(state), encoding="utf-8")

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Read the state; repeat an epoch that had not ended."""
        state = yaml.safe_load(Path(path).read_text("utf-8"))
        cure = "pass another --output_folder"
        vars(self).update(checked(state, _STATE, str(path), cure))
        self.current -= not end_of_epoch
