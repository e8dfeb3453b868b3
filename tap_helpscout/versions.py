"""Versions: how targets find out which rows are gone.

Help Scout's lists say nothing of what was deleted. So each record of a stream that is read whole
has a `version`, and the stream ends with ACTIVATE_VERSION: a target takes away what has an older
version, or none. A row that exists and did not come with that version would be taken
away as well, so a version is activated only where no row can be missing.
https://sdk.meltano.com/en/latest/implementation/index.html (ACTIVATE_VERSION)
"""

from collections.abc import Iterator
from datetime import datetime

import singer

from tap_helpscout.config import Config
from tap_helpscout.dates import seconds_before
from tap_helpscout.state import State, VersionProgress
from tap_helpscout.stream_run import StreamRun
from tap_helpscout.words import in_words

LOGGER = singer.get_logger()


class Versions:
    """Decides which version the records of each stream have in one run, and which is activated.

    A stream that is read FULL_TABLE gets a new version, or goes on with that of a run that was
    interrupted; what was deleted in between is found by the next. The records of the others have
    the version that was activated last, so that a target adds them to its present table.
    """

    def __init__(self, state: State, config: Config, run_start: datetime) -> None:
        self._state, self._config, self._run_start = state, config, run_start
        self._is_on = config.emit_activate_version_messages
        self._new = max(int(run_start.timestamp() * 1000), state.last_version + 1)
        self._read_from: dict[str, datetime] = {}  # where the new version of a stream begins

    def begin(self, run: StreamRun, start: datetime | None) -> datetime | None:
        """Gives a stream its version. Returns from when on it is to be read: `start`, or later
        where an interrupted run is gone on with; None: all of it."""
        progress = self._state.version_progress(run.name)
        if not (self._is_on and run.reads_all):
            # Its records have another version from now on: nobody can go on with the old one.
            self._state.drop_version_progress(run.name)
            run.version = self._state.version(run.name) if self._is_on else None
            return start
        if start is None:
            run.version = self._new
            return None
        if progress and progress.begun <= start:  # it has left out nothing that is wanted now
            run.version, self._read_from[run.name] = progress.version, progress.begun
            LOGGER.info("%s: going on where an interrupted FULL_TABLE run ended", run.name)
            return seconds_before(progress.read_to, self._config.lookback_seconds)
        self._state.drop_version_progress(run.name)
        run.version, self._read_from[run.name] = self._new, start
        return start

    def read_to(self, run: StreamRun, date: datetime) -> None:
        """All that was modified up to this datetime is written: there the next run goes on if this
        one is interrupted. Where a row is in doubt, it begins anew."""
        begun = self._read_from.get(run.name)
        if begun is None or run.version is None:
            return
        if any(self._doubts(run)):
            self._state.drop_version_progress(run.name)
        else:
            progress = VersionProgress(run.version, begun, date)
            self._state.keep_version_progress(run.name, progress)

    def activate(self, run: StreamRun) -> singer.ActivateVersionMessage | None:
        """The message that ends a stream, also noted in the state; None where no version is to be
        activated."""
        if run.version is None or not (run.selected and run.reads_all):
            return None
        doubt = next(self._doubts(run, at_the_end=True), None)
        if doubt:
            LOGGER.warning(
                "%s: no ACTIVATE_VERSION, so that what is gone is not found in this run: %s",
                run.name,
                doubt,
            )
            return None
        self._state.activate_version(run.name, run.version)
        return singer.ActivateVersionMessage(run.name, run.version)

    def _doubts(self, run: StreamRun, at_the_end: bool = False) -> Iterator[str]:
        """Why a row that exists may not have been written, as far as the stream was read."""
        if run.error:
            yield "it failed"
        if run.rows_missing:
            yield f"Help Scout counts {in_words(run.rows_missing, 'row')} more than it lists"
        if run.rows_lost or run.rows_without_id:
            yield "a row came without its key"
        if run.outcomes.gone or self._state.pending(run.name):
            yield "there were parents whose rows could not be read"
        if run.details and run.details.gone:
            yield "rows were listed and were not there by themselves"
        if run.used_doubtful:
            yield "embedded rows were used that may not be all"
        if run.parent:
            for doubt in self._doubts(run.parent):
                yield f"{run.parent.name}: {doubt}"
        if at_the_end and self._config.start_date >= self._run_start:
            yield "start_date is not before the run's start"
        if at_the_end and not run.is_read_to_end:
            yield "it was not read to its end"
