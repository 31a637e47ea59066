"""How a study runs Snakemake, and how signals end it."""

import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from data_prep.files import signals
from recipes.study import engine
from recipes.study.engine import with_cache

SNAKEMAKE = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, {handler})
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_a_home_that_cannot_be_written_to_is_replaced(
    variable, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()  # root may write into any folder
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "file/home"))
    before = {variable: str(tmp_path / "file/home"), "PATH": "/bin"}
    after = with_cache(before, tmp_path / "cache")
    assert after == {**before, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_a_home_that_can_be_written_to_stays(tmp_path):
    before = {"XDG_CACHE_HOME": str(tmp_path)}
    assert with_cache(before, tmp_path / "other") == before


def begin(tmp_path, handler):
    """Start what stands for Snakemake, with a handler of SIGTERM."""
    ready = tmp_path / "ready"
    command = [sys.executable, "-c", SNAKEMAKE.format(handler=handler), ready]
    process = subprocess.Popen(command, start_new_session=True)
    while not ready.exists():
        time.sleep(0.01)
    return process


def watch_that_sends(*delays):
    """Watch whose first look sends SIGTERM to this process after so many
    seconds each."""

    def look():
        while delays_left:
            delay = delays_left.pop()
            terminate = (os.getpid(), signal.SIGTERM)
            threading.Timer(delay, os.kill, terminate).start()

    delays_left = list(delays)
    return SimpleNamespace(look=look, close=lambda: None)


@pytest.mark.parametrize(
    "handler, delays, status",
    [
        ("lambda *_: sys.exit(7)", [0], 7),  # runs save their state
        # One signal, which Slurm sends to each process and its parent.
        ("lambda *_: (time.sleep(0.2), sys.exit(7))", [0, 0.05], 7),
        ("signal.SIG_IGN", [0, 0.4], -signal.SIGKILL),
    ],
)
def test_the_second_signal_ends_a_study_at_once(
    handler, delays, status, tmp_path, monkeypatch
):
    monkeypatch.setattr(signals, "TOGETHER_S", 0.2)
    process, before = begin(tmp_path, handler), time.monotonic()
    with pytest.raises(KeyboardInterrupt, match="again to resume"):
        engine._follow(process, watch_that_sends(*delays))
    assert process.returncode == status
    assert time.monotonic() - before < 30
