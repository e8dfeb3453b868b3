"""Long lists: streams that the API filters by date, with what hangs on them, from their bookmarks
on. Inboxes that no run has read yet are read first, up to the bookmarks."""

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

import singer

from tap_helpscout.bookmarks import Bookmarks
from tap_helpscout.client import Client
from tap_helpscout.config import Config
from tap_helpscout.dates import seconds_before
from tap_helpscout.progress import Progress
from tap_helpscout.reading.batches import Batch, Window
from tap_helpscout.reading.ranges import RangeReader
from tap_helpscout.records import RecordWriter
from tap_helpscout.scope import Scope, in_turn, mailbox_params, partial_batches
from tap_helpscout.state import State
from tap_helpscout.stream_run import Context, StreamRun
from tap_helpscout.walk import Walk

LOGGER = singer.get_logger()

MakeReader = Callable[..., RangeReader]
"""Makes a reader of a stream's list, given the parameters that keep it to inboxes."""


class LongLists:
    """Reads trees of streams whose root is read in ranges of modification time."""

    def __init__(
        self,
        client: Client,
        config: Config,
        state: State,
        scope: Scope,
        bookmarks: Bookmarks,
        walk: Walk,
        writer: RecordWriter,
        progress: Progress,
        run_start: datetime,
    ) -> None:
        self._client, self._state, self._scope = client, state, scope
        self._bookmarks, self._walk, self._writer = bookmarks, walk, writer
        self._progress, self._run_start = progress, run_start
        self._start_date = config.start_date
        self._settled = seconds_before(run_start, config.lookback_seconds)

    def read(self, root: StreamRun, context: Context) -> None:
        """The streams of a tree may have different bookmarks: each is read from its own on.

        Raises ApiError where the list cannot be read.
        """
        selected = [run for run in root.tree() if run.selected]
        make_reader = self._make_reader(root)
        self._scope.warn_if_unfiltered(root.stream, make_reader().ask_since(self._start_date))
        self._read_new_mailboxes(root, selected, make_reader, context)
        readers = [make_reader(params) for params in self._scope.params(root.stream)]
        for window in self._windows(selected):
            for run in selected:
                run.write_if_needed_since(window.low)
            if root.is_needed:
                self._progress.begin_range(
                    root.name, window, readers[0].requests_for, root.rows_counted
                )
                parts = [_read_range(root, reader, window) for reader in readers]
                self._walk_kept(root, in_turn(parts), context)
        if root.version and root.reads_all and root.is_read_to_end:
            self._read_edited(root, readers, context)

    def _windows(self, selected: list[StreamRun]) -> Iterator[Window]:
        """From each stream's start to that of the next."""
        starts = sorted({run.start for run in selected if run.start})
        for low, high in zip(starts, [*starts[1:], self._run_start]):
            if low < min(high, self._run_start):
                yield Window(low, min(high, self._run_start))

    def _make_reader(self, root: StreamRun) -> MakeReader:
        child = root.embedded_child
        verifier = child.verifier if child else None
        return partial(RangeReader, self._client, root.stream, verifier, self._settled)

    def _walk_kept(
        self,
        root: StreamRun,
        batches: Iterator[Batch],
        context: Context,
        mailbox: int | None = None,
    ) -> None:
        """Writes the rows of the run's inboxes, or of one of them, with what hangs on them."""
        child = root.embedded_child
        if child and child.verifier:
            batches = child.verifier.look_ahead(batches)
        self._walk.walk(root, self._scope.kept(root.stream, batches, mailbox), context)

    def _read_edited(self, root: StreamRun, readers: list[RangeReader], context: Context) -> None:
        """What was edited while a new version was written comes once more."""
        rows_read = root.rows_read
        edited = (reader.read_edited(self._run_start) for reader in readers)
        self._walk_kept(root, itertools.chain.from_iterable(edited), context)
        root.rows_read = rows_read  # each was counted once

    # -- inboxes that are new --------------------------------------------------------------------

    def _read_new_mailboxes(
        self,
        root: StreamRun,
        selected: list[StreamRun],
        make_reader: MakeReader,
        context: Context,
    ) -> None:
        """Reads inboxes that no earlier run has read up to the bookmarks, before these move."""
        new = {run.name: self._new_mailboxes(root, run) for run in selected}
        for mailbox in dict.fromkeys(itertools.chain.from_iterable(new.values())):
            due = [run for run in selected if mailbox in new[run.name]]
            for run in selected:
                run.write_or_skip(run in due)
            window = self._bookmarks.window_before(due)
            if window.low < window.high and root.is_needed:
                _say_new(due, mailbox)
                reader = make_reader(mailbox_params(root.stream, mailbox))
                self._progress.begin_range(
                    root.name, window, reader.requests_for, root.rows_counted
                )
                batches = partial_batches(_read_range(root, reader, window))
                self._walk_kept(root, batches, context, mailbox)
            for run in due:
                if run.is_trusted:
                    self._state.mailboxes.add(run.name, mailbox)
            self._writer.state()

    def _new_mailboxes(self, root: StreamRun, run: StreamRun) -> list[int | None]:
        has_bookmark = self._state.bookmark(run.name) is not None
        if self._scope.is_unknown(root.stream):
            self._state.mailboxes.begin_unknown(run.name, has_bookmark)
            return []
        mailboxes = self._scope.mailboxes_of(root.stream)
        # Where a list is not read inbox by inbox, older versions read it whole as well.
        is_by_inbox = mailboxes and root.stream.mailbox_field
        if is_by_inbox and has_bookmark and self._state.mailboxes.known(run.name) is None:
            LOGGER.info(
                "%s: the state does not say which inboxes were read: %s are taken for read",
                run.name,
                ", ".join(map(str, mailboxes or ())),
            )
        return self._state.mailboxes.begin(run.name, mailboxes, has_bookmark)


def _say_new(due: list[StreamRun], mailbox: int | None) -> None:
    LOGGER.info(
        "%s: %s was not read before: what is older than the bookmark is read first",
        ", ".join(run.name for run in due),
        "every inbox" if mailbox is None else f"inbox {mailbox}",
    )


def _read_range(root: StreamRun, reader: RangeReader, window: Window) -> Iterator[Batch]:
    """Reads a range, and adds up how many rows the API counts."""
    before = root.rows_counted or 0
    for batch in reader.read(window):
        root.rows_counted = None if reader.counted is None else before + reader.counted
        yield batch
