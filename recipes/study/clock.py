"""Results that are ahead of the clock, because it was set back since.

Snakemake removes a result that is older than what it is made of: such a study
would never end. What is up to date is not decided by times (``Snakefile``), so
they may be changed.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Iterable

#: Clocks of a network drive and of a computer may differ by as much, seconds.
_DIFFER_S = 1.0


def bring_back(results: Iterable[Path]) -> int:
    """Set the times of results that are ahead of the clock to now; return their
    number."""
    now, n = time.time(), 0
    for path in results:
        with suppress(OSError):  # absent
            if os.stat(path).st_mtime > now + _DIFFER_S:
                os.utime(path, (now, now))
                n += 1
    return n
