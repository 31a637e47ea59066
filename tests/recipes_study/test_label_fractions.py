"""The picture of label shares with many encoders."""

from contextlib import contextmanager
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from recipes.study.report import pictures
from recipes.study.report.results import Cell


@pytest.fixture
def drawn(monkeypatch):
    """Figures of the pictures that were made, the latest last."""
    figures, drawing = [], pictures.drawing

    @contextmanager
    def watched(*args):
        with drawing(*args) as (figure, picture):
            figures.append(figure)
            yield figure, picture

    monkeypatch.setattr(pictures, "drawing", watched)
    return figures


def test_many_encoders_at_several_fractions_are_readable(drawn):
    names = [f"encoder {i}" for i in range(8)]
    curves = {
        name: {x: Cell(0.6 + x / 9, [0.6], None, [0.5, 0.8]) for x in (0.1, 1)}
        for name in names
    }
    few = {name: curves[name] for name in names[6:]}
    panels = {"linear": curves, "linear on blocks": few}
    picture = pictures.label_fractions("a", "A", panels)
    many, two = drawn[-1].axes
    # Intervals stand side by side, none in the bands of others.
    for share, place in ((0.1, 0), (1, 1)):
        x = [line.get_xdata()[place] for line in many.lines]
        assert len({*np.round(x, 6)}) == 8 and x == sorted(x)
        assert share / 1.15 < x[0] < share < x[-1] < 1.15 * share
    bands = [
        sum(isinstance(c, PolyCollection) for c in axes.collections)
        for axes in (many, two)
    ]
    assert bands == [0, 2]
    root = ElementTree.fromstring(picture.svg)
    texts = ["".join(e.itertext()) for e in root.iter("text")]
    # One look for one encoder, and one entry of the legend.
    looks = [(x.get_color(), x.get_marker()) for x in many.lines]
    assert len({*looks}) == 8
    assert [(x.get_color(), x.get_marker()) for x in two.lines] == looks[6:]
    assert all(texts.count(name) == 1 for name in names)
    assert two.get_ylim() == many.get_ylim()
