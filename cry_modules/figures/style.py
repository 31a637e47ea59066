"""Look of all pictures, and the files they are written to.

A picture is drawn in the colours of the light theme. On a page each of them
becomes a CSS variable (see ``cry_modules.figures.page``), so that the page's
theme decides.
"""

import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterable, Iterator, Sequence, Tuple, Union

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from data_prep.files.atomic import (
    complete_or_absent,
    is_stream,
    require_writable,
)
from data_prep.files.errors import require

#: Light and dark colour of each role, all different. Series are Okabe and
#: Ito's, which colour-blind readers tell apart, except two that have too
#: little contrast with white (2.3; graphics need 3).
COLOURS = {
    "ink": ("#1b1f24", "#e6e8eb"),
    "page": ("#ffffff", "#14171a"),
    "grey": ("#808080", "#909090"),
    "series-1": ("#0072b2", "#56b4e9"),
    "series-2": ("#d55e00", "#f08a3c"),
    "series-3": ("#009e73", "#2fc79b"),
    "series-4": ("#cc79a7", "#e0a3c5"),
    "series-5": ("#7c4dff", "#a98bff"),
    "series-6": ("#d6124a", "#ff6f8e"),
}
INK, PAGE, GREY, *_SERIES = (light for light, _ in COLOURS.values())
SERIES = (*_SERIES, INK)
MARKERS = ("o", "s", "^", "D", "v")
DASHES = ("-", "--", "-.", (0, (1, 1)))
#: Line of what guessing gives.
CHANCE = {"color": GREY, "linestyle": (0, (4, 3)), "linewidth": 1}

#: How to leave out the date: the same picture is the same file.
_UNDATED = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
SUFFIXES = tuple(_UNDATED)
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": "small",
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.titlesize": "medium",
    "grid.alpha": 0.15,
    "grid.color": INK,
    "grid.linewidth": 0.7,
    "image.composite_image": False,  # else images have the screen's size
    "legend.fontsize": "small",
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "cry-ssl",  # the same picture has the same ids
    "text.color": INK,
    "text.parse_math": False,  # names of users may hold a $
    "xtick.color": INK,
    "xtick.labelsize": "small",
    "ytick.color": INK,
    "ytick.labelsize": "small",
}
_LONGEST_LABEL = 50  # letters, in a legend


def style(font_size: float = 10):
    """Settings of matplotlib under which all pictures are drawn and written;
    font size in pt.
    """
    return matplotlib.rc_context({**_STYLE, "font.size": font_size})


@contextmanager
def picture(
    path: Path,
    size: Tuple[float, float],
    copies: Sequence[Path] = (),
    dpi: int = 150,
    font_size: float = 10,
) -> Iterator[Figure]:
    """Context manager with a figure of this size, inches, to draw in; after the
    block, it is written to ``path`` and ``copies``."""
    paths = [Path(path), *copies]
    for path in paths:
        require(
            path.suffix in SUFFIXES or is_stream(path),
            f"{path} is not a picture's name",
            f"let it end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}",
        )
        require_writable(path)
    with style(font_size):
        figure = Figure(size, layout="constrained")
        yield figure
        for text in figure.findobj(Text):
            _escape_bytes(text)
        fix_layout(figure)
        for path in paths:
            with complete_or_absent(path) as partial:
                kind = path.suffix if path.suffix in SUFFIXES else ".png"
                undated = _UNDATED[kind]
                figure.savefig(
                    partial, dpi=dpi, metadata=undated, format=kind[1:]
                )


def _escape_bytes(text: Text) -> None:
    """Show escapes of bytes in a name of a file that are not text, which cannot
    be drawn."""
    name = text.get_text()
    shown = name.encode("utf-8", "backslashreplace").decode()
    if shown != name:
        text.set_text(shown)


def fix_layout(figure: Figure) -> None:
    """Lay out a figure once, with rounded positions: the solver's last digits
    depend on addresses in memory, and the same picture is the same file."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        box = part.bbox_relative
        box.p0, box.p1 = np.round(box.get_points(), 6)
    for axes in figure.findobj(Axes):
        points = axes.get_position(original=True).get_points()
        axes.set_position(Bbox(np.round(points, 6)))


def look(i: int) -> Dict:
    """Colour and marker of the i-th series: each repeats, the pair does not
    for 35 series.
    """
    return {
        "color": SERIES[i % len(SERIES)],
        "marker": MARKERS[i % len(MARKERS)],
    }


def line(i: int) -> Dict:
    """Colour and dashes of the i-th curve."""
    return {
        "color": SERIES[i % len(SERIES)],
        "linestyle": DASHES[i % len(DASHES)],
        "linewidth": 1.4,
    }


def add_legend(
    place: Union[FigureBase, Axes],
    entries: Iterable[Tuple[str, Union[Artist, Dict]]],
    **options,
) -> Legend:
    """Add a legend from pairs of a label and an artist, or a line's properties.
    It is below a figure, unless ``options`` say otherwise."""
    labels, artists = zip(*entries)
    labels = [
        "\n".join(shortened(part, _LONGEST_LABEL) for part in label.split("\n"))
        for label in labels
    ]
    handles = [
        artist if isinstance(artist, Artist) else Line2D([], [], **artist)
        for artist in artists
    ]
    if isinstance(place, FigureBase):
        letters = place.bbox.width / place.dpi * 72 / 0.55
        letters /= matplotlib.rcParams["font.size"] * 0.833
        per_entry = max(map(len, labels)) + 7
        n_rows = -(-len(labels) // max(1, int(letters // per_entry)))
        columns = -(-len(labels) // n_rows)
        options = {"loc": "outside lower center", "ncols": columns, **options}
    legend = place.legend(handles, ["."] * len(labels), **options)
    # Set here: matplotlib leaves out labels that begin with "_".
    for text, label in zip(legend.get_texts(), labels):
        text.set_text(label)
    return legend


def write_in(axes: Axes, text: str) -> None:
    """Explain in empty axes why nothing is drawn there."""
    axes.set(xticks=[], yticks=[])
    axes.text(
        0.5, 0.5, textwrap.fill(text, 24), ha="center", va="center",
        transform=axes.transAxes,
    )  # fmt: skip


def shortened(name: str, longest: int = 36) -> str:
    """A name without its middle where it is long.

    Example
    -------
    >>> shortened("0123456789", longest=7)
    '01...89'
    """
    if len(name) <= longest:
        return name
    n_last = (longest - 3) // 2
    return f"{name[: longest - 3 - n_last]}...{name[-n_last:]}"
