"""Packages that SpeechBrain imports and commands do not need."""

import subprocess
import sys

from data_prep.files.lazy_imports import Later

SAME = """
import sys
import data_prep
import speechbrain
from speechbrain.dataio import sampler
assert not any(name.partition(".")[0] == "scipy" for name in sys.modules)
lazy = sampler.lognorm.ppf([0.1, 0.5], 0.7), sampler.lognorm.rvs
from scipy.stats import lognorm
assert lazy[0].tolist() == lognorm.ppf([0.1, 0.5], 0.7).tolist()
assert lazy[1] == lognorm.rvs
"""
IMPORTED_BEFORE = """
import data_prep
from scipy.stats import lognorm
from speechbrain.dataio import sampler
assert sampler.lognorm is lognorm
"""


def test_speechbrain_imports_its_distribution_when_it_uses_it():
    for code in (SAME, IMPORTED_BEFORE):
        subprocess.run([sys.executable, "-c", code], check=True)


def test_an_object_of_a_module_has_its_attributes():
    assert Later("math", "inf").hex() == "inf"
