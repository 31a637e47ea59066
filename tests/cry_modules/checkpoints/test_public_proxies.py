"""The Hugging Face hub behind a proxy: one line, whatever fails."""

import os

import pytest

from cry_modules.checkpoints.public import download
from cry_modules.demo.app import restrict_gradio
from data_prep.files.errors import InputError


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "foo://x"])
def test_a_proxy_that_cannot_be_used_is_one_line(proxy, monkeypatch):
    for name in ("ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
    with pytest.raises(InputError, match="model a/b .*; correct the path, or"):
        download("a/b", "model.ckpt", "model a/b", "pass a folder")


def test_the_local_page_uses_no_proxy(monkeypatch, tmp_path):
    for name in ("ALL_PROXY", "https_proxy", "GRADIO_SHARE"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "")
    restrict_gradio(str(tmp_path))
    assert not [n for n in os.environ if n.lower().endswith("_proxy")]
