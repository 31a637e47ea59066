"""A night of clips in background: levels, places and refusals."""

import csv
import json

import numpy as np
import pytest
import soundfile

from data_prep import night as command
from data_prep.annotations.formats import read_events
from data_prep.audio.decode import open_audio
from data_prep.night import container, main
from data_prep.synthetic.background import Background, open_source
from data_prep.synthetic.levels import active_part, active_power, frame_powers
from data_prep.synthetic.night import Clip, Clips, blocks, headroom, mixed, plan

RATE = 8000
MINUTE = 60 * RATE


def burst(rng, seconds, level=0.1, silence_s=0.3):
    """Noise with a pause in it, and silence around."""
    sig = rng.normal(0, level, round(seconds * RATE))
    sig[len(sig) // 3 : len(sig) // 2] *= 1e-4
    silence = np.zeros(round(silence_s * RATE))
    return np.concatenate([silence, sig, silence]).clip(-1, 1)


@pytest.fixture
def sounds(tmp_path):
    """A folder of clips of two labels, and one of backgrounds."""
    rng = np.random.default_rng(0)
    for i, label in enumerate(["cry", "cry", "cry", "music"]):
        path = tmp_path / "clips" / label / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, burst(rng, 0.5 + 0.4 * i, 0.05 * (i + 1)), RATE)
    (tmp_path / "rooms").mkdir()
    for name, rate in (("fan.wav", RATE), ("rain.flac", 16000)):
        sig = rng.normal(0, 0.02, 7 * rate)
        soundfile.write(tmp_path / "rooms" / name, sig, rate)
    return tmp_path


@pytest.fixture
def parts(sounds):
    """Sources, background, clips and their places in two minutes."""
    files = sorted((sounds / "rooms").iterdir())
    sources = [open_source(str(f), f.name, RATE, -40.0) for f in files]
    background = Background(
        sources, 2 * MINUTE, 25 * RATE, RATE, np.random.default_rng(1)
    )
    clips = {}
    for file in sorted((sounds / "clips").rglob("*.wav")):
        clip = Clip(str(file), file.name, file.parent.name)
        clips.setdefault(clip.label, []).append(clip)
    read = Clips(RATE, 30.0)
    numbers = {"cry": 8, "music": 4}
    rng = np.random.default_rng(2)
    placed, _ = plan(clips, numbers, read, 2 * MINUTE, 2 * RATE, rng)
    return sources, background, read, placed


def whole(events, background, read, size=MINUTE):
    return np.concatenate([*blocks(events, background, read, size)])


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 20.0])
def test_ratios_in_the_mixture_are_those_requested(parts, snr_db):
    _, background, read, placed = parts
    mix = whole(mixed(placed, background, read, snr_db), background, read)
    noise = background[:]
    for event in placed:
        end = event.onset + event.n_samples
        clip = (mix - noise)[event.onset : end]
        around = noise[max(0, event.onset - RATE) : end + RATE]
        ratio = active_power(frame_powers(clip, RATE)) / np.mean(around**2)
        assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.1)


def test_clips_are_where_they_are_said_to_be(parts):
    _, background, read, placed = parts
    events = mixed(placed, background, read, 10.0)
    rest = whole(events, background, read) - background[:]
    for event, gain, *_ in events:
        end = event.onset + event.n_samples
        sig, start = read(event.clip)
        assert start == event.start and len(sig) == event.n_samples
        measured = rest[event.onset : end]
        assert measured == pytest.approx(gain * sig, abs=1e-12)
        assert sig[0] != 0 and sig[-1] != 0
        rest[event.onset : end] = 0
    assert np.abs(rest).max() == 0
    onsets = [event.onset for event in placed]
    ends = [event.onset + event.n_samples for event in placed]
    gaps = np.diff([0, *sum(zip(onsets, ends), ()), 2 * MINUTE])[::2]
    assert gaps.min() >= 2 * RATE


def test_blocks_of_any_size_are_the_same(parts):
    _, background, read, placed = parts
    events = mixed(placed, background, read, 0.0)
    expected = whole(events, background, read, 2 * MINUTE)
    for size in (997, 30 * RATE):
        assert np.array_equal(whole(events, background, read, size), expected)


def test_background_keeps_its_level_where_it_is_joined(parts):
    """Loops of 7 s, and another recording every 25 s, within 1 dB in windows
    of half a second."""
    _, background, *_ = parts
    assert {s.source.path for s in background.stretches} == {
        "fan.wav",
        "rain.flac",
    }
    powers = (background[:] ** 2).reshape(-1, RATE // 2).mean(axis=1)
    assert np.abs(10 * np.log10(powers) + 40).max() < 1


def test_a_loud_night_is_turned_down_as_a_whole(parts):
    sources, background, read, placed = parts
    events = mixed(placed, background, read, 40.0)
    gain = headroom(events, background, sources, read)
    mix = gain * whole(events, background, read)
    assert gain < 1 and np.abs(mix).max() == pytest.approx(0.99)


def test_active_level_leaves_out_pauses():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, 10 * RATE)
    paused = np.concatenate([noise, 1e-3 * noise, np.zeros(RATE), noise])
    power = active_power(frame_powers(paused, RATE))
    assert 10 * np.log10(power) == pytest.approx(0, abs=0.05)
    begin, end = active_part(np.pad(noise, (RATE, 3 * RATE)), RATE)
    assert (begin, end) == (RATE, 11 * RATE)
    assert active_part(np.zeros(RATE), RATE) == (0, 0)


@pytest.fixture
def make(sounds, capsys):
    """Run the command; return its folder, or the line of a refusal."""

    def run(*options, out="out", clips="clips", rooms="rooms"):
        words = [str(sounds / clips), str(sounds / rooms)]
        words += ["--out", str(sounds / out), "--rate", str(RATE)]
        try:
            main([*words, *map(str, options)])
        except SystemExit as stop:
            assert stop.code == 2
            errors = capsys.readouterr().err.splitlines()
            return errors[-1].removeprefix("error: ")
        return sounds / out

    return run


SHORT = ("--hours", "0.03", "--per_hour", "cry=200,music=100")


def test_the_command_writes_audio_annotations_and_the_list(make):
    out = make(*SHORT, "--snr_db", "0,15", "--format", "wav")
    names = {path.name for path in out.iterdir()}
    assert names == {
        *("night_snr0.wav", "night_snr15.wav"),
        *("annotations.csv", "mix.csv", "night.json"),
    }
    with open(out / "mix.csv") as file:
        rows = list(csv.DictReader(file))
    events = read_events(out / "annotations.csv")
    assert [e.recording for e in events] == [row["recording"] for row in rows]
    assert sorted(e.label for e in events) == ["cry"] * 12 + ["music"] * 6
    quiet, loud = (rows[: len(rows) // 2], rows[len(rows) // 2 :])
    places = [[row["onset_sample"] for row in half] for half in (quiet, loud)]
    assert places[0] == places[1]
    for event, row in zip(events, rows):
        assert event.onset_s * RATE == pytest.approx(
            int(row["onset_sample"]), abs=0.01
        )
    # Measured in the files: the clip is what the quiet one and the loud one
    # differ by, once both have the same background.
    audio = [soundfile.read(out / f"night_snr{snr}.wav")[0] for snr in (0, 15)]
    assert len(audio[0]) == round(0.03 * 3600 * RATE)
    for low, high in zip(quiet, loud):
        ratio = float(high["active_dbfs"]) - float(high["background_dbfs"])
        assert ratio == pytest.approx(15, abs=0.001)
        begin = int(low["onset_sample"])
        end = begin + int(low["n_samples"])
        gains = [10 ** (float(row["gain_db"]) / 20) for row in (low, high)]
        both = [
            10 ** (-float(row["background_dbfs"]) / 20) for row in (low, high)
        ]
        clip = audio[1][begin:end] * both[1] - audio[0][begin:end] * both[0]
        scale = gains[1] * both[1] - gains[0] * both[0]
        power = active_power(frame_powers(clip / scale * gains[1], RATE))
        level = 10 * np.log10(power)
        assert level == pytest.approx(float(high["active_dbfs"]), abs=0.1)


def test_the_same_seed_writes_the_same_bytes(make, monkeypatch):
    options = (*SHORT, "--snr_db", "10")
    first = make(*options, out="first")
    monkeypatch.setattr(command, "BLOCK_S", 1.7)
    again, other = make(*options, out="again"), make(*options, "--seed", 2)
    name = "night_snr10.flac"
    assert (first / name).read_bytes() == (again / name).read_bytes()
    assert (first / name).read_bytes() != (other / name).read_bytes()
    lists = [(folder / "mix.csv").read_text() for folder in (first, again)]
    assert lists[0] == lists[1]


def test_a_wav_beyond_4_gb_is_rf64(make, monkeypatch):
    assert container("wav", 8 * 3600 * 16000).format == "WAV"
    assert container("wav", 38 * 3600 * 16000).format == "RF64"
    monkeypatch.setattr(command, "MOST_WAV_BYTES", 1000)
    out = make(*SHORT, "--snr_db", "0", "--format", "wav")
    file = out / "night_snr0.wav"
    assert file.read_bytes()[:4] == b"RF64"
    with open_audio(str(file)) as opened:
        assert opened.frames == round(0.03 * 3600 * RATE)


def test_a_table_of_clips_and_silent_ones(make, sounds):
    soundfile.write(sounds / "clips/cry/silent.wav", np.zeros(RATE), RATE)
    table = "path,sound,patient_id\n"
    for name in ("cry/0.wav", "cry/silent.wav"):
        table += f"{name},cry,baby7\n"
    (sounds / "clips" / "clips.csv").write_text(table)
    options = ("--label_column", "sound", "--hours", 0.03, "--snr_db", 5)
    out = make(*options, "--per_hour", "cry=100", clips="clips/clips.csv")
    record = json.loads((out / "night.json").read_text())
    assert record["silent_clips"] == ["cry/silent.wav"]
    with open(out / "mix.csv") as file:
        rows = list(csv.DictReader(file))
    assert {(row["clip"], row["source"]) for row in rows} == {
        ("cry/0.wav", "baby7")
    }


@pytest.mark.parametrize(
    "options, line",
    [
        (["--per_hour", "crys=3"], "--per_hour names crys (did you mean cry?)"),
        (["--per_hour", "cry"], "--per_hour has 'cry'; write LABEL=NUMBER"),
        (["--per_hour", "cry=0"], "--per_hour is 0; it must be above 0"),
        (["--per_hour", "cry=1,cry=2"], "names cry twice"),
        (["--snr_db", "0,x"], "--snr_db is x; it must be -40 or more"),
        (["--snr_db", "0,0"], "--snr_db has one twice"),
        (["--hours", "0"], "--hours is 0; pass a number from 0.001 to 1000"),
        (["--hours", "0.03", "--per_hour", "cry=900"], "lower --per_hour or"),
        (["--hours", "0.03", "--per_hour", "cry=1"], "no event is drawn"),
        (["--rate", "7"], "given twice"),
    ],
)
def test_what_cannot_be_mixed_is_one_line(make, options, line):
    assert line in make(*options)


def test_a_full_disk_is_one_line_and_leaves_no_file(make, sounds, monkeypatch):
    def write(self, samples):
        raise soundfile.LibsndfileError(2, "Error : ")

    monkeypatch.setattr(soundfile.SoundFile, "write", write)
    line = make(*SHORT, "--snr_db", "0")
    assert "night_snr0.flac could not be written (" in line
    assert not list((sounds / "out").glob("*night*"))


def test_sounds_that_cannot_be_used_are_named(make, sounds):
    assert "nowhere does not exist" in make(*SHORT, clips="nowhere")
    soundfile.write(sounds / "rooms/0.wav", np.zeros(RATE), RATE)
    assert "0.wav is silent; leave it out of the" in make(*SHORT)
    (sounds / "rooms/0.wav").write_text("no audio")
    assert "0.wav cannot be decoded (" in make(*SHORT)
    soundfile.write(sounds / "rooms/0.wav", np.ones(9), RATE)
    assert "0.wav is 0.00 s long, too short" in make(*SHORT)
    (sounds / "rooms/0.wav").unlink()
    table = sounds / "clips" / "t.csv"
    table.write_text("path,label\nx.wav,cry\n")
    assert "t.csv row 2: x.wav is not in" in make(*SHORT, clips="clips/t.csv")
