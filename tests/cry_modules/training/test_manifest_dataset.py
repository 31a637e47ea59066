"""Manifests without an object a recording: SpeechBrain's own reader is the
slow twin."""

import os
import pickle

import numpy as np
import pytest
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import provides, takes

from cry_modules.training.dataset import manifest_dataset
from cry_modules.training.loader_workers import worker_options
from data_prep import manifest
from data_prep.files.errors import InputError
from data_prep.manifest import Recording

KEYS = ["id", "wav", "start", "stop", "label", "site", "duration", "seconds"]
ODD = ("a,b", 'says "hm"', " begins", "gr\u00e5", "two\nlines", "x" * 300, "#")


@takes("start", "stop")
@provides("seconds")
def seconds(start, stop):
    """Length."""
    return float(stop) - float(start)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A manifest of 500 recordings as ``manifest.write`` leaves it."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    recordings = []
    for i in range(500):
        odd = ODD[i % len(ODD)] if i % 3 == 0 else ""
        name = f"{odd.strip()[:9]}{i}.wav"
        (root / name).touch()
        stop = round(rng.uniform(0.1, 10), 3)
        rec = Recording(f"{odd}{i}", 10.0 + stop, name, 0.0, stop, odd, odd, "")
        rec.patient_id = f"p{i}"
        rec.site = rng.choice(["", "north", "south, east"])
        recordings.append(rec)
    corpus = {"name": "x", "synthetic": True}
    manifest.write({"train": recordings}, root, root, corpus)
    return root / "train.csv"


@pytest.fixture
def both(path):
    """SpeechBrain's dataset and ours."""
    arguments = path, {"data_root": "/my data"}, [seconds], KEYS
    twin = DynamicItemDataset.from_csv(*arguments)
    return twin, manifest_dataset(*arguments)


def test_same_items_as_from_csv(both):
    twin, ours = both
    assert len(ours) == len(twin) == 500
    assert list(ours.data_ids) == twin.data_ids
    assert [ours[i] for i in range(500)] == [twin[i] for i in range(500)]
    assert ours[-1] == twin[-1]
    with pytest.raises(IndexError):
        ours[500]
    assert dict(ours.data) == twin.data and list(ours.data) == twin.data_ids
    assert list(ours.data.values()) == list(twin.data.values())
    assert "p1" not in ours.data
    with pytest.raises(KeyError, match="no such"):
        ours.data["no such"]


@pytest.mark.parametrize(
    "how",
    [
        {"sort_key": "duration"},
        {"sort_key": "seconds", "reverse": True, "select_n": 100},
        {"key_min_value": {"seconds": 5.0}, "sort_key": "site"},
        {"key_test": {"label": len}},
    ],
)
def test_same_when_filtered_and_sorted(both, how):
    twin, ours = (dataset.filtered_sorted(**how) for dataset in both)
    assert 0 < len(ours) == len(twin)
    assert list(ours) == list(twin)


def test_same_output_keys_afterwards(both):
    for dataset in both:
        dataset.set_output_keys({"name": "id", "s": "seconds"})
    twin, ours = both
    assert ours[7] == twin[7] and set(ours[7]) == {"name", "s"}


def test_same_batches_from_loader_workers(both):
    batches = [[4, 499, 3], [3, 3]]
    twin, ours = (
        make_dataloader(d, batch_sampler=batches, **worker_options(2))
        for d in both
    )
    for a, b in zip(twin, ours, strict=True):
        assert (a.id, a.wav) == (b.id, b.wav)
        assert a.seconds.tolist() == b.seconds.tolist()


@pytest.mark.parametrize(
    "lines, message",
    [
        (
            'a,1,x,\nb,1,y,\n"b",1,z,\na,1,z,\n',
            "row 4: ID 'b' is already used in .*a.csv row 3; give each",
        ),
        (
            "a,1,$data_root/x,\nb,1,x,$5\n",
            r"holds the unknown variable '\$5'; remove the '\$'",
        ),
        ("", "has a header and no rows"),
    ],
)
def test_what_from_csv_refuses_is_refused_in_one_line(lines, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ID,duration,wav,label\n" + lines)
    with pytest.raises((ValueError, KeyError, IndexError)):
        DynamicItemDataset.from_csv(path, {"data_root": "/d"})
    with pytest.raises(InputError, match=message):
        manifest_dataset(path, {"data_root": "/d"})


@pytest.mark.parametrize(
    "cell", ["$data_root", "$data_root/x", "{x} %s", "5 $ a night", "=1+1"]
)
def test_only_the_path_is_replaced(cell, tmp_path):
    """Signs of templates in any other column are text."""
    path = tmp_path / "a.csv"
    path.write_text(
        "ID,duration,wav,label,patient_id,site\n"
        + f"{cell},1,$data_root/{cell},{cell},{cell},{cell}\n"
    )
    [row] = manifest_dataset(path, {"data_root": "/d"}).data.values()
    assert row.pop("wav") == f"/d/{cell}" and row.pop("duration") == 1.0
    assert set(row.values()) == {cell}


@pytest.mark.parametrize("column", ["label", "patient_id", "site"])
@pytest.mark.parametrize("cell", ["$x", "$\u00e9", "a$x.b"])
def test_variables_of_a_user_are_refused_in_one_line(column, cell, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        f"ID,duration,wav,{column}\na,1,$data_root/a,{cell}\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="a.csv holds the unknown variable"):
        manifest_dataset(path, {"data_root": "/d"})


@pytest.mark.parametrize("cell", ['"0,5"', "long", "nan", ""])
def test_durations_that_are_not_numbers_are_refused(cell, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"ID,duration,wav\na,{cell},$data_root/a\n")
    with pytest.raises(InputError, match="row 2: duration is .* such as 0.5"):
        manifest_dataset(path, {"data_root": "/d"})


def test_a_copy_holds_the_file_and_a_few_numbers_a_row(path, both):
    copy = pickle.dumps(both[1].data)
    assert len(copy) < os.path.getsize(path) + 500 * 28 + 2000
    assert dict(pickle.loads(copy)) == both[0].data
