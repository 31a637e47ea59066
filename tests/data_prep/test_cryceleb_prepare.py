"""Preparation of CryCeleb2023's published layout."""

import pytest

from data_prep.cryceleb_prepare import prepare_cryceleb
from data_prep.files.errors import InputError
from data_prep.manifest import SPLITS, read_corpus

HEADER = "baby_id,period,duration,split,chronological_index,file_name,file_id"


@pytest.fixture
def cryceleb(write, tmp_path):
    """Ten infants, ids with leading zeros; every other one at discharge too."""
    lines = [HEADER]
    for i in range(10):
        split = {8: "dev", 9: "test"}.get(i, "train")
        baby = f"{i + 6:04d}"
        for period in "BD" if i % 2 or i == 8 else "B":
            for n in range(2):
                name = f"{baby}_{period}_{n:03d}"
                path = f"audio/{split}/{baby}/{period}/{name}.wav"
                write(path)
                lines.append(f"{baby},{period},0.5,{split},{n},{path},{name}")
    (tmp_path / "src/metadata.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "src"


def test_official_splits_periods_and_infants(
    cryceleb, prepared, tmp_path, caplog
):
    splits = prepared(prepare_cryceleb, cryceleb)
    assert [len(splits[s]) for s in SPLITS] == [24, 4, 4]
    assert {r.patient_id for r in splits["valid"]} == {"0014"}
    assert {r.patient_id for r in splits["test"]} == {"0015"}
    first = splits["train"][0]
    facts = first.ID, first.patient_id, first.label
    assert facts == ("0006_B_000", "0006", "birth")
    assert {r.label for r in splits["test"]} == {"birth", "discharge"}
    assert read_corpus(tmp_path / "out")["name"] == "CryCeleb2023"
    for line in (
        "train: 8 infants here, 586 as published",
        "dev: 1 infants here, 40 as published",
        "test: 1 infants here, 160 as published",
    ):
        assert line in caplog.messages


@pytest.mark.parametrize(
    "old, new, message",
    [
        (",B,", ",X,", "metadata.csv row 2: period is 'X'; expected one of B"),
        (",train,", ",valid,", "row 2: split is 'valid'; expected one of tr"),
        ("0006_B_000.wav", "no.wav", "row 2: .*no.wav is not in .*audio.zip"),
        ("0006,", ",", "recordings.csv row 2: patient_id is empty"),
        ("file_name", "file", "metadata.csv has no column 'file_name'"),
        ("\n0015,", "\n0006,", "patient_id '0006' is in test and in"),
    ],
)
def test_bad_tables(cryceleb, prepared, old, new, message):
    table = cryceleb / "metadata.csv"
    count = -1 if old.startswith("\n") else 1
    table.write_text(table.read_text().replace(old, new, count))
    with pytest.raises(InputError, match=message):
        prepared(prepare_cryceleb, cryceleb)


def test_other_folders(prepared, tmp_path):
    with pytest.raises(InputError, match="no metadata.csv; pass the folder"):
        prepared(prepare_cryceleb, tmp_path)
