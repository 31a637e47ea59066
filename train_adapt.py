#!/usr/bin/env python3
"""Run recipes/adaptation/train_adapt.py from the root."""

from recipes.adaptation.train_adapt import main

if __name__ == "__main__":
    main()
