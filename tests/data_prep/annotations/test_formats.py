"""Annotation files of programs: round trips, the programs' libraries, and what
people and spreadsheets do to such files."""

import logging

import pytest

from data_prep.annotations.event import Event
from data_prep.annotations.formats import (
    FORMATS,
    format_of,
    read_events,
    write_events,
)
from data_prep.files.errors import InputError

EVENTS = [
    Event(0.5, 1.25, "cry", 0.75, "night.wav", "Anna", 2),
    Event(1.0, 2.125, 'said "b\xe9b\xe9", low!', None, "night.wav", "Ben"),
    Event(2.0, 2.0, "click", None, "night.wav", "Ben"),
    Event(3600.25, 3601.5, "cry", 0.5, "night.wav", "Anna"),
]


def seen(events):
    """Events as (onset, offset, label)."""
    return [(e.onset_s, e.offset_s, e.label) for e in events]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("events", [EVENTS, []])
def test_round_trip(tmp_path, name, events):
    path = tmp_path / f"night{FORMATS[name].suffix}"
    write_events(path, events, name, "night.wav", 4000.0)
    assert format_of(path) == name or not events
    expected = seen(events)
    if name == "rttm":  # fields are divided by spaces
        expected = [(a, b, c.replace(" ", "_")) for a, b, c in expected]
    if name == "elan" and events:  # an annotation lasts a millisecond
        expected[2] = (2.0, 2.001, "click")
    assert seen(read_events(path)) == expected


@pytest.mark.parametrize("name", ["textgrid", "elan", "csv", "raven"])
def test_tiers_are_kept(tmp_path, name):
    path = tmp_path / f"night{FORMATS[name].suffix}"
    write_events(path, EVENTS, name)
    # Programs have points, and events that overlap, in tiers of their own.
    tiers = [e.tier.split()[0] for e in read_events(path)]
    assert tiers == ["Anna", "Ben", "Ben", "Anna"]


@pytest.mark.parametrize("name", ["csv", "raven", "rttm"])
def test_scores_channels_and_recordings_are_kept(tmp_path, name):
    path = tmp_path / f"night{FORMATS[name].suffix}"
    write_events(path, EVENTS, name)
    events = read_events(path)
    assert [e.score for e in events] == [0.75, None, None, 0.5]
    assert events[0].channel == 2
    stem = "night" if name == "rttm" else "night.wav"
    assert {e.recording for e in events} == {stem}


def test_overlapping_events_are_all_written(tmp_path):
    events = [Event(0, 3, "a"), Event(1, 2, "b"), Event(1.5, 4, "c")]
    for name in ("textgrid", "elan"):
        path = tmp_path / f"a{FORMATS[name].suffix}"
        write_events(path, events)
        assert seen(read_events(path)) == seen(events)
        tiers = [e.tier for e in read_events(path)]
        assert tiers == ["events", "events 2", "events 3"]


def test_praatio_opens_and_writes_textgrids(tmp_path):
    textgrid = pytest.importorskip("praatio.textgrid")
    path = tmp_path / "a.TextGrid"
    write_events(path, EVENTS, duration_s=4000.0)
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    assert grid.maxTimestamp == 4000.0
    assert grid.tierNames == ("Anna", "Ben", "Ben points")
    entries = [tuple(entry) for entry in grid.getTier("Anna").entries]
    assert entries == [(0.5, 1.25, "cry"), (3600.25, 3601.5, "cry")]
    assert grid.getTier("Ben").entries[0].label == EVENTS[1].label
    assert tuple(grid.getTier("Ben points").entries[0]) == (2.0, "click")
    for form in ("short_textgrid", "long_textgrid"):
        grid.save(str(tmp_path / "b.TextGrid"), form, True)
        assert seen(read_events(tmp_path / "b.TextGrid")) == seen(EVENTS)


def test_pympi_opens_and_writes_documents(tmp_path):
    elan = pytest.importorskip("pympi.Elan")
    path = tmp_path / "a.eaf"
    write_events(path, EVENTS[:2], recording="night 1.wav")
    document = elan.Eaf(str(path))
    assert sorted(document.get_tier_names()) == ["Anna", "Ben"]
    assert document.get_annotation_data_for_tier("Anna") == [(500, 1250, "cry")]
    assert document.get_annotation_data_for_tier("Ben")[0][2] == EVENTS[1].label
    media = document.get_linked_files()[0]
    assert media["RELATIVE_MEDIA_URL"] == "./night%201.wav"
    document.add_annotation("Anna", 3000, 4000, "fuss & <more>")
    document.to_file(str(tmp_path / "b.eaf"))
    events = read_events(tmp_path / "b.eaf")
    assert seen(events)[-1] == (3.0, 4.0, "fuss & <more>")
    assert {e.recording for e in events} == {"night 1.wav"}


def test_dcase_util_opens_and_writes_tables(tmp_path, dcase_util):
    path = tmp_path / "a.csv"
    write_events(path, EVENTS[:2])
    table = tmp_path / "b.txt"
    container = dcase_util.containers.MetaDataContainer
    plain = [Event(0.5, 1.25, "cry"), Event(2.0, 3.0, "cat")]
    write_events(tmp_path / "c.txt", plain, "audacity")
    items = container().load(str(tmp_path / "c.txt"))
    assert [(i.onset, i.offset, i.event_label) for i in items] == seen(plain)
    container(
        [
            {"filename": "n.wav", "onset": 1.0, "offset": 2.5}
            | {"event_label": "cry"}
        ]
    ).save(str(table))
    expected = [Event(1.0, 2.5, "cry", recording="n.wav")]
    assert read_events(table) == expected


TEXTGRID = '''File type = "ooTextFile"
Object class = "TextGrid"

0 10 <exists> 2 ! a comment with "quotes" and 3 numbers
"IntervalTier" "Anna ""A""" 0 10 3
0 1.5 "" 1.5 2 "cry ""loud"" 5" 2 10 " "
"TextTier" "bell" 0 10 1 4.25 "!"
'''


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_textgrid_with_comments_and_quotes(tmp_path, encoding, end):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(TEXTGRID.replace("\n", end).encode(encoding))
    assert read_events(path) == [
        Event(1.5, 2.0, 'cry "loud" 5', tier='Anna "A"'),
        Event(4.25, 4.25, "!", tier="bell"),
    ]


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/x/v.mp4" MIME_TYPE="video/mp4"/>
<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/x/a%20b.wav" MIME_TYPE="audio/x-wav"
TIME_ORIGIN="500"/></HEADER><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/>
<TIME_SLOT TIME_SLOT_ID="ts2"/><TIME_SLOT TIME_SLOT_ID="ts3"/>
<TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="4000"/>
<TIME_SLOT TIME_SLOT_ID="ts5"/></TIME_ORDER>
<TIER TIER_ID="Anna">
ALIGNED
</TIER><TIER TIER_ID="kind"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="r1"
ANNOTATION_REF="a1"><ANNOTATION_VALUE>loud</ANNOTATION_VALUE>
</REF_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""


def aligned(name, first, last, label):
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" '
        f'TIME_SLOT_REF1="{first}" TIME_SLOT_REF2="{last}"><ANNOTATION_VALUE>'
        f"{label}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
    )


def test_elan_slots_without_time_references_and_origin(tmp_path, caplog):
    three = [
        aligned("a1", "ts1", "ts2", "x"),
        aligned("a2", "ts2", "ts3", "y"),
        aligned("a3", "ts3", "ts4", "z"),
        aligned("a4", "ts4", "ts5", "lost"),
    ]
    (tmp_path / "a.eaf").write_text(EAF.replace("ALIGNED", "".join(three)))
    events = read_events(tmp_path / "a.eaf")
    # 3 s divided evenly, and half a second of the audio before the video.
    assert seen(events) == [
        (1.5, 2.5, "x"),
        (1.5, 2.5, "loud"),
        (2.5, 3.5, "y"),
        (3.5, 4.5, "z"),
    ]
    assert {e.recording for e in events} == {"a b.wav"}
    assert "1 annotations have no time" in caplog.text


def test_a_strangers_xml_expands_nothing(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    document = (
        f'<!DOCTYPE a [<!ENTITY e SYSTEM "{secret.as_uri()}">]>'
        "<ANNOTATION_DOCUMENT>&e;</ANNOTATION_DOCUMENT>"
    )
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a.eaf").write_text(document, encoding=encoding)
        with pytest.raises(InputError, match="declares a document type"):
            read_events(tmp_path / "a.eaf")


@pytest.mark.parametrize(
    "text",
    [
        "Anna\t\t00:00:01.500\t00:00:02.000\t00:00:00.500\tcry\n",
        "Anna\tP1\t1.500\t2.000\t0.500\tcry\n",
        "Anna\t\t1500\t2000\t500\tcry\n",
        "Anna\t\t00:00:01.500\t1.500\t00:00:02.000\t2.000\tcry\n",
        '"#file:///x.wav"\nAnna\t\t1500\t2000\t500\tcry\n',
        "Tier\tParticipant\tBegin Time - hh:mm:ss.ms\tEnd Time - hh:mm:ss.ms\t"
        "Duration - hh:mm:ss.ms\tAnnotation\n"
        "Anna\t\t00:00:01.500\t00:00:02.000\t00:00:00.500\tcry\n",
        "Begin Time - msec\tEnd Time - msec\tDuration - msec\tAnna\tBen\n"
        "1500\t2000\t500\tcry\t\n",
    ],
)
def test_elan_text(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    assert format_of(tmp_path / "a.txt") == "elan"
    expected = [Event(1.5, 2.0, "cry", tier="Anna")]
    assert read_events(tmp_path / "a.txt") == expected


def test_elan_writes_text(tmp_path):
    write_events(tmp_path / "a.txt", EVENTS[:2], "elan")
    assert seen(read_events(tmp_path / "a.txt")) == seen(EVENTS[:2])


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1.5\t2\tcry\n", [(1.5, 2.0, "cry")]),
        ("1,500000\t2,000000\tcry\n", [(1.5, 2.0, "cry")]),
        ("1.5\t2\tcry\n\\\t300.0\t4000.0\n", [(1.5, 2.0, "cry")]),
        ("1.5\t1.5\t\n\n", [(1.5, 1.5, "")]),
        ("1.5\t2\n", [(1.5, 2.0, "")]),
        ("1.5\t2\ta\tb\r\n", [(1.5, 2.0, "a\tb")]),
        ("", []),
    ],
)
def test_audacity(tmp_path, text, expected):
    (tmp_path / "a.txt").write_text(text, newline="")
    assert seen(read_events(tmp_path / "a.txt")) == expected
    assert format_of(tmp_path / "a.txt") == "audacity"


RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)"


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            f"{RAVEN}\tSpecies\n1\tWaveform 1\t1\t1.5\t2\t\tcry\n"
            "1\tSpectrogram 1\t1\t1.5\t2\t300\tcry\n",
            [Event(1.5, 2.0, "cry", channel=1)],
        ),
        (
            f"{RAVEN}\tMy calls\n1\tSpectrogram 1\t2\t1,5\t2,0\t300\tcry\n",
            [Event(1.5, 2.0, "cry", channel=2)],
        ),
        (f"{RAVEN}\n1\tS 1\t1\t1.5\t2\t300\n", [Event(1.5, 2, "", channel=1)]),
        (
            "Begin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\t"
            "Confidence\tCommon Name\n"
            "1.5\t2\ta.wav\t1.5\t0.75\tcry\n61.5\t62\tb.wav\t1.5\t0.5\tcry\n",
            [
                Event(1.5, 2.0, "cry", 0.75, "a.wav"),
                Event(1.5, 2.0, "cry", 0.5, "b.wav"),
            ],
        ),
        (f"{RAVEN}\n", []),
    ],
)
def test_raven(tmp_path, text, expected):
    path = tmp_path / "a.Table.1.selections.txt"
    path.write_text(text)
    assert format_of(path) == "raven"
    assert read_events(path) == expected


def test_rttm_comments_and_other_types(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "a.rttm").write_text(
        ";; a comment\n"
        "SPKR-INFO a 1 <NA> <NA> <NA> unknown KCHI <NA>\n"
        "SPEAKER a 1 1.5 0.5 <NA> <NA> KCHI NA NA\n"
        "NON-LEX a 1 3 1 <NA> laugh <NA> <NA>\n"
    )
    assert seen(read_events(tmp_path / "a.rttm")) == [
        (1.5, 2.0, "KCHI"),
        (3.0, 4.0, "laugh"),
    ]
    assert "1 lines SPKR-INFO have no time" in caplog.text


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("a.txt", "2\t1\tcry\n", "row 1: the event ends at 1 s, before"),
        ("a.txt", "1\t2\ta\nx\t2\tcry\n", "row 2: the start is 'x'"),
        ("a.txt", "1\t2\ta\ncry\n", "row 2 is 'cry'; expected start, end"),
        ("a.txt", "hello\n", "is in none of the formats audacity, raven"),
        ("a.rttm", "SPEAKER a 1 2\n", "row 1 has 4 fields"),
        ("a.rttm", "SPEAKER a 1 2 -1 x x x 1 x\n", "row 1: the event ends"),
        ("a.rttm", "SPEAKER a L 2 1 x x x 1 x\n", "row 1: the channel is 'L'"),
        ("a.TextGrid", TEXTGRID[:60], "ends before the number of t"),
        ("a.TextGrid", TEXTGRID.replace("1.5 2", "x"), "row 6: expected"),
        ("a.TextGrid", 'File type = "ooBinaryFile"', "not a text file"),
        ("a.TextGrid", TEXTGRID.replace('"TextG', '"So'), "holds a Sorid"),
        ("a.eaf", "<ANNOTATION_DOC", "row 1 is not XML"),
        ("a.eaf", "<html></html>", "is XML, but not a document of ELAN"),
        ("a.txt", f"{RAVEN}\n1\ts\t1\tx\t2\t3\n", "row 2: Begin Time"),
        ("a.txt", f"{RAVEN}\tA\tB\n1\ts\t1\t1\t2\t3\tx\ty\n", "'A', 'B'; ren"),
        (
            "a.txt",
            "Begin Time (s)\tEnd Time (s)\tBegin File\n1\t2\ta\n1\t2\tb\n",
            "selections of 2 files",
        ),
    ],
)
def test_refusals_name_file_and_row(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words) as error:
        read_events(tmp_path / name)
    assert name in str(error.value)


def test_a_long_textgrid_is_read_in_seconds(tmp_path):
    events = [Event(k, k + 0.5, "cry") for k in range(20_000)]
    write_events(tmp_path / "a.TextGrid", events)
    assert seen(read_events(tmp_path / "a.TextGrid")) == seen(events)


def test_characters_that_xml_cannot_hold(tmp_path):
    write_events(tmp_path / "a.eaf", [Event(0, 1, "a\0b\uffff <&\t\x1fc")])
    assert seen(read_events(tmp_path / "a.eaf")) == [(0.0, 1.0, "ab <&\tc")]


@pytest.mark.parametrize("name", FORMATS)
def test_any_bytes_are_read_or_refused(tmp_path, name):
    suffix = ".eaf" if name == "elan" else ".x"
    for content in (b"", b"\0\1\2", b"\xff\xfe", b"\x81", b'"', b"\t\t\t"):
        (tmp_path / f"a{suffix}").write_bytes(content)
        try:
            read_events(tmp_path / f"a{suffix}", name)
        except InputError as error:
            assert "\n" not in str(error)
    with pytest.raises(InputError, match="does not exist"):
        read_events(tmp_path / "absent", name)


def test_frequencies_of_a_selection_are_decimals(tmp_path):
    """Crowsetta and other readers refuse a column of whole numbers."""
    path = tmp_path / "a.selections.txt"
    write_events(path, [Event(1.0, 2.0, "cry", recording="a.wav")])
    names, cells = (
        line.split("\t") for line in path.read_text("utf-8").splitlines()
    )
    row = dict(zip(names, cells))
    assert (row["Low Freq (Hz)"], row["High Freq (Hz)"]) == ("0.0", "8000.0")
