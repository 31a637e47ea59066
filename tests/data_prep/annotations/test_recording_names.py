"""Names of recordings in folders, annotations and tables: one rule."""

import pytest

from data_prep.annotations.recording_names import RecordingNames, parts_of
from data_prep.files.errors import InputError


def test_parts_are_without_suffix_and_case():
    assert parts_of("C:\\n\\Night 1.WAV")[-2:] == ("n", "night 1")
    assert parts_of("n.wav.txt") == ("n",)
    assert parts_of("n.Table.1.selections.txt") == ("n",)
    assert parts_of("night_1") == ("night 1",)  # of RTTM


def test_as_many_folders_are_compared_as_tell_apart():
    names = RecordingNames(
        ["x/night.wav", "y/night.wav"], ["/data/x/NIGHT.csv"]
    )
    assert names.key("/data/x/NIGHT.csv") == names.key("x/night.wav")
    assert names.key("y/night.wav") != names.key("x/night.wav")
    assert names.find("/data/y/night.txt") == ["y/night.wav"]
    assert names.find("night") == ["x/night.wav", "y/night.wav"]
    assert names.find("z/night.txt") == []
    names = RecordingNames(["x/night.wav"], ["night"])
    assert names.key("x/night.wav") == "night"
    assert names.find("elsewhere/night.wav") == ["x/night.wav"]


def test_another_infants_night_is_another():
    """Of two recordings, the entry of the first is not that of the second."""
    names = RecordingNames(
        ["baby1/night"], ["n/baby1/night.wav", "n/baby2/night"]
    )
    assert names.find("n/baby1/night.wav") == ["baby1/night"]
    assert names.find("n/baby2/night.wav") == []


@pytest.mark.parametrize(
    "text, found",
    [
        ("night.wav", "night.wav"),  # at the top, and not in x
        ("/data/night", "night.wav"),
        ("x/night.txt", "x/night.wav"),
        ("day.flac", "day.flac"),  # with its suffix, of two
        ("u/v/evening.wav", "evening.ogg"),
    ],
)
def test_the_nearest_of_several(text, found):
    files = ["night.wav", "x/night.wav", "day.wav", "day.flac", "evening.ogg"]
    assert RecordingNames(files).find(text) == [found]


def test_several_are_refused():
    names = RecordingNames(["x/night", "y/night"])
    assert names.unique("x/night.wav", "starts.csv") == "x/night"
    assert names.unique("day.wav", "starts.csv") is None
    with pytest.raises(InputError, match="starts.csv has 2 entries for night"):
        names.unique("night.wav", "starts.csv")
