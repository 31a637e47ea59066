"""Pictures inside a page: complete, with unique ids, in both themes, and no
markup from users' names."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from cry_modules.figures.page import drawing, style_sheet
from cry_modules.figures.style import COLOURS, INK, SERIES, add_legend, look
from data_prep.files.errors import InputError

HOSTILE = "<script>alert('1')</script> & \"$x^2$\" ]]> #0072b2"
POINTS = [0.123456, 0.5, 0.87654]


def example(name="a", label=HOSTILE, title="Title", alt="What one sees."):
    with drawing(name, (400, 300), title, alt) as (figure, picture):
        axes = figure.subplots()
        axes.plot(POINTS, POINTS, **look(0), linestyle="")
        axes.plot(POINTS, POINTS[::-1], color=INK)
        axes.fill_between(POINTS, POINTS, color=INK, alpha=0.1)
        axes.plot(POINTS, [0.4, 0.5, 0.5], **look(4))
        axes.set(title=label, ylim=(0, 1))
        add_legend(figure, [(label, look(0)), ("_other", look(1))])
    return picture


def texts(source):
    root = ElementTree.fromstring(source)
    return ["".join(e.itertext()) for e in root.iter("text")]


def ids(source):
    every = [e.get("id") for e in ElementTree.fromstring(source).iter()]
    return [ID for ID in every if ID]


def test_ids_are_unique_on_a_page_and_references_stay_inside():
    pictures = [example("a"), example("b"), example("a-0")]
    every = [ID for picture in pictures for ID in ids(picture.svg)]
    assert len(every) == len(set(every))
    for picture in pictures:
        pairs = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', picture.svg)
        named = {a or b for a, b in pairs}
        assert len(named) >= 3  # clip path, marks
        assert named < set(ids(picture.svg))
        assert all(ID.startswith(f"{picture.name}-") for ID in named)


def test_names_of_users_are_text():
    picture = example(title=HOSTILE, alt=HOSTILE)
    root = ElementTree.fromstring(picture.svg)
    assert "<script" not in picture.svg
    assert texts(picture.svg).count(HOSTILE) == 2  # title and legend
    assert texts(picture.svg)[-1] == "_other"
    assert root.find("title").text == root.find("desc").text == HOSTILE


def test_text_that_no_xml_can_hold_is_replaced():
    picture = example(label="a\x00b\x1bc\ud800d", title="\x07", alt="\x08")
    assert "a\ufffdb\ufffdc\ufffdd" in texts(picture.svg)
    assert ElementTree.fromstring(picture.svg).find("title").text == "\ufffd"


def test_letters_that_matplotlib_lacks_are_no_warning(recwarn):
    assert "\u8d64\u3061\u3083\u3093" in texts(example(label="赤ちゃん").svg)
    assert not list(recwarn)


def test_colours_and_font_are_the_pages():
    picture = example(label="x")
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", picture.svg)
    variables = set(re.findall(r"var\(--([\w-]+)\)", picture.svg))
    assert variables == {"font", "ink", "series-1", "series-2", "series-5"}
    for theme in (0, 1):
        assert f"--series-1: {COLOURS['series-1'][theme]}" in style_sheet(theme)
    for part in ("<?xml", "DOCTYPE", "metadata", "<style", "http", "DejaVu"):
        assert part not in picture.svg


def test_it_is_as_wide_as_its_place_and_described():
    root = ElementTree.fromstring(example("a").svg)
    assert root.get("viewBox") == "0 0 400 300" and root.get("width") == "100%"
    assert root.get("height") is None and root.get("role") == "img"
    assert "max-width: 400px; min-width: 320px" in root.get("style")
    text_of = {e.get("id"): e.text for e in root.iter()}
    assert text_of[root.get("aria-labelledby")] == "Title"
    assert text_of[root.get("aria-describedby")] == "What one sees."


def test_the_same_picture_is_the_same_text():
    first = example().svg
    np.random.rand(3)
    example("other", "Other")
    assert example().svg == first


def luminance(colour):
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(
        rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4
    )
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_contrast_in_both_themes(theme):
    """WCAG 2.1, 1.4.11: graphical objects have a contrast of 3."""
    page = COLOURS["page"][theme]
    for name, colours in COLOURS.items():
        low, high = sorted([luminance(colours[theme]), luminance(page)])
        assert name == "page" or (high + 0.05) / (low + 0.05) >= 3, name
    assert len({light for light, _ in COLOURS.values()}) == len(COLOURS)
    pairs = {tuple(look(i).values()) for i in range(35)}
    assert len(pairs) == 35 and len(SERIES) == 7


def test_a_file_has_the_light_colours(tmp_path):
    picture = example(label=HOSTILE)
    path = picture.write(tmp_path)
    assert path == tmp_path / "a.svg"
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    source = path.read_text("utf-8")
    assert INK in source and "var(" not in source and "<dc:date>" not in source
    assert HOSTILE in ["".join(e.itertext()) for e in root.iter()]
    assert picture.write(tmp_path).read_text("utf-8") == source
    with pytest.raises(InputError, match="could not be written"):
        picture.write(tmp_path / "no")


@pytest.mark.parametrize("name", ["", "a b", "a)", "<a>"])
def test_a_name_that_breaks_references_is_refused(name):
    with pytest.raises(ValueError, match="cannot begin an id"):
        example(name)
