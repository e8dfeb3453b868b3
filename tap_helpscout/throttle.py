"""The rate limiter: how many requests the tap sends in any minute, and how they are spread over it.

Help Scout counts the requests of a whole account, whoever sends them, so the tap keeps to a share
of the limit: https://developer.helpscout.com/mailbox-api/overview/rate-limiting
"""

import collections
import copy
import threading
import time
from collections.abc import Callable

import singer

from tap_helpscout.words import in_words, is_or_are

LOGGER = singer.get_logger()

# Our choice: a little more than Help Scout's own minute, for what the network adds to a request's
# time
WINDOW_SECONDS = 60.25

# documented for API 1.0 (https://developer.helpscout.com/help-desk-api), and the lowest that
# anybody reports since; the header of each response has the account's own
DEFAULT_LIMIT = 200

# our choice: a shorter wait does not look like a standstill
SILENT_WAIT_SECONDS = 5

# our choice: where requests are as far apart as this, the run is slow, and the log says once why
SLOW_SPACING_SECONDS = 1


class RateLimiter:
    """Decides when the next request may be sent.

    In any window of WINDOW_SECONDS at most `allowed` requests are sent: the first half of them as
    soon as they are asked for, the others spread over what is left of the window. So requests
    flow instead of coming in bursts, and where the tap asks without a pause they are in the end
    evenly apart.
    """

    def __init__(
        self,
        share: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limit = DEFAULT_LIMIT  # requests a minute that the account may make
        self.total = 0  # requests sent since the run began
        self.on_request: Callable[[], None] = lambda: None  # called, in any thread, for each
        self._share, self._clock, self._sleep = share, clock, sleep
        self._sent: collections.deque[float] = collections.deque()  # times in the last window
        self._slot = float("-inf")  # when the last request was due: it may have been sent later
        self._held_until = float("-inf")
        self._is_slowness_said = False
        self._lock = threading.Lock()

    @property
    def allowed(self) -> int:
        """How many requests the tap may send in any window."""
        return max(1, int(self.limit * self._share))

    @property
    def used(self) -> int:
        """How many requests the tap has sent in the last window."""
        oldest = self._clock() - WINDOW_SECONDS
        return sum(sent > oldest for sent in tuple(self._sent))

    def wait(self) -> None:
        """Returns when one more request may be sent, and counts it."""
        with self._lock:  # any other thread that asks would have to wait as long
            is_said = False
            while (seconds := self.seconds_until_next()) > 0:
                if seconds > SILENT_WAIT_SECONDS and not is_said:
                    LOGGER.info("waiting %.0f s: %s", seconds, self._reason())
                    is_said = True
                elif seconds > SLOW_SPACING_SECONDS and not self._is_slowness_said:
                    LOGGER.info("requests are now %.0f s apart: %s", seconds, self._reason())
                    self._is_slowness_said = True
                self._sleep(seconds)
            self.record()
        self.on_request()

    def hold(self, seconds: float) -> None:
        """Lets no request be sent for so long: the account's requests are used up."""
        self._held_until = max(self._held_until, self._clock() + seconds)

    def seconds_until_next(self) -> float:
        """How long the next request has to wait; not at all where this is 0 or less."""
        now = self._clock()
        while self._sent and self._sent[0] <= now - WINDOW_SECONDS:
            self._sent.popleft()
        allowed = self.allowed
        if len(self._sent) >= allowed:
            due = self._sent[-allowed] + WINDOW_SECONDS
        else:
            due = self._slot + self._spacing(now)
        return max(self._held_until, due) - now

    def record(self) -> None:
        """Counts a request that is sent now."""
        now = self._clock()
        spacing = self._spacing(now)
        # A request that was sent late does not put off the next, but a break saves nothing up.
        self._slot = min(now, max(self._slot, now - 2 * spacing) + spacing)
        self._sent.append(now)
        self.total += 1

    def progress(self) -> str:
        """The requests in the last window and how many are allowed, as in "38 of 360"."""
        return f"{self.used} of {self.allowed}"

    def seconds_for(self, requests: int) -> float:
        """How long so many further requests take that are asked for without a pause.

        When those of the next window are due depends on what was sent in this one: they are
        simulated, one by one. All after them are evenly apart.
        """
        began = now = self._clock()
        simulated = copy.copy(self)
        simulated._clock, simulated._sent = lambda: now, collections.deque(tuple(self._sent))
        allowed = self.allowed
        for _ in range(min(requests, allowed)):
            while (seconds := simulated.seconds_until_next()) > 1e-6:  # else the float may not move
                now += seconds
            simulated.record()
        return now - began + max(0, requests - allowed) * WINDOW_SECONDS / allowed

    def _spacing(self, now: float) -> float:
        """The seconds between the last request and the next: none in the first half of a window's
        requests, then as many as spread the rest over the time until the oldest is forgotten."""
        allowed, used = self.allowed, len(self._sent)
        if used < allowed / 2:
            return 0.0
        left = self._sent[0] + WINDOW_SECONDS - now
        return max(WINDOW_SECONDS / allowed, left / max(1, allowed - used + 1))

    def _reason(self) -> str:
        used, allowed = len(self._sent), self.allowed
        if self._held_until > self._clock():
            return "Help Scout says that the account's requests of this minute are used up"
        if used < allowed:
            return (
                f"{used} of the {allowed} requests a minute that this tap may send "
                f"{is_or_are(used)} used, "
                "and the others are spread over the minute"
            )
        return (
            f"{used} of the account's {in_words(self.limit, 'request')} a minute "
            f"{is_or_are(used)} used, "
            "which is this tap's share"
        )
