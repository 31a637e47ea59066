"""Prepare unlabelled cries of a database for adaptation.

Patients that a classifier will be tested on are excluded.
"""

from data_prep.corpora import exclusion
from data_prep.corpora.published import command_line
from data_prep.corpora.unlabelled import prepare_unlabelled

if __name__ == "__main__":
    command_line(
        prepare_unlabelled,
        recordings_csv=(None, "default: recordings.csv in the folder"),
        exclude=([], "manifest or recordings.csv of held-out patients"),
        excluded=(
            exclusion.REFUSE,
            f"or {exclusion.DROP}: treatment of recordings shared with these "
            "tables",
        ),
        exclude_folder=(
            None,
            "folder that paths in these tables are relative to",
        ),
        group_by=(
            "file",
            "or folder, or a regular expression with the patient in "
            "parentheses: who is held out together where there is no table",
        ),
        patient_column=("patient_id", "column of the patients"),
        path_column=("path", "column of the files"),
        valid_share=(0.1, "share of the patients"),
        seed=(0, "seed of the split"),
    )
