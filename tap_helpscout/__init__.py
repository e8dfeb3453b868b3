"""tap-helpscout: reads a Help Scout account and writes Singer messages to stdout."""

import argparse
import contextlib
import os
import signal
import sys
import time
from importlib import metadata

import singer

from tap_helpscout import config as config_file
from tap_helpscout.client import ApiError, Client, UnauthorizedError
from tap_helpscout.config import ConfigError
from tap_helpscout.discover import discover, select
from tap_helpscout.sync import Bookmarks, Sync

LOGGER = singer.get_logger()


GRACE = 5  # seconds for what a signal should not tear: nobody may be reading, or answering


class Interrupted(BaseException):
    """A signal asked the run to end."""


class Ending:
    """Ends the run at a signal: at once, but for what is held together, which may end first: a
    line that is being written, a token that is being renewed."""

    def __init__(self):
        self._held, self._signal, self._deadline, self._is_over = set(), None, None, False
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._ask)
        signal.signal(signal.SIGALRM, self._end)

    @contextlib.contextmanager
    def held_off(self):
        """What any thread does within is done whole, if it takes no longer than GRACE."""
        hold = object()
        self._held.add(hold)
        try:
            if self._is_over:
                raise Interrupted
            yield
        finally:
            self._held.discard(hold)
            if self._signal and not self._held:
                os.kill(os.getpid(), signal.SIGALRM)

    def wait(self):
        """Whatever ends the run: returns when nothing is held, and nothing can be any more."""
        self._is_over = True
        deadline = self._deadline or time.monotonic() + GRACE
        while self._held and time.monotonic() < deadline:
            time.sleep(0.01)

    def _ask(self, signum, frame):
        if self._signal is None:
            self._signal, self._deadline = signum, time.monotonic() + GRACE
            if self._held:
                signal.alarm(GRACE)
            else:
                self._end(signum, frame)

    def _end(self, *_):
        if not self._is_over:
            self._is_over = True
            raise Interrupted(self._signal)


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


def sync(args, ending):
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
    def write(message):
        with ending.held_off():
            singer.write_message(message)

    client = Client(args.config, config, args.dev, ending.held_off)
    failed = Sync(client, config, selected, bookmarks, write).run()
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
    args, code = parse_args(), 1
    # Always with a buffer: without (PYTHONUNBUFFERED) a signal may cut a line short, unnoticed.
    sys.stdout = open(  # pylint: disable=consider-using-with  # for as long as the process lives
        sys.stdout.fileno(), "w", encoding="utf-8", closefd=False)
    ending = Ending()
    try:
        code = run(args, ending)
        ending.wait()
    except Interrupted as interrupted:
        signum = interrupted.args[0]
        LOGGER.critical("ended by %s; the next run begins at the last state",
                        signal.Signals(signum).name)
        code = 128 + signum
        ending.wait()
    os._exit(code)


def run(args, ending):
    """Does what the command line says; the exit code."""
    try:
        if args.discover:
            discover().dump()
            code = 0
        else:
            code = sync(args, ending)
        sys.stdout.flush()
        return code
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
    except Exception:  # pylint: disable=broad-exception-caught  # a bug: say where, and end
        LOGGER.exception("an error of the tap's own: please report it")
    return 1
