"""Pictures inside a page: SVG elements that follow the page's theme.

Colours are CSS variables (``style_sheet`` defines them), the background is
transparent, text stays text in the page's font, and all ids begin with the
picture's name, so that several pictures fit on a page.
"""

import io
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Tuple
from xml.etree import ElementTree

from matplotlib.figure import Figure
from matplotlib.text import Text

from cry_modules.figures.style import COLOURS, fix_layout, style
from data_prep.files.tables import write_text

#: Width of most pictures, px.
WIDTH = 760

_FONT_SIZE = 12  # px
_INCH = 72  # units of matplotlib's SVG; here they are px
_NOT_XML = re.compile("[^\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Picture:
    """A picture of a page: name of its file and prefix of its ids, title,
    description for readers who do not see it, and SVG file.
    """

    name: str
    title: str
    alt: str
    file: str = ""

    def write(self, folder: Path) -> Path:
        """Write the SVG file in the light theme's colours."""
        path = Path(folder) / f"{self.name}.svg"
        write_text(path, self.file)
        return path

    @property
    def svg(self) -> str:
        """Element to put into a page."""
        root = ElementTree.fromstring(self.file)
        ids = set(re.findall(r'(?:url\(|href=")#([^)"]+)', self.file))
        for parent in root.iter():
            for child in list(parent):
                if child.tag.endswith(("metadata", "style", "}title")):
                    parent.remove(child)  # a style would be the whole page's
        for element in root.iter():
            element.tag = element.tag.split("}")[-1]
            element.attrib = {
                key.split("}")[-1]: _attribute(key, value, self.name)
                for key, value in element.items()
                if key != "id" or value in ids
            }
        width = float(root.get("viewBox").split()[2])
        root.attrib = {
            "viewBox": root.get("viewBox"),
            "width": "100%",
            "style": f"max-width: {width:g}px; min-width: {0.8 * width:g}px; "
            "stroke-linejoin: round",
            "role": "img",
            "aria-labelledby": f"{self.name}-title",
            "aria-describedby": f"{self.name}-desc",
        }
        texts = {"title": self.title, "desc": self.alt}
        for place, (tag, text) in enumerate(texts.items()):
            element = ElementTree.Element(tag, id=f"{self.name}-{tag}")
            element.text = text
            root.insert(place, element)
        return ElementTree.tostring(root, "unicode")


@contextmanager
def drawing(
    name: str, size: Tuple[float, float], title: str, alt: str
) -> Iterator[Tuple[Figure, Picture]]:
    """Context manager with a figure of this size, px, to draw in, and its
    ``Picture``, which has its SVG file after the block."""
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"{name!r} cannot begin an id")
    picture = Picture(name, _xml(title), _xml(alt))
    with style(_FONT_SIZE):
        inches = [length / _INCH for length in size]
        figure = Figure(inches, layout="constrained")
        yield figure, picture
        figure.patch.set_visible(False)
        for text in figure.findobj(Text):
            text.set_text(_xml(text.get_text()))
        file = io.StringIO()
        with warnings.catch_warnings():
            # The reader's font may have what matplotlib's lacks.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            fix_layout(figure)
            metadata = {"Title": picture.title, "Description": picture.alt}
            metadata["Date"] = None  # the same picture is the same file
            figure.savefig(file, format="svg", metadata=metadata)
        picture.file = file.getvalue()


def _xml(text):
    """Replace what no XML can hold."""
    return _NOT_XML.sub("\ufffd", text)


def style_sheet(theme: int) -> str:
    """CSS variables of the light theme (0) or the dark one (1)."""
    return "; ".join(f"--{name}: {of[theme]}" for name, of in COLOURS.items())


def page_style(css: str) -> str:
    """CSS of matplotlib's SVG with the page's colours and font.

    Example
    -------
    >>> page_style("font: 700 10px 'DejaVu Sans'; fill: #0072b2")
    'font: 700 10px var(--font); fill: var(--series-1)'
    >>> page_style("font-size: 10px; font-family: 'DejaVu Sans', serif")
    'font-size: 10px; font-family: var(--font)'
    """
    css = re.sub(r"font-family:[^;]*", "font-family: var(--font)", css)
    css = re.sub(r"font:(.*?px) [^;]*", r"font:\1 var(--font)", css)
    for role, (light, _) in COLOURS.items():
        css = css.replace(light, f"var(--{role})")
    return css


def _attribute(key, value, name) -> str:
    """An attribute with references to the picture's own ids, the page's
    style, and short numbers."""
    if key == "id":
        return f"{name}-{value}"
    if key == "style":
        return page_style(value)
    if key.endswith("href") and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    if key == "clip-path":
        return value.replace("url(#", f"url(#{name}-")
    if key in ("d", "x", "y", "transform"):
        # A hundredth of a pixel is too little to see.
        return re.sub(
            r"-?\d+\.\d{3,}", lambda m: f"{float(m.group()):.2f}", value
        )
    return value
