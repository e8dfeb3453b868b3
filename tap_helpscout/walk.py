"""The walk: each row of a list, then the rows of the lists that hang on it, and so on down."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import singer

from tap_helpscout.bookmarks import Bookmarks
from tap_helpscout.client import Client
from tap_helpscout.errors import ApiError, HelpScoutError
from tap_helpscout.files import ConfigError
from tap_helpscout.output import OutputError
from tap_helpscout.prefetch import Load, prefetch
from tap_helpscout.progress import Progress
from tap_helpscout.reading.batches import Batch
from tap_helpscout.reading.lists import ChildRows, id_to_ask_for, read_children
from tap_helpscout.reading.outcomes import Meaning
from tap_helpscout.records import RecordWriter
from tap_helpscout.state import State
from tap_helpscout.stream_run import Activity, Context, StreamRun
from tap_helpscout.streams import Row

LOGGER = singer.get_logger()

# Our choice, of each level of the tree and for each request that is on its way at once: how many
# rows wait in memory, with what is embedded in them, and how many requests of children are sent
# ahead. More would keep the connections no busier.
ROWS_PER_REQUEST = 40
REQUESTS_AHEAD = 2
ROW_WITHOUT_CHILDREN = Load(requests=0)


@dataclass(frozen=True)
class Child:
    """The rows of a child stream below one parent."""

    run: StreamRun
    context: Context
    rows: ChildRows

    @property
    def parent_id(self) -> Any:
        """The id of the parent."""
        return self.context[self.run.stream.parent_keys[-1]]


@dataclass(frozen=True)
class Item:
    """A row with the rows below it, or the end of a batch."""

    row: Row | None = None
    children: list[Child] = field(default_factory=list)
    end_of: Batch | None = None

    @property
    def load(self) -> Load:
        """What it costs while it waits."""
        if not self.children:
            return ROW_WITHOUT_CHILDREN  # nearly all: a load of its own for each would cost time
        loads = [child.rows.load for child in self.children]
        return Load(
            requests=sum(load.requests for load in loads),
            rows=1 + sum(load.rows for load in loads),
            blocks=any(load.blocks for load in loads),
        )


@contextlib.contextmanager
def failing_by_bugs(run: StreamRun) -> Iterator[None]:
    """Fails a stream where the tap itself does something wrong. Raises what is known to go wrong:
    a request fails, or nothing can be read, kept or written any more."""
    try:
        yield
    except (HelpScoutError, ConfigError, OutputError):
        raise
    except Exception as error:  # pylint: disable=broad-exception-caught
        run.fail_by_bug(error)


class Walk:
    """Writes rows in their order, each with all below it, while requests for later ones are on
    their way."""

    def __init__(
        self,
        client: Client,
        state: State,
        bookmarks: Bookmarks,
        writer: RecordWriter,
        progress: Progress,
    ) -> None:
        self._client, self._state, self._bookmarks = client, state, bookmarks
        self._writer, self._progress = writer, progress

    def walk(self, run: StreamRun, batches: Iterator[Batch], context: Context) -> None:
        """The one recursion: writes each row, then the rows of its children. At a window's end, all
        that belongs to it is written.

        Raises ApiError where the list cannot be read.
        """
        if run.parent and run.selected:
            self._progress.begin_child(run.name, run.parent.name)
        depth = self._client.prefetch_depth
        limit = Load(requests=REQUESTS_AHEAD * depth, rows=ROWS_PER_REQUEST * depth)
        items = self._items(run, batches, context)
        for item in prefetch(items, limit, lambda item: item.load):
            if item.row is not None:
                self._row(run, item.row, context)
            for child in item.children:
                self._walk_child(child)
            if item.end_of:
                self._end_batch(run, item.end_of)

    def _items(self, run: StreamRun, batches: Iterator[Batch], context: Context) -> Iterator[Item]:
        for batch in batches:
            rows: Iterable[Row] = batch.rows
            if run.details:
                rows = run.details.complete(self._client, rows, context)
            for row in rows:
                yield Item(row, list(self._children(run, row, context)))
            yield Item(end_of=batch)

    def _children(self, run: StreamRun, row: Row, context: Context) -> Iterator[Child]:
        """The lists that hang on a row, requested."""
        if not run.children:
            return
        parent_id = id_to_ask_for(row)
        if parent_id is None:
            run.rows_without_id += 1
            return  # there is nothing to ask for; RecordWriter warns of the row
        for below in run.children:
            if below.is_needed:
                own = {**context, below.stream.parent_keys[-1]: parent_id}
                rows = read_children(
                    self._client,
                    below.stream,
                    own,
                    row,
                    below.verifier,
                    below.outcomes.patience.tries,
                )
                yield Child(below, own, rows)

    def _row(self, run: StreamRun, row: Row, context: Context) -> None:
        run.rows_read += 1
        if run.activity is Activity.WRITE:
            self._writer.row(run, row, context)
        if not run.stream.parent:
            self._progress.row(run.rows_counted)

    def _walk_child(self, child: Child) -> None:
        run = child.run
        if run.activity is Activity.FAILED:
            return
        try:
            with failing_by_bugs(run):
                self.walk(run, child.rows.batches, child.context)
        except ApiError as error:
            self._child_failed(child, error)
            return
        if run.error:
            return
        if child.rows.is_listed:  # embedded rows say nothing of whether the endpoint answers
            for parent_id, refusal in run.outcomes.answered():
                self._put_aside(run, parent_id, refusal)
            self._state.settle(run.name, child.parent_id)
        if self._bookmarks.take_back_if_doubtful(run):
            self._writer.state()  # at once: the run may be ended before the next window is read

    def _child_failed(self, child: Child, error: ApiError) -> None:
        run, parent_id = child.run, child.parent_id
        meaning = run.outcomes.failed(parent_id, error)
        if meaning is Meaning.PARENT_GONE:
            what = f"{run.name}: {run.parent_in_words(parent_id)}"
            LOGGER.warning("%s was deleted or merged meanwhile, skipped", what)
            self._state.settle(run.name, parent_id)
        elif meaning is Meaning.PUT_ASIDE:
            self._put_aside(run, parent_id, error)
        elif meaning is Meaning.STREAM_FAILED:
            self._fail(run, error)

    def _put_aside(self, run: StreamRun, parent_id: int, error: ApiError) -> None:
        if self._state.put_aside(run.name, parent_id):
            what = f"{run.name}: {run.parent_in_words(parent_id)}"
            LOGGER.error("%s is put aside for the next run: %s", what, error)
        else:
            self._fail(run, error)

    def _fail(self, run: StreamRun, error: ApiError) -> None:
        run.fail(str(error))
        self._progress.stream_failed(run.name, error.status)

    def _judge_at_end(self, root: StreamRun) -> None:
        """Fails the streams below of which no parent has answered."""
        for run in root.tree():
            error = run.outcomes.failure_at_end()
            if error and run.activity is not Activity.FAILED:
                self._fail(run, error)

    def _end_batch(self, run: StreamRun, batch: Batch) -> None:
        """Adds up what the API counts, and moves bookmarks where a window is written whole."""
        if batch.counted is not None:
            run.rows_counted = (run.rows_counted or 0) + batch.counted
        run.rows_missing += batch.missing
        if not batch.completes and not batch.reopens:
            return
        is_last = batch.completes is not None and self._bookmarks.is_last(batch.completes)
        if not batch.is_partial:
            if is_last:
                self._judge_at_end(run)
            self._bookmarks.move(run, batch)
            self._writer.state()
        if batch.completes and run.stream.is_windowed:
            self._progress.window_read(batch.completes, is_last, run.rows_counted)
