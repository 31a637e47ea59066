"""Tests of samplers that the user gives to a Brain in a single process.

Authors
 * The contributors of cry-ssl 2026
"""

import pytest
import torch

import speechbrain as sb
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import (
    BalancingDataSampler,
    DynamicBatchSampler,
    ReproducibleRandomSampler,
    ReproducibleWeightedRandomSampler,
)

EPOCHS = range(1, 4)


class RecordingBrain(sb.Brain):
    """Record the items of each epoch."""

    def on_stage_start(self, stage, epoch=None):
        self.epochs = getattr(self, "epochs", []) + [[]]

    def compute_forward(self, batch, stage):
        self.epochs[-1].append(batch.id)
        return self.modules.model(torch.zeros(1, 1, device=self.device))

    def compute_objectives(self, predictions, batch, stage):
        return predictions.mean()


def make_brain(device):
    return RecordingBrain(
        {"model": torch.nn.Linear(1, 1)},
        lambda parameters: torch.optim.SGD(parameters, 0.1),
        run_opts={"device": device},
    )


def make_dataset():
    items = {
        f"item{i}": {"duration": 1.0 + i % 5, "kind": "ab"[i % 3 == 0]}
        for i in range(20)
    }
    return DynamicItemDataset(items, output_keys=["id"])


def shuffling(dataset):
    return {"sampler": ReproducibleRandomSampler(dataset)}


def weighted(dataset):
    weights = [1.0 + i % 4 for i in range(len(dataset))]
    return {
        "sampler": ReproducibleWeightedRandomSampler(
            weights, len(dataset), replacement=True
        )
    }


def balancing(dataset):
    return {"sampler": BalancingDataSampler(dataset, "kind")}


def dynamic(dataset):
    return {"batch_sampler": DynamicBatchSampler(dataset, 15.0, num_buckets=2)}


def fit(device, make_sampler, as_loader):
    """Items of each batch in each epoch."""
    brain = make_brain(device)
    dataset = make_dataset()
    kwargs = make_sampler(dataset)
    if as_loader:
        train_set = make_dataloader(dataset, **kwargs)
        brain.fit(EPOCHS, train_set, progressbar=False)
    else:
        brain.fit(
            EPOCHS, dataset, progressbar=False, train_loader_kwargs=kwargs
        )
    return brain.epochs


@pytest.mark.parametrize("as_loader", [False, True])
@pytest.mark.parametrize(
    "make_sampler", [shuffling, weighted, balancing, dynamic]
)
def test_each_epoch_draws_anew(make_sampler, as_loader, device):
    first, second, third = fit(device, make_sampler, as_loader)
    assert first != second
    assert second != third
    # A run can be repeated:
    again = fit(device, make_sampler, as_loader)
    assert again == [first, second, third]


@pytest.mark.parametrize("as_loader", [False, True])
def test_draws_are_those_of_the_epoch(as_loader, device):
    drawn = fit(device, weighted, as_loader)
    dataset = make_dataset()
    sampler = weighted(dataset)["sampler"]
    for epoch, batches in zip(EPOCHS, drawn):
        sampler.set_epoch(epoch)
        assert batches == [[dataset.data_ids[i]] for i in sampler]


class CountingSampler(torch.utils.data.SequentialSampler):
    """Record the epochs that are set."""

    def __init__(self, dataset):
        super().__init__(dataset)
        self.epochs = []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


@pytest.mark.parametrize(
    "by_hand, nested", [(False, False), (True, False), (True, True)]
)
def test_epoch_is_set_once(by_hand, nested, device):
    brain = make_brain(device)
    dataset = make_dataset()
    sampler = CountingSampler(dataset)
    kwargs = {"sampler": sampler}
    if nested:
        batches = torch.utils.data.BatchSampler(sampler, 2, drop_last=False)
        kwargs = {"batch_sampler": batches}
    if by_hand:
        brain.train_sampler = sampler
    brain.fit(EPOCHS, dataset, progressbar=False, train_loader_kwargs=kwargs)
    assert sampler.epochs == list(EPOCHS)


def test_sampler_without_epochs(device):
    def in_order(dataset):
        return {"sampler": torch.utils.data.SequentialSampler(dataset)}

    first, second, third = fit(device, in_order, as_loader=True)
    assert first == second == third
