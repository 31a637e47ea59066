"""Tables of scores become cases, with their recordings, in an order."""

import numpy as np
import pytest
import soundfile

from cry_modules.review.cases import read_scores
from cry_modules.review.locate import add_labels, place, read_recordings
from cry_modules.review.order import make_queue, ordered
from data_prep.annotations.options import Options
from data_prep.files.errors import InputError
from tests.reviews import make_clinic, make_night, name_of, write_csv

INFERENCE = (
    "path,seconds,call,n_windows,error,unlike_training,training_distance,"
    "healthy,injury"
)


@pytest.fixture
def clinic(tmp_path):
    return make_clinic(tmp_path)


def rows_in(table, order):
    return [case.row for case in ordered(table, order)]


def test_predictions(clinic):
    table = read_scores(clinic / "predictions_test.csv")
    assert table.classes == ["healthy", "injury"] and not table.is_predicted
    # Nearest to 0.5: 0.52, 0.45, then 0.3, 0.1 and 0.9 alike, 0.02.
    assert rows_in(table, None) == [3, 1, 4, 0, 2, 5]
    # Lowest probability of the label: 0.02, 0.1, 0.45, 0.52, 0.7, 0.9.
    assert rows_in(table, "surprising") == [5, 2, 1, 3, 4, 0]
    assert rows_in(table, "given") == [0, 1, 2, 3, 4, 5]
    shuffled = rows_in(table, "random")
    assert sorted(shuffled) == rows_in(table, "given") != shuffled


def test_the_threshold_of_a_run_is_where_doubt_is_greatest(clinic, monkeypatch):
    (clinic / "metrics.json").write_text("{}")
    block = {"test": {"recording": {"threshold": 0.1}}}
    monkeypatch.setattr(
        "cry_modules.review.cases.read_metrics", lambda folder: block
    )
    table = read_scores(clinic / "predictions_test.csv")
    assert rows_in(table, "doubtful")[0] == 0


def test_scores_of_inference(clinic, tmp_path):
    """Doubt is greatest between the lowest score that is called and the highest
    that is not; rows without scores are left out."""
    calls = [(0.05, "healthy"), (0.19, "healthy"), (0.2, "injury"),
             (0.9, "injury")]  # fmt: skip
    rows = [
        [name_of(i), 1, call, 1, "", "", "", 1 - p, p]
        for i, (p, call) in enumerate(calls)
    ]
    rows.append([name_of(4), 0, "", "", "silent", "", "", "", ""])
    path = write_csv(tmp_path / "scores.csv", INFERENCE, rows)
    table = read_scores(path)
    assert len(table.cases) == 4 and table.is_predicted
    assert table.threshold == pytest.approx(0.195)
    assert set(rows_in(table, "doubtful")[:2]) == {1, 2}
    with pytest.raises(InputError, match="only what the model calls"):
        ordered(table, "surprising")
    # With labels of a table, the calls are judged.
    recordings = read_recordings(str(clinic / "db/recordings.csv"), None, {})
    place(table, recordings)
    add_labels(table, recordings, "neuro_injury")
    assert [c.label for c in table.cases] == ["healthy", "injury"] * 2
    assert rows_in(table, "surprising")[:2] == [1, 2]


def test_a_class_with_the_name_of_a_column(tmp_path):
    header = INFERENCE.replace("healthy", "class error")
    row = ["a.wav", 1, "error", 1, "", "", "", 0.6, 0.4]
    table = read_scores(write_csv(tmp_path / "s.csv", header, [row]))
    assert table.classes == ["error", "injury"]


def test_three_classes(tmp_path):
    header = "ID,patient_id,fold,label,a,b,c"
    rows = [
        ["x.wav", 1, 0, "a", 0.50, 0.30, 0.20],
        ["y.wav", 2, 0, "a", 0.05, 0.50, 0.45],
        ["z.wav", 3, 0, "c", 0.45, 0.50, 0.05],
    ]
    table = read_scores(write_csv(tmp_path / "p.csv", header, rows))
    assert rows_in(table, "doubtful") == [1, 2, 0]  # ratios 1.11, 1.11, 1.67
    assert rows_in(table, "surprising") == [1, 2, 0]


def test_doubtful_csv_keeps_its_order(tmp_path):
    header = "path,patient,label,score,times_wrong,kind"
    rows = [
        ["a.wav", 1, "injury", "0.1", 3, "most wrong"],
        ["b.wav", 2, "injury", "0.5", 0, "most unsure"],
    ]
    table = read_scores(write_csv(tmp_path / "doubtful.csv", header, rows))
    assert rows_in(table, None) == [0, 1]
    assert rows_in(table, "doubtful") == [1, 0]
    assert rows_in(table, "surprising") == [0, 1]


def test_events(tmp_path):
    table = read_scores(make_night(tmp_path) / "events.csv")
    assert table.is_events and table.classes == ["cry", "other"]
    assert rows_in(table, None) == [1, 2, 0]  # the lowest score first
    assert table.cases[0].span == (2, 4)
    # Decimal commas of a spreadsheet.
    path = tmp_path / "comma.csv"
    path.write_text(
        "recording;onset_s;offset_s;label;score\nn.flac;1,5;2,5;cry;0,7\n"
    )
    (case,) = read_scores(path).cases
    assert case.span == (1.5, 2.5) and case.scores == {"cry": 0.7}


def test_false_alarms_have_the_label_of_negatives(tmp_path):
    """It is offered once, also if the table has it in another spelling."""
    assert Options.negative_label == "other"
    for labels, expected in (
        (["fuss", "cry"], ["cry", "fuss", "other"]),
        (["cry", "Other"], ["Other", "cry"]),
    ):
        rows = [["n.flac", 3, 4, label, 0.5] for label in labels]
        table = read_scores(write_csv(tmp_path / "e.csv", EVENTS, rows))
        assert table.classes == expected


@pytest.mark.parametrize(
    "cell, time",
    [
        ("2026-03-12T23:15:20.000+01:00", "2026-03-12 23:15:20+01:00"),
        ("2026-10-25T02:30:00.750", "2026-10-25 02:30:00"),
        ("23:15", "23:15"),  # of another program
        ("", ""),
        ("NA", ""),
    ],
)
def test_the_time_of_an_event(tmp_path, cell, time):
    row = ["n.flac", 3, 4, "cry", 0.5, cell]
    path = write_csv(tmp_path / "e.csv", f"{EVENTS},onset_time", [row])
    (case,) = read_scores(path).cases
    assert case.time == time


EVENTS = "recording,onset_s,offset_s,label,score"


@pytest.mark.parametrize(
    "header, row, words",
    [
        (EVENTS, "n.flac,5,4,cry,0.5", "row 2: the event ends at 4 s, before"),
        (EVENTS, "n.flac,soon,4,cry,0.5", "row 2: onset_s is 'soon'"),
        (EVENTS, "n.flac,3,nan,cry,0.5", "row 2: offset_s is 'nan'"),
        (EVENTS, ",3,4,cry,0.5", "row 2 names no recording"),
        (EVENTS, "n.flac,3,4,,0.5", "row 2: the label is empty"),
        (EVENTS, "n.flac,3,4,cry,high", "row 2: the score of cry is 'high'"),
        ("path,label,score", "a,b,?", "the score of b is '?'"),
        ("path,label,score", "a,b,1.5", "row 2: the score of b is 1.5; a pro"),
        ("path,label", "a.wav,b", "has the columns path, label, which are not"),
        (
            "path,label,score,decision",
            "a,b,1,kept",
            "is the result of a review",
        ),
    ],
)
def test_faults_of_tables(tmp_path, header, row, words):
    path = tmp_path / "table.csv"
    path.write_text(f"{header}\n{row}\n")
    with pytest.raises(InputError) as error:
        read_scores(path)
    assert words in str(error.value)


def located(clinic, names, source="db", column="path"):
    rows = [[name, "healthy", 0.5] for name in names]
    path = write_csv(clinic / "s.csv", f"{column},label,score", rows)
    table = read_scores(path)
    place(table, read_recordings(str(clinic / source), None, {}))
    return [case.path for case in table.cases]


def test_recordings_are_found_as_tables_name_them(clinic, monkeypatch):
    audio = str(clinic / "db" / name_of(0))
    monkeypatch.chdir(clinic)
    for name in (
        name_of(0),
        f"./{name_of(0)}",
        f"db/{name_of(0)}",  # from the working folder, as inference has it
        audio,
        f"/server/share/db/{name_of(0)}",  # moved since
        "Säugling's 0.wav",  # by its name alone
        "Sa\u0308ugling's 0",  # as macOS spells it, without its suffix
    ):
        assert located(clinic, [name]) == [audio], name
    assert located(clinic, ["r0"], "db/recordings.csv") == [audio]


@pytest.mark.parametrize(
    "names, words",
    [
        ([name_of(9)], "row 2: audio/Säugling's 9.wav is not in"),
        (["../secret.wav"], "../secret.wav is not in"),
        (["/etc/passwd"], "/etc/passwd is not in"),
        ([name_of(0), name_of(9)], "row 3: audio/Säugling's 9.wav is not in"),
        ([name_of(0), f"./{name_of(0)}"], "row 3: ./audio/Säugling's 0.wav is"),
        # Which of two is not said.
        (["1.wav"], "has 2 entries for 1.wav"),
    ],
)
def test_recordings_that_are_not_there(clinic, names, words):
    soundfile.write(clinic / "secret.wav", np.zeros(800), 8000)
    for folder in "xy":
        (clinic / "db" / folder).mkdir()
        soundfile.write(clinic / f"db/{folder}/1.wav", np.zeros(800), 8000)
    with pytest.raises(InputError) as error:
        located(clinic, names)
    assert words in str(error.value)


def test_the_column_of_labels_is_found(clinic):
    def label_column(given=None):
        table = read_scores(clinic / "predictions_test.csv")
        recordings = read_recordings(
            str(clinic / "db/recordings.csv"), None, {}
        )
        place(table, recordings)
        add_labels(table, recordings, given)
        return recordings.label_column

    assert label_column() == label_column("neuro_injury") == "neuro_injury"
    with pytest.raises(InputError, match="not a column of labels.*neuro_inj"):
        label_column("trigger")
    text = (clinic / "db/recordings.csv").read_text()
    (clinic / "db/recordings.csv").write_text(text.replace("injury,", "ill,"))
    with pytest.raises(InputError, match="no columns.*pass --label_column"):
        label_column()


def test_some_cases_are_played_again_later(tmp_path):
    rows = [[f"{i}.wav", "a", 0.5] for i in range(100)]
    path = write_csv(tmp_path / "s.csv", "path,label,score", rows)
    cases = ordered(read_scores(path), "given")
    few, many = make_queue(cases, 0.1), make_queue(cases, 0.3)
    assert len(few) == 110 and len(many) == 130
    again = {item.row for item in few if item.again}
    assert again < {item.row for item in many if item.again}
    for item in few:
        if item.again:
            between = few.index(item) - few.index(item._replace(again=False))
            assert between > 10 or few.index(item) >= 100
    assert [i.row for i in few if not i.again] == list(range(100))
    assert make_queue(cases, 0.0) == [(i, False) for i in range(100)]
