"""From a corpus as it was published to manifests that training can trust."""

import sys
import time

from data_prep.files.commands import refuse_other_modules
from data_prep.files.environment import install_hook, require_python
from data_prep.files.lazy_imports import import_statistics_later
from data_prep.files.standard_streams import replace_closed_streams

# Here, because every command imports this package before all others; what is
# not installed is explained from here on.
require_python()
replace_closed_streams()
install_hook()
refuse_other_modules(sys.orig_argv)
import_statistics_later()

import tqdm.std  # noqa: E402

from data_prep.files.quiet import quiet_bars, quiet_libraries  # noqa: E402

# Progress bars measure time by a clock that cannot be set.
tqdm.std.time = time.monotonic
quiet_bars()
quiet_libraries()
