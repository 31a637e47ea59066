"""Events as csv tables: usual names, separators, encodings, and refusals."""

import pytest

from data_prep.annotations.event import Event
from data_prep.annotations.formats import read_events, write_events
from data_prep.files.errors import InputError

EVENTS = [
    Event(0.5, 1.25, "cry", 0.75, "night.wav", "Anna", 2),
    Event(3600.000001, 3601.5, 'said "b\xe9b\xe9", low', None, "night.wav"),
    Event(4000.0, 4000.0, "click", None, "night.wav"),
]


def test_round_trip(tmp_path):
    write_events(tmp_path / "a.csv", EVENTS)
    assert read_events(tmp_path / "a.csv") == EVENTS


def test_no_event_is_a_header(tmp_path):
    write_events(tmp_path / "a.csv", [])
    assert read_events(tmp_path / "a.csv") == []


@pytest.mark.parametrize(
    "text",
    [
        "onset,offset,label\n1.5,2,cry\n",
        "label;offset;onset\ncry;2;1,5\n",
        "Onset\tOffset\tEvent Label\n1.5\t2\tcry\n",
        "start_s,duration,event_label\n1.5,0.5,cry\n",
        "Begin Time (s),End Time (s),Annotation\n1.5,2,cry\n",
        "1.5\t2\tcry\n",  # of DCASE, without a header
        "onset,offset,label\n00:01.5,0:00:02,cry\n",
        "\ufeffonset,offset,label\r\n1.5,2.0,cry\r\n\r\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_names_separators_and_encodings(tmp_path, text, encoding):
    (tmp_path / "a.csv").write_text(text, encoding=encoding, newline="")
    assert read_events(tmp_path / "a.csv") == [Event(1.5, 2.0, "cry")]


def test_recording_in_front_without_a_header(tmp_path):
    (tmp_path / "a.csv").write_text("n.wav\t1\t2\tcry\n")
    expected = [Event(1.0, 2.0, "cry", recording="n.wav")]
    assert read_events(tmp_path / "a.csv") == expected


def test_another_encoding_is_recognised_or_named(tmp_path):
    (tmp_path / "a.csv").write_bytes("1,2,b\xe9b\xe9\n".encode("cp1252"))
    assert read_events(tmp_path / "a.csv")[0].label == "b\xe9b\xe9"
    (tmp_path / "b.csv").write_bytes("1,2,\u043f\n".encode("cp1251"))
    assert read_events(tmp_path / "b.csv", None, "cp1251")[0].label == "\u043f"
    with pytest.raises(InputError, match="--encoding is 'cp9'"):
        read_events(tmp_path / "a.csv", None, "cp9")


@pytest.mark.parametrize(
    "text, words",
    [
        ("onset,offset,label\n3,1,cry\n", "row 2: the event ends at 1 s, bef"),
        ("onset,offset,label\n-3,1,cry\n", "row 2: the event begins at -3 s"),
        ("onset,offset,label\nx,1,cry\n", "row 2: onset is 'x'; expected a"),
        ("onset,offset,label\n0,nan,cry\n", "row 2: offset is 'nan'"),
        ("onset,offset,label\n0,inf,cry\n", "row 2: offset is 'inf'"),
        ("onset,offset,label\n0,,cry\n", "row 2: offset is ''"),
        ("onset,offset,label\n1,5,2,5,cry\n", "row 2 has 5 cells, the head"),
        ("onset,offset,label\n1\n", "row 2 has 1 cells, the header 3"),
        ("onset,offset,label,score\n0,1,cry,high\n", "score is 'high'"),
        ("onset,offset,label,channel\n0,1,cry,L\n", "the channel is 'L'"),
        ("onset,offset,label,channel\n0,1,cry,0\n", "the channel is 0; ch"),
        ("onset,offset,labl\n0,1,cry\n", r"no column 'label' \(labl\?\)"),
        ("onset,onset,offset,label\n0,0,1,cry\n", "column 'onset' twice"),
        ("", "is empty"),
        ("PK\x03\x04", "is a workbook or an archive"),
    ],
)
def test_refusals_name_file_and_row(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=words) as error:
        read_events(tmp_path / "a.csv")
    assert "a.csv" in str(error.value)
    assert "\n" not in str(error.value)
