"""Pictures as svg that stand in a page and follow its theme, light or dark.

What is drawn in ``INK`` (text, axes, grid) becomes ``currentColor``, the
background is transparent, letters stay letters in the reader's own font, and
nothing is loaded from elsewhere. All ids begin with the picture's name, so
that several pictures share a page.
"""

import io
import re
import textwrap
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Iterator, Tuple
from xml.etree import ElementTree

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text

from cry_modules.figures import training as curves
from cry_modules.figures.views import shortened
from data_prep.files.tables import write_text

#: Becomes the colour of the page's text.
INK = "#000000"
#: Of what is there for comparison.
GREY = "#808080"
#: Colours of ``curves.py`` that a white page drowns (contrast of 2.3, where
#: graphics need 3), and others. These have a contrast of 3 to white and to
#: #121212, and are those that red- and green-blind readers tell best from
#: the colours that stay.
_INSTEAD = {"#56b4e9": "#7c4dff", "#e69f00": "#d6124a", "black": INK}
COLOURS = tuple(_INSTEAD.get(c.lower(), c.lower()) for c in curves.COLOURS)
#: Of most pictures, px.
WIDTH = 760

_INCH = 72  # an svg file's units; here they are px
_LABEL = 44  # letters, of a legend
_FONT = "system-ui, sans-serif"
_STYLE = {
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "font.size": 11,
    "grid.alpha": 0.15,
    "grid.color": INK,
    "grid.linewidth": 0.8,
    "image.composite_image": False,  # else images are of the screen's size
    "legend.fontsize": 10,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "cry-ssl",  # the same picture is the same text
    "text.parse_math": False,  # names are users'
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}
_NAMESPACE = "http://www.w3.org/2000/svg"
_LINKS = "http://www.w3.org/1999/xlink"
_NOT_XML = re.compile("[^\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"(?<=url\(#)[^)]+|(?<=^#).+")


@dataclass
class Picture:
    """A picture of a page.

    Arguments
    ---------
    name : str
        Of its file, and what its ids begin with.
    title : str
        What it is of.
    alt : str
        What one sees, for whoever does not.
    svg : str
        An element to put into a page.
    """

    name: str
    title: str
    alt: str
    svg: str = ""

    def write(self, folder: Path) -> Path:
        """Write a file of its own, black on nothing."""
        root = ElementTree.fromstring(self.svg)
        for element in root.iter():
            for key, value in element.items():
                element.set(key, value.replace("currentColor", "black"))
            if "href" in element.attrib:
                # Editors of drawings know this form alone.
                element.set("xlink:href", element.attrib.pop("href"))
        root.set("xmlns", _NAMESPACE)
        root.set("xmlns:xlink", _LINKS)
        path = Path(folder) / f"{self.name}.svg"
        write_text(path, ElementTree.tostring(root, "unicode"))
        return path


@contextmanager
def drawing(
    name: str, size: Tuple[float, float], title: str, alt: str
) -> Iterator[Tuple[Figure, Picture]]:
    """Hand out a figure to draw in; the picture is complete at the end.

    Example
    -------
    >>> with drawing("a", (200, 100), "A line", "It rises.") as (fig, picture):
    ...     _ = fig.subplots().plot([0, 1], [0, 1], color=INK)
    >>> "currentColor" in picture.svg, INK in picture.svg
    (True, False)
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"{name!r} cannot begin an id")
    picture = Picture(name, title, alt)
    with plt.rc_context(_STYLE):
        figure = plt.figure(
            figsize=[length / _INCH for length in size], layout="constrained"
        )
        try:
            yield figure, picture
            figure.patch.set_visible(False)
            picture.svg = _for_a_page(_source(figure), picture)
        finally:
            plt.close(figure)


def words(name: str, title: str, text: str) -> Picture:
    """A picture that says why there is none.

    Example
    -------
    >>> words("auc", "AUC", "No run is done yet.").alt
    'No run is done yet.'
    """
    lines = textwrap.wrap(text, 80)
    size = WIDTH, 24 + 16 * len(lines)
    with drawing(name, size, title, text) as (figure, picture):
        figure.text(0.5, 0.5, "\n".join(lines), ha="center", va="center")
    return picture


def legend(figure: Figure, entries: Dict[str, Dict]) -> None:
    """What lines and marks mean, below a figure."""
    handles = [Line2D([], [], **look, label=".") for look in entries.values()]
    room = figure.get_size_inches()[0] * _INCH / 6.6  # letters
    longest = max(min(len(label), _LABEL) for label in entries) + 7
    found = figure.legend(
        handles=handles, loc="outside lower center",
        ncols=int(min(len(entries), max(1, room // longest))),
    )  # fmt: skip
    name_entries(found, entries)


def name_entries(found: Legend, labels: Iterable[str]) -> None:
    """Put the labels of users into a legend: matplotlib itself leaves out
    those that begin with ``_``.
    """
    for text, label in zip(found.get_texts(), labels):
        text.set_text(shortened(label, _LABEL))


def look(i: int) -> Dict:
    """Colour and marker of the i-th: both repeat, together they do not soon.

    Example
    -------
    >>> look(0)
    {'color': '#0072b2', 'marker': 'o'}
    >>> len({tuple(look(i).values()) for i in range(35)})
    35
    """
    return {
        "color": COLOURS[i % len(COLOURS)],
        "marker": curves.MARKERS[i % len(curves.MARKERS)],
    }


# From matplotlib's file to an element of a page.


def _source(figure) -> str:
    for text in figure.findobj(Text):
        text.set_text(_printable(text.get_text()))
    file = io.StringIO()
    with warnings.catch_warnings():
        # The reader's font may have what matplotlib's has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _printable(text) -> str:
    """Without what no xml file can hold."""
    return _NOT_XML.sub("\ufffd", text)


def _for_a_page(source, picture) -> str:
    root = ElementTree.fromstring(source)
    _drop(root, f"{{{_NAMESPACE}}}metadata")
    for style in root.iter(f"{{{_NAMESPACE}}}defs"):
        _drop(style, f"{{{_NAMESPACE}}}style")  # would be all the page's
    for element in root.iter():
        _simplify(element)
    _share_styles(root)
    _rename(root, picture.name)
    _head(root, picture)
    return ElementTree.tostring(root, "unicode")


def _drop(parent, tag) -> None:
    for child in parent.findall(tag):
        parent.remove(child)


def _simplify(element) -> None:
    """No namespaces, short numbers, colours of both themes."""
    element.tag = element.tag.split("}")[-1]
    element.tail = "\n"
    if not (element.text or "").strip():
        element.text = None
    link = element.attrib.pop(f"{{{_LINKS}}}href", None)
    if link:
        element.set("href", link.replace("\n", ""))
    for key in {"d", "x", "y"} & set(element.attrib):
        element.set(key, _round(element.get(key).replace("\n", "")))
    if "style" in element.attrib:
        element.set("style", _style(element.get("style")))


def _round(numbers) -> str:
    """A hundredth of a pixel is too little to be seen."""
    return re.sub(
        r"-?\d+\.\d{3,}", lambda m: f"{float(m.group()):.2f}", numbers
    ).strip()


def _style(css) -> str:
    css = re.sub(r"font-family:[^;]*", f"font-family: {_FONT}", css)
    css = re.sub(r"font:([^;]*px) [^;]*", rf"font:\1 {_FONT}", css)
    for colour, other in _INSTEAD.items():
        css = css.replace(colour, other)
    return css.replace(INK, "currentColor")


def _share_styles(root) -> None:
    """One style for a group of equal marks, rather than one a mark."""
    for group in root.iter("g"):
        marks = [child for child in group if child.tag == "use"]
        styles = {mark.get("style", "") for mark in marks}
        # A group is transparent as a whole, which is something else.
        if len(marks) > 1 and len(styles) == 1 and "opacity" not in min(styles):
            group.set("style", styles.pop())
            for mark in marks:
                mark.attrib.pop("style", None)


def _rename(root, name) -> None:
    """Ids that are referred to begin with the picture's name; the others
    go."""
    new = {}
    for element in root.iter():
        for value in element.attrib.values():
            for old in _REFERENCE.findall(value):
                new.setdefault(old, f"{name}-{len(new)}")
    for element in root.iter():
        old = element.attrib.pop("id", None)
        if old in new:
            element.set("id", new[old])
        for key, value in element.items():
            for old in _REFERENCE.findall(value):
                element.set(key, value.replace(f"#{old}", f"#{new[old]}"))


def _head(root, picture) -> None:
    """Size, and what the picture is for those who do not see it."""
    _, _, width, _ = map(float, root.get("viewBox").split())
    box = root.get("viewBox")
    root.attrib.clear()
    root.attrib.update(
        {
            "viewBox": box,
            "width": f"{width:g}",
            "style": "max-width:100%;height:auto;stroke-linejoin:round",
            "fill": "currentColor",  # what has no other
            "role": "img",
        }
    )
    root.tail = None
    about = (("labelledby", "title"), ("describedby", "desc"))
    for place, (key, tag) in enumerate(about):
        element = ElementTree.Element(tag, id=f"{picture.name}-{tag}")
        element.text = _printable((picture.title, picture.alt)[place])
        element.tail = "\n"
        root.insert(place, element)
        root.set(f"aria-{key}", element.get("id"))
