"""``python -m cry_modules.metrics.sound_events``: files in, figures out, and
one line for what cannot be judged."""

import csv
import json

import pytest

from cry_modules.figures import sound_events as pictures
from cry_modules.metrics.sound_events.__main__ import main
from cry_modules.metrics.sound_events.comparison import Recording
from cry_modules.metrics.sound_events.lists import read_lists
from cry_modules.metrics.sound_events.tiers import by_tier
from data_prep.annotations.event import Event

HEAD = "recording,onset,offset,label,score,tier\n"
TWO = HEAD + "a.wav,10,12,cry,,\nb.wav,20,25,cry,,\n"


@pytest.fixture
def judge(tmp_path, capsys, monkeypatch):
    """``judge(annotated, detected, *options)`` writes two tables, runs the
    command and returns its result; a refusal is its line. It draws nothing
    unless `picture` is in the options."""

    def run(annotated, detected, *options, durations="a.wav,100\nb.wav,200\n"):
        (tmp_path / "annotated.csv").write_text(annotated)
        (tmp_path / "detected.csv").write_text(detected)
        (tmp_path / "len.csv").write_text(f"recording,duration_s\n{durations}")
        words = [str(tmp_path / f"{s}.csv") for s in ("annotated", "detected")]
        words += ["--out", str(tmp_path / "out"), "--n_draws", "100"]
        if durations and "--audio" not in options:
            words += ["--durations", str(tmp_path / "len.csv")]
        if "picture" not in options:
            monkeypatch.setattr(pictures, "draw", lambda *_: None)
        options = [str(option) for option in options if option != "picture"]
        try:
            main([*words, *options])
        except SystemExit as stop:
            assert stop.code == 2
            (line,) = capsys.readouterr().err.splitlines()
            return line.removeprefix("error: ")
        text = (tmp_path / "out" / "metrics.json").read_text()
        return json.loads(text)["comparisons"]

    return run


def test_a_detector_is_judged(judge, tmp_path, capsys):
    # Another spelling of the name and of the label; one of two cries found.
    detected = HEAD + "nights/A.flac,10.1,12,Cry,0.9,\n"
    detected += "nights/B.flac,50,51,cry,0.4,\n"
    (result,) = judge(TWO, detected, "picture")
    assert result["event_based"]["micro"]["recall"] == 0.5
    assert result["event_based"]["micro"]["precision"] == 0.5
    assert result["alarms"]["micro"]["false_alarms_per_hour"] == 12  # in 300 s
    assert result["hours"] == pytest.approx(300 / 3600)
    # At 0.9 without the false alarm, at 0.4 with it.
    assert [row["precision"] for row in result["thresholds"]] == [1.0, 0.5]
    out = capsys.readouterr().out
    assert "| false alarms an hour | 12.000 |" in out
    assert "No intervals: 2 recordings, and an interval needs 5." in out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    tables = {"recordings.csv", "bins.csv"}
    assert names == {"metrics.json", "events.png", *tables}
    of_b = result["by_recording"][1]
    assert of_b["false_alarms_per_hour"] == 18 and of_b["missed_share"] == 1
    with open(tmp_path / "out" / "bins.csv") as file:
        rows = list(csv.DictReader(file))
    amounts = [float(row["annotated_minutes_per_hour"]) for row in rows]
    assert amounts == pytest.approx([60 * 2 / 100, 60 * 5 / 200])


def test_points_and_short_recordings_are_said(judge, capsys):
    """Bins of 24 hours are not days where recordings are minutes."""
    points = "a.wav,50,50,cry,,\nb.wav,60,60,cry,,\n"
    day = "a.wav,86400\nb.wav,7200\n"
    judge(TWO + points, TWO + "a.wav,50,50,cry,,\n", durations=day)
    out = capsys.readouterr().out
    assert "Left out as events of zero length: 2 annotated, 1 detected." in out
    assert "Shorter than 24 hours, one bin each: 1 of 2 recordings." in out
    assert "Shorter than 1 hour" not in out
    judge(TWO, TWO, durations=day)
    assert "zero length" not in capsys.readouterr().out


def test_a_recording_without_detections_is_missed(judge):
    (result,) = judge(TWO, HEAD + "a.wav,10,12,cry,,\n")
    assert result["event_based"]["micro"]["recall"] == 0.5
    assert result["notes"] == [
        "1 of 2 recordings have no detections, such as b.wav: all their events "
        "count as missed"
    ]
    (nothing,) = judge(TWO, HEAD)
    assert nothing["event_based"]["micro"]["f1"] == 0
    assert nothing["event_based"]["micro"]["precision"] is None


def test_a_listed_recording_without_events_was_annotated(judge):
    lengths = "a.wav,100\nb.wav,200\nc.wav,3300\n"
    detected = HEAD + "a.wav,10,12,cry,,\nc.wav,5,6,cry,,\n"
    (result,) = judge(TWO, detected, durations=lengths)
    assert result["n_recordings"] == 3
    assert result["alarms"]["micro"]["false_alarms_per_hour"] == 1


def test_without_lengths_the_last_event_is_the_end(judge):
    (result,) = judge(TWO, HEAD + "b.wav,30,40,cry,,\n", durations="")
    assert result["hours"] == pytest.approx((12 + 40) / 3600)
    assert "pass --audio or --durations" in result["notes"][0]


def test_lengths_of_audio(judge, noise):
    noise("src/deep/a.wav", seconds=30.0, rate=8000)
    folder = noise("src/deep/b.flac", seconds=26.0, rate=8000).parents[1]
    (result,) = judge(TWO, TWO, "--audio", folder)
    assert result["hours"] == pytest.approx(56 / 3600)


def test_annotators_are_compared(judge):
    both = TWO.replace(",,\n", ",,Ann\n")
    both += "a.wav,10,12,cry,,Bob\nb.wav,60,65,cry,,Bob\n"
    results = judge(both, TWO)
    pairs = [(r["annotated"], r["detected"]) for r in results]
    assert pairs == [("Ann", "detector"), ("Bob", "detector"), ("Ann", "Bob")]
    f1 = [r["event_based"]["micro"]["f1"] for r in results]
    assert f1 == [1.0, 0.5, 0.5]
    (only,) = judge(both, TWO, "--tier", "Bob")
    assert only["annotated"] == "Bob"


def test_channels_are_judged_one_at_a_time(judge):
    head = "recording,onset,offset,label,channel\n"
    twice = head + "a.wav,10,12,cry,1\na.wav,10,12,cry,2\nb.wav,20,25,cry,\n"
    line = judge(TWO, twice)
    assert "events of channels 1, 2 of a.wav; judge one at a time" in line
    (result,) = judge(TWO, twice, "--channel", "2")
    assert result["event_based"]["micro"]["f1"] == 1


def test_false_alarms_on_confusers(judge):
    annotated = TWO + "a.wav,40,50,music,,\nb.wav,90,91,music,,\n"
    detected = TWO + "a.wav,44,45,cry,,\n"
    (result,) = judge(annotated, detected, "--labels", "cry")
    music = result["alarms"]["confusers"]["music"]
    assert (music["n_events"], music["false_alarms"]) == (2, 1)
    assert music["share_with_false_alarm"] == 0.5
    (all_,) = judge(annotated, detected, "--labels", "all")
    assert all_["n_annotated"] == {"cry": 2, "music": 2}


def test_events_without_a_label_are_none_unless_named(judge, capsys):
    unnamed = TWO.replace("cry", "")
    (result,) = judge(TWO, unnamed)
    assert result["event_based"]["micro"]["recall"] == 0
    line = "2 events without a label are left out; --rename =NEW names them"
    assert line in capsys.readouterr().out
    (result,) = judge(TWO, unnamed, "--rename", "=cry")
    assert result["event_based"]["micro"]["f1"] == 1


def test_a_reviewed_table(judge, capsys):
    """Only what a reviewer has named is an event."""
    columns = "recording,onset_s,offset_s,label,score,reviewed_label,decision\n"
    reviewed = columns + "a.wav,10,12,cry,0.9,cry,kept\n"
    reviewed += "a.wav,30,32,cry,0.8,,excluded\nb.wav,20,25,cry,0.7,,\n"
    (result,) = judge(reviewed, TWO)
    assert result["n_annotated"] == {"cry": 1}
    assert result["event_based"]["micro"]["precision"] == 0.5
    assert "2 events without a label are left out" in capsys.readouterr().out


def test_what_ends_past_the_recording_is_cut(judge):
    (result,) = judge(TWO, HEAD + "b.wav,190,230,cry,,\n")
    assert result["notes"][0].startswith("1 events end past their recording")
    block = result["agreement"]["cry"]["24_hours"]
    # a: 2 of 100 s annotated, none detected; b: 5 of 200 s and 10 of them.
    gap = (60 * 2 / 100 + 60 * 5 / 200) / 2
    assert block["mean_absolute_difference"] == pytest.approx(gap)


@pytest.mark.parametrize(
    "annotated, detected, options, line",
    [
        (TWO, HEAD + "a1.wav,1,2,cry,,\n", [], "does not have a1.wav (did"),
        (TWO, TWO.replace("cry", "crying"), [], "label 'crying' is detected and"),
        (
            TWO + "a.wav,1,2,music,,\n", TWO, [],
            "pass --labels cry to count it as a confuser, or --labels all",
        ),
        (TWO, TWO, ["--labels", "cri"], "neither annotated nor detected (did"),
        (TWO, TWO, ["--rename", "cry"], "write OLD=NEW"),
        (TWO, TWO, ["--tier", "Ann"], "--tier is Ann; pass one of none"),
        (TWO, TWO, ["--segment_s", "0"], "--segment_s is 0; it must be 0.01 or"),
        (TWO, TWO, ["--dtc", "1.5"], "--dtc is 1.5; it must be 0 to 1"),
        (TWO, TWO, ["--dtc", "nan"], "--dtc is nan; it must be 0 to 1"),
        (TWO, TWO, ["--n_draws", "2"], "--n_draws is given twice; keep one"),
        (TWO, HEAD + "a.wav,300,301,cry,,\n", [], "a.wav is 100.0 s long (0.03"),
        (
            TWO, HEAD + "a.wav,9e6,9.1e6,cry,,\n", [],
            "a.wav is 100.0 s long (0.03 h), and an event of it is detected",
        ),
        (TWO, HEAD + "a.wav,nan,301,cry,,\n", [], "onset is 'nan'"),
        (HEAD, TWO, [], "annotated.csv does not have"),
        (TWO, TWO, ["--audio", "nowhere"], "nowhere does not exist; pass a fol"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_one_line(
    judge, annotated, detected, options, line
):
    lengths = "a.wav,100\nb.wav,200\n" if annotated != HEAD else ""
    assert line in judge(annotated, detected, *options, durations=lengths)


@pytest.mark.parametrize(
    "lengths, line",
    [
        ("a.wav,100\n", "len.csv does not have b.wav; add it, or correct the"),
        (
            "a.wav,100\nb.wav,-1\n",
            "len.csv row 3: duration_s is -1; it must be",
        ),
        ("a.wav,100\nb.wav,\n", "row 3: duration_s is empty"),
        ("a.wav,9\na.wav,9\n", "row 3: a.wav is listed twice"),
        ("a.wav,100\nb.ogg,200\nb.mp3,90\n", "b.ogg (200.0) and b.mp3 (90.0)"),
    ],
)
def test_lengths_that_cannot_be_right(judge, lengths, line):
    assert line in judge(TWO, TWO, durations=lengths)


def test_intervals_are_over_infants(judge, tmp_path):
    rows, table = HEAD, "recording,patient,duration_s\n"
    for i in range(10):
        rows += f"n{i}.wav,{10 + i},{12 + i},cry,,\n"
        table += f"n{i}.wav,p{i // 2},100\n"
    (tmp_path / "infants.csv").write_text(table)
    some = "".join(rows.splitlines(keepends=True)[:7])
    options = ["--recordings", tmp_path / "infants.csv"]
    (result,) = judge(rows, some, *options, durations="")
    assert result["n_infants_drawn"] == 5
    low, high = result["event_based"]["micro"]["recall_ci95"]
    assert 0 <= low < 0.6 < high <= 1


def test_a_folder_of_one_format_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "draw", lambda *_: None)
    for side in ("annotated", "detected"):
        for name in ("x/n", "y/n"):
            path = tmp_path / side / f"{name}.csv"
            path.parent.mkdir(parents=True)
            path.write_text("onset,offset,label\n1,2,cry\n")
    words = [str(tmp_path / side) for side in ("annotated", "detected")]
    main([*words, "--out", str(tmp_path / "out"), "--n_draws", "100"])
    text = (tmp_path / "out" / "metrics.json").read_text()
    assert json.loads(text)["comparisons"][0]["n_recordings"] == 2


def test_a_folder_of_several_formats_is_refused(tmp_path, capsys):
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / "n.csv").write_text("onset,offset,label\n1,2,cry\n")
    (folder / "n.txt").write_text("1\t2\tcry\n")
    words = [str(folder), str(folder), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main(words)
    line = capsys.readouterr().err
    assert "several formats (audacity, csv), perhaps of the same" in line
    assert "name one with --annotated_format" in line
    lists = read_lists(folder, "audacity", "--annotated_format")
    assert [e.label for e in lists["n.txt"]] == ["cry"]
    # An empty label track is a recording without events, one table wins.
    (folder / "n.txt").write_text("")
    assert read_lists(folder, "audacity", "") == {"n.txt": []}
    (folder / "events.csv").write_text(HEAD + "x.wav,1,2,cry,,\n")
    assert list(read_lists(folder, None, "")) == ["x.wav"]


def test_further_tiers_of_one_annotator_are_one():
    events = [Event(0, 1, "cry", tier=t) for t in ("Ann", "Ann 2", "Coder 1")]
    tiers = by_tier([Recording("a", 9.0, events)])
    assert {name: len(part[0].annotated) for name, part in tiers.items()} == {
        "Ann": 2,
        "Coder 1": 1,
    }


def test_times_in_milliseconds_are_refused(judge):
    late = HEAD + "a.wav,1,9e9,cry,,\n"
    line = judge(late, late, durations="")
    assert line.startswith("a.wav is 9000000000 s long, more than 100 days")
