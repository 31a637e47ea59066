#!/usr/bin/env python3
"""Run recipes/adaptation/train_adapt.py from the root."""

import data_prep  # noqa: F401 (explains a broken environment)
from recipes.adaptation.train_adapt import main

if __name__ == "__main__":
    main()
