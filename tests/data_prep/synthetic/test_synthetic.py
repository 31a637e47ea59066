"""The synthetic corpora have the documented layout, counts and properties."""

import csv
import json
import re
from collections import Counter, defaultdict
from datetime import datetime

import numpy as np
import pytest
import soundfile as sf
from scipy.stats import rankdata

from data_prep.files.errors import InputError
from data_prep.synthetic import (
    corpora as synthetic,
    plan as synthetic_plan,
)
from data_prep.synthetic.__main__ import main
from data_prep.synthetic.cry import draw_burst, make_cry, sound_burst
from data_prep.synthetic.signal import RATE, Recorder, record
from data_prep.synthetic.sounds import CLASSES, make_sound
from data_prep.synthetic.voices import (
    NEUTRAL,
    SITE_SHARES,
    SITES,
    draw_voice,
    severity_at,
)


def contents(folder):
    """Every file below a folder, with its bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def f0_of(wave):
    """Fundamental frequency, Hz: the comb that holds most of the spectrum."""
    n, hz = 1 << 16, np.arange(150.0, 2500.0)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), n))
    teeth = [
        spectrum[np.rint(hz[:, None] * k * n / RATE).astype(int)].sum(axis=1)
        for k in (np.arange(1, 4), np.arange(1, 4) - 0.5)
    ]
    return hz[np.argmax(teeth[0] - teeth[1])]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny corpus made in this process."""
    out = tmp_path_factory.mktemp("synthetic") / "tiny"
    synthetic.make_corpus(out, "tiny", workers=1)
    return out


def test_generic_has_the_official_form(tiny):
    text = (tiny / "vggsound/vggsound.csv").read_text()
    assert '"tone glide, rising"' in text
    clips = list(csv.reader(text.splitlines()))
    assert len(clips) == 24
    for name, start, label, split in clips:  # four columns, no header
        assert re.fullmatch(r"[A-Za-z0-9_-]{11}", name)
        assert start.isdigit()
        assert label in {known for known, _, _ in CLASSES}
        assert split in ("train", "test")
    listed = {f"{name}_{int(start):06d}.wav" for name, start, _, _ in clips}
    assert len(listed) == len(clips)
    present = {path.name for path in (tiny / "vggsound/audio").iterdir()}
    assert present < listed  # some are missing, none is unlisted


@pytest.mark.parametrize("scale", synthetic_plan.SCALES)
def test_generic_plan_has_the_traps_of_the_real_list(scale):
    plans = synthetic.plan_sounds(scale)
    assert any(p.youtube_id.startswith("-") for p in plans)
    assert any("_" in p.youtube_id for p in plans)
    segments = defaultdict(list)
    for plan in plans:
        segments[plan.youtube_id].append(plan)
    assert any(len(s) == 2 for s in segments.values()) or scale == "tiny"
    for same in segments.values():
        assert len({p.start for p in same}) == len(same)
        assert len({(p.split, p.label) for p in same}) == 1
    assert 0.03 < np.mean([p.missing for p in plans]) < 0.07
    every = {(p.label, p.split) for p in plans}
    assert {(p.label, p.split) for p in plans if not p.missing} == every
    assert len(every) == 2 * synthetic_plan.SCALES[scale].classes


def test_cry_has_the_documented_form(tiny):
    table = (tiny / "cry/recordings.csv").read_text().splitlines()
    assert table[0] == (
        "recording_id,patient_id,path,neuro_injury,trigger,site,"
        "recorded_at,split"
    )
    rows = list(csv.DictReader(table))
    for row in rows:
        info = sf.info(tiny / "cry" / row["path"])
        shape = (info.samplerate, info.channels, info.format, info.subtype)
        assert shape == (16000, 1, "FLAC", "PCM_16")
        assert row["path"] == f"audio/{row['recording_id']}.flac"
        assert bool(row["split"]) == bool(row["neuro_injury"])
        assert row["site"] in SITES
    cells = {(r["split"], r["trigger"]) for r in rows if r["trigger"]}
    assert len(cells) == 9  # every trigger in every split, none in the extra


def test_both_corpora_are_marked_as_synthetic(tiny):
    for folder in ("vggsound", "cry"):
        corpus = json.loads((tiny / folder / "corpus.json").read_text())
        assert corpus["name"].startswith("synthetic ")
        facts = corpus["synthetic"], corpus["licence"], corpus["seed"]
        assert facts == (True, "CC0-1.0", 1234)


def test_bytes_do_not_depend_on_workers_but_on_the_seed(
    tiny, tmp_path, monkeypatch
):
    synthetic.make_corpus(tmp_path / "two", "tiny", workers=2)
    assert contents(tmp_path / "two") == contents(tiny)
    synthetic.make_corpus(tmp_path / "other", "tiny", "cry", 7, workers=1)

    def no_locks(*_):
        raise OSError(30, "Read-only file system")  # /dev/shm

    monkeypatch.setattr(synthetic, "ProcessPoolExecutor", no_locks)
    synthetic.make_corpus(tmp_path / "one", "tiny", "cry", workers=2)
    assert contents(tmp_path / "one/cry") == contents(tiny / "cry")
    other = contents(tmp_path / "other/cry")
    same = contents(tiny / "cry")
    assert other.keys() == same.keys()
    assert not any(other[name] == same[name] for name in same)


def test_interrupted_run_resumes_to_the_same_bytes(
    tiny, tmp_path, monkeypatch, capsys
):
    written, write = [], sf.SoundFile.write

    def full_disk(file, samples):
        written.append(file.name)
        if len(written) == 9:
            write(file, samples[:100])
            raise sf.LibsndfileError(2)
        write(file, samples)

    command = [str(tmp_path), "--scale", "tiny", "--workers", "1"]
    monkeypatch.setattr(sf.SoundFile, "write", full_disk)
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "could not be written (libsndfile could not write; is the" in error
    assert not (tmp_path / "vggsound/corpus.json").exists()
    monkeypatch.setattr(sf.SoundFile, "write", write)
    assert main(command) == 0
    assert contents(tmp_path) == contents(tiny)


def test_complete_corpus_is_not_written_again(tiny, capsys):
    before = {p: p.stat().st_mtime_ns for p in tiny.rglob("*")}
    assert main([str(tiny), "--scale", "tiny"]) == 0
    assert capsys.readouterr().out.count("left unchanged") == 2
    assert {p: p.stat().st_mtime_ns for p in tiny.rglob("*")} == before


def test_foreign_folder_is_refused(tmp_path, capsys):
    (tmp_path / "cry").mkdir()
    (tmp_path / "cry/recordings.csv").write_text("a hospital's")
    before = contents(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path), "--scale", "tiny"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert str(tmp_path / "cry") in error and "--part" in error
    assert contents(tmp_path) == before  # and the other part was not started


@pytest.mark.parametrize("real", ["vggsound.csv", "../recordings.csv", "a.MP3"])
def test_a_corpus_among_real_data_is_refused(real, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / real).write_text("real")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=f"{real.strip('./')}; choose an OUT"):
        synthetic.make_corpus(tmp_path / "out", "tiny")
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "options, word",
    [
        ({"scale": "tiny", "seed": 5}, "another corpus"),
        ({"scale": "huge"}, "huge"),
        ({"part": "cries"}, "cries"),
        ({"seed": -1}, "-1"),
        ({"workers": 0}, "workers 0"),
    ],
)
def test_refusals(tiny, tmp_path, options, word):
    with pytest.raises(ValueError, match=word):
        synthetic.make_corpus(tiny, **options)
    (tmp_path / "cry").mkdir()
    (tmp_path / "cry/corpus.json").write_text("{")
    with pytest.raises(ValueError, match="unreadable"):
        synthetic.make_corpus(tmp_path, "tiny", "cry")


def test_poster_plan_has_the_posters_counts():
    every = synthetic.plan_cries("poster")
    plans = [p for p in every if p.row.split]
    cells, hours = defaultdict(list), Counter()
    for plan in plans:
        cells[plan.row.neuro_injury, plan.row.split].append(plan)
        hours[plan.row.split] += plan.seconds / 3600
    counts = {
        key: (len(cell), len({plan.row.patient_id for plan in cell}))
        for key, cell in cells.items()
    }
    assert counts == {  # recordings, patients: the poster's table
        ("healthy", "train"): (1360, 885),
        ("healthy", "valid"): (247, 165),
        ("healthy", "test"): (238, 163),
        ("injury", "train"): (92, 75),
        ("injury", "valid"): (40, 33),
        ("injury", "test"): (45, 38),
    }
    # Hours of both classes together: see the test of metadata below.
    rounded = {split: round(total, 2) for split, total in hours.items()}
    assert rounded == {"train": 11.1, "valid": 2.2, "test": 2.3}
    assert len(plans) == 2022
    assert len({plan.row.patient_id for plan in plans}) == 1359
    assert sum(bool(plan.row.trigger) for plan in plans) == 1149
    used = [p.seconds for p in every if p.row.split in ("train", "")]
    assert 19 < sum(used) / 3600 < 21


def test_demo_plan_has_the_documented_shares():
    plans = synthetic.plan_cries("demo")
    labelled = [p for p in plans if p.row.split]
    assert (len(labelled), len(plans)) == (480, 630)
    injured = np.mean([p.row.neuro_injury == "injury" for p in labelled])
    assert 0.12 <= injured <= 0.15
    assert 0.55 < np.mean([bool(p.row.trigger) for p in labelled]) < 0.59
    splits = Counter(p.row.split for p in labelled)
    shares = [splits[s] / 480 for s in ("train", "valid", "test")]
    np.testing.assert_allclose(shares, [0.6, 0.17, 0.23], atol=0.01)
    assert all(3.99 < p.seconds < 8.01 for p in plans)


def test_miniature_has_patients_enough_for_a_small_difference():
    plans = synthetic.plan_cries("miniature")
    test = {p.patient: p.row for p in plans if p.row.split == "test"}
    injured = sum(row.neuro_injury == "injury" for row in test.values())
    assert len(test) >= 700
    assert injured >= 200
    seconds = sum(p.seconds for p in plans)
    seconds += sum(p.seconds for p in synthetic.plan_sounds("miniature"))
    assert seconds < 1.6 * 3600  # 7 ms of a core make a second


def facts_of(plans):
    """Numeric metadata of each recording."""
    recordings = Counter(plan.patient for plan in plans)
    return {
        "duration": [p.seconds for p in plans],
        "date": [datetime.fromisoformat(p.row.recorded_at) for p in plans],
        "recording's number": [p.index for p in plans],
        "patient's number": [p.patient for p in plans],
        "recordings of the patient": [recordings[p.patient] for p in plans],
    }


def auc_of(fact, injured):
    """AUC of a fact, and its standard deviation under the null hypothesis
    (Mann and Whitney)."""
    ranks = rankdata(fact)
    n, m = int(injured.sum()), int((~injured).sum())
    auc = (ranks[injured].sum() - n * (n + 1) / 2) / (n * m)
    return auc, np.sqrt((n + m + 1) / (12 * n * m))


@pytest.mark.parametrize("scale", ["miniature", "demo", "poster"])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_metadata_do_not_predict_injury(scale, split):
    seeds, aucs = range(5), defaultdict(list)
    for seed in seeds:
        plans = synthetic.plan_cries(scale, seed)
        plans = [plan for plan in plans if plan.row.split == split]
        injured = np.array([p.row.neuro_injury == "injury" for p in plans])
        for name, fact in facts_of(plans).items():
            aucs[name].append(auc_of(fact, injured))
        if scale == "poster":  # fewer for injured patients in its table
            del aucs["recordings of the patient"]
        assert {(p.row.path[-5:]) for p in plans} == {".flac"}
    for name, figures in aucs.items():
        auc, error = np.mean(figures, axis=0)
        assert abs(auc - 0.5) < 4 * error / np.sqrt(len(seeds)), name


@pytest.mark.parametrize("burst_s", [0.1, 0.3, 0.9])
def test_levels_do_not_depend_on_the_length_of_bursts(burst_s):
    # At equal peaks, recordings with short bursts, as of injured patients,
    # would be quieter.
    dry = np.random.default_rng(1).standard_normal(RATE)
    dry *= np.arange(RATE) < burst_s * RATE
    wave = record(np.random.default_rng(0), dry, Recorder(level_db=(-30, 0)))
    level_db = 10 * np.log10(np.mean(wave**2))
    assert level_db == pytest.approx(-30, abs=1e-6)


@pytest.mark.parametrize("scale", synthetic_plan.SCALES)
@pytest.mark.parametrize("seed", [1, 1234])
def test_no_patient_crosses_splits(scale, seed):
    places = defaultdict(set)
    for plan in synthetic.plan_cries(scale, seed):
        row = plan.row
        places[row.patient_id].add((row.split, row.neuro_injury, row.site))
    assert all(len(place) == 1 for place in places.values())


@pytest.mark.parametrize("scale", ["miniature", "demo", "poster"])
def test_the_site_does_not_predict_the_label(scale):
    patients, recordings = defaultdict(dict), defaultdict(Counter)
    for plan in synthetic.plan_cries(scale):
        row = plan.row
        patients[row.split, row.neuro_injury][row.patient_id] = row.site
        if row.trigger:
            recordings[row.split, row.site][row.trigger] += 1
    for cell in patients.values():
        counts = Counter(cell.values())
        for site, share in zip(sorted(SITES), SITE_SHARES):
            assert abs(counts[site] - share * len(cell)) < 1
    # Triggers are assigned in each split along class and site: their shares
    # are the same at every site, to within rounding.
    for counts in recordings.values():
        for trigger, share in zip(
            synthetic_plan.TRIGGERS, synthetic_plan.TRIGGER_SHARES
        ):
            assert abs(counts[trigger] - share * counts.total()) < 4


@pytest.mark.parametrize("seed", range(5))
def test_phonation_and_hyperphonation_have_their_f0(seed):
    rng = np.random.default_rng(seed)
    voice = draw_voice(rng, severity=0.1)
    for mode, low, high in (
        ("phonation", 250, 800),
        ("hyperphonation", 1000, 2500),
    ):
        burst = draw_burst(rng, voice, NEUTRAL, 1.0, mode)
        wave = sound_burst(rng, burst, voice, NEUTRAL, 1.0)
        middle = slice(RATE // 2, RATE // 2 + 640)
        measured = f0_of(wave[middle])
        expected = burst.f0[len(burst.f0) // 2]
        assert low < measured < high
        assert measured == pytest.approx(expected, rel=0.12)


def test_severity_overlaps_and_shifts():
    quantiles = np.linspace(0.005, 0.995, 100)
    healthy = [severity_at(q, injured=False) for q in quantiles]
    injured = [severity_at(q, injured=True) for q in quantiles]
    above = np.mean(np.array(injured)[:, None] > np.array(healthy))
    assert 0.8 < above < 0.97  # the AUC of the true severity


@pytest.mark.parametrize("label_index", range(len(CLASSES)))
def test_every_class_is_finite_and_below_full_scale(label_index):
    wave = make_sound(np.random.default_rng(label_index), label_index, 1.0)
    assert wave.shape == (RATE,)
    assert np.isfinite(wave).all()
    assert 0.005 < np.abs(wave).max() < 1.0


def test_every_cry_is_finite_and_below_full_scale(tiny):
    for path in (tiny / "cry/audio").iterdir():
        assert 0.005 < np.abs(sf.read(path)[0]).max() < 0.99
    for site in SITES:
        rng = np.random.default_rng(5)
        wave = make_cry(rng, draw_voice(rng, 0.7), "pain", site, 1.0)
        assert np.isfinite(wave).all() and np.abs(wave).max() < 1.0
