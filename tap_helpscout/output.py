"""stdout: whole lines, one for each Singer message, and words where it takes no more."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator

import singer

from tap_helpscout.signals import SignalGuard


class OutputError(Exception):
    """stdout takes nothing any more."""


@contextlib.contextmanager
def output_errors_in_words(reader: str = "the target") -> Iterator[None]:
    """Raises OutputError where stdout cannot be written to; `reader` is who reads it."""
    try:
        yield
    except BrokenPipeError as error:
        raise OutputError(f"{reader} has closed the pipe") from error
    except OSError as error:
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error


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
        # What singer.write_message writes, whose encoder takes twice as long.
        line = json.dumps(message.asdict(), allow_nan=False) + "\n"
        with self._guard, output_errors_in_words("the target"):
            sys.stdout.write(line)
            sys.stdout.flush()
            if isinstance(message, singer.StateMessage) and message.value["bookmarks"]:
                self._guard.state_written = True
