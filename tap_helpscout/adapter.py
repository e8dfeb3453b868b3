"""HTTP connections on which a whole response has a deadline, not only each read of it.

A server that drips a byte at a time meets every timeout for a read, and would be waited for as long
as it likes.
"""

import io
import socket
import time
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

# our choice: a page of 25 conversations with long threads has some megabytes, on a slow line too
TIMEOUTS_PER_RESPONSE = 10


class ResponseTooSlow(TimeoutError):
    """A response that goes on arriving and is not whole after TIMEOUTS_PER_RESPONSE timeouts."""


class _DeadlineReader(io.RawIOBase):
    """What a socket receives, until a deadline."""

    def __init__(self, received: io.RawIOBase, timeout: float | None) -> None:
        super().__init__()
        self._received = received
        self._seconds = TIMEOUTS_PER_RESPONSE * timeout if timeout else float("inf")
        self._deadline = time.monotonic() + self._seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._deadline:
            raise ResponseTooSlow(f"the response is not whole after {self._seconds:g} s")
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()


class _DeadlineResponse(HTTPResponse):
    """Has as many seconds for all of its headers and its body as ten reads from its socket."""

    fp: io.BufferedReader

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock.gettimeout()))


class _DeadlineHTTPConnection(HTTPConnection):
    response_class = _DeadlineResponse


class _DeadlineHTTPSConnection(HTTPSConnection):
    response_class = _DeadlineResponse


class _DeadlineHTTPPool(HTTPConnectionPool):
    ConnectionCls = _DeadlineHTTPConnection


class _DeadlineHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineHTTPSConnection


def _with_deadlines(manager: PoolManager) -> PoolManager:
    manager.pool_classes_by_scheme = {"http": _DeadlineHTTPPool, "https": _DeadlineHTTPSPool}
    return manager


class DeadlineAdapter(HTTPAdapter):
    """The adapter of requests, with connections of this module."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _with_deadlines(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        # A SOCKS proxy has connections of its own, which speak its protocol.
        return manager if proxy.lower().startswith("socks") else _with_deadlines(manager)
