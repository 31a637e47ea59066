"""Embeddings that folds and runs share: computed once, and the same to the bit."""

import json
from types import SimpleNamespace

import pytest
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from torch import nn

from data_prep.audio.checksums import write_checksums
from data_prep.files.errors import InputError
from recipes.classification import after, train_cls
from recipes.classification.embedding_cache import EmbeddingCache

N = 9
FOLDS = [(range(3), range(3, 6)), (range(6, 9), range(3)), (range(4), range(9))]
N_ALL = sum(len(part) for splits in FOLDS for part in splits)


class Embedder(nn.Module):
    """First and last sample of each signal, times a weight; counts signals."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight))
        self._n_seen = 0

    def forward(self, wavs, lengths):
        self._n_seen += len(wavs)
        last = (lengths * wavs.shape[1]).round().long() - 1
        ends = torch.stack([wavs[:, 0], wavs[range(len(wavs)), last]], dim=1)
        return ends * self.weight


def recordings(numbers):
    """Recordings of so many samples, made of their number."""
    items = {
        f"r{i}": {
            "wav": f"data/r{i}.wav",
            "start": "0",
            "stop": str((i + 1) / 100),
            "patient_id": f"p{i}",
            "class_index": i % 2,
        }
        for i in numbers
    }
    dataset = DynamicItemDataset(items)

    def signal(ID):
        return torch.full((int(ID[1:]) + 1,), float(ID[1:]))

    dataset.add_dynamic_item(signal, ["id"], ["sig"])
    dataset.set_output_keys(["id", "patient_id", "sig", "class_index"])
    return dataset


@pytest.fixture
def embed_splits(tmp_path):
    """Function that embeds splits with a cache; returns the datasets."""

    def run(cache, embedder, splits, own=True, frozen=True, **changes):
        checksums = {f"r{i}.wav": f"sum {i}" for i in range(N)}
        (tmp_path / "run/manifest").mkdir(parents=True, exist_ok=True)
        write_checksums(
            {**checksums, **changes.get("checksums", {})},
            tmp_path / "run/manifest",
        )
        brain = SimpleNamespace(
            modules=SimpleNamespace(embedder=embedder if own else None),
            **{"cached": frozen, "device": "cpu", "noprogressbar": True},
        )
        hparams = {
            **{"batch_size": 16, "num_workers": 0, "data_folder": "data"},
            "output_folder": tmp_path / "run",
            "reader": SimpleNamespace(sample_rate=changes.get("rate", 16000)),
        }
        sets = {str(i): recordings(part) for i, part in enumerate(splits)}
        return cache(brain, hparams, sets, embedder, "embedding")

    return run


@pytest.mark.parametrize(
    "expected, options, weights",
    [
        (N, {}, (1, 1, 1)),
        (N, {"own": False, "frozen": False}, (1, 1, 1)),  # log-mel statistics
        (N_ALL, {"frozen": False}, (1, 1, 1)),  # a fine-tuned encoder
        (N_ALL, {}, (1, 2, 3)),  # adapted to, or calibrated on, each fold's
    ],
)
def test_a_recording_is_embedded_once_if_no_fold_changes_what_embeds_it(
    expected, options, weights, embed_splits
):
    cache, embedders = EmbeddingCache(), [Embedder(float(w)) for w in weights]
    for embedder, splits in zip(embedders, FOLDS):
        embed_splits(cache, embedder, splits, **options)
    assert sum(embedder._n_seen for embedder in embedders) == expected


@pytest.mark.parametrize("folder", [None, "shared"])
def test_each_split_has_its_own_recordings_in_order(
    folder, embed_splits, tmp_path
):
    folder = folder and tmp_path / folder
    for splits in FOLDS:
        result = embed_splits(EmbeddingCache(folder), Embedder(), splits)
        for i, numbers in enumerate(splits):
            rows = [result[str(i)][k] for k in range(len(numbers))]
            assert [row["id"] for row in rows] == [f"r{n}" for n in numbers]
            for n, row in zip(numbers, rows):
                assert row["emb"].tolist() == [n, n]
                assert row["patient_id"] == f"p{n}"
                assert row["class_index"] == n % 2


def test_runs_share_a_folder(embed_splits, tmp_path):
    for n_new, numbers in ((3, range(3)), (6, range(N)), (0, range(2, 7))):
        embedder = Embedder()
        embed_splits(EmbeddingCache(tmp_path / "shared"), embedder, [numbers])
        assert embedder._n_seen == n_new


@pytest.mark.parametrize(
    "n_new, weight, changes",
    [
        (0, 1.0, {}),
        (N, 2.0, {}),
        (N, 1.0, {"rate": 8000}),
        (1, 1.0, {"checksums": {"r4.wav": "another file"}}),
    ],
)
def test_what_differs_is_embedded_again(
    n_new, weight, changes, embed_splits, tmp_path
):
    shared = tmp_path / "shared"
    embed_splits(EmbeddingCache(shared), Embedder(), [range(N)])
    embedder = Embedder(weight)
    embed_splits(EmbeddingCache(shared), embedder, [range(N)], **changes)
    assert embedder._n_seen == n_new


def test_a_damaged_file_is_named(embed_splits, tmp_path):
    shared = tmp_path / "shared"
    embed_splits(EmbeddingCache(shared), Embedder(), [range(N)])
    (path,) = shared.glob("*/*.npz")
    for content in (path.read_bytes()[:-40], b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="delete it, and it is computed"):
            embed_splits(EmbeddingCache(shared), Embedder(), [range(N)])


def test_a_folder_that_is_a_file_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file; pass a folder"):
        EmbeddingCache(tmp_path / "file")


def test_on_a_cpu_an_embedding_does_not_depend_on_the_other_recordings():
    """The promise that one fold of a run can be repeated to the bit."""
    torch.manual_seed(0)
    layer = nn.GRU(1, 4, batch_first=True)

    class Recurrent(nn.Module):
        def forward(self, wavs, lengths):
            return layer(wavs.unsqueeze(2))[0][:, -1]

    brain = SimpleNamespace(device="cpu", noprogressbar=True)
    hparams = {"batch_size": 16, "num_workers": 0}

    def embedded(numbers):
        sets = {"test": recordings(numbers)}
        parts = brain, hparams, sets, Recurrent(), "embedding"
        return after.embed_all(*parts)["test"].data

    alone, together = embedded([4]), embedded(range(N))
    assert torch.equal(alone["r4"]["emb"], together["r4"]["emb"])


def test_a_run_with_shared_embeddings_equals_one_without(clinic, tmp_path):
    """Also with fewer labels, and read by another head."""
    shared = f"--embedding_cache={tmp_path / 'shared'}"

    def trained(name, *options):
        folder = tmp_path / name
        train_cls.main(
            [
                *["hparams/neuro_linear.yaml", f"--data_folder={clinic}"],
                *[f"--output_folder={folder}", "--number_of_epochs=3"],
                *["--width=1", "--bootstrap_draws=100", "--device=cpu"],
                *["--figures=False", "--noprogressbar", "--nuisance=null"],
                *options,
            ]
        )
        metrics = json.loads((folder / "metrics.json").read_text())
        tests = sorted(folder.rglob("predictions_test.csv"))
        return metrics["test"], [path.read_text() for path in tests]

    trained("first", shared)
    files = set(tmp_path.glob("shared/*/*"))
    assert files
    for i, options in enumerate((["--label_fraction=0.5"], ["--solver=lbfgs"])):
        alone = trained(f"alone{i}", *options)
        assert trained(f"shared{i}", shared, *options) == alone
    assert set(tmp_path.glob("shared/*/*")) == files
