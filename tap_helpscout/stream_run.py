"""One stream in one run: what of it is written, from when on, and how it went."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import Enum, auto
from typing import Any

import singer

from tap_helpscout.conform import compile_schema
from tap_helpscout.dates import datetime_or_none, format_datetime
from tap_helpscout.discover import load_schema
from tap_helpscout.findings import Findings
from tap_helpscout.reading.details import RowDetails
from tap_helpscout.reading.embeds import EmbedVerifier
from tap_helpscout.reading.outcomes import SOME_GONE, ChildOutcomes
from tap_helpscout.results import Result
from tap_helpscout.selection import SelectedStream
from tap_helpscout.streams import Row, Stream, children_of
from tap_helpscout.transform import to_record
from tap_helpscout.words import in_words

LOGGER = singer.get_logger()

Context = Mapping[str, Any]
"""What fills the templates of a stream's path and parameters."""


def run_context(start_date: datetime, run_start: datetime) -> Context:
    """What fills them in every list of a run."""
    return {"start": format_datetime(start_date), "end": format_datetime(run_start)}


class Activity(Enum):
    """What is done with the rows of a stream at present."""

    WRITE = auto()
    SKIP = auto()
    """They are read for its children alone: it is not selected, or its own bookmark is later."""
    FAILED = auto()


class StreamRun:
    """One stream in this run: what of it is written, from when on, and how it went."""

    def __init__(
        self,
        stream: Stream,
        selected: SelectedStream | None,
        children: list["StreamRun"],
        reads_all: bool = False,
    ) -> None:
        """`reads_all`: whether it is read FULL_TABLE, all rows whatever its bookmark."""
        self.stream, self.children, self.reads_all = stream, children, reads_all
        self.parent: StreamRun | None = None
        for child in children:
            child.parent = self
        self.name = stream.tap_stream_id
        self.selected = selected
        self.activity = Activity.WRITE if selected else Activity.SKIP
        self.verifier = EmbedVerifier(stream.embed) if stream.embed else None
        self.details = RowDetails(stream, stream.detail) if stream.detail else None
        # Parents of a short list were there a moment ago: if all are gone now, the endpoint is.
        self.outcomes = ChildOutcomes(SOME_GONE if stream.is_below_windows else 1)
        self.bookmark: datetime | None = None
        """As it was before the run."""
        self.start: datetime | None = None
        """Rows that were modified before it are not needed; None: every row is."""
        self.error: str | None = None
        self.version: int | None = None
        """What its records have as their version."""
        self.is_read_to_end = False
        self.rows_read = self.rows_written = self.rows_lost = 0
        self.rows_missing = 0
        """How many rows more the API counts than it lists."""
        self.rows_without_id = 0
        """How many rows came whose children cannot be asked for."""
        self.rows_counted: int | None = None
        self._findings = Findings(self.name, stream.key_properties)
        schema = selected.schema if selected else {}
        self._conform = compile_schema(schema, load_schema(self.name), self._findings)
        # A record does not hold what is embedded in it for its children.
        self._embeds = {child.embed.name for child in children_of(self.name) if child.embed}

    def tree(self) -> Iterator["StreamRun"]:
        """This stream and all below it."""
        yield self
        for child in self.children:
            yield from child.tree()

    def parent_in_words(self, *parent_ids: int) -> str:
        """Parents of this stream's rows, for the log: `mailbox_id 7001, 7002`."""
        return f"{self.stream.parent_keys[-1]} {', '.join(map(str, parent_ids))}"

    @property
    def embedded_child(self) -> "StreamRun | None":
        """The child whose rows may come embedded in its own, if they are needed."""
        return next((run for run in self.children if run.verifier and run.is_needed), None)

    @property
    def is_needed(self) -> bool:
        """Whether its rows are to be written, or those of a child."""
        return any(run.activity is Activity.WRITE for run in self.tree())

    def write_if_needed_since(self, low: datetime) -> None:
        """Sets whether its rows are written now that those modified since `low` are read."""
        self.write_or_skip(self.start is not None and self.start <= low)

    def write_or_skip(self, is_due: bool) -> None:
        """Sets whether its rows are written now."""
        if self.activity is not Activity.FAILED:
            self.activity = Activity.WRITE if is_due else Activity.SKIP

    @property
    def is_trusted(self) -> bool:
        """Whether all that was read of it so far is written: it has not failed, and neither its
        endpoint nor the embedded children that were used are in doubt."""
        is_doubtful = self.used_doubtful or self.outcomes.is_doubtful
        return self.activity is not Activity.FAILED and not is_doubtful

    def fail(self, error: str) -> None:
        """Takes the stream, and what hangs on it, out of the run: their bookmarks stay."""
        self.error, self.activity = self.error or error, Activity.FAILED
        for child in self.children:
            # Where this one is not selected, nothing else tells why.
            child.fail(f"so is {self.name}, on which it hangs" if self.selected else error)

    def fail_by_bug(self, error: Exception) -> None:
        """The same for what the tap itself does wrong; the log says where."""
        self.fail(f"an error of the tap's own, {type(error).__name__}")
        LOGGER.exception("%s: an error of the tap's own: please report it", self.name)

    @property
    def used_doubtful(self) -> bool:
        """Whether embedded rows were written that a listing has made doubtful since."""
        return self.verifier is not None and self.verifier.used_doubtful

    def record(self, row: Row, context: Context) -> Row:
        """What is written of a row."""
        embedded = row.get("_embedded")
        if self._embeds and isinstance(embedded, dict):
            own = {name: rows for name, rows in embedded.items() if name not in self._embeds}
            row = {**row, "_embedded": own}
        parent_keys = {key: context[key] for key in self.stream.parent_keys}
        record = self._conform(to_record(self.stream, row, parent_keys))
        for line in self._findings.warnings(record):
            LOGGER.warning("%s", line)
        return record

    def tell_totals(self) -> None:
        """Says how many values did not fit the schema."""
        for line in self._findings.totals():
            LOGGER.warning("%s", line)

    def is_older(self, record: Row) -> bool:
        """Whether a row of a list that the API does not filter is older than what is needed."""
        key = self.stream.replication_key
        is_filtered = self.stream.is_windowed or self.stream.day_column
        if is_filtered or not key or not self.start:
            return False
        changed = datetime_or_none(record.get(key))
        return changed is not None and changed < self.start

    def result(self, pending: list[int]) -> Result:
        """How it ended."""
        notes = []
        if self.rows_counted is not None:
            notes.append(f"read {self.rows_read} of the {self.rows_counted} that Help Scout counts")
        if self.outcomes.gone:
            notes.append(f"{in_words(self.outcomes.gone, 'parent')} gone meanwhile")
        if self.details and self.details.gone:
            notes.append(f"{in_words(self.details.gone, 'row')} gone meanwhile")
        error = self.error or self._what_is_missing(pending)
        if error:
            notes.append("incomplete")
        return Result(self.name, self.rows_written, notes, error)

    def _what_is_missing(self, pending: list[int]) -> str | None:
        if pending:
            return (
                f"what hangs on {self.parent_in_words(*pending)} could not be read, and is asked "
                "for first in the next run"
            )
        if self.used_doubtful:
            return (
                "some that came embedded differ from the listed ones; the next run begins where "
                "this one did, and lists them all"
            )
        if self.rows_lost:
            return f"{in_words(self.rows_lost, 'row')} without a key could not be written"
        return None


def plan_run(
    stream: Stream, selected: Mapping[str, SelectedStream], parent_reads_all: bool = False
) -> StreamRun | None:
    """The tree from this stream down, without what is neither selected nor needed for it."""
    own = selected.get(stream.tap_stream_id)
    reads_all = parent_reads_all
    if own and own.replication_method == "FULL_TABLE" and not stream.is_below_windows:
        # Below windows only those parents are read that are in them, whatever the catalog says.
        reads_all = True
    planned = [plan_run(child, selected, reads_all) for child in children_of(stream.tap_stream_id)]
    children = [run for run in planned if run]
    return StreamRun(stream, own, children, reads_all) if own or children else None
