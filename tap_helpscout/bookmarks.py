"""Bookmarks: from when on each stream is read in a run, and up to when it is then written."""

from collections.abc import Iterable
from datetime import datetime

import singer

from tap_helpscout.clock import ApiClock
from tap_helpscout.config import Config
from tap_helpscout.dates import format_datetime, seconds_before
from tap_helpscout.reading.batches import Batch, Window
from tap_helpscout.state import State
from tap_helpscout.stream_run import Activity, StreamRun
from tap_helpscout.versions import Versions

LOGGER = singer.get_logger()

TOLD_IDS = 20  # our choice: more in one line of the log are not read


class Bookmarks:
    """Decides from when on each stream is read, and moves its bookmark after what was written.

    Each bookmark is read once in a run, before the first request for a list; `run_start` is the
    latest that one may move to.
    """

    def __init__(
        self,
        state: State,
        config: Config,
        versions: Versions,
        clock: ApiClock,
        run_start: datetime,
    ) -> None:
        self._state, self._config, self._versions = state, config, versions
        self._clock, self._run_start = clock, run_start
        self._start_date = config.start_date.replace(microsecond=0)

    # -- where a stream begins -------------------------------------------------------------------

    def begin(self, run: StreamRun) -> None:
        """Sets from when on a stream is read."""
        stream = run.stream
        if stream.has_bookmark:
            run.bookmark = self._state.bookmark(run.name)
        begins_at_start_date = stream.is_windowed or stream.is_below_windows or stream.day_column
        if begins_at_start_date and not run.bookmark:
            self._state.begin(run.name, self._start_date)
        run.start = self._versions.begin(run, self._start(run))
        if run.start:
            run.start = run.start.replace(microsecond=0)
        if run.start and run.start > self._run_start:
            LOGGER.warning(
                "%s: nothing is read before %s, its bookmark or the start_date: the API's clock "
                "says %s",
                run.name,
                format_datetime(run.start),
                format_datetime(self._run_start),
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

    def warn_of_earlier_start(self, runs: Iterable[StreamRun]) -> None:
        """Only a run without a bookmark heeds the start_date."""
        begun = {run.name: self._state.start_date(run.name) for run in runs}
        later = [name for name, date in begun.items() if date and date > self._start_date]
        if later:
            LOGGER.warning(
                "start_date is earlier than when %s began, and has no effect beside a state: to "
                "read further back, run once without --state",
                ", ".join(later),
            )

    def window_before(self, runs: Iterable[StreamRun]) -> Window:
        """What is older than the bookmarks of these streams."""
        bookmarks = [self._state.bookmark(run.name) for run in runs]
        high = max(bookmark for bookmark in bookmarks if bookmark)
        return Window(self._start_date, min(high, self._run_start))

    # -- how far it is written -------------------------------------------------------------------

    def is_last(self, window: Window) -> bool:
        """Whether a window is the last of a stream in this run."""
        return window.high >= self._run_start

    def move(self, root: StreamRun, batch: Batch) -> None:
        """Moves the bookmarks of a tree after the last batch of a window, with all below it, is
        written; back to where they were where the batch says that this was not all."""
        for run in root.tree():
            self._move(run, batch)

    def _move(self, run: StreamRun, batch: Batch) -> None:
        is_last = batch.completes is not None and self.is_last(batch.completes)
        run.is_read_to_end = is_last
        if run.activity is not Activity.WRITE or not run.stream.has_bookmark:
            return
        if batch.reopens or run.used_doubtful:
            self._state.reset(run.name, run.bookmark)
        elif batch.completes and (is_last or not run.outcomes.is_doubtful):
            self._advance(run, batch.completes.high, is_last)

    def _advance(self, run: StreamRun, to: datetime, is_last: bool) -> None:
        high = self._clock.not_later_than(to)
        self._state.advance(run.name, high)
        if is_last:
            self._state.set_doubtful_embeds(run.name, False)
        if run.stream.is_remembered:
            self._tell_taken_for_read(run)
            self._state.rows.complete(run.name)
        self._versions.read_to(run, high)

    def _tell_taken_for_read(self, run: StreamRun) -> None:
        """The state is of a version that did not remember rows: one that has appeared since, with
        an older date than the bookmark, cannot be told from those that were read."""
        ids = self._state.rows.taken_for_seen(run.name)
        if run.bookmark and ids:
            more = f" and {len(ids) - TOLD_IDS} more" if len(ids) > TOLD_IDS else ""
            LOGGER.info(
                "%s: the state does not say which rows were read: %s%s are taken for read",
                run.name,
                ", ".join(map(str, ids[:TOLD_IDS])),
                more,
            )

    def take_back_if_doubtful(self, run: StreamRun) -> bool:
        """Puts the bookmark of a stream back to where it was before the run if embedded rows were
        used that a listing has made doubtful since, for what is missing may be behind it. Returns
        whether that was done now."""
        if not run.used_doubtful or self._state.has_doubtful_embeds(run.name):
            return False
        self._state.reset(run.name, run.bookmark)
        self._state.mailboxes.reset(run.name)
        self._state.set_doubtful_embeds(run.name, True)
        return True
