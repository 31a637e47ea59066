"""The GPU benchmark on a CPU: rates, operations, notes and refusals."""

import io
import json
import sys
import time
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch

from cry_modules.replay import ReplayBatchSampler
from data_prep.files.errors import InputError

# As for a script in that folder.
sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import gpu  # noqa: E402
import gpu_device  # noqa: E402

WIDTH, CHUNK_S = 1, 0.5


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Results, kernels and output of a small run."""
    folder = tmp_path_factory.mktemp("gpu")
    out, kernels = folder / "out.json", folder / "kernels.md"
    with redirect_stdout(io.StringIO()) as printed:
        gpu.main(
            f"--device cpu --width {WIDTH} --chunk_s {CHUNK_S} --batches 4 6 "
            "--variants bf16 --reference_batches 4 --rounds 2 "
            f"--seconds 0.1 --out {out} --profile {kernels}".split()
        )
    return json.loads(out.read_text()), kernels.read_text(), printed.getvalue()


@pytest.mark.slow
def test_a_row_for_each_variant_and_batch_and_the_reference_last(run):
    results, kernels, printed = run
    rows = [(row["variant"], row["batch_size"]) for row in results["rows"]]
    assert rows == [("bf16", 4), ("bf16", 6), ("reference", 4)]
    assert results["largest_batch"] == {"bf16": 6}
    for variant, size in rows:
        assert f"| {variant} | {size} |" in printed
    for variant, size in rows[:2]:
        assert f"## {variant}, {size}\n" in kernels
    assert "convolution_backward" in kernels


def test_rates_shares_and_quartiles_agree(run):
    results, _, _ = run
    peak = results["peak_tflops"]["product"]  # a CPU has no sheet
    for row in results["rows"]:
        low, high = row["clips_per_s"]["quartiles"]
        rate = row["clips_per_s"]["median"]
        assert 0 < low <= rate <= high
        tflops = rate * results["gflop_per_clip"] / 1000
        assert row["of_peak"] == pytest.approx(tflops / peak)
        assert 0 < row["waits_for_data"] < 1
    for ratio in results["rows"][-1]["times_as_fast"].values():
        assert 0 < ratio["quartiles"][0] <= ratio["median"]


def test_operations_are_those_of_the_layers(run):
    """Each product counts once forward and twice backward."""
    results, _, _ = run
    n_frames, n_mels = 1 + round(CHUNK_S * 16000) // 160, 80
    h, w, convolutions = n_frames, n_mels, 0
    channels = [1] + [WIDTH * 2**i for i in range(6)]
    for before, after in zip(channels, channels[1:]):
        convolutions += 2 * 9 * h * w * (before * after + after * after)
        h, w = h // 2, w // 2
    projector = 2 * 2 * (32 * WIDTH) ** 2
    learned = 3 * (convolutions + projector)
    # The mel bands are not learned.
    bands = 2 * n_frames * 201 * n_mels
    # Each view with all others, backward in one product or in two.
    loss = 2 * 2 * gpu.COUNT_BATCH * 32 * WIDTH
    least, most = (2 * (learned + bands + n * loss) for n in (2, 3))
    assert least <= round(results["gflop_per_clip"] * 1e9) <= most


def test_passes_follow_each_other_as_epochs_do():
    def batches():
        return ReplayBatchSampler(7, 0, 3, 0.0, seed=1)

    passes = iter(gpu.Forever(batches()))
    for epoch in (1, 2, 3):
        of_epoch = batches()
        of_epoch.set_epoch(epoch)
        for batch in of_epoch:
            assert next(passes) == batch


def test_a_batch_that_does_not_fit_is_a_row(run):
    # A petabyte: torch's own error.
    row = gpu.attempt(lambda: torch.empty(1 << 50))
    assert row == {"note": "does not fit"}
    shown = gpu.line({"variant": "bf16", "batch_size": 9, **row})
    header = gpu.head(run[0]).splitlines()[-1]
    assert "| 9 | does not fit |" in shown
    assert shown.count("|") == header.count("|")


def test_failed_compilation_is_a_row_and_other_errors_are_raised():
    def broken(*_):
        raise KeyError("backend")

    compiled = torch.compile(torch.nn.Linear(2, 2), backend=broken)
    row = gpu.attempt(lambda: compiled(torch.ones(1, 2)))
    assert row["note"].startswith("does not compile: ")
    torch.compiler.reset()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        gpu.attempt(lambda: torch.ones(2, 3) @ torch.ones(2, 3))


def test_waits_are_counted_by_place():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            warnings.warn(f"{gpu.SYNC} (Triggered internally)")
        line = sys._getframe().f_lineno - 1
        warnings.warn("something else")
    assert gpu.places(caught) == {f"tests/{Path(__file__).name}:{line}": 3}


def test_speed_of_a_product_is_within_what_its_time_allows():
    seconds = []

    def work():
        begin = time.perf_counter()
        torch.ones(100, 100) @ torch.ones(100, 100)
        seconds.append(time.perf_counter() - begin)

    rate = gpu_device.tflops(work, 2e6, "cpu")
    windows = np.array(seconds).reshape(-1, 10).sum(axis=1)
    # The loop itself takes time, too.
    assert 0 < rate <= 10 * 2e6 / windows.min() / 1e12


@pytest.mark.parametrize(
    "name, peak",
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA T4", None),
    ],
)
def test_peak_by_the_sheet(name, peak):
    assert gpu_device.sheet_peak(name) == peak


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--device cpu --batches 1 4", "1 is too small"),
        ("--device cpu --reference_batches 0", "0 is too small"),
        ("--device cpu --rounds 0", "--rounds is 0"),
        ("--device cpu --chunk_s 11", "--chunk_s is 11.0"),
        pytest.param(
            "",
            "pass --device cpu",
            marks=pytest.mark.skipif(
                torch.cuda.is_available(), reason="there is a GPU"
            ),
        ),
    ],
)
def test_options_are_refused_before_any_work(arguments, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        gpu.main([*arguments.split(), f"--out={tmp_path}/out.json"])
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
