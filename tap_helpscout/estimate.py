"""Estimates of time, which the log and `--check` share."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

# Measured: what a row costs in this process, where nothing else holds the run up.
SECONDS_PER_ROW = 0.00015
# Measured: how much of the time a connection waits for a response, and not for what is to be asked.
USED_SHARE = 0.75


class RequestCost(Protocol):
    """What is known of the requests of a run; the client has it."""

    concurrency: int

    @property
    def requests_sent(self) -> int:
        """How many requests this run has made."""

    @property
    def seconds_per_request(self) -> float:
        """How long a response took on average, waiting for the rate limit aside."""

    @property
    def rate(self) -> str:
        """How many requests were sent in the last minute, of how many that may be."""

    def seconds_allowed_for(self, requests: int) -> float:
        """How long so many requests take at least, for the rate limit's sake."""


def estimated_seconds(requests: int, rows: int, cost: RequestCost) -> float:
    """How long so many requests and rows will take: what the log and `--check` say."""
    network = requests * cost.seconds_per_request / (cost.concurrency * USED_SHARE)
    return max(network, rows * SECONDS_PER_ROW, cost.seconds_allowed_for(requests))


RequestsFor = Callable[[int], float]
"""About how many requests so many further rows will take."""


def duration(seconds: float) -> str:
    """`0:04:12`."""
    return str(timedelta(seconds=round(seconds)))
