"""Batches: new rows of a list, and what is known now that they have come."""

from dataclasses import dataclass
from datetime import datetime

from tap_helpscout.streams import Row


@dataclass(frozen=True)
class Window:
    """A closed range of modification time, both ends included, in whole seconds."""

    low: datetime
    high: datetime

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.high - self.low).total_seconds()


@dataclass
class Batch:
    """New rows, or none, and what is known now that they have come."""

    rows: list[Row]
    completes: Window | None = None
    """They are the last of this window: everything modified within it has been read."""
    reopens: Window | None = None
    """This window is not complete, though it was said to be: it is read again."""
    counted: int | None = None
    """How many rows the API counts in the whole list, or range; with its last batch."""
    missing: int = 0
    """How many rows the API counts in the list and does not list; with its last batch."""
    is_partial: bool = False
    """They are of some inboxes only: others have still to be read of the same window."""
