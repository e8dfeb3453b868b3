"""stdout: whole lines, one for each Singer message, and words where it takes no more."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator

import singer

from tap_helpscout.signals import SignalGuard

TARGET = "the target"
# It writes what singer.write_message writes, whose encoder takes twice as long.
ENCODER = json.JSONEncoder(allow_nan=False)


class OutputError(Exception):
    """stdout takes nothing any more."""


@contextlib.contextmanager
def output_errors_in_words(reader: str = TARGET) -> Iterator[None]:
    """Raises OutputError where stdout cannot be written to; `reader` is who reads it."""
    try:
        yield
    except OSError as error:
        raise _in_words(error, reader) from error


def _in_words(error: OSError, reader: str) -> OutputError:
    if isinstance(error, BrokenPipeError):
        return OutputError(f"{reader} has closed the pipe")
    return OutputError(f"cannot write to stdout: {error.strerror}")


def open_output() -> None:
    """Makes stdout buffered in any case: without (PYTHONUNBUFFERED) a signal may cut a line short,
    unnoticed. Raises OutputError."""
    if sys.stdout is None:
        raise OutputError("stdout is closed: the tap writes there")
    with output_errors_in_words():
        sys.stdout = open(  # pylint: disable=consider-using-with  # for the process's life
            sys.stdout.fileno(), "w", encoding="utf-8", closefd=False
        )


def open_standard_files() -> None:
    """Opens what is closed of stdin, stdout and stderr as /dev/null: else the next file or socket
    that is opened gets its number, and with it what is meant for the log."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


class MessageWriter:
    """Writes Singer messages; no signal ends the process inside a line."""

    def __init__(self, guard: SignalGuard) -> None:
        self._guard = guard

    def __call__(self, message: singer.Message) -> None:
        """Raises OutputError."""
        line = ENCODER.encode(message.asdict()) + "\n"
        with self._guard:
            try:
                sys.stdout.write(line)
                sys.stdout.flush()
            except OSError as error:
                raise _in_words(error, TARGET) from error
            if isinstance(message, singer.StateMessage) and message.value["bookmarks"]:
                self._guard.state_written = True
