"""Walks the tree of selected streams, parent → child, and writes Singer messages."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import Any

import singer
from singer import metrics

from tap_helpscout.client import Client
from tap_helpscout.config import Config
from tap_helpscout.dates import format_datetime, seconds_before
from tap_helpscout.files import ConfigError
from tap_helpscout.output import OutputError
from tap_helpscout.prefetch import Load, prefetch
from tap_helpscout.progress import Progress, Result
from tap_helpscout.reading.days import first_day, read_days
from tap_helpscout.reading.lists import (
    GONE,
    ChildRows,
    Meaning,
    fetch_listed,
    read_children,
    read_listed,
)
from tap_helpscout.reading.pages import Page
from tap_helpscout.reading.ranges import RangeReader
from tap_helpscout.reading.windows import Batch, Window
from tap_helpscout.scope import Scope, in_turn, mailbox_params, partial_batches
from tap_helpscout.selection import SelectedStream
from tap_helpscout.state import State
from tap_helpscout.stream_run import Activity, Context, StreamRun, plan_run
from tap_helpscout.streams import Row, Stream, children_of
from tap_helpscout.terminal import status_line
from tap_helpscout.transport import MISSING_ADVICE, ApiError, HelpScoutError
from tap_helpscout.versions import Versions

LOGGER = singer.get_logger()

# Chosen: so many rows wait with all that is embedded in them, for each request at once. More would
# keep the connections no busier, and cost memory.
ROWS_PER_REQUEST = 40
ONE_ROW = Load(requests=0)
REQUESTS_AHEAD = 2  # chosen: children's requests that wait, for each request at once

Write = Callable[[singer.Message], None]


@dataclass(frozen=True)
class Child:
    """The rows of a child stream below one parent."""

    run: StreamRun
    context: Context
    rows: ChildRows


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
            return ONE_ROW  # nearly all: a load of its own for each would cost time
        loads = [child.rows.load for child in self.children]
        return Load(
            requests=sum(load.requests for load in loads),
            rows=1 + sum(load.rows for load in loads),
            blocks=any(load.blocks for load in loads),
        )


class Sync:
    """One run over the selected streams; `write` takes each message."""

    def __init__(
        self,
        client: Client,
        config: Config,
        selected: Mapping[str, SelectedStream],
        state: State,
        write: Write,
    ) -> None:
        self._client, self._config, self._state, self._write = client, config, state, write
        planned = [plan_run(stream, selected) for stream in children_of(None)]
        self._roots = [run for run in planned if run]
        self._runs = [run for root in self._roots for run in root.tree()]
        self._selected = [run for run in self._runs if run.selected]
        self._progress = Progress(client, status=status_line())
        self._scope = Scope(client, config.mailbox_ids)
        self._counters: dict[str, Any] = {}
        self._end = datetime.now(timezone.utc)
        self._versions = Versions(state, config, self._end)

    def run(self) -> list[Result]:
        """Reads all that is selected; the results of the streams that failed."""
        self._end = self._client.run_start()
        self._versions = Versions(self._state, self._config, self._end)
        self._find_mailboxes()
        try:
            self._read_all()
        except Exception:
            self._progress.break_off(self._results())
            raise
        for run in self._selected:
            run.tell_totals()
        return self._progress.end(self._results())

    def _results(self) -> Iterator[Result]:
        return (run.result(self._state.pending(run.name)) for run in self._selected)

    def _read_all(self) -> None:
        with contextlib.ExitStack() as stack:
            for run in self._selected:
                self._counters[run.name] = stack.enter_context(metrics.record_counter(run.name))
            for run in self._runs:
                self._begin(run)
            self._warn_of_earlier_start()
            for root in sorted(self._roots, key=self._turn):
                self._state.currently_syncing = root.name
                self._write_state()
                self._read_tree(root)
                self._activate_versions(root)
            self._state.currently_syncing = None
            self._write_state()

    def _find_mailboxes(self) -> None:
        """Asks which inboxes there are, where anything depends on it."""
        are_new_ones_read = any(
            root.stream.is_windowed and root.stream.mailbox_field for root in self._roots
        )
        if are_new_ones_read or self._scope.is_limited:
            self._scope.find(self._end)

    def _turn(self, root: StreamRun) -> tuple[bool, bool]:
        """The order of the trees: the one that was interrupted, then small lists, so that what is
        refused is known early, then those that are read in windows."""
        first = self._state.currently_syncing
        return all(run.name != first for run in root.tree()), root.stream.is_windowed

    def _begin(self, run: StreamRun) -> None:
        stream = run.stream
        if stream.has_bookmark:
            run.bookmark = self._state.bookmark(run.name)
        begins_at_start_date = stream.is_windowed or stream.is_below_windows or stream.day_column
        if begins_at_start_date and not run.bookmark:
            self._state.begin(run.name, self._config.start_date.replace(microsecond=0))
        run.start = self._versions.begin(run, self._start(run))
        if run.start:
            run.start = run.start.replace(microsecond=0)
        if run.verifier:
            run.verifier.run_start = self._end
            if self._state.has_doubtful_embeds(run.name):
                run.verifier.distrust()
        if run.start and run.start > self._end:
            LOGGER.warning(
                "%s: nothing is read before %s, its bookmark or the start_date: the API's clock "
                "says %s",
                run.name,
                format_datetime(run.start),
                format_datetime(self._end),
            )
        if run.selected:
            key = stream.replication_key
            schema = run.selected.schema
            self._write(
                singer.SchemaMessage(
                    run.name, schema, list(stream.key_properties), [key] if key else None
                )
            )

    def _warn_of_earlier_start(self) -> None:
        """Only a run without a bookmark heeds the start_date."""
        start = self._config.start_date.replace(microsecond=0)
        begun = {run.name: self._state.start_date(run.name) for run in self._selected}
        later = [name for name, date in begun.items() if date and date > start]
        if later:
            LOGGER.warning(
                "start_date is earlier than when %s began, and has no effect beside a state: to "
                "read further back, run once without --state",
                ", ".join(later),
            )

    def _start(self, run: StreamRun) -> datetime | None:
        """From when on rows are needed, by the bookmark and the start_date; None: all are."""
        since = None
        if run.bookmark:
            since = seconds_before(run.bookmark, self._config.lookback_seconds)
        if not (run.stream.is_windowed or run.stream.is_below_windows):
            return None if run.reads_all else since
        if since and not run.reads_all:
            return since
        # The bookmark moves in a FULL_TABLE run too: nothing may be left out before it.
        return min(self._config.start_date, since or self._config.start_date)

    def _activate_versions(self, root: StreamRun) -> None:
        """Ends each stream that was read whole with ACTIVATE_VERSION. No STATE says so before it:
        if the run is ended in between, the next one goes on and activates the version again, which
        changes nothing; the other way round, records would have a version that no target knows."""
        for run in root.tree():
            if message := self._versions.activate(run):
                self._write(message)

    def _read_tree(self, root: StreamRun) -> None:
        """Reads a stream and what hangs on it; an error there leaves the other trees alone."""
        context = {
            "start": format_datetime(self._config.start_date),
            "end": format_datetime(self._end),
        }
        try:
            self._read_pending(root, context)
            if root.stream.is_windowed:
                self._read_ranges(root, context)
            else:
                self._progress.begin_stream(root.name)
                self._walk(root, self._batches(root, context), context)
        except ApiError as error:
            root.fail(str(error))
            self._progress.stream_failed(root.name, error.status)
        except (HelpScoutError, ConfigError, OutputError):
            raise
        except Exception as error:  # pylint: disable=broad-exception-caught
            root.fail(f"an error of the tap's own, {type(error).__name__}")
            LOGGER.exception("%s: an error of the tap's own: please report it", root.name)

    def _batches(self, root: StreamRun, context: Context) -> Iterator[Batch]:
        if not root.stream.day_column:
            return self._listed(root.stream, context)
        first = first_day(self._config.start_date, root.start)
        return read_days(self._client, root.stream, context, first, self._end)

    def _listed(self, stream: Stream, context: Context) -> Iterator[Batch]:
        """The rows of a list that is read whole, of the inboxes of this run."""
        known = self._scope.listed(stream)
        if known is not None:
            return self._scope.kept(stream, iter(known))

        def ask(params: Mapping[str, str]) -> Page:
            return fetch_listed(self._client, stream, context, params)

        self._scope.check_filter(stream, ask)
        parts = [
            read_listed(self._client, stream, context, self._end, params)
            for params in self._scope.params(stream)
        ]
        return self._scope.kept(stream, in_turn(parts))

    def _read_pending(self, root: StreamRun, context: Context) -> None:
        """Reads what hangs on parents whose children an earlier run could not read."""
        for run in root.tree():
            if not run.selected or not run.stream.parent:
                continue
            start, run.start = run.start, None  # whatever their dates are: bookmarks have passed
            for parent_id in self._state.pending(run.name):
                own = {**context, run.stream.parent_keys[-1]: parent_id}
                self._read_pending_parent(run, parent_id, own)
            run.start = start

    def _read_pending_parent(self, run: StreamRun, parent_id: int, context: Context) -> None:
        what = f"{run.name}: {run.stream.parent_keys[-1]} {parent_id}"
        try:
            if run.parent and self._scope.holds_parent(run.parent.stream, parent_id):
                rows = read_children(self._client, run.stream, context, {"id": parent_id}, None)
                self._walk(run, rows.batches, context)
        except ApiError as error:
            if error.status not in GONE:
                LOGGER.error("%s still cannot be read, and stays put aside: %s", what, error)
                return
            LOGGER.warning("%s was deleted or merged meanwhile, skipped", what)
        self._state.settle(run.name, parent_id)

    def _read_ranges(self, root: StreamRun, context: Context) -> None:
        """The streams of a tree may have different bookmarks: each is read from its own on."""
        selected = [run for run in root.tree() if run.selected]
        starts = sorted({run.start for run in selected if run.start})
        reader = self._reader(root)
        self._scope.check_filter(root.stream, reader().ask_since(self._config.start_date))
        self._read_new_mailboxes(root, selected, reader, context)
        readers = [reader(params) for params in self._scope.params(root.stream)]
        for low, high in zip(starts, [*starts[1:], self._end]):
            window = Window(low, min(high, self._end))
            for run in selected:
                run.is_due(low)
            if window.low < window.high and root.is_needed:
                self._progress.begin_range(root.name, window)
                batches = in_turn([self._read_range(root, one, window) for one in readers])
                self._walk(root, self._scope.kept(root.stream, batches), context)
        if root.version and root.reads_all and root.is_read_to_end:
            rows_read = root.rows_read
            edited = itertools.chain.from_iterable(one.read_edited(self._end) for one in readers)
            self._walk(root, self._scope.kept(root.stream, edited), context)
            root.rows_read = rows_read  # of those that were counted; these come once more

    def _reader(self, root: StreamRun) -> Callable[..., RangeReader]:
        """Makes a reader of a stream's list, given the parameters of its scope."""
        child = next((run for run in root.children if run.verifier and run.is_needed), None)
        settled = seconds_before(self._end, self._config.lookback_seconds)
        verifier = child.verifier if child else None
        return partial(RangeReader, self._client, root.stream, verifier, settled)

    def _read_new_mailboxes(
        self,
        root: StreamRun,
        selected: list[StreamRun],
        reader: Callable[..., RangeReader],
        context: Context,
    ) -> None:
        """Reads inboxes that no earlier run has read up to the bookmarks, before these move."""
        new = {run.name: self._new_mailboxes(root, run) for run in selected}
        for mailbox in dict.fromkeys(itertools.chain.from_iterable(new.values())):
            due = [run for run in selected if mailbox in new[run.name]]
            for run in selected:
                run.write_or_skip(run in due)
            window = self._window_before_bookmarks(due)
            if window.low < window.high and root.is_needed:
                LOGGER.info(
                    "%s: %s was not read before: what is older than the bookmark is read first",
                    ", ".join(run.name for run in due),
                    "every inbox" if mailbox is None else f"inbox {mailbox}",
                )
                self._progress.begin_range(root.name, window)
                one = reader(mailbox_params(root.stream, mailbox))
                batches = partial_batches(self._read_range(root, one, window))
                self._walk(root, self._scope.kept(root.stream, batches, mailbox), context)
            for run in due:
                if run.is_trusted:
                    self._state.mailboxes.add(run.name, mailbox)
            self._write_state()

    def _window_before_bookmarks(self, runs: list[StreamRun]) -> Window:
        bookmarks = [self._state.bookmark(run.name) for run in runs]
        high = max(bookmark for bookmark in bookmarks if bookmark)
        return Window(self._config.start_date.replace(microsecond=0), min(high, self._end))

    def _new_mailboxes(self, root: StreamRun, run: StreamRun) -> list[int | None]:
        if self._scope.is_unknown(root.stream):
            return []
        mailboxes = self._scope.mailboxes_of(root.stream)
        has_bookmark = self._state.bookmark(run.name) is not None
        if mailboxes and has_bookmark and self._state.mailboxes.known(run.name) is None:
            LOGGER.info(
                "%s: the state does not say which inboxes were read: %s are taken for read",
                run.name,
                ", ".join(map(str, mailboxes)),
            )
        return self._state.mailboxes.begin(run.name, mailboxes, has_bookmark)

    @staticmethod
    def _read_range(root: StreamRun, reader: RangeReader, window: Window) -> Iterator[Batch]:
        """Reads a range, and adds up how many rows the API counts."""
        before = root.rows_counted or 0
        for batch in reader.read(window):
            root.rows_counted = None if reader.counted is None else before + reader.counted
            yield batch

    def _walk(self, run: StreamRun, batches: Iterator[Batch], context: Context) -> None:
        """The one recursion: writes each row, then the rows of its children; at the end of a window
        all of them are written."""
        depth = self._client.prefetch_depth
        limit = Load(requests=REQUESTS_AHEAD * depth, rows=ROWS_PER_REQUEST * depth)
        items = self._items(run, batches, context)
        for item in prefetch(items, limit, lambda item: item.load):
            if item.row is not None:
                run.rows_read += 1
                if run.activity is Activity.WRITE:
                    self._write_row(run, item.row, context)
                if not run.stream.parent:
                    self._progress.row(run.rows_counted)
            for child in item.children:
                self._walk_children(child)
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
        parent_id = row.get("id")
        if parent_id is None:
            run.rows_without_id += 1
            return  # there is nothing to ask for; the stream itself warns of it
        for child in run.children:
            if child.is_needed:
                own = {**context, child.stream.parent_keys[-1]: parent_id}
                rows = read_children(self._client, child.stream, own, row, child.verifier)
                yield Child(child, own, rows)

    def _walk_children(self, child: Child) -> None:
        run = child.run
        if run.activity is Activity.FAILED:
            return
        parent_id = child.context[run.stream.parent_keys[-1]]
        try:
            self._walk(run, child.rows.batches, child.context)
        except ApiError as error:
            self._children_failed(run, parent_id, error)
            return
        if child.rows.is_listed:
            run.outcomes.answered()
            self._state.settle(run.name, parent_id)
        if run.used_doubtful and not self._state.has_doubtful_embeds(run.name):
            # At once: what may be missing is behind a bookmark that was written already.
            self._state.reset(run.name, run.bookmark)
            self._state.mailboxes.reset(run.name)
            self._state.set_doubtful_embeds(run.name, True)
            self._write_state()

    def _children_failed(self, run: StreamRun, parent_id: Any, error: ApiError) -> None:
        what = f"{run.name}: {run.stream.parent_keys[-1]} {parent_id}"
        meaning = run.outcomes.failed(error)
        if meaning is Meaning.PARENT_GONE:
            LOGGER.warning("%s was deleted or merged meanwhile, skipped", what)
            self._state.settle(run.name, parent_id)
        elif meaning is Meaning.PUT_ASIDE and self._state.put_aside(run.name, parent_id):
            LOGGER.error("%s is put aside for the next run: %s", what, error)
        else:
            run.fail(str(error))
            self._progress.stream_failed(run.name, error.status)

    def _write_row(self, run: StreamRun, row: Row, context: Context) -> None:
        record = run.record(row, context)
        row_id = record.get("id")
        if run.is_older(record) and not self._is_new_row(run, row_id):
            self._remember_row(run, row_id)
            return
        keys = run.stream.key_properties
        if any(record.get(key) is None for key in keys):
            run.rows_lost += 1
            LOGGER.warning(
                "%s: a row without its key %s is left out: %s",
                run.name,
                ", ".join(keys),
                sorted(row),
            )
            return
        run.rows_written += 1
        self._counters[run.name].increment()
        self._write(singer.RecordMessage(run.name, record, run.version, datetime.now(timezone.utc)))
        self._remember_row(run, row_id)

    def _is_new_row(self, run: StreamRun, row_id: Any) -> bool:
        return run.stream.is_remembered and self._state.rows.is_new(run.name, row_id)

    def _remember_row(self, run: StreamRun, row_id: Any) -> None:
        if run.stream.is_remembered and isinstance(row_id, int):
            self._state.rows.add(run.name, row_id)

    def _end_batch(self, run: StreamRun, batch: Batch) -> None:
        """Moves the bookmarks of a tree where all that was modified up to some datetime, and what
        hangs on it, is written."""
        if batch.counted is not None:
            run.rows_counted = (run.rows_counted or 0) + batch.counted
        run.rows_missing += batch.missing
        if not batch.completes and not batch.reopens:
            return
        if not batch.is_partial:
            for one in run.tree():
                self._move_bookmark(one, batch)
            self._write_state()
        if batch.completes and run.stream.is_windowed:
            is_last = self._is_last(batch.completes)
            self._progress.window_read(batch.completes, is_last, run.rows_counted)

    def _is_last(self, window: Window) -> bool:
        return window.high >= self._end

    def _move_bookmark(self, run: StreamRun, batch: Batch) -> None:
        is_last = batch.completes is not None and self._is_last(batch.completes)
        if is_last and run.outcomes.are_too_many_gone:
            run.fail(f"Help Scout answers 404 for what hangs on each parent. {MISSING_ADVICE}")
        run.is_read_to_end = is_last
        if run.activity is not Activity.WRITE or not run.stream.has_bookmark:
            return
        if batch.reopens or run.used_doubtful:
            self._state.reset(run.name, run.bookmark)
        elif batch.completes and (is_last or not run.outcomes.is_doubtful):
            high = self._client.clock.not_later_than(batch.completes.high)
            self._state.advance(run.name, high)
            if is_last:
                self._state.set_doubtful_embeds(run.name, False)
            if run.stream.is_remembered:
                self._state.rows.complete(run.name)
            self._versions.read_to(run, high)

    def _write_state(self) -> None:
        self._write(self._state.message())
