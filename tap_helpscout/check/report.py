"""The lines of `--check`, and how large the account is as far as they tell."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import singer

from tap_helpscout.errors import ApiError, HelpScoutError
from tap_helpscout.reading.pages import Page
from tap_helpscout.words import in_words

LOGGER = singer.get_logger()


class Status(Enum):
    """How a finding is to be taken."""

    OK = "ok"
    WARNING = "warning"
    """Complete, but slower or otherwise than usual."""
    FAILED = "failed"
    """Cannot be read; the words say what to do."""


@dataclass(frozen=True)
class Line:
    """One finding."""

    name: str
    status: Status
    words: str

    def __str__(self) -> str:
        return f"{self.name:<27}  {self.status.value:<7}  {self.words}"


@dataclass
class Size:
    """What a first sync will take, as far as it is known."""

    requests: float = 0
    rows: float = 0

    def add(self, requests: float, rows: float) -> None:
        """Something more is to be read."""
        self.requests += requests
        self.rows += rows


def or_failed(name: str, lines: Iterator[Line]) -> Iterator[Line]:
    """The lines, and one that says what failed if one of them could not be made."""
    try:
        yield from lines
    except ApiError as error:
        yield failed(name, error)


def failed(name: str, error: HelpScoutError, of: str = "") -> Line:
    """A line of what cannot be read; Help Scout's own words are in the log alone. `of` is the part
    of it, where it is not all."""
    where = f"{of}: " if of else ""
    if error.said:
        LOGGER.error("%s: %s%s", name, where, error)
    return Line(name, Status.FAILED, f"{where}{error.shareable}")


def count(page: Page) -> int:
    """How many rows a list has, by its first page."""
    return len(page.rows) if page.total is None else page.total


def counted(page: Page) -> str:
    """The same in words."""
    if page.total is None and not page.is_whole_list:
        return "an unknown number"
    return str(count(page))


def in_time(seconds: float) -> str:
    """A duration in words, in the unit that fits it."""
    if seconds < 120:
        return in_words(max(1, round(seconds)), "second")
    if seconds < 7200:
        return in_words(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours"
