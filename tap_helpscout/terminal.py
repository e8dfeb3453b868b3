"""A line at the bottom of a terminal that is written again and again; the log goes above it."""

import contextlib
import os
import sys
import threading
from typing import Any, TextIO, cast

import singer

# ANSI escape codes: to the first column, and erase to the end of the line.
ERASE_LINE = "\r\x1b[K"

USUAL_COLUMNS = 80  # our choice: the width of a terminal that does not say it


class StatusLine:
    """The last line of a terminal, which is written again and again.

    It takes the place of sys.stderr, so that log lines, of any thread, go above it.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._terminal, self._text = terminal, ""
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)

    def install(self) -> None:
        """From now on the log is written through this object."""
        sys.stderr = cast(TextIO, self)
        singer.get_logger()  # makes the handler anew, with the present sys.stderr

    def show(self, text: str) -> None:
        """Replaces what the line says; no more is shown than fits into one line."""
        with self._lock:
            self._text = text[: self._columns() - 1]
            with contextlib.suppress(OSError):  # the terminal is gone, the run is not
                self._terminal.write(f"{ERASE_LINE}{self._text}")
                self._terminal.flush()

    def write(self, text: str) -> None:
        """Writes above the line."""
        with self._lock:
            erase = ERASE_LINE if self._text else ""
            below = self._text if text.endswith("\n") else ""
            self._terminal.write(f"{erase}{text}{below}")
            self._terminal.flush()

    def _columns(self) -> int:
        try:
            columns = os.get_terminal_size(self._terminal.fileno()).columns
        except OSError:
            columns = 0
        return columns or USUAL_COLUMNS


def status_line() -> StatusLine | None:
    """A status line, installed, where stderr is a terminal that can have one."""
    # It is None in a process that was started without one.
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return None
    line = StatusLine(sys.stderr)
    line.install()
    return line
