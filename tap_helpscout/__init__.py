"""tap-helpscout: reads a Help Scout account and writes Singer messages to stdout."""

import contextlib
import json
import os
import signal
import sys
import threading
from select import select as ready

import singer

from tap_helpscout import config as config_file
from tap_helpscout.client import Client, HelpScoutError
from tap_helpscout.command_line import parse_args
from tap_helpscout.config import ConfigError
from tap_helpscout.discover import discover
from tap_helpscout.patterns import select_by_patterns
from tap_helpscout.selection import select
from tap_helpscout.sync import Bookmarks, Sync

LOGGER = singer.get_logger()


GRACE = 5  # seconds for what a signal should not tear: nobody may be reading, or answering


class Ending:
    """Ends the process at a signal: at once, or when what runs within it, in whatever thread, is
    through: a line that is being written, a token that is being renewed."""

    def __init__(self):
        self._lock, self._signal = threading.Lock(), None
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(signum, self._ask)

    def __enter__(self):
        self._lock.acquire()
        if self._signal:
            self._end()

    def __exit__(self, *_):
        self._lock.release()
        if self._signal:
            self._ask(self._signal, None)

    def exit(self, code):
        """Ends the process itself: requests that are still on their way, which nobody waits for
        any more, would hold it for a minute."""
        self._lock.acquire(timeout=GRACE)  # pylint: disable=consider-using-with  # for good
        os._exit(code)

    def _ask(self, signum, _):
        if not self._signal:
            self._signal = signum
            signal.alarm(GRACE)
        if signum == signal.SIGALRM or not self._lock.locked():
            self._end()

    def _end(self):
        # Not through the logger, which this may have interrupted, nor where nobody reads it.
        with contextlib.suppress(OSError, ValueError):
            if ready([], [2], [], 0)[1]:
                os.write(
                    2,
                    f"CRITICAL ended by {signal.Signals(self._signal).name}; the next run "
                    "begins at the last state\n".encode(),
                )
        os._exit(128 + self._signal)


def sync(args, ending):
    """Reads what is selected; the exit code."""
    config = config_file.load(args.config, args.dev)
    catalog = config_file.read_json(args.catalog, "catalog") if args.catalog else discover()
    selection = select(catalog, args.catalog)
    selected = {name: stream.schema for name, stream in selection.streams.items()}
    bookmarks = Bookmarks(
        config_file.read_json(args.state, "state") if args.state else {}, args.state
    )
    for warning in selection.warnings:
        LOGGER.warning("%s", warning)
    if not selected:
        LOGGER.warning("nothing is selected in %s: nothing to do", args.catalog)
        return 0

    def write(message):
        with ending:
            singer.write_message(message)

    client = Client(args.config, config, args.dev, ending)
    failed = Sync(client, config, selected, bookmarks, write).run()
    for node in failed:
        LOGGER.critical("%s is incomplete: %s", node.name, node.error)
    if failed:
        LOGGER.critical(
            "%d of %d streams failed; the next run begins where they stopped",
            len(failed),
            len(selected),
        )
    return 1 if failed else 0


def write_catalog(patterns):
    """Writes the catalog to stdout, with what the patterns select, if there are any; the exit
    code."""
    catalog = discover()
    if patterns:
        select_by_patterns(catalog, patterns)
    try:
        json.dump(catalog, sys.stdout, indent=2)
        sys.stdout.flush()
    except OSError as error:
        LOGGER.critical("the catalog is incomplete, stdout cannot be written: %s", error.strerror)
        return 1
    return 0


def run(args, ending):
    """Does what the command line says; the exit code."""
    try:
        code = 0
        if args.discover:
            code = write_catalog(args.select)
        else:
            code = sync(args, ending)
        sys.stdout.flush()
        return code
    except (ConfigError, HelpScoutError) as error:
        LOGGER.critical("%s", error)
    except BrokenPipeError:
        LOGGER.error("the target has closed the pipe")
    except Exception:  # pylint: disable=broad-exception-caught  # a bug: say where, and end
        LOGGER.exception("an error of the tap's own: please report it")
    return 1


def main():
    """The command."""
    args = parse_args()
    if sys.stdout is None:  # the process was started without
        LOGGER.critical("stdout is closed: there is nowhere to write to")
        sys.exit(1)
    # Always with a buffer: without (PYTHONUNBUFFERED) a signal may cut a line short, unnoticed.
    sys.stdout = open(  # pylint: disable=consider-using-with  # for as long as the process lives
        sys.stdout.fileno(), "w", encoding="utf-8", closefd=False
    )
    ending = Ending()
    ending.exit(run(args, ending))
