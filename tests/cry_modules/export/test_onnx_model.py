"""The outputs of a classifier in ONNX equal those in torch, in any batch."""

import getpass
import os
import re
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cry_modules.audio import PEAK
from cry_modules.checkpoints.description import Blueprint
from cry_modules.checkpoints.saved_model import build
from cry_modules.cnn14 import ConvBlock
from cry_modules.cpu_layers import Conv3x3
from cry_modules.export import onnx as onnx_model
from cry_modules.export.onnx import (
    OPSET,
    ConvolvedFrames,
    quantize,
    read_onnx,
    write_onnx,
)
from cry_modules.finetune import batch_norms
from cry_modules.front_ends import make_front_end
from data_prep.files.errors import InputError

onnx = pytest.importorskip("onnx", reason="the extra `export`")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export`")

CLASSES = ["healthy", "hurt", "tired"]
VARIANTS = {
    "fbank": {},
    "fbank, log-mel": {"readout": "embedding+logmel"},
    "fbank, block": {"readout": "block3+embedding+logmel"},
    "log1p": {"front_end": "log1p"},
    "panns, log-mel": {"front_end": "panns", "readout": "embedding+logmel"},
}
SHORTEST = {"fbank": 4960, "log1p": 5766, "panns": 4960}
ABOUT = {"name": "x", "classes": CLASSES, "threshold": None, "caution": "no"}


def make_model(width=2, **options):
    """A model with statistics and a head unlike those at initialisation."""
    torch.manual_seed(0)
    prior = np.log([0.5, 0.3, 0.2]).tolist()
    model = build(Blueprint(width, classes=CLASSES, log_prior=prior, **options))
    with torch.no_grad():
        for part in model.parts().values():
            for norm in batch_norms(part):
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 2)
                norm.weight.uniform_(1, 3)
                norm.bias.normal_(0, 0.1)
    return model


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request, tmp_path_factory):
    """A model in torch, its onnxruntime session, and its file."""
    return make_pair(tmp_path_factory, **VARIANTS[request.param])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The same with the paper's front end."""
    return make_pair(tmp_path_factory)


def make_pair(tmp_path_factory, **options):
    model = make_model(**options)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    write_onnx(model.embedder, model.posterior, ABOUT, path)
    return model, session_of(path), path


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


def recordings(shortest):
    """Recordings of several lengths and levels, and silence."""
    rng = np.random.default_rng(0)
    lengths = (shortest, shortest + 159, 16000, 23457, 30000)
    levels = (1e-3, 1.0, 0.1, 3.0, 0.01)
    sigs = [
        # Loudest at the end, where padding begins.
        np.linspace(0, level, n) * rng.normal(0, 1, n)
        for n, level in zip(lengths, levels)
    ]
    return [sig.astype(np.float32) for sig in [*sigs, np.zeros(9000)]]


def padded(sigs, total=None, filling=0.0):
    total = total or max(map(len, sigs))
    waveform = np.full((len(sigs), total), filling, np.float32)
    for row, sig in zip(waveform, sigs):
        row[: len(sig)] = sig
    return {
        "waveform": waveform,
        "n_samples": np.array([len(sig) for sig in sigs]),
    }


@torch.no_grad()
def in_torch(model, sig, peak=None):
    """Logits and embedding of one recording in torch."""
    peak = np.abs(sig).max() if peak is None else peak
    sig = torch.from_numpy(sig) * (PEAK / peak if peak > 0 else 1.0)
    emb = model.embedder(sig[None])
    return model.posterior.logits(emb)[0].numpy(), emb[0].numpy()


def test_outputs_equal_torchs(pair):
    """In one padded batch, with noise beyond the ends, and alone."""
    model, session, _ = pair
    sigs = recordings(SHORTEST[model.blueprint.front_end])
    expected = [in_torch(model, sig) for sig in sigs]
    assert np.ptp([logits for logits, _ in expected], axis=0).min() > 0.01
    together = session.run(None, padded(sigs))
    noisy = session.run(None, padded(sigs, 40000, 9.0))
    for a, b in zip(noisy, together):
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=2e-5)
    for i, sig in enumerate(sigs):
        alone = session.run(None, padded([sig]))
        for logits, probabilities, emb in (
            [values[i] for values in together],
            [values[i] for values in noisy],
            [values[0] for values in alone],
        ):
            np.testing.assert_allclose(logits, expected[i][0], atol=1e-4)
            scale = max(1.0, np.abs(expected[i][1]).max())
            np.testing.assert_allclose(
                emb, expected[i][1], atol=1e-4 * scale, rtol=1e-4
            )
            log_posteriors = model.posterior(torch.from_numpy(emb[None]))
            np.testing.assert_allclose(
                probabilities, log_posteriors.exp()[0].detach(), atol=1e-5
            )


def test_a_chunk_is_scaled_by_the_peak_of_its_recording(pair):
    """The third input; ``fbank`` is invariant to level."""
    model, session, _ = pair
    sig = recordings(6000)[3]
    chunk, peak = sig[2000:12000], np.abs(sig).max()
    given = {**padded([chunk]), "peak": np.array([peak])}
    logits = session.run(["logits"], given)[0][0]
    np.testing.assert_allclose(
        logits, in_torch(model, chunk, peak)[0], atol=1e-4
    )
    if model.blueprint.front_end != "fbank":
        unscaled = session.run(["logits"], padded([chunk]))[0][0]
        assert np.abs(logits - unscaled).max() > 1e-3


def test_writing_does_not_change_the_model(tmp_path):
    model = make_model(tested_on="chunks", chunk_s=1.0)
    before = {name: value.clone() for name, value in model.state().items()}
    front_end, sig = model.embedder.features.logmel, torch.randn(1, 20000)
    emb = model.embedder(sig)
    write_onnx(model.embedder, model.posterior, ABOUT, tmp_path / "a.onnx")
    assert model.embedder.tested_on == "chunks"
    assert model.embedder.features.logmel is front_end
    assert torch.equal(model.embedder(sig), emb)
    for name, value in model.state().items():
        assert torch.equal(value, before[name])
    assert os.listdir(tmp_path) == ["a.onnx"]


def test_description(tmp_path):
    model = make_model(front_end="log1p", tested_on="chunks", chunk_s=2.5)
    path = tmp_path / "a.onnx"
    facts = {**ABOUT, "name": "Schreie ü", "more": [1]}
    write_onnx(model.embedder, model.posterior, facts, path)
    expected = {
        **facts,
        "sample_rate": 16000,
        "tested_on": "chunks",
        "chunk_s": 2.5,
        "shortest": 31 * 186,
        "weights": "float32",
    }
    assert read_onnx(path)[1] == expected


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_file_is_plain_onnx_without_traces_of_this_machine(
    plain, tmp_path, kind
):
    path = plain[2]
    if kind == "int8":
        quantize(path, tmp_path / "a.onnx")
        path = tmp_path / "a.onnx"
    model, _ = read_onnx(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] in (
        [("", OPSET)],
        [("", OPSET), ("com.microsoft", 1)],
    )
    assert not model.functions
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    text = str(model)
    assert "waveform" in text and "weights" in text
    secrets = (
        Path.cwd(), Path.home(), sys.prefix, tmp_path, "site-packages",
        ".py", "torch", "Traceback",
    )  # fmt: skip
    for secret in map(str, secrets):
        assert secret not in text, secret
    for name in (getpass.getuser(), socket.gethostname()):
        assert not re.search(rf"\b{re.escape(name)}\b", text), name


def test_convolutions_are_convolutions(tmp_path, monkeypatch):
    """One of the Fourier transform and two in each of six blocks; torch
    computes those of the last as a product on a CPU."""
    monkeypatch.delattr(Conv3x3, "as_product")
    model, path = make_model(width=1), tmp_path / "a.onnx"
    block = ConvBlock(256, 32, pool=1).eval()
    model.embedder.encoder.conv_block5 = ConvBlock(8, 256).eval()
    model.embedder.encoder.conv_block6 = block
    write_onnx(model.embedder, model.posterior, ABOUT, path)
    nodes = [node.op_type for node in read_onnx(path)[0].graph.node]
    assert nodes.count("Conv") == 13
    with pytest.raises(AttributeError, match="as_product"):
        model.embedder(torch.zeros(1, 8000))


@pytest.mark.parametrize("name", SHORTEST)
def test_frames_equal_the_front_ends(name):
    """For each item alone; one ends with a click that is loudest in a frame
    beyond its end."""
    front_end = make_front_end(name)
    torch.manual_seed(0)
    lengths = (9000, 8159, 7200)
    wavs = torch.zeros(3, 9000)
    for wav, length in zip(wavs, lengths):
        wav[:length] = torch.randn(length) * 0.1
    wavs[1] *= 1e-3
    wavs[1, 8158] = 1.0
    share = torch.tensor(lengths).double() / 9000
    feats, share = ConvolvedFrames(front_end)(wavs, share)
    for i, length in enumerate(lengths):
        alone = front_end(wavs[i : i + 1, :length])[0][0]
        assert round(share[i].item() * feats.shape[1]) == len(alone)
        torch.testing.assert_close(
            feats[i, : len(alone)], alone, rtol=1e-4, atol=5e-3
        )


def test_quantized(pair, tmp_path):
    """Smaller, with close scores."""
    model, session, path = pair
    wide = make_model(width=8, front_end=model.blueprint.front_end)
    files = [tmp_path / name for name in ("float.onnx", "int8.onnx")]
    write_onnx(wide.embedder, wide.posterior, ABOUT, files[0])
    quantize(*files)
    assert read_onnx(files[1])[1]["weights"] == "int8"
    sizes = [file.stat().st_size for file in files]
    waves = ConvolvedFrames(wide.embedder.features.logmel).waves
    weights = [size - 4 * waves.numel() for size in sizes]
    assert weights[1] < 0.3 * weights[0]
    sigs = recordings(6000)[:5]
    logits, scores, embs = zip(
        *(session_of(file).run(None, padded(sigs)) for file in files)
    )
    assert 0 < np.abs(scores[1] - scores[0]).max() < 0.05
    cosine = (embs[0] * embs[1]).sum(1) / np.prod(
        [np.linalg.norm(emb, axis=1) for emb in embs], axis=0
    )
    assert cosine.min() > 0.99


def test_log_mel_is_not_quantized(tmp_path, tmp_path_factory):
    """The part of the embedding that does not come from the encoder."""
    _, session, path = make_pair(tmp_path_factory, readout="embedding+logmel")
    quantize(path, tmp_path / "int8.onnx")
    given = padded(recordings(6000))
    embs = [
        which.run(["embedding"], given)[0]
        for which in (session, session_of(tmp_path / "int8.onnx"))
    ]
    np.testing.assert_allclose(embs[1][:, 64:], embs[0][:, 64:], rtol=1e-6)
    assert np.abs(embs[1][:, :64] - embs[0][:, :64]).max() > 0


def test_a_model_too_large_for_a_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_model, "_MOST_BYTES", 1000)
    model = make_model()
    with pytest.raises(InputError, match="a.onnx: the weights take .* GB"):
        write_onnx(model.embedder, model.posterior, ABOUT, tmp_path / "a.onnx")
    assert not os.listdir(tmp_path)


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    model = make_model()
    with pytest.raises(InputError, match=r"pip install 'cry-ssl\[export\]'"):
        write_onnx(model.embedder, model.posterior, ABOUT, tmp_path / "a.onnx")
