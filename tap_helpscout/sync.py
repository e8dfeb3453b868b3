"""One run: each tree of streams in turn, an error in one of them leaving the others alone."""

from collections.abc import Iterator, Mapping
from datetime import datetime

import singer

from tap_helpscout.bookmarks import Bookmarks
from tap_helpscout.client import Client
from tap_helpscout.config import Config
from tap_helpscout.errors import ApiError
from tap_helpscout.long_lists import LongLists
from tap_helpscout.progress import Progress
from tap_helpscout.reading.batches import Batch
from tap_helpscout.reading.days import first_day, number_of_days, read_days
from tap_helpscout.reading.lists import fetch_listed, read_children, read_listed
from tap_helpscout.reading.outcomes import GONE, Patience
from tap_helpscout.reading.pages import Page
from tap_helpscout.records import RecordWriter, Write
from tap_helpscout.results import Result
from tap_helpscout.scope import Scope, in_turn
from tap_helpscout.selection import SelectedStream
from tap_helpscout.state import State
from tap_helpscout.stream_run import Activity, Context, StreamRun, plan_run, run_context
from tap_helpscout.streams import Stream, children_of
from tap_helpscout.terminal import status_line
from tap_helpscout.versions import Versions
from tap_helpscout.walk import Walk, failing_by_bugs
from tap_helpscout.words import in_words

LOGGER = singer.get_logger()


class Sync:
    """One run over the selected streams, which begins at `run_start` by the API's clock; `write`
    takes each message."""

    def __init__(
        self,
        client: Client,
        config: Config,
        selected: Mapping[str, SelectedStream],
        state: State,
        write: Write,
        run_start: datetime,
    ) -> None:
        self._client, self._config, self._state = client, config, state
        self._run_start = run_start
        planned = [plan_run(stream, selected) for stream in children_of(None)]
        self._roots = [run for run in planned if run]
        self._runs = [run for root in self._roots for run in root.tree()]
        self._selected = [run for run in self._runs if run.selected]
        self._progress = Progress(client, status=status_line())
        client.limiter.on_request = self._progress.say_if_due
        self._scope = Scope(client, config.mailbox_ids)
        self._versions = Versions(state, config, run_start)
        self._writer = RecordWriter(state, write)
        self._bookmarks = Bookmarks(state, config, self._versions, client.clock, run_start)
        self._walk = Walk(client, state, self._bookmarks, self._writer, self._progress)
        self._long_lists = LongLists(
            client,
            config,
            state,
            self._scope,
            self._bookmarks,
            self._walk,
            self._writer,
            self._progress,
            run_start,
        )

    def run(self) -> list[Result]:
        """Reads all that is selected; the results of the streams that failed."""
        self._find_mailboxes()
        try:
            with self._writer.counting(self._selected):
                self._read_all()
        except Exception:
            self._progress.break_off(self._results())
            raise
        for run in self._selected:
            run.tell_totals()
        return self._progress.end(self._results())

    def _results(self) -> Iterator[Result]:
        return (run.result(self._state.pending(run.name)) for run in self._selected)

    def _find_mailboxes(self) -> None:
        """Asks which inboxes there are, where anything depends on it."""
        are_new_ones_read = any(
            root.stream.is_windowed and root.stream.mailbox_field for root in self._roots
        )
        if are_new_ones_read or self._scope.is_limited:
            self._scope.find(self._run_start)

    def _read_all(self) -> None:
        for run in self._runs:
            self._begin(run)
        self._bookmarks.warn_of_earlier_start(self._selected)
        self._warn_of_pending()
        for root in sorted(self._roots, key=self._turn):
            self._state.currently_syncing = root.name
            self._writer.state()
            self._read_tree(root)
            self._activate_versions(root)
        self._state.currently_syncing = None
        self._writer.state()

    def _turn(self, root: StreamRun) -> tuple[bool, bool]:
        """The order of the trees: the one that was interrupted, then small lists, so that what is
        refused is known early, then those that are read in windows."""
        first = self._state.currently_syncing
        return all(run.name != first for run in root.tree()), root.stream.is_windowed

    def _begin(self, run: StreamRun) -> None:
        self._bookmarks.begin(run)
        if run.verifier:
            run.verifier.run_start = self._run_start
            if self._state.has_doubtful_embeds(run.name):
                run.verifier.distrust()
        self._writer.schema(run)

    def _activate_versions(self, root: StreamRun) -> None:
        """Ends each stream that was read whole with ACTIVATE_VERSION. No STATE says so before it:
        if the run is ended in between, the next one goes on and activates the version again, which
        changes nothing; the other way round, records would have a version that no target knows."""
        for run in root.tree():
            if message := self._versions.activate(run):
                self._writer.message(message)

    def _read_tree(self, root: StreamRun) -> None:
        """Reads a stream and what hangs on it; an error there leaves the other trees alone."""
        context = run_context(self._config.start_date, self._run_start)
        self._progress.begin_tree(root.name)
        try:
            with failing_by_bugs(root):
                self._read_pending(root, context)
                if root.stream.is_windowed:
                    self._long_lists.read(root, context)
                else:
                    self._read_whole(root, context)
        except ApiError as error:
            root.fail(str(error))
            self._progress.stream_failed(root.name, error.status)

    # -- lists that are read whole ---------------------------------------------------------------

    def _read_whole(self, root: StreamRun, context: Context) -> None:
        """Reads a list from its first row to its last, or a report from day to day."""
        if root.stream.day_column:
            first = first_day(self._config.start_date, root.start)
            self._progress.begin_stream(root.name, number_of_days(first, self._run_start))
            batches = read_days(self._client, root.stream, context, first, self._run_start)
        else:
            self._progress.begin_stream(root.name)
            batches = self._listed(root.stream, context)
        self._walk.walk(root, batches, context)

    def _listed(self, stream: Stream, context: Context) -> Iterator[Batch]:
        """The rows of a list that is read whole, of the inboxes of this run."""
        known = self._scope.listed(stream)
        if known is not None:
            return self._scope.kept(stream, iter(known))

        def ask(params: Mapping[str, str]) -> Page:
            return fetch_listed(self._client, stream, context, params)

        self._scope.warn_if_unfiltered(stream, ask)
        parts = [
            read_listed(self._client, stream, context, self._run_start, params)
            for params in self._scope.params(stream)
        ]
        return self._scope.kept(stream, in_turn(parts))

    # -- what an earlier run has put aside -------------------------------------------------------

    def _warn_of_pending(self) -> None:
        """Says what of it this run does not ask for."""
        read = {run.name for run in self._selected}
        for name in self._state.streams_with_pending():
            if name not in read:
                number = in_words(len(self._state.pending(name)), "parent")
                LOGGER.warning(
                    "%s is not selected: what hangs on %s stays put aside in the state until it is",
                    name,
                    number,
                )

    def _read_pending(self, root: StreamRun, context: Context) -> None:
        """Reads what hangs on parents whose children an earlier run could not read."""
        for run in root.tree():
            if not run.selected or not run.stream.parent:
                continue
            start, run.start = run.start, None  # whatever their dates are: bookmarks have passed
            patience = Patience()
            for parent_id in self._state.pending(run.name):
                if run.activity is not Activity.FAILED:
                    with failing_by_bugs(run):
                        self._read_pending_parent(run, parent_id, context, patience)
            run.start = start

    def _read_pending_parent(
        self, run: StreamRun, parent_id: int, context: Context, patience: Patience
    ) -> None:
        context = {**context, run.stream.parent_keys[-1]: parent_id}
        what = f"{run.name}: {run.parent_in_words(parent_id)}"
        parent = run.parent
        try:
            if parent and self._scope.holds_parent(parent.stream, parent_id, patience.tries):
                rows = read_children(
                    self._client, run.stream, context, {"id": parent_id}, None, patience.tries
                )
                self._walk.walk(run, rows.batches, context)
                patience.answered()
        except ApiError as error:
            if error.status not in GONE:
                patience.failed(error)
                LOGGER.error("%s still cannot be read, and stays put aside: %s", what, error)
                return
            LOGGER.warning("%s was deleted or merged meanwhile, skipped", what)
        self._state.settle(run.name, parent_id)
