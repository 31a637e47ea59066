"""Pictures that stand in a page: complete, unique, in both themes, and never
markup of a user's name."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from data_prep.files.errors import InputError
from recipes.study.report import svg
from recipes.study.report.svg import (
    COLOURS,
    GREY,
    INK,
    drawing,
    legend,
    look,
    words,
)

HOSTILE = "<script>alert('1')</script> & \"$x^2$\" ]]> currentColor"
POINTS = [0.123456, 0.5, 0.87654]


def example(name="a", label=HOSTILE, title="Title", alt="What one sees."):
    with drawing(name, (400, 300), title, alt) as (figure, picture):
        axes = figure.subplots()
        axes.plot(POINTS, POINTS, **look(0), linestyle="")
        axes.plot(POINTS, POINTS[::-1], color=INK)
        axes.fill_between(POINTS, POINTS, color=INK, alpha=0.1)
        axes.plot(POINTS, [0.4, 0.5, 0.5], **look(4))
        axes.set(title=label, ylim=(0, 1))
        legend(figure, {label: look(0), "_other": look(1)})
    return picture


def texts(source):
    return [
        "".join(e.itertext())
        for e in ElementTree.fromstring(source).iter("text")
    ]


def references(source):
    return re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', source)


def ids(source):
    found = [e.get("id") for e in ElementTree.fromstring(source).iter()]
    return [one for one in found if one]


def test_ids_are_unique_on_a_page_and_references_stay_inside():
    pictures = [example("a"), example("b"), example("a-0")]
    every = [one for picture in pictures for one in ids(picture.svg)]
    assert len(every) == len(set(every))
    for picture in pictures:
        named = {a or b for a, b in references(picture.svg)}
        assert len(named) >= 3  # clip path, marks
        assert named < set(ids(picture.svg))
        assert all(one.startswith(f"{picture.name}-") for one in named)


def test_names_of_users_are_text():
    picture = example(title=HOSTILE, alt=HOSTILE)
    root = ElementTree.fromstring(picture.svg)
    assert "<script" not in picture.svg
    assert texts(picture.svg).count(HOSTILE) == 1  # title; the legend is short
    assert texts(picture.svg)[-2].endswith("currentColor")
    assert root.find("title").text == root.find("desc").text == HOSTILE


def test_what_matplotlib_leaves_out_is_in_the_legend():
    assert texts(example().svg)[-1] == "_other"


def test_text_that_no_xml_can_hold_is_replaced():
    picture = example(label="a\x00b\x1bc\ud800d", title="\x07", alt="\x08")
    assert "a\ufffdb\ufffdc\ufffdd" in texts(picture.svg)
    assert ElementTree.fromstring(picture.svg).find("title").text == "\ufffd"


def test_letters_that_matplotlib_lacks_are_no_warning(recwarn):
    assert "\u8d64\u3061\u3083\u3093" in texts(example(label="赤ちゃん").svg)
    assert not list(recwarn)


def test_it_is_described_to_those_who_do_not_see_it():
    root = ElementTree.fromstring(example("a").svg)
    by_id = {e.get("id"): e.text for e in root.iter()}
    assert root.get("role") == "img"
    assert by_id[root.get("aria-labelledby")] == "Title"
    assert by_id[root.get("aria-describedby")] == "What one sees."


def test_it_follows_the_theme():
    source = re.sub(r">[^<]*<", "><", example().svg)  # without texts
    assert "currentColor" in source
    colours = {c.lower() for c in re.findall(r"#[0-9a-fA-F]{6}\b", source)}
    assert colours == {COLOURS[0], COLOURS[1], COLOURS[4]}
    assert "black" not in source and "white" not in source
    for element in ElementTree.fromstring(example().svg).iter("text"):
        assert "fill" not in element.get("style")  # so currentColor
        assert "system-ui, sans-serif" in element.get("style")


@pytest.mark.parametrize(
    "css, expected",
    [
        (
            "font: 700 10px 'DejaVu Sans', sans-serif; text-anchor: end",
            "font: 700 10px system-ui, sans-serif; text-anchor: end",
        ),
        (
            "font-size: 10px; font-family: 'DejaVu Sans', serif; fill: #000000",
            "font-size: 10px; font-family: system-ui, sans-serif; "
            "fill: currentColor",
        ),
    ],
)
def test_fonts_of_matplotlib_3_8_and_3_11(css, expected):
    assert svg._style(css) == expected


def test_nothing_of_a_file_is_left():
    source = example(label="x").svg
    for part in ("<?xml", "DOCTYPE", "metadata", "<style", "http", "DejaVu"):
        assert part not in source
    root = ElementTree.fromstring(source)
    assert root.get("viewBox") == "0 0 400 300" and root.get("width") == "400"
    assert root.get("height") is None
    assert "max-width:100%;height:auto" in root.get("style")


def test_the_same_picture_is_the_same_text():
    first = example().svg
    np.random.rand(3)
    words("other", "Other", "Another picture.")
    assert example().svg == first


def test_marks_are_where_the_numbers_are():
    with drawing("a", (400, 300), "", "") as (figure, picture):
        axes = figure.subplots()
        axes.plot(POINTS, POINTS, **look(0), linestyle="")
    marks = [e for e in ElementTree.fromstring(picture.svg).iter("use")]
    marks = marks[-3:]  # ticks before
    shares = axes.transData.transform(np.transpose([POINTS, POINTS]))
    shares = figure.transFigure.inverted().transform(shares)
    at = [(float(e.get("x")), 300 - float(e.get("y"))) for e in marks]
    np.testing.assert_allclose(at, shares * [400, 300], atol=0.006)


def luminance(colour):
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(
        rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4
    )
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("page", ["#ffffff", "#121212", "#1e1e1e"])
def test_colours_are_seen_on_both_themes(page):
    """WCAG 2.1, 1.4.11: graphical objects have a contrast of 3."""
    for colour in {*COLOURS, GREY} - {INK}:
        low, high = sorted([luminance(colour), luminance(page)])
        assert (high + 0.05) / (low + 0.05) >= 3, colour
    assert len(set(COLOURS)) == len(COLOURS)


def test_a_file_of_its_own_is_black(tmp_path):
    picture = example(label=HOSTILE)
    path = picture.write(tmp_path)
    assert path == tmp_path / "a.svg"
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    attributes = [value for e in root.iter() for value in e.attrib.values()]
    assert not any("currentColor" in value for value in attributes)
    assert any("black" in value for value in attributes)
    assert root.findall(".//{*}use[@{http://www.w3.org/1999/xlink}href]")
    assert HOSTILE in ["".join(e.itertext()) for e in root.iter()]
    assert picture.write(tmp_path).read_bytes() == path.read_bytes()
    assert picture.svg == example(label=HOSTILE).svg
    with pytest.raises(InputError, match="could not be written"):
        picture.write(tmp_path / "no")


def test_words_are_all_there():
    text = "No run is done yet. " * 9
    picture = words("a", "A picture", text)
    assert " ".join(texts(picture.svg)).split() == text.split()


@pytest.mark.parametrize("name", ["", "a b", "a)", "<a>"])
def test_a_name_that_breaks_references_is_refused(name):
    with pytest.raises(ValueError, match="cannot begin an id"):
        words(name, "", "text")


def test_an_error_leaves_no_figure_open():
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    with pytest.raises(KeyError):
        with drawing("a", (100, 100), "", ""):
            raise KeyError
    assert plt.get_fignums() == before
