"""Windows to train a detector on: lengths, levels, splits and refusals."""

import csv

import numpy as np
import pytest
import soundfile

from data_prep.detection_windows import RATE, main, read_chosen
from data_prep.night import main as make_night
from data_prep.synthetic.levels import active_power, frame_powers

SIZE = RATE // 2  # of a window


def write_corpus(folder, kinds, seconds, n_patients=6):
    """A recordings.csv of tones, two clips a patient and kind on average."""
    rng = np.random.default_rng(len(folder.name))
    folder.mkdir()
    lines = ["recording_id,patient_id,path,kind,licence,uploader"]
    for i in range(2 * n_patients * len(kinds)):
        kind, patient = kinds[i % len(kinds)], i % n_patients
        times = np.arange(round(seconds * RATE)) / RATE
        sig = 0.1 * np.sin(times * rng.uniform(3000, 30000))
        sig = sig + rng.normal(0, 0.001, len(sig))
        soundfile.write(folder / f"{i}.wav", sig, RATE)
        who = f"{folder.name}{patient}"
        lines.append(f"{i},{who},{i}.wav,{kind},CC0,{who}'s author")
    (folder / "recordings.csv").write_text("\n".join(lines) + "\n")
    return folder / "recordings.csv"


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    return {
        "cries": write_corpus(folder / "cries", ["pain"], 0.9),
        "sounds": write_corpus(
            folder / "sounds", ["cat", "cry", "rain"], 0.3, 10
        ),
    }


def arguments(tables, out, *more):
    cries, sounds = tables["cries"], tables["sounds"]
    return [
        *("--sounds", str(cries), f"{sounds}:kind=cry"),
        *("--others", f"{sounds}:kind!=cry,rain"),
        *("--backgrounds", f"{sounds}:kind=rain", "--out", str(out)),
        *("--windows=120", "--window_s=0.5", *more),
    ]


@pytest.fixture(scope="module")
def made(tables, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "windows"
    assert main(arguments(tables, out)) == 0
    return out


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_windows_have_one_length_and_two_classes(made):
    table = rows(made / "recordings.csv")
    assert len(table) == 120
    for split, n in (("train", 84), ("valid", 18), ("test", 18)):
        labels = [row["label"] for row in table if row["split"] == split]
        assert labels.count("cry") == labels.count("other") == n // 2
    kinds = {row["kind"] for row in table}
    assert kinds == {"cry", "cat", "background"}
    assert all((r["kind"] == "cry") == (r["label"] == "cry") for r in table)
    for row in table:
        sig, rate = soundfile.read(made / row["path"])
        assert rate == RATE and len(sig) == SIZE
        assert row["licence"] in ("CC0", "CC0; CC0")
        assert ("author; " in row["attribution"]) == bool(row["clip"])


def test_patients_and_backgrounds_are_in_one_split(made):
    of_split = {}
    for row in rows(made / "recordings.csv"):
        of_split.setdefault(row["split"], set()).add(row["patient_id"])
    for a, b in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not of_split[a] & of_split[b]


def test_cries_fill_half_a_window_at_their_level(tables, tmp_path):
    """In background that is silent next to them, at 20 dB."""
    out = tmp_path / "out"
    assert main(arguments(tables, out, "--snr_db=20,20.001")) == 0
    for row in rows(out / "recordings.csv"):
        if row["label"] == "other":
            continue
        sig, _ = soundfile.read(out / row["path"])
        powers = frame_powers(sig, RATE)
        loud = powers > active_power(powers) / 10
        # Clips of 0.9 s fill half of 0.5 s, those of 0.3 s have 0.15 s in it.
        least = 0.25 if row["clip"] and "cries" in row["patient_id"] else 0.15
        assert loud.sum() * 0.02 >= least - 0.021
        ratio = powers[loud].mean() / (0.5 * 10 ** (-45 / 10) * 2)
        assert 10 * np.log10(ratio) == pytest.approx(20, abs=2.5)


def test_the_same_command_writes_the_same(tables, made, tmp_path):
    again, other = tmp_path / "again", tmp_path / "other"
    main(arguments(tables, again))
    main(arguments(tables, other, "--seed=1"))
    name = "recordings.csv"
    assert (again / name).read_bytes() == (made / name).read_bytes()
    assert (other / name).read_bytes() != (made / name).read_bytes()
    clip = "clips/train_000000.flac"
    assert (again / clip).read_bytes() == (made / clip).read_bytes()


def test_held_out_patients_are_nowhere(tables, tmp_path, capsys):
    held_out = tmp_path / "held_out.csv"
    held_out.write_text("patient_id\nCRIES0\nsounds1\n")
    out = tmp_path / "out"
    assert main(arguments(tables, out, "--exclude", str(held_out))) == 0
    assert "8 clips of excluded patients left out" in capsys.readouterr().out
    for path in out.glob("*.csv"):
        ids = {row["patient_id"] for row in rows(path)}
        assert not ids & {"cries0", "sounds1", "background sounds1"}


def test_a_night_of_valid_clips(made, tmp_path):
    """Of the tables that are written, to choose a threshold on."""
    out = tmp_path / "night"
    lists = [
        str(made / f"valid_{name}.csv") for name in ("clips", "backgrounds")
    ]
    options = ["--hours=0.05", "--snr_db=10", "--per_hour=cry=80,cat=80"]
    assert make_night([*lists, "--out", str(out), *options]) == 0
    mixed = {row["source"] for row in rows(out / "mix.csv")}
    in_train = {
        row["patient_id"]
        for row in rows(made / "recordings.csv")
        if row["split"] != "valid"
    }
    assert mixed and not mixed & in_train


def test_without_a_column_the_folder_is_the_kind(tables):
    chosen = read_chosen(str(tables["cries"]), "--others")
    assert {row.clip.label for row in chosen} == {"cries"} and len(chosen) == 12
    chosen = read_chosen(f"{tables['sounds']}:kind=cat,rain", "--others")
    assert {row.clip.label for row in chosen} == {"cat", "rain"}


@pytest.mark.parametrize(
    "change, words",
    [
        (("--others", "no.csv"), "--others no.csv: no.csv is not a table"),
        (("--others", "no.csv:x=y"), "no.csv is not a table"),
        (("--others", "{}:kind=dog"), "has kind dog; it has cat, cry, rain"),
        (("--others", "{}:sort"), "sort"),
        (("--others", "{}:kind!=cat,cry,rain"), "chooses no row"),
        (("--snr_db", "5"), "--snr_db has 1 numbers"),
        (("--snr_db", "5,loud"), "--snr_db is loud"),
        (("--label", "other"), "--label is other"),
        (("--windows", "0"), "--windows is 0"),
        (("--window_s", "0"), "--window_s is 0"),
    ],
)
def test_refusals_are_one_line(tables, tmp_path, capsys, change, words):
    option, value = change
    args = arguments(tables, tmp_path / "out")
    at = args.index(option) if option in args else None
    if at is not None:
        del args[at : at + 2]
    args = [a for a in args if not a.startswith(f"{option}=")]
    args += [option, value.format(tables["sounds"])]
    with pytest.raises(SystemExit) as stop:
        main(args)
    said = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and words in said and "\n" not in said
    assert not (tmp_path / "out/recordings.csv").exists()
