"""The command line, as runners of Singer taps and people call it."""

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import PurePath
from typing import NoReturn

EXAMPLES = """
examples:
  tap-helpscout --config config.json --check
      what works on this account, and how long a first sync will take
  tap-helpscout --config config.json | target-jsonl >> states.jsonl
      read the account, into the files of a target
  tap-helpscout --config config.json --state state.json | target-jsonl >> states.jsonl
      read what changed since the run that wrote this state
  tap-helpscout --discover --select conversations '!conversations.preview' > catalog.json
      choose streams and fields; hand the file over with --catalog

exit codes:
  0         all that was selected has been read; or can be, for --check
  1         something failed; the last lines of the log say what
  130, 143  ended by Ctrl-C or SIGTERM

Settings, messages and what to do about them: README.md, in the folder or repository that this was
installed from.
"""


@dataclass(frozen=True)
class Arguments:
    """The command line's options; paths as they were given, None where they were not."""

    config: str | None
    state: str | None
    catalog: str | None
    discover: bool
    check: bool
    select: tuple[str, ...]
    dev: bool


class Parser(argparse.ArgumentParser):
    """Exits with 1 at a mistake, as the tap does for any other mistake."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.format_usage()}{self.prog}: {message}\n")

    def option_strings(self) -> list[str]:
        """All options, the short ones too."""
        return list(self._option_string_actions)


def parse_args(argv: Sequence[str] | None = None) -> Arguments:
    """Parses `argv`, the process's own arguments by default. Exits with 1 at a mistake."""
    parser = _parser()
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(_unknown_arguments(unknown, options, parser.option_strings()))
    if options.select and not options.discover:
        parser.error(
            "--select goes with --discover: write a catalog with "
            "--discover --select … > catalog.json, then read with --catalog catalog.json"
        )
    for option in ("config", "state", "catalog"):
        if getattr(options, option) == "":
            parser.error(f"--{option} has an empty name: is a variable of the shell unset?")
    if options.check and options.discover:
        parser.error("--check and --discover are two commands: give one of them")
    if not options.discover and not options.config:
        parser.error("--config is needed, or --discover")
    return Arguments(**{**vars(options), "select": tuple(options.select)})


def _parser() -> Parser:
    parser = Parser(
        prog="tap-helpscout",
        description="Reads a Help Scout account: Singer messages on stdout, a log on stderr.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-c", "--config", metavar="FILE", help="credentials and settings, JSON")
    add("-s", "--state", metavar="FILE", help="the last state written, JSON")
    add(
        "--catalog",
        "-p",
        "--properties",
        metavar="FILE",
        help="which streams and fields to read, JSON; "
        "all without it (-p, --properties: its old name)",
    )
    add(
        "-d",
        "--discover",
        action="store_true",
        help="write the catalog to stdout and end; needs no config",
    )
    add(
        "--check",
        action="store_true",
        help="ask the account what works, how much there is and how long a first sync takes",
    )
    add(
        "--select",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATTERN",
        help="with --discover: select only what matches, such as users, 'mailbox_*', "
        "customers.emails, '!customers.background'",
    )
    add("--dev", action="store_true", help="use the config's access_token, never ask for another")
    version = f"tap-helpscout {metadata.version('tap-helpscout')}"
    add("--version", action="version", version=version)
    return parser


def _unknown_arguments(unknown: list[str], options: argparse.Namespace, known: list[str]) -> str:
    """What to say of arguments that are neither options nor the values of one."""
    argument = next((each for each in unknown if each.startswith("-")), unknown[0])
    if argument.startswith("-"):
        nearest = difflib.get_close_matches(argument.partition("=")[0], known, n=1)
        hint = f", did you mean {nearest[0]}?" if nearest else ""
        return f"there is no option {argument}{hint}"
    files = {_option_for_file(path): path for path in unknown if _is_json(path)}
    if len(files) < len(unknown) or any(getattr(options, option) for option in files):
        return f"unexpected argument {argument}; --help lists the options"
    return f"did you mean {' '.join(f'--{option} {path}' for option, path in files.items())}?"


def _is_json(path: str) -> bool:
    return PurePath(path).suffix in (".json", ".jsonl")


def _option_for_file(path: str) -> str:
    """The option that a file of this name probably belongs to."""
    name = PurePath(path).name.lower()
    if "state" in name:
        return "state"
    return "catalog" if "catalog" in name or "properties" in name else "config"
