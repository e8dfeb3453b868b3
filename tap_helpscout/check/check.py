"""All that `--check` asks, in its order.

It asks what a run asks before it trusts something, and at most some 60 requests on an account of
any size. No name, address or token is in its lines: they may go into a bug report.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import singer

from tap_helpscout.check.lists import ListCheck
from tap_helpscout.check.ranges import RangeCheck
from tap_helpscout.check.report import Line, Size, Status, count, failed, in_time, or_failed
from tap_helpscout.client import Client
from tap_helpscout.config import Config
from tap_helpscout.errors import HelpScoutError
from tap_helpscout.estimate import estimated_seconds
from tap_helpscout.reading.lists import fetch_listed
from tap_helpscout.scope import Scope
from tap_helpscout.stream_run import plan_run
from tap_helpscout.streams import MAILBOX_LIST, children_of
from tap_helpscout.words import in_words

LOGGER = singer.get_logger()


class Check:
    """Asks an account what a run will find."""

    def __init__(self, client: Client, config: Config, selected: Mapping[str, Any]) -> None:
        self._client, self._config = client, config
        planned = [plan_run(stream, selected) for stream in children_of(None)]
        self._roots = [run for run in planned if run]
        self._scope = Scope(client, config.mailbox_ids)
        self._size = Size()

    def lines(self) -> Iterator[Line]:
        """The findings, each as soon as it is made."""
        try:
            end = self._client.run_start()
            yield from self._credentials(end)
            for root in sorted(self._roots, key=lambda root: not root.stream.is_windowed):
                LOGGER.info("checking %s", root.name)
                kind = RangeCheck if root.stream.is_windowed else ListCheck
                check = kind(self._client, self._config, self._scope, end, self._size)
                yield from or_failed(root.name, check.lines(root))
        except HelpScoutError as error:
            yield failed("credentials", error)
            return
        yield self._first_sync()

    def _credentials(self, end: datetime) -> Iterator[Line]:
        yield Line("credentials", Status.OK, self._client.credentials())
        yield from or_failed("user", self._user(end))
        allowed, left = self._client.limiter.allowed, self._client.requests_left
        words = f"{in_words(self._client.limiter.limit, 'request')} a minute, "
        words += f"{left} left; " if left is not None else ""
        yield Line("rate limit", Status.OK, f"{words}the tap uses up to {allowed}")

    def _user(self, end: datetime) -> Iterator[Line]:
        # https://developer.helpscout.com/mailbox-api/endpoints/users/get-resource-owner
        user = self._client.get("/v2/users/me")
        user = user if isinstance(user, dict) else {}
        number = count(fetch_listed(self._client, MAILBOX_LIST, {}))
        sees = f"sees {in_words(number, 'inbox', 'inboxes')}"
        yield Line("user", Status.OK, f"user {user.get('id')}, {user.get('role')}; {sees}")
        if self._scope.is_limited:
            self._scope.find(end)
            ids = ", ".join(map(str, self._config.mailbox_ids))
            yield Line("inboxes", Status.OK, f"those of mailbox_ids alone: {ids}")

    def _first_sync(self) -> Line:
        requests, rows = math.ceil(self._size.requests) + 2, round(self._size.rows)
        seconds = estimated_seconds(requests, rows, self._client)
        allowed = self._client.limiter.allowed
        words = f"about {requests} requests, {in_time(seconds)} at {allowed} a minute"
        return Line("first sync", Status.OK, words)
