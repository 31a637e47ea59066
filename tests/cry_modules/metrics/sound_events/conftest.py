import sys
import types

import pytest


@pytest.fixture(scope="session")
def sed_eval():
    """sed_eval, which imports pkg_resources for no use; setuptools no longer
    brings it."""
    missing = "pkg_resources" not in sys.modules
    sys.modules.setdefault("pkg_resources", types.ModuleType("pkg_resources"))
    module = pytest.importorskip("sed_eval")
    if missing:
        del sys.modules["pkg_resources"]
    return module


@pytest.fixture
def psds_eval(monkeypatch):
    """psds_eval with what pandas 3 and NumPy 2.4 no longer have."""
    module = pytest.importorskip("psds_eval")
    import pandas as pd

    fillna = pd.DataFrame.fillna

    def with_method(self, value=None, method=None, **others):
        if method == "ffill":
            return self.ffill()
        return fillna(self, value, **others)

    monkeypatch.setattr(pd.DataFrame, "fillna", with_method)
    to_int = getattr(module.psds, "int", int)
    monkeypatch.setattr(
        module.psds,
        "int",
        lambda x: to_int(x.item() if hasattr(x, "item") else x),
        raising=False,
    )
    return module
