"""Folds of a cross-validation share embeddings where nothing differs in them."""

from types import SimpleNamespace

import pytest
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from torch import nn

from recipes.classification import after
from recipes.classification.embedding_cache import EmbeddingCache

N = 9
FOLDS = [(range(3), range(3, 6)), (range(6, 9), range(3)), (range(4), range(9))]
HPARAMS = {"batch_size": 16, "num_workers": 0}


class Embedder(nn.Module):
    """First and last sample of each signal; counts signals."""

    n_seen = 0

    def forward(self, wavs, lengths):
        self.n_seen += len(wavs)
        last = (lengths * wavs.shape[1]).round().long() - 1
        return torch.stack([wavs[:, 0], wavs[range(len(wavs)), last]], dim=1)


def recordings(numbers):
    """Recordings of so many samples, made of their number."""
    items = {
        f"r{i}": {
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


def embed_folds(source, is_own=True, cached=True, classes=lambda fold: "ab"):
    """Number of embedded signals, and the embeddings of each fold's splits."""
    cache, embedder = EmbeddingCache(source), Embedder()
    model = embedder if is_own else nn.Identity()
    results = []
    for fold, splits in enumerate(FOLDS):
        brain = SimpleNamespace(
            modules=SimpleNamespace(embedder=model),
            **{"cached": cached, "classes": [*classes(fold)]},
            **{"device": "cpu", "noprogressbar": True},
        )
        sets = {str(i): recordings(part) for i, part in enumerate(splits)}
        results.append(cache(brain, HPARAMS, sets, embedder, "embedding"))
    return embedder.n_seen, results


N_ALL = sum(len(part) for splits in FOLDS for part in splits)


@pytest.mark.parametrize(
    "expected, changes",
    [
        (N, {}),
        (N, {"is_own": False, "source": "random_calibrated"}),  # log-mel
        (N, {"is_own": False, "cached": False}),
        (N_ALL, {"cached": False}),  # fine-tuned
        (N_ALL, {"source": "random_calibrated"}),  # on the fold's recordings
        (N_ALL, {"source": "results/adapted/{fold}"}),
    ],
)
def test_a_recording_is_embedded_once_if_no_fold_changes_what_embeds_it(
    expected, changes
):
    n_seen, _ = embed_folds(**{"source": "results/simclr", **changes})
    assert n_seen == expected


def test_folds_with_other_classes_have_their_own_numbers_of_classes():
    order = ["ab", "ba", "ab"]
    n_seen, _ = embed_folds("results/simclr", classes=lambda fold: order[fold])
    assert n_seen == N + len({*FOLDS[1][0], *FOLDS[1][1]})


def test_each_split_has_its_own_recordings_in_order():
    _, results = embed_folds("results/simclr")
    for splits, result in zip(FOLDS, results):
        for i, numbers in enumerate(splits):
            rows = [result[str(i)][k] for k in range(len(numbers))]
            assert [row["id"] for row in rows] == [f"r{n}" for n in numbers]
            for n, row in zip(numbers, rows):
                assert row["emb"].tolist() == [n, n]
                assert row["patient_id"] == f"p{n}"
                assert row["class_index"] == n % 2


def test_on_a_cpu_an_embedding_does_not_depend_on_the_other_recordings():
    """The promise that one fold of a run can be repeated to the bit."""
    torch.manual_seed(0)
    layer = nn.GRU(1, 4, batch_first=True)

    class Recurrent(nn.Module):
        def forward(self, wavs, lengths):
            return layer(wavs.unsqueeze(2))[0][:, -1]

    brain = SimpleNamespace(device="cpu", noprogressbar=True)

    def embedded(numbers):
        sets = {"test": recordings(numbers)}
        parts = brain, HPARAMS, sets, Recurrent(), "embedding"
        return after.embed_all(*parts)["test"].data

    alone, together = embedded([4]), embedded(range(N))
    assert torch.equal(alone["r4"]["emb"], together["r4"]["emb"])
