"""Embeddings of the events of a detector or a review."""

import numpy as np
import pytest
import soundfile

from cry_modules.embed.__main__ import main
from cry_modules.embed.inputs import list_items
from data_prep.files.errors import InputError

RATE = 16000


def test_events_of_a_detector_or_review_are_embedded(
    noise, table, tmp_path, capsys
):
    """An event is what a file with its samples alone is."""
    path = noise("nights/b1/night.wav", seconds=5.0, subtype="FLOAT")
    noise("nights/b1/day.wav", seconds=5.0)
    sound, _ = soundfile.read(path, dtype="float32")
    spans = [(0.5, 1.25), (2.0, 4.0)]
    for i, (onset, offset) in enumerate(spans):
        part = sound[round(onset * RATE) : round(offset * RATE)]
        (tmp_path / "parts").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"parts/{i}.wav", part, RATE, "FLOAT")
    events = tmp_path / "events.csv"
    lines = ["recording,channel,onset_s,offset_s,label,score,reviewed_label"]
    for onset, offset in spans:
        lines.append(f"b1/night.wav,,{onset},{offset},cry,0.9,")
    lines += ["gone.wav,,0,1,cry,0.9,cry"]
    events.write_text("\n".join(lines))
    folder = ("--data_folder", tmp_path / "nights")
    rows, embs = table(events, *folder, status=1)
    _, expected = table(tmp_path / "parts")
    assert np.abs(embs - expected).max() < 1e-5 * np.abs(expected).max()
    cells = [[row[n] for n in ("id", "start_s", "stop_s", "error")]
             for row in rows]  # fmt: skip
    assert cells == [
        ["b1/night.wav", "0.500", "1.250", ""],
        ["b1/night.wav", "2.000", "4.000", ""],
        ["gone.wav", "0.000", "1.000", "missing"],
    ]
    assert "1 of 3 events could not be used" in capsys.readouterr().out
    rows, _ = table(events, *folder, "--pseudonyms", status=1)
    names = [row["id"] for row in rows]
    assert names == ["recording 1", "recording 1", "recording 2"]


def test_events_name_recordings_of_a_folder(noise, tmp_path):
    noise("nights/two.wav", channels=2)
    (tmp_path / "other").mkdir()
    events = tmp_path / "events.csv"
    events.write_text("recording,channel,onset_s,offset_s,label\ntwo,2,0,1,a\n")
    with pytest.raises(InputError, match="channels are mixed here; cut the"):
        list_items([str(events)], str(tmp_path / "nights"))
    with pytest.raises(InputError) as refused:
        list_items([str(events)], str(tmp_path / "other"))
    assert str(refused.value) == (
        f"{events} is a table of events, and none of its recordings, such "
        f"as two, is in {tmp_path / 'other'}; pass the folder of the recordings with "
        "--data_folder"
    )


def test_a_table_or_recordings_in_place_of_an_encoder(noise, tmp_path, capsys):
    sound = noise("nights/a.wav")
    events = tmp_path / "events.csv"
    events.write_text("recording,onset_s,offset_s,label\na,0,1,cry\n")
    for first, what in (
        (events, "is a table"),
        (sound, "is a recording"),
        (tmp_path / "nights", "holds recordings"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main([str(first), "none", "--out", str(tmp_path / "o.csv")])
        assert stopped.value.code == 2
        words = f"{first} {what}, not a model; the order is ENCODER AUDIO"
        assert words in capsys.readouterr().err
