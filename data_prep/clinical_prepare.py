"""Prepare a labelled task of a clinical cry database.

``recordings.csv``: ``recording_id, patient_id, path`` and any label columns
(``neuro_injury``, ``trigger``, ...), ``site``, ``recorded_at``, optionally
``split`` (train, valid, test; empty for recordings without labels) or
``fold``; audio in the same folder. Any column may serve as folds.
"""

from data_prep.corpora.folds import FOLD
from data_prep.corpora.labelled import prepare_clinical
from data_prep.corpora.published import command_line

if __name__ == "__main__":
    command_line(
        prepare_clinical,
        recordings_csv=(None, "default: recordings.csv in the folder"),
        patient_column=("patient_id", "column of the patients"),
        path_column=("path", "column of the files"),
        label_column=("neuro_injury", "column of the task"),
        classes=((), "labels, the positive one last; default: all, sorted"),
        positive=(None, "label that is the positive class; default: the last"),
        other_labels=("error", "or drop: treatment of rows with another label"),
        fold_column=(FOLD, "fold, or any other column"),
        test_fold=(None, "value of the test set"),
        valid_fold=(None, "default: 15 %% of the other patients"),
        label_fraction=(1.0, "share of the training patients, per class"),
        seed=(0, "seed of the split"),
    )
