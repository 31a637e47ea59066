#!/usr/bin/env python3
"""This repository's recipes as pull requests for SpeechBrain.

> python tools/export_upstream.py --sb path/to/speechbrain --out tree
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.upstream.command import main  # noqa: E402

if __name__ == "__main__":
    main()
