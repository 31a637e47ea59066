#!/usr/bin/env python3
"""Run recipes/simclr/train_simclr.py from the root."""

import data_prep  # noqa: F401 (explains a broken environment)
from recipes.simclr.train_simclr import main

if __name__ == "__main__":
    main()
