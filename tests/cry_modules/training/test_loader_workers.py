"""Loader workers: how they start, on each system, and how a run ends when one
of them fails."""

import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import threading
from multiprocessing.reduction import ForkingPickler
from types import SimpleNamespace

import pytest
import torch
from speechbrain.dataio.dataloader import make_dataloader
from torch.utils.data import ConcatDataset, DataLoader

from cry_modules.audio import RecordingReader
from cry_modules.front_ends import LogMel
from cry_modules.training import loader_workers
from cry_modules.training.batches import EmbeddingSet
from cry_modules.training.loader_workers import (
    check_shared_memory,
    check_workers,
    worker_errors,
    worker_options,
)
from cry_modules.training.probe import _whole_recordings
from cry_modules.training.views_data import read_views
from cry_modules.views.chunks_and_masks import RandomChunks
from data_prep import manifest
from data_prep.files import processors
from data_prep.files.errors import InputError
from data_prep.vggsound_prepare import prepare_vggsound
from recipes.classification import train_cls
from recipes.simclr import train_simclr


class Squares:
    """Dataset with a function that cannot be pickled."""

    def __init__(self):
        self.square = lambda x: x * x

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return self.square(i)


@pytest.fixture
def no_fork_by_default():
    """The default of Python 3.14."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("forkserver", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_local_functions_reach_the_workers(num_workers, no_fork_by_default):
    loader = DataLoader(Squares(), batch_size=2, **worker_options(num_workers))
    assert [batch.tolist() for batch in loader] == [[0, 1], [4, 9]]


class Broken(Squares):
    """Dataset whose third item does what it is told."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def __getitem__(self, i):
        return self.act() if i == 2 else super().__getitem__(i)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def refuse():
    raise InputError("a.wav cannot be read; restore it")


def end():
    os._exit(3)


def unsendable():
    return threading.Lock()


def no_room():
    return NoRoom()


class NoRoom:
    """Its pickling fails like that of a tensor where /dev/shm is full."""

    def __reduce__(self):
        raise RuntimeError("unable to allocate shared memory(shm)")


@pytest.mark.parametrize(
    "act, message",
    [
        (kill, "a loader worker .*(is killed by signal|exited unexpectedly)"),
        (end, "a loader worker exited unexpectedly.*; lower --num_workers"),
        (refuse, "^a.wav cannot be read; restore it$"),
        (no_room, "cannot hand over a batch .unable to allocate.*--shm-size"),
        (unsendable, "cannot hand over a batch .cannot pickle"),
    ],
)
def test_what_fails_in_a_worker_ends_the_run_in_one_line(act, message):
    loader = DataLoader(
        Broken(act), batch_size=1, collate_fn=list, **worker_options(2)
    )
    with pytest.raises(InputError, match=message) as error, worker_errors():
        list(loader)
    assert "\n" not in str(error.value)


def test_other_errors_of_a_worker_stay_tracebacks():
    with pytest.raises(RuntimeError, match="shapes differ"), worker_errors():
        raise RuntimeError("shapes differ")


@pytest.fixture
def shared(monkeypatch, tmp_path):
    """Shared memory with so many free megabytes."""

    def shared(free_mb, folder=tmp_path, ranks=1):
        usage = SimpleNamespace(free=free_mb * 1e6)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        monkeypatch.setattr(loader_workers, "SHARED", folder)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
        monkeypatch.setattr(sys, "platform", "linux")

    return shared


@pytest.mark.parametrize(
    "workers, free, ranks, cure",
    [
        # Two batches of each worker and the one in use, of 65 MB each.
        (2, 64, 1, "325 MB .* 64 MB free; pass --num_workers 0, or .*=1g"),
        (4, 400, 1, "585 MB .* 400 MB free; pass --num_workers 2, or"),
        (2, 400, 2, "650 MB .* 400 MB free; pass --num_workers 1, or"),
    ],
)
def test_workers_need_room_for_their_batches(
    workers, free, ranks, cure, shared
):
    shared(free, ranks=ranks)
    with pytest.raises(InputError, match=f"--num_workers {workers} .*{cure}"):
        check_shared_memory(workers, 65e6)


@pytest.mark.parametrize("workers, free", [(0, 0), (2, 325), (1, 195)])
def test_workers_with_room_start(workers, free, shared):
    shared(free)
    check_shared_memory(workers, 65e6)


def test_workers_are_few_for_each_processor(shared, monkeypatch):
    shared(10_000)
    monkeypatch.setattr(processors, "n_processors", lambda: 2)
    check_workers(8, 65e6)
    with pytest.raises(InputError, match="--num_workers is 9; it must be 8 or"):
        check_workers(9, 65e6)


def test_missing_shared_memory_is_one_line(shared, tmp_path):
    shared(1000, folder=tmp_path / "none")
    with pytest.raises(InputError, match="cannot be written to; pass --num_w"):
        check_shared_memory(1, 65e6)
    check_shared_memory(0, 65e6)


def test_a_run_is_refused_before_it_starts(corpus, tmp_path, shared, capsys):
    """The batches of vggsound.yaml in Docker's default: a hang once."""
    shared(0.1)
    with pytest.raises(SystemExit) as stop:
        train_simclr.main(
            [
                *["hparams/small_simclr.yaml", "--width=1", "--device=cpu"],
                *["--number_of_epochs=2", "--warmup_epochs=1"],
                *["--batch_size=4", "--num_workers=2", "--chunk_s=1"],
                f"--data_folder={corpus}/vggsound",
                f"--output_folder={tmp_path}/run",
            ]
        )
    assert stop.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    # 4 recordings, 2 views of 1 s at 16 kHz, 4 bytes a sample: 0.5 MB.
    assert last.startswith("error: --num_workers 2 needs 3 MB of shared")
    assert not (tmp_path / "run/history.json").exists()


@pytest.fixture
def datasets(corpus, tmp_path):
    """Each kind of dataset that a loader with workers reads."""
    manifests = str(tmp_path)
    prepare_vggsound(corpus / "vggsound", manifests, 0.2, 2)
    # As a classifier's manifest, which has a third split.
    shutil.copy(f"{manifests}/valid.csv", f"{manifests}/test.csv")
    rows = manifest.read(f"{manifests}/valid.csv")
    reader = RecordingReader(16000, cache_mb=1)
    hparams = {
        "reader": reader,
        "logmel": LogMel(16000, 80),
        "chunks": RandomChunks(0.5, 16000, seed=1),
        "n_views": 2,
        "data_folder": corpus / "vggsound",
    }
    hparams["chunks"].epoch = 3
    train, _ = read_views(hparams, manifests, hparams["data_folder"])
    classes = sorted(
        {row.label for row in manifest.read(f"{manifests}/train.csv")}
    )
    classified = train_cls.dataio_prepare(hparams, manifests, classes, "chunks")
    probe = _whole_recordings(rows, corpus / "vggsound", reader, 4960)
    cached = [
        {"id": "a", "patient_id": "p", "class_index": 0, "emb": torch.ones(2)}
    ]
    return {
        "views": train,
        "train": classified["train"],
        "test": classified["test"],
        "joined": ConcatDataset([train, train]),
        "probe": probe,
        "embeddings": EmbeddingSet(cached),
    }


def test_datasets_reach_workers_that_are_not_forks(datasets):
    """macOS and Windows start workers anew and send them a pickle."""
    for name, dataset in datasets.items():
        if name != "embeddings":
            dataset[0]  # a cache, or a generator that has begun, may be in it
        again = pickle.loads(ForkingPickler.dumps(dataset))
        assert len(again) == len(dataset), name
    for option in worker_options(2).values():
        ForkingPickler.dumps(option)


@pytest.mark.slow
def test_spawned_workers_draw_the_same_chunks(datasets, monkeypatch):
    monkeypatch.setattr(loader_workers.sys, "platform", "darwin")
    options = worker_options(1)
    assert options["multiprocessing_context"] == "spawn"
    views = datasets["views"]
    loader = make_dataloader(views, batch_size=4, **options)
    drawn = torch.cat([batch.chunks.data for batch in loader])
    expected = torch.stack([views[i]["chunks"] for i in range(len(views))])
    assert torch.equal(drawn, expected)
