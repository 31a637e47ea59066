"""Exit statuses of commands whose every recording should have an output: 0 if
each has one, 1 if some have none, which is said."""

import importlib

import pytest

COMMANDS = {
    "cry_modules.inference.__main__": "{run} {audio} --csv={out}.csv",
    "cry_modules.detect.__main__": "{run} {audio} --out={out}",
    "cry_modules.embed.__main__": "{run} {audio} --out={out}.csv",
    "data_prep.convert": "{audio} {out}",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_recording_without_output(
    command, trained, noise, tmp_path, monkeypatch, capsys
):
    noise("audio/a.wav", seconds=2.0)
    words = [
        word.format(run=trained(), audio=tmp_path / "audio", out=tmp_path / "o")
        for word in COMMANDS[command].split()
    ]
    monkeypatch.setattr("sys.argv", ["command", *words])
    main = importlib.import_module(command).main
    main()
    assert "could not be" not in capsys.readouterr().out
    (tmp_path / "audio/b.wav").write_bytes(bytes(5000))
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    printed = capsys.readouterr()
    assert "b.wav" in printed.out or (tmp_path / "o/rejected.csv").is_file()
