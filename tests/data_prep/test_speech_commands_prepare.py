"""Preparation of Speech Commands' published layout."""

import pytest

from data_prep.files.errors import InputError
from data_prep.manifest import SPLITS, read_corpus
from data_prep.speech_commands_prepare import prepare_speech_commands


@pytest.fixture
def speech_commands(write, tmp_path):
    """Twelve speakers say three words; one has a hash that looks like a number
    and the others say a word twice."""
    speakers = [f"{i:08x}" for i in range(11)] + ["1234e567"]
    held_out = {"validation": speakers[8:10], "testing": speakers[10:]}
    lists = {name: [] for name in held_out}
    for speaker in speakers:
        for word in ("bed", "cat", "happy"):
            for n in range(1 + (word == "bed")):
                path = f"{word}/{speaker}_nohash_{n}.wav"
                write(path)
                for name, members in held_out.items():
                    lists[name] += [path] * (speaker in members)
    write("_background_noise_/pink_noise.wav")
    for name, lines in lists.items():
        text = "\n".join(lines) + "\n"
        (tmp_path / f"src/{name}_list.txt").write_text(text)
    return tmp_path / "src"


def test_official_lists_speakers_and_words(
    speech_commands, prepared, patients, output, tmp_path, caplog
):
    splits = prepared(prepare_speech_commands, speech_commands)
    assert [len(splits[s]) for s in SPLITS] == [32, 8, 8]
    assert patients(splits) == 12
    test = {r.patient_id for r in splits["test"]}
    assert test == {"sc_0000000a", "sc_1234e567"}
    assert read_corpus(tmp_path / "out")["name"] == "Speech Commands"
    assert output("recordings.csv")[0] == {
        "recording_id": "bed_00000000_nohash_0",
        "patient_id": "sc_00000000",
        "path": "bed/00000000_nohash_0.wav",
        "word": "bed",
        "split": "train",
    }
    assert "words: 3 in total here, 35 as published" in caplog.messages


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_lists_that_another_system_has_saved(
    speech_commands, prepared, encoding
):
    for name in ("validation", "testing"):
        path = speech_commands / f"{name}_list.txt"
        text = path.read_text().replace("/", "\\").replace("\n", "\r\n")
        path.write_bytes(text.encode(encoding))
    splits = prepared(prepare_speech_commands, speech_commands)
    assert [len(splits[s]) for s in SPLITS] == [32, 8, 8]


@pytest.mark.parametrize("text", ["", "../../etc/passwd\n", "BED/X.wav\n"])
def test_a_list_of_other_recordings(speech_commands, prepared, text):
    (speech_commands / "testing_list.txt").write_text(text)
    with pytest.raises(InputError, match="testing_list.txt lists no recording"):
        prepared(prepare_speech_commands, speech_commands)


def test_some_words(speech_commands, prepared, caplog):
    splits = prepared(
        prepare_speech_commands, speech_commands, words=["happy", "cat"]
    )
    assert [len(splits[s]) for s in SPLITS] == [16, 4, 4]
    assert "as published" not in caplog.text
    with pytest.raises(InputError, match="--words dog is not a folder .*bed"):
        prepared(prepare_speech_commands, speech_commands, words=["dog"])


def test_other_names(speech_commands, write, prepared):
    write("bed/hello.wav")
    with pytest.raises(InputError, match="bed/hello.wav: the name is not <wo"):
        prepared(prepare_speech_commands, speech_commands)
    (speech_commands / "testing_list.txt").unlink()
    with pytest.raises(InputError, match="has no testing_list.txt; pass the"):
        prepared(prepare_speech_commands, speech_commands)
