"""The README, taken apart for the tests that hold it to the code."""

import re

from tests.stand_ins import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>.+?) -->\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
SECTIONS = re.findall(r"^## (.+)$", README, re.MULTILINE)


def table(first_heading):
    """The rows of the README's table whose first column is headed so, as lists of cells."""
    lines = README.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def code(cell):
    """What a cell has in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def section(heading):
    return re.split(r"^## ", README.partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]


def blocks(text, language):
    return [match for match in FENCE.finditer(text) if match["language"] == language]
