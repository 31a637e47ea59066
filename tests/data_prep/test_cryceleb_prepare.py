"""CryCeleb2023's published layout."""

import numpy as np
import pytest
import soundfile

from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.cryceleb_prepare import prepare_cryceleb
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import SPLITS, read, read_corpus

HEADER = "baby_id,period,duration,split,chronological_index,file_name,file_id"


@pytest.fixture
def cryceleb(tmp_path):
    """Ten infants, ids with leading zeros; every other one at discharge too."""
    lines = [HEADER]
    rng = np.random.default_rng(0)
    for i in range(10):
        split = {8: "dev", 9: "test"}.get(i, "train")
        baby = f"{i + 6:04d}"
        for period in "BD" if i % 2 or i == 8 else "B":
            for n in range(2):
                name = f"audio/{split}/{baby}/{period}/{baby}_{period}_{n:03d}"
                path = tmp_path / f"cryceleb/{name}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, rng.normal(0, 0.1, 8000), 16000)
                lines.append(
                    f"{baby},{period},0.5,{split},{n:03d},{name}.wav,"
                    f"{baby}_{period}_{n:03d}"
                )
    (tmp_path / "cryceleb/metadata.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "cryceleb"


def prepare(folder):
    prepare_cryceleb(str(folder), str(folder.parent / "out"))
    return {s: read(folder.parent / f"out/{s}.csv") for s in SPLITS}


def test_official_splits_periods_and_infants(cryceleb, caplog):
    splits = prepare(cryceleb)
    assert [len(splits[s]) for s in SPLITS] == [24, 4, 4]
    assert {r.patient_id for r in splits["valid"]} == {"0014"}
    assert {r.patient_id for r in splits["test"]} == {"0015"}
    first = splits["train"][0]
    assert (first.ID, first.patient_id, first.label) == (
        "0006_B_000",
        "0006",
        "birth",
    )
    assert {r.label for r in splits["test"]} == {"birth", "discharge"}
    assert read_corpus(cryceleb.parent / "out")["name"] == "CryCeleb2023"
    for line in (
        "train: 8 infants here, 586 as published",
        "dev: 1 infants here, 40 as published",
        "test: 1 infants here, 160 as published",
    ):
        assert line in caplog.messages


def test_adaptation_hears_the_training_infants_only(cryceleb):
    prepare(cryceleb)
    out = cryceleb.parent / "adapt"
    table = str(cryceleb.parent / "out/recordings.csv")
    prepare_unlabelled(str(cryceleb), str(out), recordings_csv=table)
    heard = {
        r.patient_id for s in ("train", "valid") for r in read(out / f"{s}.csv")
    }
    assert heard == {f"{i:04d}" for i in range(6, 14)}
    left_out = read_table(out / "rejected.csv", ["verdict"])
    assert [row["verdict"] for _, row in left_out] == ["excluded"] * 8


@pytest.mark.parametrize(
    "old, new, message",
    [
        (",B,", ",X,", "metadata.csv row 2: period is 'X'; expected one of B"),
        (
            ",train,",
            ",valid,",
            "row 2: split is 'valid'; expected one of train",
        ),
        ("0006_B_000.wav", "no.wav", "row 2: .*no.wav is not in .*audio.zip"),
        ("0006,", ",", "recordings.csv row 2: patient_id is empty"),
        ("file_name", "file", "metadata.csv has no column 'file_name'"),
    ],
)
def test_bad_tables(cryceleb, old, new, message):
    table = cryceleb / "metadata.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        prepare(cryceleb)


def test_an_infant_in_two_splits_is_refused(cryceleb):
    table = cryceleb / "metadata.csv"
    table.write_text(table.read_text().replace("0015,", "0006,"))
    with pytest.raises(InputError, match="patient_id '0006' is in test and in"):
        prepare(cryceleb)


def test_other_folders(tmp_path):
    with pytest.raises(
        InputError, match="has no metadata.csv; pass the folder"
    ):
        prepare(tmp_path)
