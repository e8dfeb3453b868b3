"""A signal ends the process between two lines, never inside one, and not while a token is renewed.

The signals are those of a scheduler or container (SIGTERM), of Ctrl-C (SIGINT) and Ctrl-\\
(SIGQUIT), and of a terminal or connection that is closed (SIGHUP).
"""

import contextlib
import os
import signal
import threading
from select import select
from types import FrameType, TracebackType

from tap_helpscout.terminal import ERASE_LINE

# Our choice: nobody may be reading what is written, or answering what was asked, and whoever sent
# the signal sends SIGKILL before long: docker stop after 10 seconds
GRACE_SECONDS = 5

# Who has these ignored when the process starts means it: nohup, or a shell's disown.
IGNORABLE = (signal.SIGHUP, signal.SIGQUIT)


class SignalGuard:
    """Ends the process at a signal: at once, or where something runs within it (`with guard:`, in
    any thread), at the end of that, but after GRACE_SECONDS in any case."""

    def __init__(self, moves_state: bool) -> None:
        """`moves_state`: whether the command reads and writes a state."""
        self._moves_state = moves_state
        self.state_written = False  # whether a later run has something to go on from
        self._lock = threading.Lock()
        self._received: int | None = None
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(signum, self._handle)
        for signum in IGNORABLE:
            if signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._handle)

    def __enter__(self) -> "SignalGuard":
        self._lock.acquire()
        if self._received:
            self._end(self._received)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()
        if self._received:
            self._handle(self._received, None)

    def exit(self, code: int) -> None:
        """Ends the process itself: requests that are still on their way, which nobody waits for
        any more, would hold it for a minute."""
        self._lock.acquire(timeout=GRACE_SECONDS)  # pylint: disable=consider-using-with  # for good
        os._exit(code)

    def _handle(self, signum: int, _: FrameType | None) -> None:
        if not self._received:
            self._received = signum
            signal.alarm(GRACE_SECONDS)
        if signum == signal.SIGALRM or not self._lock.locked():
            self._end(self._received)

    def _end(self, signum: int) -> None:
        # Not through the logger, which this may have interrupted, nor where nobody reads it.
        with contextlib.suppress(OSError, ValueError):
            if select([], [2], [], 0)[1]:
                # On a terminal there may be a line that was to be rewritten, and the ^C.
                erase = ERASE_LINE if os.isatty(2) else ""
                os.write(2, f"{erase}CRITICAL {self._last_words(signum)}\n".encode())
        os._exit(128 + signum)

    def _last_words(self, signum: int) -> str:
        name = signal.Signals(signum).name
        if not self._moves_state:
            return f"ended by {name}"
        if self.state_written:
            return f"ended by {name}; the next run begins at the last state that was kept"
        return f"ended by {name} before there was a new state; the next run begins where this did"
