"""Scores of long recordings: those of ``score_over_time``, kept and resumed."""

import numpy as np
import pytest
import soundfile

from cry_modules.detect import scoring
from cry_modules.detect.events import searched
from cry_modules.detect.scoring import Scorer
from cry_modules.inference.classifier import CryClassifier
from tests.classifiers import changing, random_model

RATE = 16000


@pytest.fixture(scope="module")
def classifier():
    return CryClassifier.from_model(random_model())


@pytest.fixture
def scorer(classifier, tmp_path):
    return Scorer(classifier, 0.5, 0.25, 0.25, "mix", tmp_path / "scores")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "night.wav"
    soundfile.write(path, changing(6.0), RATE)
    return str(path)


def tracks(scorer, path, lows={}):
    with scorer.journal("night") as journal:
        return scorer.tracks(path, journal, lows)


def test_scores_are_those_of_the_model(scorer, path, classifier, monkeypatch):
    expected = classifier.score_over_time(path, 0.5, 0.25)
    for part_s in (0.1, 1.0, 1800.0):  # parts of any size
        monkeypatch.setattr(scoring, "PART_S", part_s)
        scorer.folder = scorer.folder / "x"
        (track,), failures = tracks(scorer, path)
        assert not failures and track.channel is None
        assert track.starts.tolist() == expected.starts.tolist()
        assert track.stops.tolist() == expected.stops.tolist()
        np.testing.assert_allclose(track.scores, expected.scores, atol=1e-6)


def test_an_interrupted_file_is_not_scored_twice(
    scorer, path, classifier, monkeypatch
):
    monkeypatch.setattr(scoring, "PART_S", 1.0)
    whole, n_done = CryClassifier.windows, []

    def windows(self, audit, spans):
        if len(n_done) == 2:
            raise KeyboardInterrupt
        n_done.append(len(spans))
        return whole(self, audit, spans)

    monkeypatch.setattr(CryClassifier, "windows", windows)
    with pytest.raises(KeyboardInterrupt):
        tracks(scorer, path)
    n_before = sum(n_done)
    assert n_before == 8
    n_done.clear()
    monkeypatch.setattr(CryClassifier, "windows", whole)
    monkeypatch.setattr(
        scoring, "audit_file", lambda *_, **__: pytest.fail("read again")
    )
    (track,), _ = tracks(scorer, path)
    again = classifier.score_over_time(path, 0.5, 0.25)
    np.testing.assert_allclose(track.scores, again.scores, atol=1e-6)
    monkeypatch.setattr(
        CryClassifier, "windows", lambda *_: pytest.fail("scored again")
    )
    (resumed,), _ = tracks(scorer, path)
    assert (resumed.scores == track.scores).all()


def finely(classifier, folder):
    """A first pass every window, and a grid of an eighth of it."""
    return Scorer(classifier, 0.5, 0.5, 0.0625, "mix", folder / "fine")


def low_of_some(scores):
    """Lower threshold that a few windows of the first pass reach."""
    return float(np.sort(scores)[-3])


def test_edges_are_scored_as_on_the_whole_fine_grid(classifier, path, tmp_path):
    """The windows around those that reach the lower threshold, and no others."""
    scorer = finely(classifier, tmp_path)
    expected = classifier.score_over_time(path, 0.5, 0.0625)
    low = low_of_some(expected.scores[::8, 1])
    (track,), _ = tracks(scorer, path, {1: low})
    assert track.starts.tolist() == expected.starts.tolist()
    assert track.first_pass.tolist() == list(range(0, 89, 8))
    near = {n for k in track.first_pass if expected.scores[k, 1] >= low
            for n in range(k - 7, k + 8)} | {*track.first_pass}  # fmt: skip
    n_equal = 0
    for n, (score, whole) in enumerate(zip(track.scores, expected.scores)):
        if n in near:
            np.testing.assert_allclose(score, whole, atol=1e-6)
        else:
            assert (score == track.scores[n // 8 * 8]).all()
            n_equal += np.allclose(score, whole, atol=1e-6)
    assert n_equal < 3 and 20 < len(near) < 60


def test_interrupted_edges_are_resumed(classifier, path, tmp_path, monkeypatch):
    """Also with another threshold: known windows are not scored again."""
    monkeypatch.setattr(scoring, "PART_S", 1.0)
    expected = classifier.score_over_time(path, 0.5, 0.0625)
    low = low_of_some(expected.scores[::8, 1])
    whole, spans_of_call = CryClassifier.windows, []

    def windows(self, audit, spans):
        spans_of_call.append(spans)
        if len(spans_of_call) == 8:  # six parts of the first pass, and one
            raise KeyboardInterrupt
        return whole(self, audit, spans)

    monkeypatch.setattr(CryClassifier, "windows", windows)
    scorer = finely(classifier, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tracks(scorer, path, {1: low})
    first = [*spans_of_call[-2]]
    spans_of_call[7:] = [None] * 2  # does not stop again
    (track,), _ = tracks(scorer, path, {1: low})
    assert not {*first} & {s for spans in spans_of_call[9:] for s in spans}
    n_calls = len(spans_of_call)
    (again,), _ = tracks(scorer, path, {1: low})
    assert len(spans_of_call) == n_calls
    assert (again.scores == track.scores).all()
    (lower,), _ = tracks(scorer, path, {1: 0.0})
    scored = [s for spans in spans_of_call if spans for s in spans]
    assert len({*scored}) == len(lower.starts)
    np.testing.assert_allclose(lower.scores, expected.scores, atol=1e-6)
    (again,), _ = tracks(scorer, path, {1: low})  # knows more, says the same
    for k in range(2):
        assert (
            searched(again.scores[:, k], again.first_pass, low)
            == searched(track.scores[:, k], track.first_pass, low)
        ).all()


def test_another_file_or_window_is_scored_again(scorer, path):
    (before,), _ = tracks(scorer, path)
    scorer = Scorer(scorer.classifier, 0.5, 0.5, 0.5, "mix", scorer.folder)
    (other,), _ = tracks(scorer, path)
    assert len(other.starts) < len(before.starts)
    soundfile.write(path, changing(3.0, seed=1), RATE)
    (other,), _ = tracks(scorer, path)
    assert other.stops[-1] == 3.0


def test_damaged_journals_are_not_believed(scorer, path):
    (before,), _ = tracks(scorer, path)
    journal = scorer.folder / "night.jsonl"
    lines = journal.read_text().splitlines()
    for cut in (lines[2].replace('"logits": "', '"logits": "AAAA'), "[1, 2"):
        journal.write_text("\n".join([*lines[:2], cut]))
        (after,), _ = tracks(scorer, path)
        assert (after.scores == before.scores).all() or np.allclose(
            after.scores, before.scores, atol=1e-6
        )


def test_channels_are_scored_apart(scorer, tmp_path, classifier):
    left, right = changing(3.0), changing(3.0, seed=1)
    both = tmp_path / "two.wav"
    soundfile.write(both, np.stack([left, right], axis=1), RATE)
    scorer.channels = "each"
    found, failures = tracks(scorer, str(both))
    assert [track.channel for track in found] == [1, 2] and not failures
    for track, sound in zip(found, (left, right)):
        alone = tmp_path / "one.wav"
        soundfile.write(alone, sound, RATE)
        expected = classifier.score_over_time(alone, 0.5, 0.25).scores
        np.testing.assert_allclose(track.scores, expected, atol=1e-5)


@pytest.mark.parametrize("dead", [0, 1])
def test_a_dead_channel_is_a_failure_of_its_own(scorer, tmp_path, dead):
    sound = np.stack([changing(2.0)] * 2, axis=1)
    sound[:, dead] = 0
    path = tmp_path / "dead.wav"
    soundfile.write(path, sound, RATE)
    scorer.channels = "each"
    found, failures = tracks(scorer, str(path))
    assert [track.channel for track in found] == [2 - dead]
    assert failures == [(str(path), dead + 1, "silent: only zeros")]


def test_a_night_is_not_a_clip(scorer, tmp_path):
    """A quiet night, and a recorder that lost its power, are scored."""
    quiet = tmp_path / "quiet.wav"
    soundfile.write(quiet, changing(3.0) * 2e-3, RATE, subtype="FLOAT")
    cut = tmp_path / "cut.wav"
    soundfile.write(cut, changing(3.0), RATE)
    cut.write_bytes(cut.read_bytes()[:60000])
    for path, words in ((quiet, "silent: -"), (cut, "truncated: 1.8")):
        ((track,), failures) = tracks(scorer, str(path))
        assert not failures and track.note.startswith(words)
        assert np.isfinite(track.scores).all()


@pytest.mark.parametrize(
    "content, words",
    [(b"", "empty"), (b"RIFF", "unreadable"), (None, "no such file")],
)
def test_what_cannot_be_read_is_a_failure(scorer, tmp_path, content, words):
    path = tmp_path / "bad.wav"
    if content is not None:
        path.write_bytes(content)
    for channels in ("mix", "each"):
        scorer.channels = channels
        found, (failure,) = tracks(scorer, str(path))
        assert not found and words in failure.reason


def test_a_file_that_grows_is_read_again(scorer, path, monkeypatch):
    """A recorder that still writes: the part that was there is scored, and the
    next run scores the rest."""
    whole = CryClassifier.windows

    def windows(self, audit, spans):
        with open(path, "ab") as file:
            file.write(bytes(2 * RATE))
        return whole(self, audit, spans)

    monkeypatch.setattr(CryClassifier, "windows", windows)
    (track,), _ = tracks(scorer, path)
    assert track.stops[-1] == 6.0 and "6 s are scored" in track.note
    soundfile.write(path, changing(8.0), RATE)
    monkeypatch.setattr(CryClassifier, "windows", whole)
    (track,), _ = tracks(scorer, path)
    assert track.stops[-1] == 8.0 and not track.note


def test_models_have_different_fingerprints(classifier):
    other = CryClassifier.from_model(random_model(chunk_s=0.6))
    assert scoring.fingerprint(classifier) == scoring.fingerprint(other)
    other = CryClassifier.from_model(random_model(log_prior=[0.0, -2.0]))
    assert scoring.fingerprint(classifier) != scoring.fingerprint(other)
