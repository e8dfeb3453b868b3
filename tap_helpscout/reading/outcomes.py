"""Outcomes: what it means that the children of a parent can be read, or not."""

from enum import Enum, auto

from tap_helpscout.client import TRIES
from tap_helpscout.errors import MISSING_ADVICE, ApiError, RetriableError

# A merged conversation answers 404 for its threads, as a deleted one does:
# https://developer.helpscout.com/mailbox-api/endpoints/conversations/threads/list
GONE = (404, 410)
ALL_GONE = 20  # our choice: where so many parents are gone and none is there, the endpoint is
SOME_GONE = 5  # our choice: the same at the end of a long list
# Our choice: where so many parents failed in a row, the endpoint may be down. The next ones are
# asked for once each, so that an outage does not cost `retry_seconds` for each of them.
FAILURES_IN_A_ROW = 5
REFUSALS = 5  # our choice: where so many are answered 403 and none is there, the stream is refused


class Meaning(Enum):
    """What it means that the children of a parent cannot be read."""

    PARENT_GONE = auto()
    """The parent was deleted or merged meanwhile: its children go with it."""
    PUT_ASIDE = auto()
    """This parent's children are asked for again in the next run."""
    UNDECIDED = auto()
    """403, and no parent has answered yet: it may be this parent, or the whole stream."""
    STREAM_FAILED = auto()
    """No parent's children can be read."""


class Patience:
    """How often the children of the next parent are asked for."""

    def __init__(self) -> None:
        self._failed_in_a_row = 0

    @property
    def tries(self) -> int:
        """How often at most."""
        return TRIES if self._failed_in_a_row < FAILURES_IN_A_ROW else 1

    def failed(self, error: ApiError) -> None:
        """Those of one parent could not be read. What is not tried again costs no time."""
        self._failed_in_a_row += isinstance(error, RetriableError)

    def answered(self) -> None:
        """Those of one parent were listed."""
        self._failed_in_a_row = 0


class ChildOutcomes:
    """Judges each failure to read a parent's children by those before it.

    `too_many_gone` is how many parents may not be gone at the end of a list where none is there.
    """

    def __init__(self, too_many_gone: int = SOME_GONE) -> None:
        self._too_many_gone = too_many_gone
        self._answered = self._failures = 0
        self._refused: list[tuple[int, ApiError]] = []
        self.patience = Patience()
        self.gone = 0
        """How many parents were gone."""

    def answered(self) -> list[tuple[int, ApiError]]:
        """The children of a parent were listed. Those parents that were refused before are to be
        put aside: it was not the whole stream."""
        self._answered += 1
        self.patience.answered()
        refused, self._refused = self._refused, []
        return refused

    def failed(self, parent_id: int, error: ApiError) -> Meaning:
        """What this failure means."""
        if error.status in GONE:
            self.gone += 1
            is_endpoint = not self._answered and self.gone >= ALL_GONE
            return Meaning.STREAM_FAILED if is_endpoint else Meaning.PARENT_GONE
        self._failures += 1
        self.patience.failed(error)
        if error.status == 403 and not self._answered:
            self._refused.append((parent_id, error))
            is_streams = len(self._refused) >= REFUSALS
            return Meaning.STREAM_FAILED if is_streams else Meaning.UNDECIDED
        return Meaning.PUT_ASIDE

    @property
    def is_doubtful(self) -> bool:
        """Whether every parent so far was gone or refused, so that the endpoint may be."""
        return not self._answered and bool(self.gone or self._refused)

    def failure_at_end(self) -> ApiError | None:
        """Why the stream has failed, now that the list has ended: no parent has answered."""
        if self._answered:
            return None
        if self._refused:
            return self._refused[-1][1]
        # What fails otherwise is no sign that the endpoint is there.
        if self.gone and (self._failures or self.gone >= self._too_many_gone):
            others = ", or with another error" if self._failures else ""
            what = f"Help Scout answers 404 for what hangs on each parent{others}"
            return ApiError(what, 404, advice=MISSING_ADVICE)
        return None
