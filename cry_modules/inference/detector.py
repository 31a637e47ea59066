"""A detector before a classifier: a second model that says in which windows of
a recording there is something to classify, such as a cry.

``run_onnx.py`` has a copy: both kinds of models offer the same methods.
"""

from typing import List, Optional, Sequence, Tuple

from cry_modules.inference.scores import call_of, softmax
from data_prep.audio.measure import Audit
from data_prep.files.errors import require


class Detector:
    """A classifier of which one class is what another model classifies.

    Arguments
    ---------
    classifier : CryClassifier or OnnxClassifier
        Trained on cries and on other sounds.
    detected : str or None
        Class of the windows that are kept; by default the last, positive one.
    """

    def __init__(self, classifier, detected: Optional[str] = None):
        self.classifier = classifier
        self.classes = classifier.hparams.classes
        problem = "--detector is an encoder without classes"
        cure = "train_cls.py trains a classifier on top of it"
        require(self.classes, problem, cure)
        require(
            detected is None or detected in self.classes,
            f"--detected is {detected}, and the detector's classes are "
            f"{', '.join(self.classes)}",
            "pass one of these",
        )
        self.detected = self.classes[-1] if detected is None else detected

    def finds(
        self, audit: Audit, spans: Sequence[Tuple[float, float]]
    ) -> List[bool]:
        """Say for each window, given as start and end in seconds, whether the
        detector predicts the class that is kept; never where it is silent."""
        windows = self.classifier.windows(audit, spans)
        threshold = self.classifier.hparams.threshold
        return [
            bool(loud)
            and call_of(row, self.classes, threshold) == self.detected
            for row, loud in zip(softmax(windows.logits), windows.is_loud)
        ]

    def in_words(self) -> str:
        """Line that says which windows are kept and which are left out."""
        others = [name for name in self.classes if name != self.detected]
        return (
            f"detector: windows that it predicts to be {self.detected} are "
            f"scored, those of {', '.join(others)} are left out"
        )
