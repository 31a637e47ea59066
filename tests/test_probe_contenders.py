"""Both sides of the yardstick's classifiers do the work they say."""

import csv
import math
import sys
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import probe_contenders  # noqa: E402


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work") / "clinic"
    return str(probe_contenders.make_clinic(folder, 8))


def test_a_clinic_has_both_classes_and_no_patient_in_two_splits(clinic):
    with open(f"{clinic}/recordings.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    splits_of = {row["patient_id"]: set() for row in rows}
    for row in rows:
        splits_of[row["patient_id"]].add(row["split"])
    assert all(len(splits) == 1 for splits in splits_of.values())
    train = probe_contenders.examples(clinic, "train")
    assert len(train) == 8 and {label for _, label in train} == {0, 1}
    assert len(rows) == 8 + 2 + 4


def flop(step):
    with FlopCounterMode(display=False) as counter:
        assert math.isfinite(step())
    return counter.get_total_flops()


def test_linear_bn_computes_no_gradient_of_a_convolution(clinic):
    """Forward, gradient of the input, gradient of the weights: of three
    products of one size, BatchNorm alone needs two."""
    options = {"folder": clinic, "width": 8, "batch_size": 2}
    whole, norms = (
        flop(probe_contenders.project_step(mode, **options))
        for mode in ("end_to_end", "linear_bn")
    )
    assert norms / whole == pytest.approx(2 / 3, rel=0.03)
    plain = flop(probe_contenders.plain_step(**options))
    assert plain == pytest.approx(whole, rel=0.03)


def test_the_plain_probe_embeds_training_and_validation(clinic):
    step = probe_contenders.plain_epoch(clinic, width=8)
    one = flop(probe_contenders.plain_step(clinic, width=8, batch_size=1))
    # A forward pass of 8 + 2 recordings; full training is three of one.
    assert flop(step) == pytest.approx(10 * one / 3, rel=0.05)


@pytest.mark.slow
def test_the_projects_probe_is_a_whole_run(clinic):
    step = probe_contenders.project_probe(clinic, width=1, n_runs=1)
    step()
    (history,) = Path(clinic).parent.glob("*/history.json")
    assert history.read_text().count('"epoch"') == probe_contenders.EPOCHS
    assert list(history.parent.glob("predictions_test.csv"))
