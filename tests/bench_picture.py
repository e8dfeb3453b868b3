"""Draws docs/bench.svg: `python -m tests.bench_picture docs/bench.json docs/bench.svg`.

`make bench` runs it in the environment that has matplotlib. The file is shown on light and on dark
pages: it has no background, and each colour can be read on both.
"""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib import pyplot  # pylint: disable=import-error  # `make bench` has it

# Contrasts of 4.3 to 1 or more on white and on #0d1117, which is nearly black.
TEXT, OURS = "#727a83", "#0e8a7a"
PUBLISHED = "#959da5"  # a bar, whose length is told by the figure beside it
STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and compared with the table
    "svg.hashsalt": "bench",  # the same figures make the same file
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": TEXT,
}
LENGTH = 100  # of the longer bar of a pair
HEIGHT, PAIR = 0.36, 1.0  # of a bar, and from one pair to the next


def number(figure: str) -> float:
    """The number that a figure begins with: 1234.5 of "1,234.5 s"."""
    return float(figure.split()[0].replace(",", ""))


def _draw_pair(axes: pyplot.Axes, place: int, pair: dict[str, str]) -> None:
    longest = max(number(pair[whose]) for whose in ("published", "ours"))
    for row, (whose, colour) in enumerate((("published", PUBLISHED), ("ours", OURS))):
        length = LENGTH * number(pair[whose]) / longest
        y = place * PAIR + (row - 0.5) * HEIGHT
        (drawn,) = axes.barh(y, length, HEIGHT, color=colour)
        drawn.set_gid(f"{whose}-{place}")
        weight = "bold" if whose == "ours" else "normal"
        axes.text(length + 1, y, pair[whose], va="center", weight=weight)
    axes.text(-2, place * PAIR, pair["name"], va="center", ha="right")


def draw(document: dict[str, Any]) -> pyplot.Figure:
    """A pair of bars for each figure that both taps have, each pair on a scale of its own."""
    pairs = document["side_by_side"]
    figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.6 * len(pairs)))
    for place, pair in enumerate(pairs):
        _draw_pair(axes, place, pair)
    for x, colour, what in (
        (0, PUBLISHED, f"published tap-helpscout {document['published']}"),
        (55, OURS, "this tap"),
    ):
        axes.barh(-PAIR, 3, HEIGHT * 0.8, left=x, color=colour)
        axes.text(x + 4, -PAIR, what, va="center")
    for line, words in enumerate(
        (document["account"], f"measured on {document['date']} on {document['machine']}")
    ):
        axes.text(0, (len(pairs) + 0.45 * line) * PAIR, words, va="center", size=10)
    axes.set(xlim=(0, LENGTH * 1.17), ylim=((len(pairs) + 0.8) * PAIR, -1.4 * PAIR))
    axes.axis("off")
    figure.subplots_adjust(left=0.2, right=1, bottom=0, top=1)
    return figure


def main() -> None:
    """The command."""
    source, target = map(Path, sys.argv[1:])
    document = json.loads(source.read_text(encoding="utf-8"))
    with pyplot.rc_context(STYLE):
        draw(document).savefig(target, transparent=True, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
