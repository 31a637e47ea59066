"""Fixtures that several tests share, and the three tiers of tests.

1. Unit tests run in the process of the test: no subprocess, no training. They
   make their own audio (``noise``, ``write``, ``database``).
2. Tests of recipes run train scripts and other commands in forks of one warm
   process (``script``, ``command_of``; see forks.py). Tests that need a trained
   run share tiny ones, each trained once in a session: ``pretrained``,
   ``trained``, on ``corpus`` and ``clinic``.
3. Tests marked ``slow`` start real processes or train at length: several
   ranks, SIGKILL, a browser, SpeechBrain's checkout. ``representative`` marks
   the cheapest one of a promise, which continuous integration runs too.
"""

import csv
import json
import logging
import os
import socket
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import torch.distributed as dist
from filelock import FileLock
from hypothesis import settings

from data_prep.synthetic.corpora import make_corpus

# The same examples each time, so that a failure is due to the change.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """Escape logged file names that are not Unicode: pytest-xdist's workers
    report in UTF-8."""
    report = (yield).get_result()
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode())
        for name, text in report.sections
    ]


@pytest.fixture(autouse=True)
def log_level():
    """Undo what a test's experiment sets: SpeechBrain logs from DEBUG on."""
    root = logging.getLogger()
    before = root.level
    yield
    root.setLevel(before)


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """``once(name, make)`` calls ``make(folder)`` once in a session, in the
    first worker of pytest-xdist that needs it, and returns the folder. All
    tests share it: none may change it."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def once(name, make):
        folder, done = base / "once" / name, base / f"once/{name}.done"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def corpus(once):
    """The smallest synthetic corpus: vggsound/ and cry/."""
    return once(
        "corpus",
        lambda out: make_corpus(out, scale="tiny", seed=1, workers=1),
    )


@pytest.fixture
def noise(tmp_path):
    """Write white noise: ``noise("a.wav", seconds=1.0, rate=16000)``."""

    def write(name, seconds=1.0, rate=16000, channels=1, level=0.1, **format):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        samples = rng.normal(0, level, (round(seconds * rate), channels))
        soundfile.write(path, samples.clip(-1, 1), rate, **format)
        return path

    return write


@pytest.fixture
def write(noise):
    """Write a short recording, each different: ``write("pain/a.wav")``."""
    return lambda name: noise(f"src/{name}", seconds=0.3, rate=8000)


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory):
    """``two_ranks(function, *arguments)`` calls ``function(rank, *arguments)``
    in two processes of a group, and returns both results."""

    def two_ranks(function, *arguments):
        folder = tmp_path_factory.mktemp("two_ranks")
        # A fork starts at once, while imports take ten seconds; the threads
        # of CUDA do not survive it.
        start = "spawn" if torch.cuda.is_available() else "fork"
        torch.multiprocessing.start_processes(
            _rank, (folder, function, arguments), 2, start_method=start
        )
        return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]

    return two_ranks


def _rank(rank, folder, function, arguments):
    torch.set_num_threads(1)  # OpenMP's threads do not survive it either
    group = f"file://{folder}/group"
    dist.init_process_group("gloo", group, rank=rank, world_size=2)
    torch.save(function(rank, *arguments), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture
def free_port():
    """A free port of the loopback interface."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture
def marker(tmp_path):
    """The file that planted code would write (see planted.py); none may."""
    path = tmp_path / "it_ran"
    yield path
    assert not path.exists()


@pytest.fixture
def database(noise, tmp_path):
    """Write recordings.csv: 40 recordings of 20 patients, 6 injured."""

    def write(extra="", cells=lambda i: "", change=None):
        rows = ["recording_id,patient_id,path,neuro_injury,site" + extra]
        for i in range(40):
            label = "injury" if i < 12 else "healthy"
            noise(f"db/audio/r{i}.wav", seconds=0.5)
            row = f"r{i},P{i // 2},audio/r{i}.wav,{label},s{i % 4}{cells(i)}"
            rows.append(change(i, row) if change else row)
        (tmp_path / "db/recordings.csv").write_text("\n".join(rows) + "\n")
        return tmp_path / "db"

    return write


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """Run a command in a fork of a process that has imported everything; see
    ``script`` and ``command_of``."""
    folder = tmp_path_factory.mktemp("forks")
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("forks.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "."},
    )
    assert json.loads(server.stdout.readline()) == "ready"

    def run(name, arguments, log, errors, signal=0, after=0.0, curves=False):
        request = {"name": name, "arguments": [str(a) for a in arguments]}
        request.update(log=str(folder / log), errors=str(folder / errors))
        request.update(signal=int(signal), after=after, curves=curves)
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        done = SimpleNamespace(**json.loads(server.stdout.readline()))
        done.output = (folder / log).read_text()
        done.errors = (folder / errors).read_text()
        return done

    yield run
    server.stdin.close()
    server.wait()


@pytest.fixture(scope="session")
def script(forks):
    """Run a train script: ``script("train_cls.py", "a.yaml", "--seed=1",
    status=2).output``.

    ``signal`` is sent ``after`` so many seconds; the exit status must be
    ``status`` unless that is None; pre-training draws its curves only with
    ``curves=True``.
    """

    def script(name, *arguments, status=0, **how):
        done = forks(name, arguments, "log.txt", "log.txt", **how)
        if status is not None:
            assert done.status == status, done.output
            assert "Traceback" not in done.output
        return done

    return script


@pytest.fixture(scope="session")
def command_of(forks):
    """``command_of("data_prep.split")(*arguments)`` runs ``python -m
    data_prep.split`` and returns a ``CompletedProcess``."""

    def command_of(module):
        def run(*arguments):
            done = forks(module, arguments, "out.txt", "err.txt")
            return subprocess.CompletedProcess(
                [module, *arguments], done.status, done.output, done.errors
            )

        return run

    return command_of


@pytest.fixture(scope="session")
def clinic(once):
    """Two recordings each of 18 patients in three folds and three sites: a
    tone, higher in injured patients, of three lengths."""
    return once("clinic", make_clinic)


def make_clinic(folder):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(18):
        injured = patient % 3 == 0
        for take in range(2):
            seconds = [0.6, 1.1, 1.7][(patient + take) % 3]
            t = np.arange(round(8000 * seconds)) / 8000
            tone = 0.1 * np.sin(2 * np.pi * (900 if injured else 500) * t)
            name = f"cry_p{patient}_{take}.wav"
            noise = rng.normal(0, 0.05, len(t))
            soundfile.write(folder / name, tone + noise, 8000)
            label = "injury" if injured else "healthy"
            site = ["north", "south", "west"][patient // 3 % 3]
            kind = ["a", "b", "ab"[patient % 2]][patient // 6]
            rows.append(
                [name[:-4], f"patient-{patient}", name, label, site]
                + [patient // 6, 10 * patient, kind]
            )
    header = "recording_id,patient_id,path,neuro_injury,site,fold,age,kind"
    with open(folder / "recordings.csv", "w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


@pytest.fixture(scope="session")
def pretrained(script, corpus, once):
    """A finished tiny run of train_simclr.py on the corpus."""

    def train(folder):
        script(
            *["train_simclr.py", "hparams/small_simclr.yaml", "--width=1"],
            *["--batch_size=4", "--number_of_epochs=2", "--warmup_epochs=1"],
            *["--device=cpu", "--noprogressbar"],
            *[f"--data_folder={corpus}/vggsound", f"--output_folder={folder}"],
        )

    return once("pretrained", train)


@pytest.fixture(scope="session")
def trained(script, clinic, once):
    """A finished tiny run of train_cls.py on the clinic, such as
    ``trained(readout="embedding+logmel")``; each is trained once."""
    least = {"width": 1, "batch_size": 4, "number_of_epochs": 3}
    # Without calibration a random encoder gives all sounds one embedding.
    least.update(encoder_source="random_calibrated")
    least.update(bootstrap_draws=100, nuisance="null", device="cpu")
    least.update(controls=False, figures=False)

    def trained(**options):
        def train(folder):
            script(
                "train_cls.py",
                "hparams/neuro_linear.yaml",
                f"--data_folder={clinic}",
                f"--output_folder={folder}",
                "--noprogressbar",
                *[f"--{k}={v}" for k, v in {**least, **options}.items()],
            )

        words = [f"{k}-{options[k]}" for k in sorted(options)]
        return once("_".join(["trained", *words]), train)

    return trained
