#!/usr/bin/env python3
"""Run recipes/adaptation/train_adapt.py from the root."""

from cry_modules.training.options import check_first

check_first(__name__, "cry_adapt_replay.yaml")

if __name__ == "__main__":
    from recipes.adaptation.train_adapt import main

    main()
