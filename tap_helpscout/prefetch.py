"""Prefetching: taking items from an iterator, which sends requests, before they are needed."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Load:
    """What an item costs while it waits to be used."""

    requests: int = 1
    """How many requests it has on their way."""
    rows: int = 1
    """How many rows it holds in memory."""
    blocks: bool = False
    """Whether nothing may be taken after it until it was used: its result decides what to ask."""


def one_request(_: object) -> Load:
    """The load of an item that is one request."""
    return Load(rows=0)


def prefetch(
    items: Iterable[T], limit: Load, load_of: Callable[[T], Load] = one_request
) -> Iterator[T]:
    """The items in their order, taken so early that those which wait stay just below the limit."""
    waiting: collections.deque[tuple[T, Load]] = collections.deque()
    requests = rows = 0
    for item in items:
        load = load_of(item)
        waiting.append((item, load))
        requests, rows = requests + load.requests, rows + load.rows
        while waiting and (load.blocks or requests > limit.requests or rows > limit.rows):
            oldest, its_load = waiting.popleft()
            requests, rows = requests - its_load.requests, rows - its_load.rows
            yield oldest
    for oldest, _ in waiting:
        yield oldest


def completed(result: T) -> "Future[T]":
    """A future of what is here already."""
    future: Future[T] = Future()
    future.set_result(result)
    return future
