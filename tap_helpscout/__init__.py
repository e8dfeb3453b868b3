"""tap-helpscout: reads a Help Scout account and writes Singer messages to stdout."""

import argparse
import os
import signal
import sys
from importlib import metadata

import singer

from tap_helpscout import config as config_file
from tap_helpscout.client import ApiError, Client, UnauthorizedError
from tap_helpscout.config import ConfigError
from tap_helpscout.discover import discover, select
from tap_helpscout.sync import Bookmarks, Sync

LOGGER = singer.get_logger()


class Interrupted(BaseException):
    """A signal asked the run to end."""


class Writer:
    """Writes whole Singer messages: a signal that comes within one waits for its end."""

    def __init__(self):
        self._writing, self._signal = False, None

    def __call__(self, message):
        self._writing = True
        try:
            singer.write_message(message)
        finally:
            self._writing = False
        if self._signal:
            raise Interrupted(self._signal)

    def interrupt(self, signum, _frame):
        """The handler of SIGTERM and SIGINT."""
        self._signal = signum
        if not self._writing:
            raise Interrupted(signum)


class Parser(argparse.ArgumentParser):
    """Exits with 1, as for any other mistake."""

    def error(self, message):
        self.exit(1, f"{self.format_usage()}{self.prog}: {message}\n")


def parse_args():
    """The command line, as runners of Singer taps call it."""
    parser = Parser(prog="tap-helpscout", description="Extracts a Help Scout account: "
                    "Singer messages on stdout, a log on stderr.")
    parser.add_argument("-c", "--config", metavar="FILE", help="credentials and settings, JSON")
    parser.add_argument("-s", "--state", metavar="FILE", help="the last state written, JSON")
    parser.add_argument("--catalog", metavar="FILE", help="which streams and fields to read, JSON; "
                        "all without it")
    parser.add_argument("-p", "--properties", metavar="FILE", help="old name of --catalog")
    parser.add_argument("-d", "--discover", action="store_true",
                        help="write the catalog to stdout and end; needs no config")
    parser.add_argument("--dev", action="store_true",
                        help="use the config's access_token and never ask for another")
    parser.add_argument("--version", action="version",
                        version=f"tap-helpscout {metadata.version('tap-helpscout')}")
    args = parser.parse_args()
    if not args.discover and not args.config:
        parser.error("--config is needed, or --discover")
    return args


def sync(args, write):
    """Reads what is selected; the exit code."""
    config = config_file.load(args.config, args.dev)
    source = args.catalog or args.properties
    catalog = config_file.read_json(source, "catalog") if source else discover().to_dict()
    selected = select(catalog, source)
    bookmarks = Bookmarks(config_file.read_json(args.state, "state") if args.state else {},
                          args.state)
    if not selected:
        LOGGER.warning("nothing is selected in %s: nothing to do", source)
        return 0
    failed = Sync(Client(args.config, config, args.dev), config, selected, bookmarks, write).run()
    for node in failed:
        LOGGER.critical("%s is incomplete: %s%s", node.name, node.error, (
            f". The account's plan or the user's permissions do not include it: deselect "
            f"{node.name} in the catalog, or change them" if node.error.status == 403 else ""))
    if failed:
        LOGGER.critical("%d of %d streams failed; the next run begins where they stopped",
                        len(failed), len(selected))
    return 1 if failed else 0


def main():
    """The command. Ends the process itself: requests that are still on their way, which nobody
    waits for any more, would hold it for a minute."""
    write, code = Writer(), 1
    args = parse_args()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, write.interrupt)
    try:
        if args.discover:
            discover().dump()
            code = 0
        else:
            code = sync(args, write)
        sys.stdout.flush()
    except UnauthorizedError as error:
        LOGGER.critical(
            "%s. Check client_id and client_secret against My Apps in Help Scout, that the user "
            "who made the app is active and may use the API, and that the refresh_token, where "
            "the config has one, is the latest: it dies when it is used, and then only "
            "authorizing the app again helps", error)
    except (ConfigError, ApiError) as error:
        LOGGER.critical("%s", error)
    except BrokenPipeError:
        LOGGER.error("the target has closed the pipe")
    except Interrupted as interrupted:
        signum = interrupted.args[0]
        LOGGER.critical("ended by %s; the next run begins at the last state",
                        signal.Signals(signum).name)
        code = 128 + signum
    except Exception:  # pylint: disable=broad-exception-caught  # a bug: say where, and end
        LOGGER.exception("an error of the tap's own: please report it")
    os._exit(code)
