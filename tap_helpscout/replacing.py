"""A JSON file that is replaced whole, while other runs are held off."""

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any

import singer

from tap_helpscout.files import ConfigError

LOGGER = singer.get_logger()

# our choice: how often a lock that another run holds is tried again, and when the log says so
LOCK_POLL_SECONDS = 0.1
LOCK_SILENT_SECONDS = 5.0


@contextlib.contextmanager
def locked(path: str, deadline_seconds: float) -> Iterator[None]:
    """Holds other runs on the same file off; the lock is on its folder and leaves no file.

    Raises ConfigError where another process holds the lock for longer than the deadline.
    """
    folder = os.path.dirname(os.path.realpath(path))
    with contextlib.ExitStack() as stack:
        # Where there are no locks (some network filesystems), two runs at once are at their own
        # risk; where the folder is gone, so is what there was to protect.
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            _lock(descriptor, folder, deadline_seconds)
        yield


def _lock(descriptor: int, folder: str, deadline_seconds: float) -> None:
    """Raises OSError where there are no locks, ConfigError at the deadline."""
    began, is_said = time.monotonic(), False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waited = time.monotonic() - began
        if waited > deadline_seconds:
            raise ConfigError(
                f"another process has held the lock on the folder {folder} for "
                f"{deadline_seconds:g} s, and without it the tokens in the config file cannot be "
                "renewed. Let no other program lock that folder (flock: give it a file of its "
                "own), and end a run that hangs"
            )
        if waited > LOCK_SILENT_SECONDS and not is_said:
            LOGGER.info("waiting for another process, which holds the lock on %s", folder)
            is_said = True
        time.sleep(LOCK_POLL_SECONDS)


def replace_json(path: str, document: Mapping[str, Any], spare: int = 0) -> None:
    """Replaces a file whole or not at all, keeping its mode and, where allowed, its owner.

    `spare` bytes more than needed must fit on the disk too: to replace a document by itself with
    some spare proves that its successor can be kept.

    Raises OSError.
    """
    target = os.path.realpath(path)
    status = os.stat(target)
    if not status.st_mode & 0o222:
        raise PermissionError(13, "the file is read-only")
    content = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    # A name that nobody can have taken or put a link at, and a file that is nobody else's.
    temporary = f"{target}.{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with open(descriptor, "wb") as file:
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, status.st_mode & 0o7777)
            file.write(content + b" " * spare)
            file.flush()
            os.fsync(descriptor)
            file.truncate(len(content))
        os.replace(temporary, target)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(os.path.dirname(target))


def _sync_folder(folder: str) -> None:
    """Else a power cut could bring the old file back. Not every filesystem can, or lets us."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
