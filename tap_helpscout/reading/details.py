"""Lists that leave out a part of each row: every row is then asked for by itself."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import singer

from tap_helpscout.client import TRIES, Client
from tap_helpscout.errors import MISSING_ADVICE, ApiError
from tap_helpscout.prefetch import Load, prefetch
from tap_helpscout.reading.outcomes import GONE
from tap_helpscout.redaction import printable
from tap_helpscout.streams import Detail, Row, Stream

LOGGER = singer.get_logger()


class RowDetails:
    """Asks for each row of a stream by itself."""

    def __init__(self, stream: Stream, detail: Detail) -> None:
        self._stream, self._detail = stream, detail
        self._completed = 0
        self.gone = 0
        """How many rows were deleted after they were listed."""

    def complete(
        self, client: Client, rows: Iterable[Row], context: Mapping[str, Any]
    ) -> Iterator[Row]:
        """The rows with their details, several of them requested at once; without those that are
        gone.

        Raises ApiError where a detail cannot be read, or every row so far is gone: then it is not
        the rows that are not there, but the details.
        """
        requested = ((row, client.submit(self.fetch, client, row, context)) for row in rows)
        for row, request in prefetch(requested, Load(requests=client.prefetch_depth)):
            whole = self._whole(row, request)
            if whole is not None:
                yield whole
        if self.gone and not self._completed:
            raise ApiError(
                f"GET {self._detail.path} answered 404 for each row of the list",
                advice=MISSING_ADVICE,
            )

    def _whole(self, row: Row, request: Future[Row]) -> Row | None:
        try:
            whole = request.result()
        except ApiError as error:
            if error.status not in GONE:
                raise
            self.gone += 1
            key = printable(" ".join(f"{name} {row.get(name)}" for name in self._stream.identity))
            LOGGER.warning(
                "%s: %s was deleted or merged meanwhile, skipped", self._stream.tap_stream_id, key
            )
            return None
        self._completed += 1
        return whole

    def fetch(self, client: Client, row: Row, context: Mapping[str, Any]) -> Row:
        """A row with what its detail says; where both have a field, the detail's. A row that
        nothing tells apart cannot be asked for, and stays as it is.

        Raises ApiError.
        """
        if self._stream.key_of(row) is None:
            return row
        names = {name: row[name] for name in self._stream.identity}
        path = self._detail.path.format(**{**context, **names})
        detail = client.get(path, self._detail.params, TRIES)
        if not isinstance(detail, dict):
            raise ApiError(f"GET {path} answered without an object")
        return {**row, **detail}
