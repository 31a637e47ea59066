#!/usr/bin/env python3
"""Run recipes/simclr/train_simclr.py from the root."""

from cry_modules.training.options import check_first

check_first(__name__, "vggsound.yaml")

if __name__ == "__main__":
    from recipes.simclr.train_simclr import main

    main()
