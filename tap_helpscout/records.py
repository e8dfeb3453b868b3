"""Records: the messages of a run, SCHEMA before a stream's first RECORD, and STATE."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

import singer
from singer import metrics

from tap_helpscout.state import State
from tap_helpscout.stream_run import Context, StreamRun
from tap_helpscout.streams import Row

LOGGER = singer.get_logger()

Write = Callable[[singer.Message], None]


class RecordMessage(singer.RecordMessage):  # type: ignore[misc]  # it has no type hints
    """singer-python's, but for the time: that is in UTC, where it has nothing to be converted."""

    def asdict(self) -> dict[str, Any]:
        """See singer.RecordMessage."""
        version = {} if self.version is None else {"version": self.version}
        return {
            "type": "RECORD",
            "stream": self.stream,
            "record": self.record,
            **version,
            "time_extracted": f"{self.time_extracted:%Y-%m-%dT%H:%M:%S.%fZ}",
        }


class RecordWriter:
    """Writes the rows of streams as records, and counts them."""

    def __init__(self, state: State, write: Write) -> None:
        self._state, self.message = state, write
        self._counters: dict[str, Any] = {}

    @contextlib.contextmanager
    def counting(self, runs: Iterable[StreamRun]) -> Iterator[None]:
        """Counts the records of these streams; the METRIC lines come at the end."""
        with contextlib.ExitStack() as stack:
            for run in runs:
                self._counters[run.name] = stack.enter_context(metrics.record_counter(run.name))
            yield

    def schema(self, run: StreamRun) -> None:
        """Writes what the records of a stream look like, if any are to come."""
        if run.selected:
            key = run.stream.replication_key
            self.message(
                singer.SchemaMessage(
                    run.name,
                    run.selected.schema,
                    list(run.stream.key_properties),
                    [key] if key else None,
                )
            )

    def state(self) -> None:
        """Writes how far the run is."""
        self.message(self._state.message())

    def row(self, run: StreamRun, row: Row, context: Context) -> None:
        """Writes a row, unless it is older than what is needed, or has no key."""
        record = run.record(row, context)
        row_id = _id_to_remember(run, record)
        if run.is_older(record) and not self._is_new(run, row_id):
            self._remember(run, row_id)
        elif self._has_key(run, record):
            run.rows_written += 1
            self._counters[run.name].increment()
            extracted = datetime.now(timezone.utc)
            self.message(RecordMessage(run.name, record, run.version, extracted))
            self._remember(run, row_id)
        else:
            run.rows_lost += 1
            LOGGER.warning(
                "%s: a row without its key %s is left out: %s",
                run.name,
                ", ".join(run.stream.key_properties),
                sorted(row),
            )

    @staticmethod
    def _has_key(run: StreamRun, record: Row) -> bool:
        return all(record.get(key) is not None for key in run.stream.key_properties)

    def _is_new(self, run: StreamRun, row_id: int | None) -> bool:
        """Whether a row has appeared in its list since the last run, whatever its date."""
        return row_id is not None and self._state.rows.is_new(run.name, row_id)

    def _remember(self, run: StreamRun, row_id: int | None) -> None:
        if row_id is not None:
            self._state.rows.add(run.name, row_id)


def _id_to_remember(run: StreamRun, record: Row) -> int | None:
    """The id of a row in a list that the state remembers."""
    row_id = record.get("id")
    return row_id if run.stream.is_remembered and isinstance(row_id, int) else None
