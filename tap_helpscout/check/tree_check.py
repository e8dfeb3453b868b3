"""What the checks of all kinds of lists have in common."""

from collections.abc import Iterator
from datetime import datetime

from tap_helpscout.check.report import Line, Size, Status
from tap_helpscout.client import Client
from tap_helpscout.config import Config
from tap_helpscout.reading.probes import Ask
from tap_helpscout.scope import Scope
from tap_helpscout.stream_run import run_context
from tap_helpscout.streams import Stream

# Our choice: where each inbox is read by itself, the rows of so many are counted, so that an
# account of any size is asked some 60 times.
COUNTED_MAILBOXES = 3


class TreeCheck:
    """Asks for one list and what hangs on its rows, and adds up in `size` what they will take to
    read. `end` is the time by the API's clock."""

    def __init__(
        self, client: Client, config: Config, scope: Scope, end: datetime, size: Size
    ) -> None:
        self._client, self._scope, self._size = client, scope, size
        self._start_date, self._end = config.start_date, end
        self._lookback_seconds = config.lookback_seconds
        self._context = run_context(config.start_date, end)

    def _inboxes(self, stream: Stream, ask: Ask) -> Iterator[Line]:
        """A line where a list cannot be kept to the inboxes of mailbox_ids."""
        if problem := self._scope.check_filter(stream, ask):
            yield Line(f"{stream.tap_stream_id}: inboxes", Status.WARNING, problem)
