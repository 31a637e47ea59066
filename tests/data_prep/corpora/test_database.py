"""Tables of users: accepted variants, and refusals in one line."""

import logging

import pytest

from data_prep.corpora.database import read_database
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table, write_table

HEADER = "recording_id,patient_id,path,trigger\n"


def table_of(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "recordings.csv"
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize(
    "content, encoding",
    [
        (HEADER + "r1,P1,a.wav,pain\n", "utf-8"),
        (HEADER + "r1,P1,a.wav,pain\n", "utf-8-sig"),  # byte-order mark
        (HEADER.replace("\n", "\r\n") + "r1,P1,a.wav,pain\r\n", "utf-8"),
        (HEADER + "r1 , P1,a.wav,pain  \n\n,,,\n", "utf-8"),
        (HEADER.replace(",", ";") + "r1;P1;a.wav;pain\n", "utf-8"),
        (HEADER.replace(",", "\t") + "r1\tP1\ta.wav\tpain\n", "utf-8"),
    ],
)
def test_accepted_tables(tmp_path, content, encoding):
    [(rec, cells)] = read_database(
        table_of(tmp_path, content, encoding), ["trigger"]
    )
    assert (rec.ID, rec.patient_id, rec.wav) == ("r1", "P1", "a.wav")
    assert cells["trigger"] == "pain"


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "recordings.csv is empty"),
        (HEADER, "has a header and no rows"),
        ("recording_id,patient_id,path,path\n", "'path' twice; rename one"),
        ("recording_id,path,trigger\nr1,a.wav,\n", "no column 'patient_id'"),
        (HEADER + "r1,P1,a.wav\n", "row 2 has 3 cells, the header 4"),
        (HEADER + "r1,P1,a,b.wav,pain\n", "row 2 has 5 cells"),
        (HEADER + "r1,,a.wav,pain\n", "row 2: patient_id is empty"),
        (
            HEADER + "r1,1E+05,a.wav,pain\n",
            "row 2: patient_id is '1E.05', which a spreadsheet has",
        ),
        (HEADER + "1.23E+11,P1,a.wav,\n", "row 2: recording_id is '1.23E.11'"),
        (HEADER + "#NAME?,P1,a.wav,\n", "row 2: recording_id is '#NAME\\?'"),
        (HEADER + 'r1,"1,00E+05",a.wav,pain\n', "patient_id is '1,00E.05'"),
        (HEADER + 'r1,P1,"a.wav,pain\n' + "x" * 200000, "unclosed quote"),
        (HEADER + "r1,P1,/a/b.wav,pain\n", "row 2: path /a/b.wav is absolute"),
        (
            HEADER + "r1,P1,a.wav,pain\nr2,P1,a.wav,hunger\n",
            "row 3: a.wav has trigger 'hunger' here and 'pain' in "
            "recordings.csv row 2; keep the correct",
        ),
        (
            HEADER + "r1,P1,a.wav,pain\nr2,P1,./a.wav,pain\n",
            "row 3: a.wav is listed in recordings.csv row 2 already",
        ),
    ],
)
def test_refused_tables(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as error:
        read_database(table_of(tmp_path, content), ["trigger"])
    assert "\n" not in str(error.value)


def test_a_row_of_remarks_is_no_recording(tmp_path, caplog):
    """Such as a total below the table (a stranger's list)."""
    caplog.set_level(logging.INFO)
    header = "patient_id,path,trigger,note\n"
    content = header + "P1,a.wav,pain,loud\n,,,sum: 1\n"
    [(rec, _)] = read_database(table_of(tmp_path, content), ["trigger"])
    assert rec.wav == "a.wav"
    words = (
        "rows without patient, file and label are left out (1, such as row 3)"
    )
    assert words in caplog.text
    with pytest.raises(InputError, match="recordings.csv names no recording"):
        read_database(table_of(tmp_path, header + ",,,sum: 0\n"), ["trigger"])
    # Part of a recording is a mistake.
    for row in (",b.wav,,", "P2,,,", ",,pain,"):
        with pytest.raises(InputError, match="row 3: .* is empty; fill it in"):
            read_database(
                table_of(tmp_path, f"{header}P1,a.wav,pain,\n{row}\n"),
                ["trigger"],
            )


def test_latin_1_is_refused(tmp_path):
    path = table_of(tmp_path, HEADER + "r1,Jérôme,a.wav,pain\n", "latin-1")
    with pytest.raises(InputError, match="is not UTF-8; save it as"):
        read_database(path, [])


def test_ids_that_only_look_mangled(tmp_path):
    content = HEADER + "1e5a,E+05,a.wav,\n100000,12e10,b.wav,\n"
    rows = read_database(table_of(tmp_path, content), [])
    assert [rec.patient_id for rec, _ in rows] == ["E+05", "12e10"]


def test_ids_in_both_cases_are_one_patient_with_a_warning(tmp_path, caplog):
    content = HEADER + "r1,Ab-1,a.wav,\nr2,AB-1,b.wav,\n"
    caplog.set_level(logging.INFO)
    rows = read_database(table_of(tmp_path, content), [])
    assert {rec.patient_id for rec, _ in rows} == {"Ab-1"}
    assert "1 rows spell patient_id differently" in caplog.text
    assert "recordings.csv row 3 and recordings.csv row 2" in caplog.text
    assert "ab-1" not in caplog.text.lower()  # ids at DEBUG only
    caplog.set_level(logging.DEBUG)
    read_database(table_of(tmp_path, content), [])
    assert "row 3: patient_id 'AB-1' is 'Ab-1' in recordings.csv row 2" in (
        caplog.text
    )


def test_space_around_labels_is_removed_with_a_message(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    content = HEADER + "r1,P1,a.wav,pain\nr2,P1,b.wav,pain \n"
    rows = read_database(table_of(tmp_path, content), ["trigger"])
    assert {cells["trigger"] for _, cells in rows} == {"pain"}
    assert "recordings.csv row 3: trigger is 'pain '" in caplog.text


def test_any_cell_comes_back(tmp_path):
    cells = ["a,b", 'a "b"', "a\nb", "a\rb", "a;b", "=1", "ä哭", "-"]
    write_table(tmp_path / "a.csv", ["x", "y"], [[c, "z"] for c in cells])
    rows = read_table(tmp_path / "a.csv", ["x"])
    assert [row["x"] for _, row in rows] == cells


def test_a_folder_for_a_table(tmp_path):
    with pytest.raises(InputError, match="is a folder; pass the csv file"):
        read_table(tmp_path, [])
