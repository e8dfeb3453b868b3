"""The settings of config.json: what each may be, and what it is when it is left out."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

from tap_helpscout.dates import parse_datetime
from tap_helpscout.files import ConfigError
from tap_helpscout.words import did_you_mean

# Tokens go there: unencrypted to this machine only.
URL = re.compile(
    r"(https://([\w-]+(\.[\w-]+)*|\[[\da-f:]+\])"
    r"|http://(localhost|127\.0\.0\.1|\[::1\]))(:\d+)?(/[^\s?#]*)?",
    re.IGNORECASE,
)

# our choice: `concurency`, `start-date` and `clientid` are as close to a setting, `end_date` is not
TYPO_SIMILARITY = 0.8

# our choice: clocks and time zones differ by no more; what is later is a mistake, not a difference
FUTURE_TOLERANCE = timedelta(days=1)

Parser = Callable[[Any], Any]  # from a value of JSON to the setting's; raises ValueError


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    text = value.strip()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be plain ASCII, without line breaks")
    return text


def _number(low: float, high: float) -> Parser:
    def parse(value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = float("nan")
        if isinstance(value, bool) or not low <= number <= high:
            raise ValueError(f"must be a number from {low} to {high}")
        return number

    return parse


def _whole_number(low: int, high: int) -> Parser:
    def parse(value: Any) -> int:
        try:
            number = int(value)
            is_whole = not isinstance(value, bool) and number == (
                number if isinstance(value, str) else value
            )
        except (TypeError, ValueError, OverflowError):
            is_whole = False
        if not (is_whole and low <= number <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return number

    return parse


def _boolean(value: Any) -> bool:
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower())
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _ids(value: Any) -> tuple[int, ...]:
    """Each once, in their order: from [85, 86], from "85, 86" or from 85."""
    if isinstance(value, str):
        items: Any = value.split(",")
    else:
        items = value if isinstance(value, list) else [value]
    try:
        return tuple(dict.fromkeys(map(_whole_number(1, 2**63 - 1), items)))
    except ValueError:
        raise ValueError('must be a list of ids, such as [85, 86] or "85, 86"') from None


def _url(value: Any) -> str:
    url = _text(value).rstrip("/")
    if not URL.fullmatch(url) or urlsplit(url).port == 0:  # out of range is a ValueError
        raise ValueError("must be an https:// URL")
    return url


def _past_date(value: Any) -> datetime:
    date = parse_datetime(value)
    if date > datetime.now(timezone.utc) + FUTURE_TOLERANCE:
        raise ValueError(f"{value!r} lies in the future: nothing has changed since")
    return date


def _setting(parse: Parser, default: Any = dataclasses.MISSING) -> Any:
    # pylint: disable-next=invalid-field-call  # it is used within a dataclass, below
    return dataclasses.field(default=default, metadata={"parse": parse})


@dataclass(frozen=True)
class Config:
    """The settings, checked and converted; what has no default is required."""

    client_id: str = _setting(_text)
    client_secret: str = _setting(_text)
    start_date: datetime = _setting(_past_date)
    refresh_token: str | None = _setting(_text, None)
    mailbox_ids: tuple[int, ...] = _setting(_ids, ())
    user_agent: str = _setting(_text, f"tap-helpscout/{metadata.version('tap-helpscout')}")
    request_timeout: float = _setting(_number(0.1, 3600), 60)
    retry_seconds: float = _setting(_number(0, 86400), 300)
    concurrency: int = _setting(_whole_number(1, 8), 4)
    rate_limit_share: float = _setting(_number(0.01, 1), 0.9)
    lookback_seconds: int = _setting(_whole_number(0, 31536000), 600)
    emit_activate_version_messages: bool = _setting(_boolean, False)
    api_url: str = _setting(_url, "https://api.helpscout.net")
    access_token: str | None = _setting(_text, None)
    access_token_expires_at: str | None = _setting(str, None)
    access_token_client_id: str | None = _setting(str, None)


def parse_config(document: Mapping[str, Any], path: str, dev: bool = False) -> Config:
    """The settings in the document that the file at `path` holds.

    Raises one ConfigError that names every problem.
    """
    values: dict[str, Any] = {}
    problems = []
    for setting in dataclasses.fields(Config):
        value = document.get(setting.name)
        if _is_absent(value):
            if setting.default is dataclasses.MISSING:
                problems.append(f"{setting.name} is missing")
            continue
        try:
            values[setting.name] = setting.metadata["parse"](value)
        except ValueError as error:
            problems.append(f"{setting.name} {error}")
    if dev and not values.get("access_token"):
        problems.append("access_token is missing, and --dev never asks for one")
    if problems:
        raise ConfigError(
            f"the config file {path} needs mending: {'; '.join(problems)}. "
            "README.md describes each setting"
        )
    return Config(**values)


def _is_absent(value: Any) -> bool:
    # Runners send "" for what their user left empty.
    return value is None or isinstance(value, str) and not value.strip()


def misspelt(document: Mapping[str, Any], path: str) -> list[str]:
    """A line for each key that is no setting, and close to one; to one that is not set, if any."""
    names = [setting.name for setting in dataclasses.fields(Config)]
    unset = [name for name in names if _is_absent(document.get(name))]
    lines = []
    for key in document.keys() - set(names):
        hint = did_you_mean(key.lower(), unset, similarity=TYPO_SIMILARITY) or did_you_mean(
            key.lower(), names, names, TYPO_SIMILARITY
        )
        if hint and key.isprintable():
            lines.append(f"{path}: {key} is not a setting{hint}")
    return sorted(lines)
