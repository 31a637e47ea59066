"""Environment in which a study runs Snakemake."""

import pytest

from recipes.study.engine import with_cache


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
