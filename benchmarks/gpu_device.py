"""Device of ``gpu.py``: memory, synchronisation and peak speed."""

import gc
import math
import platform
import resource
import time
from functools import partial

import torch
import torch.nn.functional as F

#: Dense bfloat16 TFLOP/s by a part of the device's name; the first match counts.
PEAKS = {
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.0,
    "H200 NVL": 835.0,
    "H200": 989.0,
    "A100": 312.0,
}


def synchronize(device):
    """Wait for all work on the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def release(device):
    """Free the models and the compiled code of the last row.

    Compiled code belongs to the class, not to the model: after some batch
    sizes torch would silently stop compiling.
    """
    torch.compiler.reset()
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gb(device):
    """Peak memory since ``release``; on a CPU, of the process so far."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def tflops(work, flop, device, n=10):
    """Throughput of ``work`` in TFLOP/s: the best of four windows of ``n``
    calls."""
    best = math.inf
    for _ in range(4):  # the first warms up
        synchronize(device)
        begin = time.perf_counter()
        for _ in range(n):
            work()
        synchronize(device)
        best = min(best, time.perf_counter() - begin)
    return n * flop / best / 1e12


def convolution_peak(device, dtype, batch, n=10):
    """Highest TFLOP/s of 3x3 convolutions with the shapes of CNN14's layers."""
    best = 0.0
    for channels, h, w in ((128, 200, 40), (256, 100, 20), (512, 50, 10)):
        shapes = (batch, channels, h, w), (channels, channels, 3, 3)
        x, weight = (
            torch.randn(s, device=device, dtype=dtype).to(
                memory_format=torch.channels_last
            )
            for s in shapes
        )
        work = partial(F.conv2d, x, weight, padding=1)
        flop = 18 * channels**2 * batch * h * w
        best = max(best, tflops(work, flop, device, n))
    return best


def measured_peaks(device):
    """Highest TFLOP/s of bfloat16 matrix products and of convolutions."""
    n, batch = (8192, 256) if device == "cuda" else (512, 1)
    a, b = (
        torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2)
    )
    return {
        "product": tflops(lambda: a @ b, 2 * n**3, device),
        "convolution": convolution_peak(device, torch.bfloat16, batch),
    }


def sheet_peak(name):
    """TFLOP/s by the maker's data sheet; None for an unknown device."""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def describe(device):
    """The machine, its libraries and its peak speeds."""
    on_gpu = device == "cuda"
    threads = f"{platform.machine()}, {torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name() if on_gpu else threads
    return {
        "device": name,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "peak_tflops": {"sheet": sheet_peak(name), **measured_peaks(device)},
    }
