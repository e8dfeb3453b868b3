"""tap-helpscout: reads a Help Scout account and writes Singer messages to stdout."""

import json
import sys

import singer

from tap_helpscout.check.check import Check
from tap_helpscout.check.report import Status
from tap_helpscout.client import CHECK_TRIES, open_client
from tap_helpscout.command_line import Arguments, parse_args
from tap_helpscout.config import Config, misspelt, parse_config
from tap_helpscout.discover import discover
from tap_helpscout.errors import HelpScoutError
from tap_helpscout.files import ConfigError, read_json
from tap_helpscout.output import (
    MessageWriter,
    OutputError,
    open_output,
    open_standard_files,
    output_errors_in_words,
)
from tap_helpscout.patterns import select_by_patterns
from tap_helpscout.selection import SelectedStream, select
from tap_helpscout.signals import SignalGuard
from tap_helpscout.state import State
from tap_helpscout.sync import Sync

LOGGER = singer.get_logger()

READER = "the program that reads stdout"  # a catalog or a report is written for no target


def main() -> None:
    """The command."""
    args = parse_args()
    open_standard_files()
    guard = SignalGuard(moves_state=not (args.discover or args.check))
    guard.exit(run(args, guard))


def run(args: Arguments, guard: SignalGuard) -> int:
    """Does what the command line says; the exit code."""
    try:
        open_output()
        if args.discover:
            return write_catalog(args)
        return check(args, guard) if args.check else sync(args, guard)
    except (ConfigError, HelpScoutError, OutputError) as error:
        LOGGER.critical("%s", error)
    except Exception:  # pylint: disable=broad-exception-caught  # a bug: say where, and end
        LOGGER.exception("an error of the tap's own: please report it")
    return 1


def write_catalog(args: Arguments) -> int:
    """Writes the catalog, with what the patterns select, if there are any; the exit code."""
    catalog = discover()
    if args.select:
        select_by_patterns(catalog, args.select)
    with output_errors_in_words(READER):
        json.dump(catalog, sys.stdout, indent=2)
        sys.stdout.flush()
    return 0


def sync(args: Arguments, guard: SignalGuard) -> int:
    """Reads what is selected; the exit code."""
    config = load_config(args)
    selected = load_selection(args)
    state = load_state(args)
    if not selected:
        LOGGER.warning("nothing is selected in %s: nothing to do", args.catalog)
        return 0
    client = open_client(str(args.config), config, args.dev, guard)
    write = MessageWriter(guard)
    failed = Sync(client, config, selected, state, write, client.run_start()).run()
    return 1 if failed else 0


def check(args: Arguments, guard: SignalGuard) -> int:
    """Says what a run will find; the exit code."""
    config, selected = load_config(args), load_selection(args)
    client = open_client(str(args.config), config, args.dev, guard, CHECK_TRIES)
    is_good = True
    for line in Check(client, config, selected).lines():
        is_good = is_good and line.status is not Status.FAILED
        with output_errors_in_words(READER):
            print(line, flush=True)
    return 0 if is_good else 1


def load_config(args: Arguments) -> Config:
    """The settings of the command line's config file. Raises ConfigError."""
    path = str(args.config)
    document = read_json(path, "config")
    for line in misspelt(document, path):
        LOGGER.warning("%s", line)
    return parse_config(document, path, args.dev)


def load_state(args: Arguments) -> State:
    """The command line's state, an empty one where it names none. Raises ConfigError."""
    state = State(read_json(args.state, "state") if args.state else {}, args.state)
    for line in state.unknown_bookmarks():
        LOGGER.warning("%s", line)
    return state


def load_selection(args: Arguments) -> dict[str, SelectedStream]:
    """What the command line's catalog selects, by tap_stream_id. Raises ConfigError."""
    catalog = read_json(args.catalog, "catalog") if args.catalog else discover()
    selection = select(catalog, args.catalog)
    for line in selection.warnings:
        LOGGER.warning("%s", line)
    return selection.streams
