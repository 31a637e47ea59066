"""Steps shared by the preparations of published corpora."""

import pytest

from data_prep.corpora.published import compare_with_published, files_by_class
from data_prep.files.errors import InputError

ROW = {"recording_id": "r1", "patient_id": "p1", "path": "a.wav"}


def test_few_differences_are_listed_many_are_summed_up(caplog):
    published = {f"class{i}": 10 for i in range(9)}
    compare_with_published(published, published, "clips")
    assert not caplog.messages
    compare_with_published({**published, "class3": 9}, published, "clips")
    assert caplog.messages == ["class3: 9 clips here, 10 as published"]
    compare_with_published({"class3": 9}, published, "clips")
    assert caplog.messages[1:] == [
        "clips: 9 here, 90 as published; 9 of 9 classes differ"
    ]


def test_files_outside_the_class_folders_are_reported(tmp_path, caplog):
    for name in ("PAIN/a.wav", "pain/deep/b.wav", "other/c.wav", "pain.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert files_by_class(tmp_path, {"pain": "x"}) == [
        ("x", "PAIN/a.wav"),
        ("x", "pain/deep/b.wav"),
    ]
    assert "2 audio files outside the class folders are left out" in caplog.text
    with pytest.raises(InputError, match="holds no class folder .deaf. with"):
        files_by_class(tmp_path, {"deaf": "deaf"})
