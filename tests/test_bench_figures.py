"""The figures of `make bench`: the README, docs/bench.md and the picture say the same."""

import json
import re
from xml.etree import ElementTree

import pytest

from tests.readme import section
from tests.stand_ins import ROOT

FIGURES = json.loads((ROOT / "docs" / "bench.json").read_text(encoding="utf-8"))
PAIRS = FIGURES["side_by_side"]
SPEED = section("Speed")
TAPS = ("published", "ours")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(name="picture", scope="module")
def _picture():
    return ElementTree.parse(ROOT / "docs" / "bench.svg")


def tables(text):
    """The tables of a text, each a list of rows, each a list of cells."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = [line.strip("|").split("|") for line in block.splitlines()]
        yield [[cell.strip() for cell in line] for line in lines]


def test_the_tables_have_the_figures():
    page = (ROOT / "docs" / "bench.md").read_text(encoding="utf-8")
    ((_, _, *pairs),) = tables(SPEED)
    (_, _, *pairs_of_page), (_, _, *goals) = tables(page)
    assert pairs == pairs_of_page == [list(pair.values()) for pair in PAIRS]
    assert goals == [
        [goal["name"], goal["goal"], goal["figure"], "yes" if goal["holds"] else "no"]
        for goal in FIGURES["goals"]
    ]


def test_the_section_shows_the_picture_and_says_when_and_where_it_was_measured():
    assert "](docs/bench.svg)" in SPEED
    words = " ".join(SPEED.split())
    where = f"{FIGURES['machine']} with Python {FIGURES['python']}"
    assert f"{FIGURES['date']} on {where}" in words
    assert FIGURES["account"] in words


def test_the_picture_has_the_figures(picture):
    texts = ["".join(text.itertext()) for text in picture.iter(f"{SVG}text")]
    assert sorted(texts) == sorted(
        [
            *(text for pair in PAIRS for text in pair.values()),
            f"published tap-helpscout {FIGURES['published']}",
            "this tap",
            FIGURES["account"],
            f"measured on {FIGURES['date']} on {FIGURES['machine']}",
        ]
    )


def length(picture, whose, place):
    """How long the bar of a figure is."""
    path = picture.find(f".//{SVG}g[@id='{whose}-{place}']/{SVG}path").get("d")
    across = [float(x) for x in re.findall(r"[ML] ([\d.]+)", path)]
    return max(across) - min(across)


@pytest.mark.parametrize("place", range(len(PAIRS)))
def test_each_bar_is_as_long_as_its_figure(picture, place):
    published, ours = (float(PAIRS[place][whose].split()[0].replace(",", "")) for whose in TAPS)
    lengths = [length(picture, whose, place) for whose in TAPS]
    assert lengths[1] / lengths[0] == pytest.approx(ours / published, rel=0.01)


def test_the_picture_has_no_background_of_its_own(picture):
    """It is shown on light pages and on dark ones."""
    shapes = [shape.get("style", "") for shape in picture.iter(f"{SVG}path")]
    filled = [style for style in shapes if "fill: none" not in style]
    assert len(filled) == len(TAPS) * (len(PAIRS) + 1)
    assert not list(picture.iter(f"{SVG}rect")) or all(
        rect in picture.findall(f".//{SVG}clipPath/{SVG}rect")
        for rect in picture.iter(f"{SVG}rect")
    )
