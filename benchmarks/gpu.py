#!/usr/bin/env python3
"""Measure the speed of SimCLR training on one GPU, end to end from a pack.

> python benchmarks/gpu.py

Needs one GPU, no network, 1 GB of the temporary folder, and some minutes: a row
takes its start-up and ``--seconds``, and up to a minute more to compile. For
each variant and batch size the table has recordings per second (two views each;
quartiles over windows of some steps) from the pack through the recipe's loader
and Brain, the share of the GPU's peak, the peak memory, the share of the time
that the loop waits for data (the GPU may still compute the previous step), and
how often a step makes the host wait for the GPU. A batch that does not fit has a
note instead. The last rows are the plain recipe of ``reference.py``, in turns
with the project. ``--out`` is complete after every row.

Recordings are 10 s of noise, few enough to stay in the system's cache: the disk
is not measured. Floating point operations are counted on a small batch and
divided by its size; those of the loss grow with the square of the batch, and at
1,024 recordings and width 64 are below 0.1 %. On a CPU the peak memory is that
of the process so far. To try the script without a GPU:

> python benchmarks/gpu.py --device cpu --width 2 --batches 4 8 --chunk_s 1 \\
>   --variants fp32 bf16 --reference_batches 4 --seconds 1
"""

import argparse
import atexit
import itertools
import json
import math
import os
import random
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
from gpu_device import describe, peak_gb, release, synchronize  # noqa: E402
from gpu_table import head, line, summary  # noqa: E402
from project import simclr_brain  # noqa: E402

from cry_modules.training.schedule import step_schedule  # noqa: E402
from cry_modules.training.stopping import kill_workers  # noqa: E402
from data_prep.files.errors import InputError, one_line_errors  # noqa: E402
from data_prep.files.tables import write_text  # noqa: E402
from data_prep.pack import pack  # noqa: E402

#: SpeechBrain's run options by variant.
BF16 = {"precision": "bf16"}
COMPILED = {"compile": True, "compile_module_keys": ["encoder"]}
VARIANTS = {"fp32": {}, "bf16": BF16, "bf16+compile": {**BF16, **COMPILED}}
#: Note of a row by a part of the error message.
FAILURES = {
    "DataLoader worker": "a loader worker died; lower --num_workers",
    "shared memory": "too little shared memory; lower --num_workers",
    "out of memory": "does not fit",
    "ALLOC_FAILED": "does not fit",
    "unable to find an engine": "does not fit",  # cuDNN, without workspace
    "can't allocate memory": "does not fit",  # a CPU
}
SYNC = "called a synchronizing CUDA operation"  # torch's warning
EPOCH = 1000  # batches; VGGSound has about as many
COUNT_BATCH = 4  # for counting operations
WARM_UP = 5  # steps
STEPS = 5  # of a timed window
LEAST_WINDOWS = 3
N_KERNELS = 25  # of a profile


class Forever(Sampler):
    """Batch sampler without an end: passes over the recordings, each in a new
    order.

    At the end of an epoch the loader restarts its workers: once in a thousand
    batches with VGGSound, in every batch with a small corpus.
    """

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        for epoch in itertools.count(1):
            self.batches.set_epoch(epoch)
            yield from self.batches


class ProjectStep:
    """One step of the recipe's ``fit``.

    ``waited`` counts seconds of waiting for data; up to ``in_flight`` batches
    were prepared before the measured time.
    """

    def __init__(self, folder, variant, batch_size, args):
        brain, loader = simclr_brain(
            str(folder),
            {"device": args.device, **VARIANTS[variant]},
            width=args.width,
            chunk_s=args.chunk_s,
            batch_size=batch_size,
            num_workers=args.num_workers,
        )
        brain.schedule = step_schedule(vars(brain.hparams), EPOCH, 1)
        # SpeechBrain's part: compile, and make the optimizer.
        sb.Brain.on_fit_start(brain)
        brain.modules.train()
        brain.on_stage_start(sb.Stage.TRAIN, 1)
        brain.train_sampler.batches = Forever(brain.train_sampler.batches)
        names = ("num_workers", "pin_memory")
        self.settings = {name: getattr(loader, name) for name in names}
        self.in_flight = loader.num_workers * (loader.prefetch_factor or 0)
        self.brain, self.waited = brain, 0.0
        # SpeechBrain's loader keeps its iterator, and with it the workers,
        # beyond the life of this step.
        self.batches = DataLoader.__iter__(loader)

    def __call__(self):
        begin = time.perf_counter()
        batch = next(self.batches)
        self.waited += time.perf_counter() - begin
        self.train(batch)

    def train(self, batch):
        """Transfer, forward and backward pass, optimizer step."""
        self.brain.step += 1
        self.brain.fit_batch(batch)


class ReferenceStep:
    """``reference.simclr_step`` on any device: float32, files decoded in the
    loop."""

    in_flight = 1

    def __init__(self, folder, batch_size, args):
        self.paths = sorted(folder.glob("audio/*.wav"))
        self.batch_size = batch_size
        self.simclr = reference.SimCLR(
            args.width, args.chunk_s, device=args.device
        )
        self.optimizer = reference.sgd(self.simclr.model)

    def draw(self):
        """Draw the files of a batch."""
        return random.sample(self.paths, self.batch_size)

    def __call__(self):
        self.simclr.step(self.draw(), self.optimizer)

    def reading(self):
        """Seconds to decode a batch."""
        begin = time.perf_counter()
        for path in self.draw():
            reference.read(path)
        return time.perf_counter() - begin


def gflop_per_clip(folder, args):
    """Count the floating point operations of a training step, in 1e9 per
    recording."""
    step = ProjectStep(folder, "fp32", COUNT_BATCH, args)
    batch = next(step.batches)
    with FlopCounterMode(display=False) as counter:
        step.train(batch)
    return counter.get_total_flops() / COUNT_BATCH / 1e9


def window(step, device):
    """Time ``STEPS`` steps, in seconds."""
    synchronize(device)
    begin = time.perf_counter()
    for _ in range(STEPS):
        step()
    synchronize(device)
    return time.perf_counter() - begin


def spread(values):
    """Median and quartiles for JSON."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return {"median": middle, "quartiles": [low, high]}


def places(caught):
    """Count torch's warnings of a wait for the GPU by ``file:line``."""
    counts = Counter(
        f"{'/'.join(Path(w.filename).parts[-2:])}:{w.lineno}"
        for w in caught
        if SYNC in str(w.message)
    )
    return dict(counts.most_common())


def synchronisations(step):
    """Count by ``file:line`` how often a step makes the host wait for the GPU,
    as far as torch warns."""
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
    """Markdown table of the slowest kernels of a step."""
    on_gpu = device == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    batch = next(step.batches)
    with profile(activities=activities, acc_events=True) as profiler:
        step.train(batch)
        synchronize(device)
    # Annotations include the kernels below them, which would count twice.
    kernels = [
        (e.self_device_time_total if on_gpu else e.self_cpu_time_total, e)
        for e in profiler.key_averages()
        if e.device_type == kind and not e.is_user_annotation
    ]
    total = sum(spent for spent, _ in kernels) or 1
    lines = ["| ms | share | calls | kernel |", "|---|---|---|---|"]
    for spent, e in sorted(kernels, key=lambda pair: -pair[0])[:N_KERNELS]:
        share = f"{spent / 1e3:.3f} | {spent / total:.1%}"
        lines.append(f"| {share} | {e.count} | `{e.key[:100]}` |")
    return "\n".join(lines)


def measure(folder, variant, batch_size, args):
    """Measure the project."""
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
    """Measure the reference in turns with the project."""
    steps = {"reference": ReferenceStep(work / "wav", batch_size, args)}
    for v in variants:
        steps[v] = ProjectStep(work / "pack", v, batch_size, args)
    seconds = {side: [] for side in steps}
    for number in range(args.rounds + 1):  # the first is a warm-up
        for side, step in steps.items():
            # Use up the batches prepared while the other side worked.
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
    """Return the job's row, or a ``note`` if it does not fit or compile."""
    try:
        return job()
    except RuntimeError as error:
        text = " ".join(str(error).split())
        note = next((n for mark, n in FAILURES.items() if mark in text), None)
        if note is None and not isinstance(error, TorchDynamoException):
            raise
    # Only here the tensors held by the error's frames are free again.
    return {"note": note or f"does not compile: {text[:200]}"}


def save(args, results, profiles=()):
    """Write the results so far."""
    write_text(Path(args.out), json.dumps(results, indent=1) + "\n")
    if args.profile:
        write_text(Path(args.profile), "\n\n".join(profiles) + "\n")


def jobs(work, results, args):
    """Yield variant, batch size and function of each row."""
    for size in args.batches:
        for v in args.variants:
            yield v, size, partial(measure, work / "pack", v, size, args)
    fitting = list(results["largest_batch"])
    for size in args.reference_batches:
        yield "reference", size, partial(compare, work, fitting, size, args)


def run(work, results, args):
    """Measure all rows and write each one at once."""
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
                largest = results["largest_batch"]
                largest[variant] = max(size, largest.get(variant, 0))
        results["rows"].append(row)
        save(args, results, profiles)
        tqdm.write(line(row))


def make_corpus(work, batch_size):
    """Write noise as files and as a pack, enough for batches of this size."""
    # A tenth is for tests, a fifth of the others for validation.
    n_files = math.ceil(batch_size / 0.7) + 10
    speed.make_corpus(work / "wav", reference.RATE, n_files)
    pack(str(work / "wav"), str(work / "pack"))


def parse(argv):
    """Parse and check the command line."""
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
    add("--seconds", type=float, default=10.0, help="measured time of each row")
    add(
        "--rounds",
        type=int,
        default=7,
        help="of the comparison with the reference",
    )
    add("--num_workers", type=int, default=n_workers)
    add(
        "--profile",
        metavar="FILE",
        help="write the slowest kernels of each row",
    )
    add("--out", default=str(ROOT / "benchmarks/results_gpu.json"))
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"--device is cuda, but torch {torch.__version__} finds no GPU; "
            "pass --device cpu to try the script without one"
        )
    smallest = min(args.batches + args.reference_batches)
    if smallest < 2:
        raise InputError(
            f"--batches and --reference_batches: {smallest} is too small; pass "
            "2 or more"
        )
    if args.rounds < 1:
        raise InputError(f"--rounds is {args.rounds}; pass 1 or more")
    if args.chunk_s > speed.SECONDS:
        raise InputError(
            f"--chunk_s is {args.chunk_s}, and the recordings last "
            f"{speed.SECONDS} s; lower it"
        )
    return args


def main(argv=None) -> None:
    """Run the command line."""
    args = parse(argv)
    atexit.register(kill_workers)  # they ignore signals
    results = {
        **describe(args.device),
        "width": args.width,
        "chunk_s": args.chunk_s,
        "largest_batch": {},
        "rows": [],
    }
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
