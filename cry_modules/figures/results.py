"""Pictures of a classifier's test results.

They are written to ``figures/`` of the run folder, each as png and svg:
``roc``, ``precision_recall``, ``calibration``, ``confusion``, ``patients``,
``decision_curve`` (of two classes), ``abstention`` and ``training``. No picture
names a patient unless that is requested, and the same results give the same
files.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np

from cry_modules.evaluation.outcome import Outcome, pooled_predictions
from cry_modules.figures.calibration import draw_calibration
from cry_modules.figures.confusion import draw_confusion
from cry_modules.figures.decision import draw_abstention, draw_decision_curve
from cry_modules.figures.patients import draw_patients
from cry_modules.figures.ranking import draw_ranking
from cry_modules.figures.sheet import COLUMN, sheet
from cry_modules.figures.style import shortened
from cry_modules.figures.training import draw_panels, panels, read_run
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.curves import PRECISION_RECALL, ROC
from cry_modules.metrics.predictions import UNITS, Predictions
from cry_modules.metrics.saved import METRICS_FILE, read_metrics
from cry_modules.training.history import taken_epoch
from data_prep.files.atomic import make_folder
from data_prep.files.errors import require
from data_prep.files.words import count

#: Keys of metrics.json that pictures need.
_KEYS = (
    "classes", "test", "patient_score", "seed", "corpus", "encoder_source",
    "finetune_mode", "label_column",
)  # fmt: skip


@dataclass
class Results:
    """Test results of a run that its pictures show.

    ``test`` and ``patients`` are the test predictions by recording and by
    patient; ``choices`` and ``blocks`` (of ``metrics.json``) are by unit,
    ``recording`` and ``patient``; ``caption`` names corpus, task and model;
    ``history`` is empty for pooled folds; ``seed`` is that of the bootstrap.
    """

    test: Predictions
    patients: Predictions
    choices: Dict[str, Choices]
    blocks: Dict[str, Dict]
    caption: str
    history: List[Dict] = field(default_factory=list)
    seed: int = 0
    patient_score: str = "mean_log_odds"

    @property
    def classes(self) -> List[str]:
        """Names of the classes, shortened for a picture."""
        return [shortened(name, 20) for name in self.test.classes]


def results_of(
    metrics: Dict, outcomes: List[Outcome], history: Sequence[Dict] = ()
) -> Results:
    """Make ``Results`` from ``metrics.json`` and the predictions of a run, or
    of several folds, which are pooled."""
    how = metrics["patient_score"]
    pairs = {unit: pooled_predictions(outcomes, unit, how) for unit in UNITS}
    return Results(
        pairs["recording"][0],
        pairs["patient"][0],
        {unit: choices for unit, (_, choices) in pairs.items()},
        metrics["test"],
        caption_of(metrics, len(outcomes)),
        list(history),
        metrics["seed"],
        how,
    )


def caption_of(metrics: Dict, n_folds: int = 1) -> str:
    """Caption with corpus, task and model of a run, and its number of test
    recordings.

    Example
    -------
    >>> metrics = {"corpus": "cries", "label_column": "neuro_injury"}
    >>> metrics.update(encoder_source=None, finetune_mode="linear")
    >>> metrics["test"] = {"recording": {"n": 12, "n_patients": 1}}
    >>> caption_of(metrics)
    'cries, neuro_injury. Random encoder, linear. 12 test recordings of 1 patient.'
    """
    block, encoder = metrics["test"]["recording"], metrics["encoder_source"]
    folds = f", pooled over {n_folds} folds" if n_folds > 1 else ""
    return (
        f"{metrics['corpus']}, {metrics['label_column']}. "
        f"{f'Encoder {_short(encoder)}' if encoder else 'Random encoder'}, "
        f"{metrics['finetune_mode']}. {count(block['n'], 'test recording')} "
        f"of {count(block['n_patients'], 'patient')}{folds}."
    )


def _short(encoder: str) -> str:
    """Name of an encoder that does not look like a path: seed or settings in
    parentheses, without the account on a hub, or folds.

    Example
    -------
    >>> _short("vggsound/2022"), _short("simclr/1-0a1b2c3d/{fold}")
    ('vggsound (2022)', 'simclr (1-0a1b2c3d)')
    >>> _short("someone/cry-encoder")
    'cry-encoder'
    """
    parts = [part for part in encoder.split("/") if part != "{fold}"]
    name, last = ["", *parts][-2:]
    return f"{name} ({last})" if name and last[:1].isdigit() else last


def draw_results(run: Results, folder: Path, names: bool = False) -> List[Path]:
    """Write all pictures of a run; return their png files. ``names`` shows
    those of patients, which must not be shared."""
    figures = make_folder(Path(folder) / "figures")
    for kind in (ROC, PRECISION_RECALL):
        draw_ranking(run, kind, figures)
    draw_calibration(run, figures)
    draw_confusion(run, figures)
    draw_patients(run, figures, names)
    drawn = ["roc", "precision_recall", "calibration", "confusion", "patients"]
    if len(run.classes) == 2:
        draw_decision_curve(run, figures)
        drawn.insert(1, "decision_curve")
    draw_abstention(run, figures)
    drawn.append("abstention")
    shown = [
        panel
        for panel in panels({key for row in run.history for key in row})
        if panel.title in ("loss", "validation AUC")
    ]
    if shown:
        size = COLUMN, 0.7 + 1.8 * len(shown)
        with sheet(figures, "training", size, run.caption) as figure:
            figure.suptitle("Training")
            taken = taken_epoch(run.history)
            draw_panels(figure, shown, {"": run.history}, 1, taken)
        drawn.append("training")
    return [figures / f"{name}.png" for name in drawn]


def read_results(folder: Path) -> Results:
    """Read a run folder, or that of the folds of a cross-validation."""
    folder = Path(folder)
    metrics = _read_metrics(folder, _KEYS)
    folds = metrics.get("folds", ["."])
    classes = metrics["classes"]
    outcomes = [
        replace(_read_outcome(folder / fold, classes), fold=fold)
        for fold in folds
    ]
    history = [] if "folds" in metrics else read_run(str(folder))
    return results_of(metrics, outcomes, history)


def _read_metrics(folder, keys) -> Dict:
    require(
        (folder / METRICS_FILE).is_file(),
        f"{folder} holds no metrics.json",
        "pass the output_folder of a train_cls.py run that is complete",
    )
    return read_metrics(folder, keys)


def _read_outcome(folder, classes) -> Outcome:
    """Validation and test predictions, and class shares in training."""
    share = _read_metrics(folder, ["prevalence"])["prevalence"]
    paths = [folder / f"predictions_{split}.csv" for split in ("valid", "test")]
    valid, test = map(Predictions.read, paths)
    for path, predictions in zip(paths, (valid, test)):
        require(
            predictions.classes == classes,
            f"{path} has scores of {', '.join(predictions.classes)} and "
            f"metrics.json of {', '.join(classes)}",
            "keep the files of one run in a folder",
        )
    return Outcome(valid, test, None if share is None else np.array(share))
