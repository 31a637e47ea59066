"""Held-out sounds and metrics of quality.py and classification.py."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from benchmarks.sounds import (
    build_generic,
    hold_out,
    pre_training,
    probe,
    read_more,
    read_sounds,
    retrieve,
)
from data_prep.files.errors import InputError
from data_prep.files.tables import read_lines
from data_prep.vggsound_prepare import prepare_vggsound

# Where scripts find each other.
sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from quality import FIGURES, minutes_to_quality, ways_of  # noqa: E402


def sounds(n=60):
    """Recordings, two of each source; every fifth source is a cry."""
    return [
        {
            "recording_id": f"_a{i}_000005",
            "patient_id": f"p{i // 2}",
            "sound": "crying_baby" if cry else "other",
            "super_class": "" if cry else f"s{i // 2 % 3}",
            "category": "" if cry else f"c{i // 2 % 4}, of few",
        }
        for i in range(n)
        for cry in [i // 2 % 5 == 0]
    ]


def test_retrieval_equals_a_slow_version():
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, (40, 6))
    labels, sources = rng.integers(0, 4, 40), rng.integers(0, 15, 40)
    test = np.arange(40) < 15
    scaled = (x - x[~test].mean(axis=0)) / x[~test].std(axis=0)
    hits, precisions = [], []
    for i in range(15):
        others = [j for j in range(15, 40) if sources[j] != sources[i]]
        norms = np.linalg.norm(scaled[others], axis=1)
        scores = scaled[others] @ scaled[i] / norms
        same = labels[others] == labels[i]
        hits.append(same[np.argmax(scores)])
        precisions.append(average_precision_score(same, scores))
    expected = np.mean(hits), np.mean(precisions)
    np.testing.assert_allclose(retrieve(x, labels, sources, test), expected)


def test_retrieval_skips_recordings_without_a_match():
    x = np.array([[1.0, 0.0], [1.0, 0.1], [0.9, 0.0], [-1.0, 0.2]])
    labels, test = np.array(list("abab")), np.array([True, True, False, False])
    # The second recording's only match is of its own source.
    assert retrieve(x, labels, np.array(list("pqrq")), test) == (1.0, 1.0)


def test_probe_does_not_use_test_labels():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2 == 1
    x = rng.normal(0, 0.1, (60, 3)) + labels[:, None]
    sources, test = np.arange(60) // 3, np.arange(60) < 20
    predicted, scores = probe(x, labels, sources, test)
    assert (predicted == labels[test]).all()
    assert scores[labels[test]].min() > scores[~labels[test]].max()
    wrong = np.where(test, ~labels, labels)
    np.testing.assert_array_equal(probe(x, wrong, sources, test)[1], scores)


@pytest.mark.parametrize("fold", range(3))
def test_pre_training_has_no_held_out_source_and_no_cry(fold):
    rows = sounds()
    held = hold_out(rows, 0, fold)
    training = pre_training(rows, held)
    sources = {row["patient_id"] for row, out in zip(rows, held) if out}
    assert not sources & {row["patient_id"] for row in training}
    n_generic = sum(
        row["sound"] == "other" for row, out in zip(rows, held) if not out
    )
    assert len(training) == n_generic > 0
    assert all(row["sound"] == "other" for row in training)


def test_more_recordings_have_no_held_out_source_no_cry_and_no_copy(
    noise, tmp_path
):
    rows = sounds()
    held = hold_out(rows, 0, 0)
    training = pre_training(rows, held)
    out = next(row["patient_id"] for row, o in zip(rows, held) if o)
    copy = training[0]
    lines = ["clip,patient_id,category"]
    for name, source, category in (
        ("b_000001", "q1", "drilling"),
        ("b_000002", out, "drilling"),
        ("b_000003", "q2", "crying_baby"),
        (copy["recording_id"], copy["patient_id"], "drilling"),
    ):
        lines.append(f"{name},{source},{category}")
        noise(f"large/audio/{name}.ogg", 0.5)
    table = tmp_path / "large/metadata.csv"
    table.write_text("\n".join(lines))
    more = read_more(tmp_path / "large")
    added = pre_training(rows, held, more)[len(training) :]
    assert [row["recording_id"] for row in added] == ["b_000001"]
    (tmp_path / "large/audio/b_000001.ogg").unlink()
    with pytest.raises(InputError, match="row 2: audio/ has no file b_000001"):
        read_more(tmp_path / "large")


def test_folds_cover_all_once_and_seeds_differ():
    rows = sounds()
    assert (sum(hold_out(rows, 0, k).astype(int) for k in range(3)) == 1).all()
    assert (hold_out(rows, 0, 0) != hold_out(rows, 1, 0)).any()


def test_generic_folder_has_the_form_of_vggsound(noise, tmp_path):
    rows = [row for row in sounds() if row["sound"] == "other"]
    for row in rows:
        row["file"] = str(noise(f"db/{row['recording_id']}.flac", 0.5))
    folder = tmp_path / "generic"
    for _ in range(2):  # the second call finds it complete
        build_generic(rows, folder)
    cells = read_lines(folder / "vggsound.csv")
    assert len(cells) == len(rows)
    assert cells[0] == ["_a2", "5", "c1, of few", "train"]
    prepare_vggsound(folder, tmp_path / "manifest", 0.1)
    with pytest.raises(InputError, match="other recordings"):
        build_generic(rows[1:], folder)


def test_missing_audio_and_category_are_refused(tmp_path, noise):
    (tmp_path / "recordings_sounds.csv").write_text(
        "recording_id,patient_id,path,sound,super_class\n"
        "a_000000,p,audio/a.wav,other,urban\n"
    )
    (tmp_path / "generic_dev").mkdir()
    (tmp_path / "generic_dev/metadata.csv").write_text(
        "recording_id,category\nb_000000,Dog\n"
    )
    with pytest.raises(InputError, match="row 2.*does not exist"):
        read_sounds(tmp_path)
    noise("audio/a.wav")
    with pytest.raises(InputError, match="no recording a_000000"):
        read_sounds(tmp_path)


def test_minutes_to_the_references_quality():
    """The shortest run as good as the reference counts, by seed."""
    quality = dict.fromkeys(FIGURES, 0.5)
    results = {"reference": [{**quality, "minutes": 15}] * 2}
    for name, minutes in zip(ways_of("byol"), (1.0, 3.0, 7.0, 16.0)):
        enough = 0.5 if minutes > 2 else 0.4
        seeds = [dict.fromkeys(FIGURES, enough), dict.fromkeys(FIGURES, 0.4)]
        seeds[1]["sound_auc"] = 0.6 if minutes > 6 else 0.4
        results[name] = [{**seed, "minutes": minutes} for seed in seeds]
    *_, row = minutes_to_quality(results, ["byol"]).splitlines()
    cells = dict(zip(FIGURES, row.split(" | ")[1:]))
    assert cells["super_class"] == "3.0, 1 of 2 seeds"
    assert cells["sound_auc"] == "5.0, 2 of 2 seeds"
