#!/usr/bin/env python3
"""Run recipes/adaptation/train_adapt.py from the root."""

from cry_modules.training.options import parse_arguments
from data_prep.files.errors import one_line_errors

if __name__ == "__main__":
    with one_line_errors():
        # Refuse wrong options before torch is imported, which takes seconds.
        parse_arguments(usual="cry_adapt_replay.yaml")
        from recipes.adaptation.train_adapt import main
    main()
