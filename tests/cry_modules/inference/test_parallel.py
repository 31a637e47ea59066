"""Batches scored at once have the scores of batches scored one by one."""

import threading
from itertools import count

import numpy as np
import pytest
import soundfile
import torch

from cry_modules.inference import recordings
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.detector import Detector
from cry_modules.inference.folded import fold_batch_norm
from cry_modules.inference.parallel import in_parallel
from data_prep.audio.measure import audit_file
from data_prep.files.errors import InputError
from tests.classifiers import changing, random_model

RATES = 8000, 16000, 22050


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def paths(tmp_path):
    """Recordings of several lengths and rates, two of them unusable."""
    for i in range(14):
        sound = changing(0.2 + 0.17 * i, seed=i)
        soundfile.write(tmp_path / f"a{i:02}.wav", sound, RATES[i % 3])
    (tmp_path / "b.wav").write_text("no sound")
    soundfile.write(tmp_path / "c.wav", np.zeros(9000), 16000)
    return sorted(map(str, tmp_path.iterdir()))


def numbers_of(scores):
    empty = np.full(2, np.nan)
    return [
        (
            s.error,
            s.n_windows,
            (empty if s.scores is None else s.scores).tolist(),
        )
        for s in scores
    ]


@pytest.mark.parametrize("longest_s", [None, 0.9])
def test_scores_are_the_same_by_any_number_of_threads(
    paths, longest_s, monkeypatch, three_threads
):
    monkeypatch.setattr(recordings, "BATCH_S", 1.5)
    classifier = CryClassifier.from_model(random_model())
    detector = Detector(CryClassifier.from_model(random_model(width=2)))
    for how in ({}, {"detector": detector}):
        by_threads = []
        for n in (3, 1):
            torch.set_num_threads(n)
            scores = classifier.classify_files(paths, longest_s, **how)
            by_threads.append(repr(numbers_of(scores)))
        assert by_threads[0] == by_threads[1]


def test_scores_are_those_of_each_recording_alone(
    paths, monkeypatch, three_threads
):
    """Slow twin: no batch, no thread, BatchNorm apart from convolutions."""
    monkeypatch.setattr(recordings, "BATCH_S", 4.0)
    fast = CryClassifier.from_model(random_model(width=8))
    fold_batch_norm(fast.mods)
    scores = fast.classify_files(paths)
    plain = CryClassifier.from_model(random_model(width=8))
    assert sum(bool(score.error) for score in scores) == 2
    for score in scores:
        if score.error:
            continue
        sig = recordings.read_whole(
            audit_file(score.path), plain.audio_normalizer
        )
        expected = plain.classify_batch(sig)[0].exp()[0].numpy()
        np.testing.assert_allclose(score.scores, expected, atol=1e-5, rtol=0)


def test_windows_are_those_of_each_window_alone(
    paths, monkeypatch, three_threads
):
    classifier = CryClassifier.from_model(random_model())
    audit = audit_file(paths[13])
    spans = [(0.1 * i, 0.1 * i + 0.5) for i in range(16)]
    monkeypatch.setattr(recordings, "BATCH_S", 1.5)
    windows = classifier.windows(audit, spans)
    for i, span in enumerate(spans):
        (alone,) = classifier.windows(audit, [span]).logits
        np.testing.assert_allclose(windows.logits[i], alone, atol=1e-5)
    embs = [classifier.windows(audit, [span]).emb for span in spans]
    np.testing.assert_allclose(windows.emb, np.mean(embs, axis=0), atol=1e-4)


def test_results_are_in_order_and_few_batches_are_read_ahead(three_threads):
    taken = []

    def batches():
        for i in count():
            taken.append(i)
            yield i

    names, results = (
        set(),
        in_parallel(
            lambda i: names.add(threading.get_ident()) or -i, batches()
        ),
    )
    assert [next(results) for _ in range(9)] == [-i for i in range(9)]
    assert len(taken) <= 9 + 3
    results.close()
    assert names and threading.get_ident() not in names
    assert torch.get_num_threads() == 3


def test_an_error_of_a_batch_is_raised(three_threads):
    def work(i):
        if i == 4:
            raise InputError("a file; a cure")
        # Inside, nothing else is parallel, and operations have one thread.
        assert torch.get_num_threads() == 1
        return [*in_parallel(lambda _: threading.get_ident(), "ab")]

    for same in in_parallel(work, range(4)):
        assert same[0] == same[1]
    with pytest.raises(InputError, match="a file"):
        list(in_parallel(work, range(9)))
