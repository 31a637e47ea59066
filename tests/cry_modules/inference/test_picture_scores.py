"""The picture of scores over time."""

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure

from cry_modules.figures.style import style
from cry_modules.inference.picture import (
    MOST_LINES,
    THRESHOLD_FROM,
    draw_scores,
    spectrogram,
)
from cry_modules.inference.scores import ScoreTrack


def drawn(scores, classes, threshold=None, title="t", hop=1.0, far=None, **how):
    levels = np.zeros((257, 10))
    starts = hop * np.arange(len(scores))
    far = None if far is None else np.array(far)
    values = np.array(scores, dtype=float)
    track = ScoreTrack(starts, starts + 2 * hop, values, far)
    with style():
        figure = Figure()
        draw_scores(figure, track, classes, threshold, levels, title, **how)
        figure.draw_without_rendering()  # mathtext of a name would fail here
    return figure.axes[1]


def names(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_two_classes_have_one_line_with_the_threshold():
    axes = drawn([[0.8, 0.2], [0.3, 0.7]], ["no", "yes"], threshold=0.4)
    line, threshold = axes.get_lines()
    np.testing.assert_allclose(line.get_xdata(), [1, 2])  # middles
    np.testing.assert_allclose(line.get_ydata(), [0.2, 0.7])
    assert set(threshold.get_ydata()) == {0.4}
    assert names(axes) == ["yes", "threshold 0.4"]
    assert axes.get_xlabel() == "seconds" and axes.get_xlim() == (0, 3)
    axes = drawn([[0.8, 0.2]] * 4, ["no", "yes"], hop=240.0)
    assert axes.get_xlabel() == "minutes" and axes.get_xlim() == (0, 20)
    assert axes.get_lines()[0].get_xdata().tolist() == [4, 8, 12, 16]


def test_the_most_probable_of_many_classes_are_drawn():
    scores = np.arange(1, 13) / 78
    axes = drawn([scores, scores], [f"c{i}" for i in range(12)])
    assert names(axes) == [f"c{i}" for i in range(11, 11 - MOST_LINES, -1)]


@pytest.mark.parametrize("name", ["_hidden", "b$x^$", "a_b", "<b>"])
def test_names_of_classes_and_files_are_not_math(name):
    axes = drawn([[0.2, 0.3, 0.5]] * 2, ["a", name, "b"], title=name)
    assert name in names(axes)
    above = axes.figure.axes[0]
    assert above.get_title(loc="left") == name


def test_silence_is_grey_without_a_point():
    nothing = [np.nan, np.nan]
    axes = drawn([[0.5, 0.5], nothing, [0.5, 0.5]], ["no", "yes"], 0.5)
    assert "silence" in names(axes)
    (bars,) = axes.collections
    (path,) = bars.get_paths()
    # From half-way to the middle before to half-way to the one after.
    assert path.get_extents().x0 == 1.5 and path.get_extents().x1 == 2.5
    drawn([nothing] * 3, ["no", "yes"], 0.5)  # all of it: no warning


@pytest.mark.parametrize("threshold", [0.5, None])
def test_windows_unlike_training_are_shaded_and_named(threshold):
    """A stranger read the night of a door as one of vaccinations."""
    scores, far = [[0.5, 0.5]] * 3, [False, True, False]
    axes = drawn(scores, ["no", "yes"], threshold, far=far)
    (bars,) = axes.collections
    (path,) = bars.get_paths()
    assert path.get_extents().x0 == 1.5 and path.get_extents().x1 == 2.5
    assert any("unlike training" in name for name in names(axes))
    axes = drawn(scores, ["no", "yes"], threshold, far=[False] * 3)
    assert not axes.collections


def test_axis_and_threshold_say_what_they_are():
    how = {"hop": 2.0, "threshold_from": THRESHOLD_FROM}
    axes = drawn([[0.8, 0.2]], ["no", "Vaccination"], 0.326, **how)
    words = " ".join(axes.get_ylabel().split())
    assert words == (
        "predicted probability of Vaccination, 4 s windows, log-odds scale"
    )
    (line,) = [name for name in names(axes) if "threshold" in name]
    assert "threshold 0.326 of whole recordings" in line
    assert "80 % specificity on validation" in line


def test_a_spectrogram_of_any_length_has_few_columns(tmp_path):
    path = tmp_path / "a.wav"
    t = np.arange(8000 * 40) / 8000
    # 500 Hz, then 2 kHz.
    soundfile.write(
        path, np.sin(2 * np.pi * np.where(t < 20, 500, 2000) * t), 8000
    )
    levels = spectrogram(str(path), 40.0)
    assert levels.shape == (257, 1500)
    loudest = levels.argmax(axis=0) * 16000 / 512
    assert (abs(loudest[:740] - 500) < 20).all()
    assert (abs(loudest[760:] - 2000) < 20).all()
    assert levels.max() == 0 and levels.min() >= -80
