"""Commands that write audio: a full disk is one line, and nothing is left out."""

import sys

import numpy as np
import pytest
import soundfile

from data_prep import detection_windows, night
from data_prep.annotations import __main__ as annotations
from data_prep.audio.write import audio_output
from data_prep.files.errors import AccessError, InputError

RATE = 16000


@pytest.fixture
def sounds(tmp_path):
    """A folder of tones, with a table of them, and annotations of one."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    lines = ["recording_id,patient_id,path,label"]
    for i in range(4):
        sig = 0.1 * np.sin(np.arange(3 * RATE) * (0.1 + i / 50))
        soundfile.write(folder / f"{i}.wav", sig, RATE)
        lines.append(f"{i},p{i},{i}.wav,cry")
    (folder / "recordings.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "events.csv").write_text(
        "recording,onset,offset,label\n"
        + "".join(f"{i}.wav,0.5,1.5,cry\n" for i in range(4))
    )
    return folder


#: Arguments of each command; night needs events, windows three patients.
COMMANDS = {
    "night": (
        night,
        "{sounds}/recordings.csv {sounds} --hours 0.05 --per_hour cry=100",
    ),
    "windows": (
        detection_windows,
        "--sounds {sounds}/recordings.csv --others {sounds}/recordings.csv:label "
        "--backgrounds {sounds}/recordings.csv --windows 20",
    ),
    "annotations": (annotations, "{sounds} {sounds}/../events.csv"),
}


@pytest.mark.parametrize(
    "fault", [soundfile.LibsndfileError(2), AssertionError]
)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(name, fault, sounds, tmp_path, monkeypatch, capsys):
    # soundfile asserts that all samples are written.
    def write(self, samples):
        raise fault

    monkeypatch.setattr(soundfile.SoundFile, "write", write)
    module, arguments = COMMANDS[name]
    out = tmp_path / "out"
    words = [*arguments.format(sounds=sounds).split(), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [name, *words])
    with pytest.raises(SystemExit) as stop:
        module.main()
    assert stop.value.code == 2
    (line,) = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith("error: ")
    ]
    assert "could not be written (libsndfile could not write" in line
    assert "free some space, then run the same command again" in line
    assert not [*out.rglob("*.csv"), *out.rglob("*.flac"), *out.rglob("*.wav")]


def test_errors_of_what_is_read_are_not_those_of_the_output(tmp_path):
    with pytest.raises(soundfile.LibsndfileError):
        with audio_output(tmp_path / "a.wav", RATE, "WAV"):
            soundfile.SoundFile(tmp_path / "absent.wav")
    assert not list(tmp_path.iterdir())


def test_what_was_written_is_read_again(tmp_path):
    sig = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    with audio_output(tmp_path / "a.wav", RATE, "WAV", "FLOAT") as write:
        for part in np.split(sig, 4):
            write(part)
    again, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == RATE and np.array_equal(again, sig)


def test_a_name_that_libsndfile_cannot_have(tmp_path):
    with pytest.raises(InputError, match="its name is not Unicode"):
        with audio_output(tmp_path / "\udcff.wav", RATE, "WAV"):
            pass


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(AccessError, match="could not be written"):
        with audio_output(tmp_path / "no/a.wav", RATE, "WAV"):
            pass
