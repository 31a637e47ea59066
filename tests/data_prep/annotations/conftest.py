"""Libraries that annotation files are compared with."""

import sys
import types

import pytest


@pytest.fixture
def dcase_util(monkeypatch):
    """dcase_util, which imports pkg_resources, which setuptools no longer
    brings, for no use of these tests."""
    if "pkg_resources" not in sys.modules:
        stub = types.ModuleType("pkg_resources")
        monkeypatch.setitem(sys.modules, "pkg_resources", stub)
    return pytest.importorskip("dcase_util")
