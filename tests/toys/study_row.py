"""An encoder of the study as a user adds it: one row of ``ENCODERS``.

> python -m tests.toys.study_row SNAKEMAKE_OPTIONS...

runs Snakemake with the row.
"""

import runpy

from recipes.study.encoders import ENCODERS, Encoder

NAME = "adapt_quarter"
ROW = Encoder(
    "SimCLR + all cries + little replay",
    "adapt_replay",
    cries="all",
    options=("--replay_ratio=0.25",),
    few_labels=True,
)

if __name__ == "__main__":
    ENCODERS[NAME] = ROW
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
