#!/usr/bin/env python3
"""Run recipes/simclr/train_simclr.py from the root."""

from recipes.simclr.train_simclr import main

if __name__ == "__main__":
    main()
