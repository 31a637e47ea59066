#!/usr/bin/env python3
"""Run recipes/classification/train_cls.py from the root."""

from cry_modules.training.options import parse_arguments
from data_prep.files.errors import one_line_errors

if __name__ == "__main__":
    with one_line_errors():
        # Refuse wrong options before torch is imported, which takes seconds.
        parse_arguments(usual="neuro_linear.yaml")
        from recipes.classification.train_cls import main
    main()
