"""tap-helpscout: reads a Help Scout account and writes Singer messages to stdout."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import NoReturn

import singer

from tap_helpscout.client import open_client
from tap_helpscout.config import misspelt, parse_config
from tap_helpscout.discover import discover, select
from tap_helpscout.files import ConfigError, read_json
from tap_helpscout.signals import SignalGuard
from tap_helpscout.sync import Bookmarks, Sync
from tap_helpscout.transport import HelpScoutError

LOGGER = singer.get_logger()


class OutputError(Exception):
    """stdout takes nothing any more."""


class Parser(argparse.ArgumentParser):
    """Exits with 1, as for any other mistake."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.format_usage()}{self.prog}: {message}\n")


def parse_args() -> argparse.Namespace:
    """The command line, as runners of Singer taps call it."""
    parser = Parser(
        prog="tap-helpscout",
        description="Extracts a Help Scout account: Singer messages on stdout, a log on stderr.",
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="credentials and settings, JSON")
    parser.add_argument("-s", "--state", metavar="FILE", help="the last state written, JSON")
    parser.add_argument(
        "--catalog",
        "-p",
        "--properties",
        metavar="FILE",
        help="which streams and "
        "fields to read, JSON; all without it (-p, --properties: its old name)",
    )
    parser.add_argument(
        "-d",
        "--discover",
        action="store_true",
        help="write the catalog to stdout and end; needs no config",
    )
    parser.add_argument(
        "--dev", action="store_true", help="use the config's access_token and never ask for another"
    )
    parser.add_argument(
        "--version", action="version", version=f"tap-helpscout {metadata.version('tap-helpscout')}"
    )
    args = parser.parse_args()
    if not args.discover and not args.config:
        parser.error("--config is needed, or --discover")
    return args


@contextlib.contextmanager
def output_errors_in_words() -> Iterator[None]:
    """Raises OutputError where stdout cannot be written to, as on a full disk; BrokenPipeError
    stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error


def sync(args: argparse.Namespace, guard: SignalGuard) -> int:
    """Reads what is selected; the exit code."""
    document = read_json(args.config, "config")
    for line in misspelt(document, args.config):
        LOGGER.warning("%s", line)
    config = parse_config(document, args.config, args.dev)
    catalog = read_json(args.catalog, "catalog") if args.catalog else discover()
    selected = select(catalog, args.catalog)
    bookmarks = Bookmarks(read_json(args.state, "state") if args.state else {}, args.state)
    if not selected:
        LOGGER.warning("nothing is selected in %s: nothing to do", args.catalog)
        return 0

    def write(message: singer.Message) -> None:
        with guard, output_errors_in_words():
            singer.write_message(message)
            if isinstance(message, singer.StateMessage) and message.value["bookmarks"]:
                guard.state_written = True

    client = open_client(args.config, config, args.dev, guard)
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


def run(args: argparse.Namespace, guard: SignalGuard) -> int:
    """Does what the command line says; the exit code."""
    try:
        code = 0
        if args.discover:
            with output_errors_in_words():
                json.dump(discover(), sys.stdout, indent=2)
        else:
            code = sync(args, guard)
        with output_errors_in_words():
            sys.stdout.flush()
        return code
    except (ConfigError, HelpScoutError, OutputError) as error:
        LOGGER.critical("%s", error)
    except BrokenPipeError:
        LOGGER.error("the target has closed the pipe")
    except Exception:  # pylint: disable=broad-exception-caught  # a bug: say where, and end
        LOGGER.exception("an error of the tap's own: please report it")
    return 1


def open_output() -> None:
    """Makes stdout buffered in any case: without (PYTHONUNBUFFERED) a signal may cut a line short,
    unnoticed. Raises OutputError."""
    if sys.stdout is None:
        raise OutputError("stdout is closed: the tap writes its messages there")
    with output_errors_in_words():
        sys.stdout = open(  # pylint: disable=consider-using-with  # for as long as the process lives
            sys.stdout.fileno(), "w", encoding="utf-8", closefd=False
        )


def open_standard_files() -> None:
    """Opens what is closed of stdin, stdout and stderr as /dev/null: else the next file or socket
    that is opened gets its number, and with it what is meant for the log."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def main() -> None:
    """The command."""
    args = parse_args()
    open_standard_files()
    guard = SignalGuard()
    try:
        open_output()
    except OutputError as error:
        LOGGER.critical("%s", error)
        guard.exit(1)
    guard.exit(run(args, guard))
