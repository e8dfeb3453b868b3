"""What config.json must hold, and how it is written back: whole or not at all."""

import contextlib
import dataclasses
import fcntl
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib import metadata
from typing import Optional
from urllib.parse import urlsplit

from tap_helpscout.transform import parse_moment

# Tokens go there: unencrypted to this machine only.
URL = re.compile(
    r"(https://([\w-]+(\.[\w-]+)*|\[[\da-f:]+\])"
    r"|http://(localhost|127\.0\.0\.1|\[::1\]))(:\d+)?(/[^\s?#]*)?",
    re.IGNORECASE,
)


class ConfigError(Exception):
    """A file or setting that the user must mend; the message says which and how."""


def _text(value):
    if not isinstance(value, str):
        raise ValueError("must be a string")
    value = value.strip()
    if not (value.isascii() and value.isprintable()):
        raise ValueError("must be plain ASCII, without line breaks")
    return value


def _number(low, high, kind=float):
    def parse(value):
        try:
            number = kind(value)
            if isinstance(value, bool) or number != float(value) or not low <= number <= high:
                raise ValueError
            return number
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"must be a {'whole ' if kind is int else ''}number from {low} to {high}"
            ) from None

    return parse


def _url(value):
    url = _text(value).rstrip("/")
    if not URL.fullmatch(url) or urlsplit(url).port == 0:  # out of range is a ValueError
        raise ValueError("must be an https:// URL")
    return url


def _setting(parse, default=dataclasses.MISSING):
    # pylint: disable-next=invalid-field-call  # it is used within a dataclass, below
    return dataclasses.field(default=default, metadata={"parse": parse})


@dataclass(frozen=True)
class Config:
    """The settings, checked and converted; what has no default is required."""

    client_id: str = _setting(_text)
    client_secret: str = _setting(_text)
    start_date: datetime = _setting(parse_moment)
    refresh_token: str | None = _setting(_text, None)
    user_agent: str = _setting(_text, f"tap-helpscout/{metadata.version('tap-helpscout')}")
    request_timeout: float = _setting(_number(0.1, 3600), 60)
    retry_seconds: float = _setting(_number(0, 86400), 300)
    concurrency: int = _setting(_number(1, 8, int), 4)
    rate_limit_share: float = _setting(_number(0.01, 1), 0.9)
    lookback_seconds: int = _setting(_number(0, 31536000, int), 600)
    api_url: str = _setting(_url, "https://api.helpscout.net")
    access_token: str | None = _setting(_text, None)
    access_token_expires_at: str | None = _setting(str, None)
    access_token_client_id: str | None = _setting(str, None)


def read_json(path, what):
    """The JSON object in a file; `what` names the file's role in the message when there is none."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
        if not text.strip():
            raise ValueError("it is empty")
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("it holds something else")
        return document
    except OSError as error:
        raise ConfigError(f"cannot read the {what} file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(
            f"the {what} file {path} is not a JSON object, {{…}}, in UTF-8: {error}"
        ) from error


def load(path, dev=False):
    """The config in a file, or one error that names every problem in it."""
    document = read_json(path, "config")
    values, problems = {}, []
    for setting in dataclasses.fields(Config):
        value = document.get(setting.name)
        # Runners send "" for what their user left empty.
        if value is None or isinstance(value, str) and not value.strip():
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


@contextlib.contextmanager
def locked(path):
    """Holds other runs on the same config off; the lock is on its folder and leaves no file."""
    with contextlib.ExitStack() as stack:
        # Where there are no locks (some network filesystems), two runs at once are at their own
        # risk; where the folder is gone, so is what there was to protect.
        with contextlib.suppress(OSError):
            folder = os.open(os.path.dirname(os.path.realpath(path)), os.O_RDONLY)
            stack.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield


def save(path, document, spare=0):
    """Replaces a config file, keeping its mode and, where allowed, its owner; raises OSError.

    `spare` bytes more than needed must fit on the disk too: to save the same document with some
    spare proves that its successor can be saved.
    """
    target = os.path.realpath(path)
    status, temporary = os.stat(target), f"{target}.tmp"
    if not status.st_mode & 0o222:
        raise PermissionError(13, "the file is read-only")
    text = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    try:
        with open(temporary, "wb", opener=partial(os.open, mode=0o600)) as file:
            with contextlib.suppress(PermissionError):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), status.st_mode & 0o7777)
            file.write(text + b" " * spare)
            file.flush()
            os.fsync(file.fileno())
            file.truncate(len(text))
        os.replace(temporary, target)
        folder = os.open(os.path.dirname(target), os.O_RDONLY)
        os.fsync(folder)  # else a power cut could bring the old file back
        os.close(folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
