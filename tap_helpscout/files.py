"""JSON files: read with errors in words."""

import json
import math
import re
import shlex
from typing import Any, NoReturn

# our choice: how much of a line with a JSON error is shown to either side of the error
SHOWN_CHARACTERS = 60

# In a line of JSON, what may be shown as it is: keys, which are plain lowercase, and constants.
SHOWN_WORDS = re.compile(
    r"""(?:^|[{,])\s*(["'])[a-z_]{1,40}\1\s*:|\b(?:true|false|null|True|False|None)\b"""
)

# What may stand around a line: a file that a power cut has torn may end in zero bytes.
BLANK = " \t\r\0"

# What each of the files that the command line names holds, and neither of the others.
KEY_OF = {"config": "client_id", "state": "bookmarks", "catalog": "streams"}


class ConfigError(Exception):
    """A file or setting that the user must mend; the message says which and how."""


def read_json(path: str, what: str) -> dict[str, Any]:
    """The JSON object in a file; `what` is the file's role, such as "config", for the message.

    Raises ConfigError.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except OSError as error:
        raise ConfigError(f"cannot read the {what} file {path}: {error.strerror}") from error
    except ValueError as error:
        raise _no_json(path, what, str(error)) from error
    try:
        document = _parse_object(text)
    except json.JSONDecodeError as error:
        if words := _lines_in_words(text, error, path, what):
            raise ConfigError(f"the {what} file {path} {words}") from error
        raise _no_json(path, what, f"{error}\n{_marked(text, error)}") from error
    except RecursionError:
        raise _no_json(path, what, "it is nested too deeply") from None
    except ValueError as error:
        raise _no_json(path, what, str(error)) from error
    _refuse_another_kind(document, path, what)
    return document


def _refuse_another_kind(document: dict[str, Any], path: str, what: str) -> None:
    """Raises ConfigError for a file that belongs to another option: to list the keys that it lacks
    would mislead."""
    kinds = [kind for kind, key in KEY_OF.items() if key in document]
    if kinds and what not in kinds:
        raise ConfigError(
            f"the {what} file {path} is a {kinds[0]}: it holds {KEY_OF[kinds[0]]!r} and no "
            f"{KEY_OF[what]}. Probably --{kinds[0]} {path} was meant, and another file for --{what}"
        )


def _lines_in_words(text: str, error: json.JSONDecodeError, path: str, what: str) -> str | None:
    """What to say of a file with a JSON object in each of several lines, as a target writes its
    states; None of any other file."""
    if error.msg != "Extra data":  # which is what comes after a whole first line
        return None
    lines = [line.strip(BLANK) for line in text.split("\n")]
    numbers = [number for number, line in enumerate(lines, 1) if line]
    whole = [number for number in numbers if _is_object(lines[number - 1])]
    if len(numbers) < 2 or not whole:
        return None
    if what != "state":
        return (
            "has a JSON object in each of several lines, as states.jsonl has: of that the last "
            "line belongs after --state"
        )
    # Not into the file itself, which the shell would empty first.
    command = f"sed -n {whole[-1]}p {shlex.quote(path)} > {shlex.quote(f'{path}.last')}"
    if whole[-1] == numbers[-1]:
        return (
            "has a state in each of several lines: give the tap only the last line, as in "
            f"{command}"
        )
    return (
        f"has a state in each of several lines, and line {numbers[-1]}, the last, is torn, as by a "
        f"power cut: give the tap the last whole one, as in {command} (examples/sync.sh does so by "
        "itself)"
    )


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (RecursionError, ValueError):
        return False


def _no_json(path: str, what: str, reason: str) -> ConfigError:
    return ConfigError(f"the {what} file {path} is not a JSON object, {{…}}, in UTF-8: {reason}")


def _parse_object(text: str) -> dict[str, Any]:
    """Raises ValueError or RecursionError."""
    if not text.strip():
        raise ValueError("it is empty")
    document = json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
    if not isinstance(document, dict):
        raise ValueError("it holds something else")
    if "\\ud" in text.lower():
        _refuse_half_surrogates(document)
    return document


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _refuse_half_surrogates(document: dict[str, Any]) -> None:
    # A half can be parsed, and then fails wherever it is encoded: when the file is replaced.
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(
            f"\\u{ord(half):x} is half of a surrogate pair, which is no text"
        ) from None


def _marked(text: str, error: json.JSONDecodeError) -> str:
    """The line of a JSON error with a mark below the place, its values hidden; the line before it
    too where that one ends in a comma, for then the comma may be what is wrong."""
    lines, at, column = text.split("\n"), error.lineno - 1, error.colno - 1
    first = max(0, column - SHOWN_CHARACTERS)
    shown = [_without_values(lines[at])[first : column + SHOWN_CHARACTERS]]
    if at and lines[at - 1].rstrip().endswith(","):
        shown.insert(0, _without_values(lines[at - 1])[: SHOWN_CHARACTERS * 2])
    return "\n".join(f"    {line}" for line in [*shown, " " * (column - first) + "^"])


def _without_values(line: str) -> str:
    """A line of JSON, as long as before, with stars for all that may be a secret."""
    shown = [False] * len(line)
    for match in SHOWN_WORDS.finditer(line):
        shown[match.start() : match.end()] = [True] * len(match[0])
    return "".join(
        "*"
        if (char.isalnum() or char in "-_") and not keep
        else char
        if char.isprintable()
        else " "
        for char, keep in zip(line, shown)
    )
