"""Pictures of events: the numbers that are drawn."""

from datetime import datetime

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from zoneinfo import ZoneInfo

from cry_modules.detect.events import Rule
from cry_modules.detect.picture import Shown, draw_events
from cry_modules.figures.style import SERIES


def shown(label, high):
    events = np.array([[1.0, 3.0, 0.9]])
    return Shown(label, np.linspace(0.1, 0.9, 6), events, Rule(high, high / 2))


@pytest.mark.parametrize("hours", [0.001, 2])
def test_several_classes_have_their_thresholds(hours):
    figure, edges = Figure(), np.linspace(0, 3600 * hours, 7)
    draw_events(figure, edges, [shown("cry", 0.6), shown("cough", 0.8)], "a")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[2:] == [
        *("cry opens at 0.6", "cry ends below 0.3"),
        *("cough opens at 0.8", "cough ends below 0.4"),
    ]
    colours = {
        to_rgb(line.get_color())
        for line in figure.axes[0].lines
        if len(line.get_xdata()) == 2
    }
    assert colours == {to_rgb(SERIES[0]), to_rgb(SERIES[1])}


def test_one_class_is_not_named_again():
    figure = Figure()
    draw_events(figure, np.arange(7.0), [shown("cry", 0.6)], "a")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[1:] == ["opens at 0.6", "ends below 0.3"]


def test_time_of_day_where_summer_time_begins():
    start = datetime(2026, 3, 29, 1, 50, 20, tzinfo=ZoneInfo("Europe/Oslo"))
    figure = Figure()
    draw_events(figure, np.linspace(0, 900, 7), [shown("cry", 0.6)], "a", start)
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.get_xticklabels()]
    assert texts == ["01:55", "03:00", "03:05"]
    assert np.allclose(axes.get_xticks(), [280 / 60, 580 / 60, 880 / 60])
    assert axes.get_xlabel() == "time of day, 2026-03-29"
    assert axes.get_xlim() == (0.0, 15.0)
