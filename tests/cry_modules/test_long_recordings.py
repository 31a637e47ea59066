"""Recordings above two minutes: the same samples, read in windows."""

import csv
import pickle
import shutil

import numpy as np
import pytest
import soundfile
import torch

from cry_modules.audio import LongRecording, RecordingReader
from cry_modules.embeddings import LogMelStatistics, embedded
from cry_modules.front_ends import LogMel
from cry_modules.inference.classifier import CryClassifier
from cry_modules.lengths import LONGEST_S, covering
from cry_modules.views.chunks_and_masks import RandomChunks
from data_prep.audio import decode
from data_prep.pack import pack
from tests.classifiers import changing, random_model

RATE = 16000
SECONDS = LONGEST_S + 5.3


@pytest.fixture(scope="module")
def tapes(tmp_path_factory):
    """Recordings by name, with 20 silent seconds."""
    folder = tmp_path_factory.mktemp("tapes")
    for name, rate in (("a.wav", RATE), ("b.flac", 11025), ("c.ogg", 44100)):
        sig = np.resize(changing(9.7), round(SECONDS * rate))
        sig[rate * 40 : rate * 60] = 0
        sig[rate * 70] = -0.8
        with soundfile.SoundFile(folder / name, "w", rate, 1) as file:
            for part in np.array_split(sig, 10):  # Ogg fails on all at once
                file.write(part)
    return folder


@pytest.mark.parametrize("name", ["a.wav", "b.flac", "c.ogg"])
@pytest.mark.parametrize("start, stop", [(0.0, SECONDS), (0.7, 121.9)])
def test_chunks_are_those_of_the_whole(tapes, name, start, stop):
    span = (str(tapes / name), start, stop)
    reader, chunks = RecordingReader(RATE), RandomChunks(4.0, RATE, seed=1)
    whole, sound = reader(*span), reader.open(*span)
    assert len(sound) == len(whole)
    assert (sound[:] * sound.gain).abs().max().item() == pytest.approx(0.9)
    pairs = zip(chunks(whole, "x", 4), chunks(sound, "x", 4))
    for expected, chunk in pairs:
        torch.testing.assert_close(
            chunk * sound.gain, expected, atol=1e-6, rtol=0
        )


def test_only_the_chunks_are_decoded_once_the_peak_is_known(tapes, monkeypatch):
    span = (str(tapes / "a.wav"), 0.0, SECONDS)
    reader, chunks = RecordingReader(RATE), RandomChunks(4.0, RATE, seed=1)
    reader.open(*span)
    sizes, read_mixed = [], decode.read_mixed

    def counted(file, n_frames):
        sizes.append(n_frames)
        return read_mixed(file, n_frames)

    monkeypatch.setattr(decode, "read_mixed", counted)
    chunks(reader.open(*span), "x", 2)
    assert sizes == [4 * RATE, 4 * RATE]


def test_at_most_two_minutes_are_decoded_at_once(tapes, monkeypatch):
    sizes, read_mixed = [], decode.read_mixed

    def counted(file, n_frames):
        sizes.append(n_frames)
        return read_mixed(file, n_frames)

    monkeypatch.setattr(decode, "read_mixed", counted)
    for name, rate in (("a.wav", RATE), ("b.flac", 11025)):
        sizes.clear()
        recording = LongRecording(str(tapes / name), 0.0, SECONDS, RATE)
        n_windows = sum(1 for _ in recording.windows(4 * RATE))
        assert n_windows == 28  # of 32; the others are silent
        assert max(sizes) < 61 * rate


def test_a_model_input_is_a_tensor_up_to_two_minutes(tapes):
    reader, path = RecordingReader(RATE), str(tapes / "a.wav")
    assert len(reader.model_input(path, 1.0, 1.1, 4960)) == 4960
    assert len(reader.model_input(path, 0.0, LONGEST_S, 1)) == 120 * RATE
    long = reader.model_input(path, 0.0, SECONDS, 4960)
    assert isinstance(long, LongRecording)
    assert len(pickle.dumps(long)) < 500  # it passes from loader workers


def test_a_pack_has_the_windows_of_the_file(tapes, tmp_path):
    """Packed in two parts; a file of 16 bits and this rate to the bit."""
    pack(str(tapes), str(tmp_path / "pack"))
    for name, most in (("a.wav", 0), ("b.flac", 5e-5), ("c.ogg", 5e-5)):
        in_file, in_pack = (
            LongRecording(str(folder / name), 0.0, SECONDS, RATE)
            for folder in (tapes, tmp_path / "pack")
        )
        pairs = zip(in_file.windows(RATE * 4), in_pack.windows(RATE * 4))
        for window, packed in pairs:
            assert (window - packed).abs().max() <= most


@torch.no_grad()
@pytest.mark.parametrize("readout", ["embedding", "block2+block3"])
@pytest.mark.parametrize("tested_on", ["recordings", "chunks"])
def test_evaluation_agrees_with_inference(tapes, tested_on, readout):
    """The head is affine: averaged embeddings, of blocks also the spreads, give
    averaged logits."""
    model = random_model(chunk_s=4.0, tested_on=tested_on, readout=readout)
    path = str(tapes / "a.wav")
    (score,) = CryClassifier.from_model(model).classify_files([path])
    assert score.n_windows == 28
    recording = LongRecording(path, 0.0, SECONDS, RATE)
    emb = embedded(model.embedder, [recording], "cpu")
    scores = torch.softmax(model.posterior.logits(emb)[0].double(), dim=0)
    np.testing.assert_allclose(scores, score.scores, atol=1e-5)


@torch.no_grad()
def test_statistics_of_a_long_recording(tapes):
    """The mean over as few parts as cover it, each up to two minutes."""
    statistics = LogMelStatistics(LogMel())
    recording = LongRecording(str(tapes / "a.wav"), 0.0, SECONDS, RATE)
    sig = RecordingReader(RATE)(recording.path, 0.0, SECONDS)
    size = round(LONGEST_S * RATE)
    parts = [sig[at : at + size] for at in covering(len(sig), size)]
    assert len(parts) == 2
    expected = torch.cat([statistics(part[None]) for part in parts]).mean(0)
    result = embedded(statistics, [recording], "cpu")[0]
    torch.testing.assert_close(result, expected)


def test_a_recording_that_is_silent_in_every_window_has_all_windows(tmp_path):
    sig = np.zeros(round(SECONDS * RATE), np.float32)
    sig[::RATE] = 0.001
    soundfile.write(tmp_path / "a.wav", sig, RATE, subtype="FLOAT")
    path, quiet = str(tmp_path / "a.wav"), 1e-4
    recording = LongRecording(path, 0.0, SECONDS, RATE)
    n_all = len(covering(len(sig), 4 * RATE))
    assert sum(1 for _ in recording.windows(4 * RATE)) == n_all
    soundfile.write(path, quiet * sig, RATE, subtype="FLOAT")
    assert sum(1 for _ in recording.windows(4 * RATE)) == n_all


@pytest.mark.slow
def test_a_tape_among_clips(script, clinic, tmp_path):
    """Trained end to end on whole recordings: one tape is trained on, in
    chunks, and the other is tested, in the windows of inference."""
    folder, out = tmp_path / "clinic", tmp_path / "out"
    shutil.copytree(clinic, folder)
    with open(folder / "recordings.csv", "a", newline="") as file:
        for name, fold in (("tested", 0), ("trained", 2)):
            sig = np.resize(changing(9.7), round(SECONDS * RATE))
            soundfile.write(folder / f"{name}.wav", sig, RATE)
            cells = [name, f"patient-{name}", f"{name}.wav", "healthy"]
            csv.writer(file).writerow([*cells, "north", fold, 1, "a"])
    script(
        *["train_cls.py", "hparams/neuro_end_to_end.yaml", "--width=1"],
        *["--trained_on=recordings", "--test_fold=0", "--valid_fold=1"],
        *["--batch_size=8", "--number_of_epochs=2", "--controls=True"],
        *["--encoder_source=random_calibrated", "--nuisance=null"],
        *["--bootstrap_draws=100", "--device=cpu", "--figures=False"],
        *[f"--data_folder={folder}", f"--output_folder={out}"],
    )
    with open(out / "predictions_test.csv", newline="") as file:
        row = next(r for r in csv.DictReader(file) if r["ID"] == "tested")
    classifier = CryClassifier.from_hparams(str(out))
    (score,) = classifier.classify_files([str(folder / "tested.wav")])
    assert score.n_windows > 30
    assert float(row["injury"]) == pytest.approx(score.scores[1], abs=1e-4)
