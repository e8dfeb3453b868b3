"""Runs a command when no other of its kind runs: `python -m tests.alone LOCK COMMAND…`."""

import contextlib
import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Waits, with a word, until nobody else holds the lock, and then holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another one runs in this folder: waiting until it has ended", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Ends with the command's exit code."""
    with alone(Path(sys.argv[1])):
        # `make` hands its jobs down in open files.
        code = subprocess.run(sys.argv[2:], check=False, close_fds=False).returncode
    sys.exit(code)


if __name__ == "__main__":
    main()
