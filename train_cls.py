#!/usr/bin/env python3
"""Run recipes/classification/train_cls.py from the root."""

from cry_modules.training.options import check_first

check_first(__name__, "neuro_linear.yaml")

if __name__ == "__main__":
    from recipes.classification.train_cls import main

    main()
