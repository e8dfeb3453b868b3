"""How the streams of a run ended, and how the log says so."""

from collections.abc import Iterable
from dataclasses import dataclass

import singer

LOGGER = singer.get_logger()


@dataclass
class Result:
    """How one selected stream ended."""

    name: str
    rows: int
    notes: list[str]
    error: str | None


def tell_failures(results: Iterable[Result]) -> list[Result]:
    """Says of each stream that failed why; those that did."""
    failed = [result for result in results if result.error]
    for result in failed:
        LOGGER.critical("%s is incomplete: %s", result.name, result.error)
    return failed


def verdict(failed: list[Result]) -> str:
    """How the run ended, for its last line."""
    if not failed:
        return "complete"
    names = ", ".join(result.name for result in failed)
    they = "it" if len(failed) == 1 else "they"
    return f"incomplete: {names}. The next run begins where {they} stopped"
