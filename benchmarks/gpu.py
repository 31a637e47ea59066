#!/usr/bin/env python3
"""How fast SimCLR trains on this machine's GPU, end to end from a pack.

> python benchmarks/gpu.py

Needs one GPU, no network, 1 GB of the temporary folder, and some minutes: a
row takes its start, ``--seconds``, and where it compiles up to a minute more.
It prints, for each way to train (``--variants``) and each batch size,
recordings a second (two views each; quartiles over windows of some steps),
from the pack through the recipe's loader and Brain; the share of the GPU's
peak; the most memory; the share of the time that the loop waits for data (the
GPU may still work on the step before); and how often a step makes the host
wait for the GPU. A batch that does not fit is a row that says so. Last the
plain recipe of ``reference.py``, in turns with the project. All figures go to
``--out``, complete after every row.

Recordings are 10 s of noise, so few that the system keeps them in memory: a
slow disk is not measured. Floating point operations are counted on a small
batch, of which a recording has its share; those of the loss grow with the
square of the batch, and at 1,024 recordings and width 64 are below 0.1 %. On
a CPU the most memory is the process's so far. To try it without a GPU:

> python benchmarks/gpu.py --device cpu --width 2 --batches 4 8 --chunk_s 1 \\
>   --variants fp32 bf16 --reference_batches 4 --seconds 1
"""

import argparse
import atexit
import gc
import itertools
import json
import math
import os
import platform
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import speechbrain as sb
import torch
import torch.nn.functional as F
from torch._dynamo.exc import TorchDynamoException
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, Sampler
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the recipes are not installed

import reference  # noqa: E402
import speed  # noqa: E402
from contenders import simclr_brain  # noqa: E402

from cry_modules.training.schedule import step_schedule  # noqa: E402
from cry_modules.training.stopping import kill_workers  # noqa: E402
from data_prep.files.errors import InputError, one_line_errors  # noqa: E402
from data_prep.files.tables import write_text  # noqa: E402
from data_prep.pack import pack  # noqa: E402

#: SpeechBrain's run options by variant.
BF16 = {"precision": "bf16"}
COMPILED = {"compile": True, "compile_module_keys": ["encoder"]}
VARIANTS = {"fp32": {}, "bf16": BF16, "bf16+compile": {**BF16, **COMPILED}}
#: Dense bfloat16 TFLOP/s by a part of the device's name; the first that fits.
PEAKS = {
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.0,
    "H200 NVL": 835.0,
    "H200": 989.0,
    "A100": 312.0,
}
#: What an error says, and what its row says then.
FAILURES = {
    "DataLoader worker": "a loader worker died; lower --num_workers",
    "shared memory": "no memory to share with workers; lower --num_workers",
    "out of memory": "does not fit",
    "ALLOC_FAILED": "does not fit",
    "unable to find an engine": "does not fit",  # cuDNN, without workspace
    "can't allocate memory": "does not fit",  # a CPU
}
SYNC = "called a synchronizing CUDA operation"  # torch's warning
EPOCH = 1000  # batches; VGGSound has about as many
COUNT_BATCH = 4  # on which operations are counted
WARM_UP = 5  # steps
STEPS = 5  # of a timed window
LEAST_WINDOWS = 3
N_KERNELS = 25  # of a profile


class Forever(Sampler):
    """Passes over the recordings without end, each in a new order.

    At the end of an epoch the loader starts its workers anew. VGGSound has
    that once in a thousand batches, a small corpus would have it in each.
    """

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        for epoch in itertools.count(1):
            self.batches.set_epoch(epoch)
            yield from self.batches


class ProjectStep:
    """What ``fit`` of the recipe does with a batch.

    ``waited`` counts seconds for data; ``in_flight`` batches may lie ready
    that were not made in the time measured.
    """

    def __init__(self, folder, variant, batch_size, args):
        brain, _, loader = simclr_brain(
            str(folder),
            {"device": args.device, **VARIANTS[variant]},
            width=args.width,
            chunk_s=args.chunk_s,
            batch_size=batch_size,
            num_workers=args.num_workers,
        )
        brain.schedule = step_schedule(vars(brain.hparams), EPOCH, 1)
        # SpeechBrain's own part: compiles, and makes the optimizer.
        sb.Brain.on_fit_start(brain)
        brain.modules.train()
        brain.on_stage_start(sb.Stage.TRAIN, 1)
        brain.train_sampler.batches = Forever(brain.train_sampler.batches)
        names = ("num_workers", "pin_memory")
        self.settings = {name: getattr(loader, name) for name in names}
        self.in_flight = loader.num_workers * (loader.prefetch_factor or 0)
        self.brain, self.waited = brain, 0.0
        # SpeechBrain's own keeps the iterator, and its workers would not end
        # with this step.
        self.batches = DataLoader.__iter__(loader)

    def __call__(self):
        begin = time.perf_counter()
        batch = next(self.batches)
        self.waited += time.perf_counter() - begin
        self.train(batch)

    def train(self, batch):
        """Transfer, forward, backward, optimizer."""
        self.brain.step += 1
        self.brain.fit_batch(batch)


class ReferenceStep:
    """``reference.simclr_step`` on any device: float32, and files decoded as
    they are asked for."""

    in_flight = 1

    def __init__(self, folder, batch_size, args):
        self.paths = sorted(folder.glob("audio/*.wav"))
        self.batch_size = batch_size
        self.simclr = reference.SimCLR(
            args.width, args.chunk_s, device=args.device
        )
        self.optimizer = reference.sgd(self.simclr.model)

    def draw(self):
        """Files of a batch."""
        return random.sample(self.paths, self.batch_size)

    def __call__(self):
        self.simclr.step(self.draw(), self.optimizer)

    def reading(self):
        """Seconds to decode a batch."""
        begin = time.perf_counter()
        for path in self.draw():
            reference.read(path)
        return time.perf_counter() - begin


def synchronize(device):
    """Wait until the device has done all it was asked to."""
    if device == "cuda":
        torch.cuda.synchronize()


def release(device):
    """Free what the last row held: models and compiled code.

    Compiled code because it is of the class, not of the model: after some
    batch sizes torch would compile no more, without an error.
    """
    torch.compiler.reset()
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gb(device):
    """Most memory since ``release``; of a CPU's process, ever."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def tflops(work, flop, device, n=10):
    """Of the fastest of some windows of ``n`` calls."""
    best = math.inf
    for _ in range(4):  # the first warms up
        synchronize(device)
        begin = time.perf_counter()
        for _ in range(n):
            work()
        synchronize(device)
        best = min(best, time.perf_counter() - begin)
    return n * flop / best / 1e12


def measured_peaks(device):
    """TFLOP/s of large bfloat16 products and of convolutions of CNN14's kind:
    what the device can do at all."""
    n, batch = (8192, 256) if device == "cuda" else (512, 1)
    randn = partial(torch.randn, device=device, dtype=torch.bfloat16)
    a, b = randn(n, n), randn(n, n)
    product = tflops(lambda: a @ b, 2 * n**3, device)
    convolution = 0.0
    for channels, h, w in ((128, 200, 40), (256, 100, 20), (512, 50, 10)):
        shapes = (batch, channels, h, w), (channels, channels, 3, 3)
        x, weight = (
            randn(s).to(memory_format=torch.channels_last) for s in shapes
        )
        work = partial(F.conv2d, x, weight, padding=1)
        found = tflops(work, 18 * channels**2 * batch * h * w, device)
        convolution = max(convolution, found)
    return {"product": product, "convolution": convolution}


def sheet_peak(name):
    """TFLOP/s by the maker's sheet; None for a device that is not known."""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def gflop_per_clip(folder, args):
    """Floating point operations of a recording in a training step, in 1e9."""
    step = ProjectStep(folder, "fp32", COUNT_BATCH, args)
    batch = next(step.batches)
    with FlopCounterMode(display=False) as counter:
        step.train(batch)
    return counter.get_total_flops() / COUNT_BATCH / 1e9


def window(step, device):
    """Seconds of some steps."""
    synchronize(device)
    begin = time.perf_counter()
    for _ in range(STEPS):
        step()
    synchronize(device)
    return time.perf_counter() - begin


def spread(values):
    """Median and quartiles, as JSON can hold them."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return {"median": middle, "quartiles": [low, high]}


def places(caught):
    """How many warnings of ``SYNC`` came from each ``file:line``."""
    found = Counter(
        f"{'/'.join(Path(w.filename).parts[-2:])}:{w.lineno}"
        for w in caught
        if SYNC in str(w.message)
    )
    return dict(found.most_common())


def synchronisations(step):
    """Where a step makes the host wait for the GPU, as far as torch says."""
    batch = next(step.batches)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step.train(batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return places(caught)


def profiled(step, device):
    """Markdown of the kernels on which a step spends most."""
    on_gpu = device == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    batch = next(step.batches)
    with profile(activities=activities, acc_events=True) as profiler:
        step.train(batch)
        synchronize(device)
    # Annotations hold the kernels below them, which would count twice.
    found = [
        (e.self_device_time_total if on_gpu else e.self_cpu_time_total, e)
        for e in profiler.key_averages()
        if e.device_type == kind and not e.is_user_annotation
    ]
    total = sum(spent for spent, _ in found) or 1
    lines = ["| ms | share | calls | kernel |", "|---|---|---|---|"]
    for spent, e in sorted(found, key=lambda pair: -pair[0])[:N_KERNELS]:
        share = f"{spent / 1e3:.3f} | {spent / total:.1%}"
        lines.append(f"| {share} | {e.count} | `{e.key[:100]}` |")
    return "\n".join(lines)


def measure(folder, variant, batch_size, args):
    """Figures of the project."""
    step = ProjectStep(folder, variant, batch_size, args)
    for _ in range(max(WARM_UP, step.in_flight)):
        step()
    seconds, step.waited = [], 0.0
    while len(seconds) < LEAST_WINDOWS or sum(seconds) < args.seconds:
        seconds.append(window(step, args.device))
    row = {
        "clips_per_s": spread(STEPS * batch_size / np.array(seconds)),
        "waits_for_data": step.waited / sum(seconds),
        "peak_gb": peak_gb(args.device),
        "windows": len(seconds),
        **step.settings,
    }
    if args.device == "cuda":
        row["syncs"] = synchronisations(step)
    if args.profile:
        row["profile"] = profiled(step, args.device)
    return row


def compare(work, variants, batch_size, args):
    """Figures of the reference, in turns with the project."""
    steps = {"reference": ReferenceStep(work / "wav", batch_size, args)}
    for v in variants:
        steps[v] = ProjectStep(work / "pack", v, batch_size, args)
    seconds = {side: [] for side in steps}
    for number in range(args.rounds + 1):  # the first warms up
        for side, step in steps.items():
            # What was made ready while others worked is not for nothing.
            for _ in range(step.in_flight if number else WARM_UP):
                step()
            seconds[side].append(window(step, args.device))
    seconds = {side: np.array(s[1:]) for side, s in seconds.items()}
    plain = seconds["reference"]
    reading = np.median([steps["reference"].reading() for _ in range(STEPS)])
    return {
        "clips_per_s": spread(STEPS * batch_size / plain),
        "waits_for_data": float(reading / np.median(plain / STEPS)),
        "times_as_fast": {v: spread(plain / seconds[v]) for v in variants},
        "rounds": args.rounds,
    }


def attempt(job):
    """What it returns, or a ``note`` of the limit that it met."""
    try:
        return job()
    except RuntimeError as error:
        text = " ".join(str(error).split())
        note = next((n for mark, n in FAILURES.items() if mark in text), None)
        if note is None and not isinstance(error, TorchDynamoException):
            raise
    # Only here is what the error's frames held free again.
    return {"note": note or f"does not compile: {text[:200]}"}


def about(args):
    """The machine, what it can do, and what is measured."""
    on_gpu = args.device == "cuda"
    threads = f"{platform.machine()}, {torch.get_num_threads()} threads"
    device = torch.cuda.get_device_name() if on_gpu else threads
    return {
        "device": device,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "width": args.width,
        "chunk_s": args.chunk_s,
        "peak_tflops": {
            "sheet": sheet_peak(device),
            **measured_peaks(args.device),
        },
        "largest_batch": {},
        "rows": [],
    }


def save(args, results, profiles=()):
    """Write all that is known."""
    write_text(Path(args.out), json.dumps(results, indent=1) + "\n")
    if args.profile:
        write_text(Path(args.profile), "\n\n".join(profiles) + "\n")


def head(results):
    """What stands above the rows."""
    peaks = results["peak_tflops"]
    return (
        f"{results['device']}, torch {results['torch']}, CUDA "
        f"{results['cuda']}; width {results['width']}, views of "
        f"{results['chunk_s']:g} s: {results['gflop_per_clip']:.4g} GFLOP a "
        f"recording; bfloat16 TFLOP/s: {peaks['sheet'] or 'not known'} by the "
        f"sheet, {peaks['product']:.4g} in products, "
        f"{peaks['convolution']:.4g} in convolutions\n\n"
        "| variant | batch | recordings/s (quartiles) | TFLOP/s | of peak "
        "| GB | waits for data | syncs/step | times the reference |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )


def line(row):
    """A row of the table."""
    begin = f"| {row['variant']} | {row['batch_size']} |"
    if "note" in row:
        return f"{begin} {row['note']} | | | | | | |"
    memory = f"{row['peak_gb']:.2f}" if "peak_gb" in row else ""
    syncs = sum(row["syncs"].values()) if "syncs" in row else ""
    times = ", ".join(
        f"{variant} {in_words(ratio, '.2f')}"
        for variant, ratio in row.get("times_as_fast", {}).items()
    )
    return (
        f"{begin} {in_words(row['clips_per_s'], '.4g')} | "
        f"{row['tflops']:.3g} | {row['of_peak']:.1%} | {memory} | "
        f"{row['waits_for_data']:.1%} | {syncs} | {times} |"
    )


def in_words(found, form):
    """``median (low to high)``."""
    low, high = found["quartiles"]
    return f"{found['median']:{form}} ({low:{form}} to {high:{form}})"


def summary(results):
    """What stands below the rows."""
    lines = [
        f"{variant}: the largest batch that fits is {batch_size}"
        for variant, batch_size in results["largest_batch"].items()
    ]
    waits = {r["variant"]: r["syncs"] for r in results["rows"] if "syncs" in r}
    for variant, syncs in waits.items():
        at = ", ".join(f"{place} ({n})" for place, n in syncs.items())
        lines.append(f"{variant}: the host waits at {at or 'no place'}")
    return "\n".join(lines)


def jobs(work, results, args):
    """Variant, batch size and work of each row."""
    for size in args.batches:
        for v in args.variants:
            yield v, size, partial(measure, work / "pack", v, size, args)
    fit = list(results["largest_batch"])
    for size in args.reference_batches:
        yield "reference", size, partial(compare, work, fit, size, args)


def run(work, results, args):
    """All rows, written as they come."""
    profiles = []
    peaks = results["peak_tflops"]
    n_jobs = len(args.batches) * len(args.variants)
    n_jobs += len(args.reference_batches)
    bar = tqdm(jobs(work, results, args), total=n_jobs, dynamic_ncols=True)
    for variant, size, job in bar:
        bar.set_description(f"{variant}, batch {size}")
        release(args.device)
        row = {"variant": variant, "batch_size": size, **attempt(job)}
        if "profile" in row:
            profiles.append(f"## {variant}, {size}\n\n{row.pop('profile')}")
        if "clips_per_s" in row:
            rate = row["clips_per_s"]["median"]
            row["tflops"] = rate * results["gflop_per_clip"] / 1e3
            row["of_peak"] = row["tflops"] / (
                peaks["sheet"] or peaks["product"]
            )
            if variant in VARIANTS:
                fit = results["largest_batch"]
                fit[variant] = max(size, fit.get(variant, 0))
        results["rows"].append(row)
        save(args, results, profiles)
        tqdm.write(line(row))


def make_corpus(work, batch_size):
    """Noise as files and as a pack, enough to train with such batches."""
    # A tenth is for tests, a fifth of the others for validation.
    n_files = math.ceil(batch_size / 0.7) + 10
    speed.make_corpus(work / "wav", reference.RATE, n_files)
    pack(str(work / "wav"), str(work / "pack"))


def parse(argv):
    """The command line, checked: what would fail later fails at once."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    sizes, ways = [64, 128, 256, 512, 1024], ["bf16", "bf16+compile"]
    n_workers = min(8, os.cpu_count() - 1)
    add("--device", choices=["cuda", "cpu"], default="cuda")
    add("--batches", type=int, nargs="+", default=sizes)
    add("--variants", nargs="+", choices=VARIANTS, default=ways)
    add("--reference_batches", type=int, nargs="*", default=[128])
    add("--width", type=int, default=64)
    add("--chunk_s", type=float, default=4.0, help="seconds of a view")
    add("--seconds", type=float, default=10.0, help="timed, of each row")
    add("--rounds", type=int, default=7, help="of reference and project")
    add("--num_workers", type=int, default=n_workers)
    add("--profile", metavar="FILE", help="kernels of each row, as Markdown")
    add("--out", default=str(ROOT / "benchmarks/results_gpu.json"))
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"--device cuda: torch {torch.__version__} sees no GPU here; pass "
            "--device cpu to try the script without one"
        )
    smallest = min(args.batches + args.reference_batches)
    if smallest < 2:
        raise InputError(f"a batch of {smallest}: it must be 2 at least")
    if args.rounds < 1:
        raise InputError(f"--rounds {args.rounds}: it must be 1 at least")
    if args.chunk_s > speed.SECONDS:
        raise InputError(
            f"--chunk_s {args.chunk_s}: recordings are of {speed.SECONDS} s; "
            "lower it"
        )
    return args


def main(argv=None) -> None:
    """The command line."""
    args = parse(argv)
    atexit.register(kill_workers)  # which ignore signals
    results = about(args)
    save(args, results)
    with tempfile.TemporaryDirectory() as work:
        sizes = [*args.batches, *args.reference_batches, COUNT_BATCH]
        make_corpus(Path(work), max(sizes))
        results["gflop_per_clip"] = gflop_per_clip(Path(work) / "pack", args)
        tqdm.write(head(results))
        run(Path(work), results, args)
    print(f"\n{summary(results)}\n\ndone: {args.out}")


if __name__ == "__main__":
    with one_line_errors():
        main()
