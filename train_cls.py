#!/usr/bin/env python3
"""Run recipes/classification/train_cls.py from the root."""

from recipes.classification.train_cls import main

if __name__ == "__main__":
    main()
