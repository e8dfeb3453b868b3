"""Scope: the inboxes that a run reads, kept to them by the API where it filters and else here."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import singer

from tap_helpscout.client import Client
from tap_helpscout.errors import ApiError
from tap_helpscout.files import ConfigError
from tap_helpscout.reading.batches import Batch
from tap_helpscout.reading.lists import read_listed
from tap_helpscout.reading.pages import whole_number
from tap_helpscout.reading.probes import Ask, probe_mailbox_filter
from tap_helpscout.streams import MAILBOX_LIST, Row, Stream

LOGGER = singer.get_logger()

# How a merged conversation answers:
# https://developer.helpscout.com/mailbox-api/endpoints/conversations/get
MERGED = 301

Params = Mapping[str, str]


class Scope:
    """The inboxes of a run: those of `mailbox_ids`, or all that the app's user sees."""

    def __init__(self, client: Client, mailbox_ids: Sequence[int]) -> None:
        self._client, self._wanted = client, mailbox_ids
        self._mailboxes: list[int] | None = None
        self._list: list[Batch] | None = None
        self._unfiltered: set[str] = set()

    @property
    def is_limited(self) -> bool:
        """Whether the config names the inboxes."""
        return bool(self._wanted)

    def find(self, end: datetime) -> None:
        """Asks for the list of inboxes.

        Raises ConfigError where an inbox of `mailbox_ids` is not in it, ApiError where it cannot be
        read and the config names inboxes.
        """
        try:
            batches = list(read_listed(self._client, MAILBOX_LIST, {}, end))
        except ApiError as error:
            if self.is_limited:
                raise ApiError(
                    f"mailbox_ids cannot be checked, and nothing is read: {error.message}",
                    error.status,
                    advice=error.advice,
                    said=error.said,
                    reference=error.reference,
                ) from error
            LOGGER.warning("inboxes that are new cannot be found in this run: %s", error)
            return
        visible = [_id_of(MAILBOX_LIST, row) for batch in batches for row in batch.rows]
        self._mailboxes = [one for one in visible if one is not None]
        self._list = batches
        self._refuse_unknown(self._mailboxes)

    def _refuse_unknown(self, visible: Collection[int]) -> None:
        unknown = [one for one in self._wanted if one not in visible]
        if unknown:
            raise ConfigError(
                f"mailbox_ids in the config names {_in_words(unknown)}, and the app's user sees no "
                f"such inbox. Those that it sees: {_in_words(visible) or 'none'}"
            )

    def mailboxes_of(self, stream: Stream) -> list[int] | None:
        """The inboxes that a stream's list is read of, where each can be read by itself; None where
        the list does not depend on which there are."""
        if self._mailboxes is None or not stream.mailbox_filter:
            return None
        if self.is_limited:
            return None if stream.tap_stream_id in self._unfiltered else list(self._wanted)
        return self._mailboxes if stream.mailbox_field else None

    def is_unknown(self, stream: Stream) -> bool:
        """Whether a stream's list depends on which inboxes there are, and that is not known."""
        return self._mailboxes is None and bool(stream.mailbox_field and stream.mailbox_filter)

    def check_filter(self, stream: Stream, ask: Ask) -> str | None:
        """Finds out whether a list whose rows do not show their inbox can be kept to inboxes; what
        that means, in words, where it cannot."""
        by = stream.mailbox_filter
        if not self.is_limited or not by or stream.mailbox_field:
            return None
        finding = probe_mailbox_filter(ask, by.param, self._wanted)
        if finding.holds:
            return None
        self._unfiltered.add(stream.tap_stream_id)
        return (
            f"{stream.tap_stream_id} come whole, not of the inboxes of mailbox_ids alone: Help "
            f"Scout ignores the parameter {by.param} ({finding.words})"
        )

    def warn_if_unfiltered(self, stream: Stream, ask: Ask) -> None:
        """The same, with a line in the log."""
        if words := self.check_filter(stream, ask):
            LOGGER.warning("%s", words)

    def params(self, stream: Stream) -> list[Params]:
        """What to ask for a list with; several where it is read inbox by inbox."""
        by = stream.mailbox_filter
        if not self.is_limited or not by or stream.tap_stream_id in self._unfiltered:
            return [{}]
        ids = [str(one) for one in self._wanted]
        return [{by.param: one} for one in ([",".join(ids)] if by.takes_several else ids)]

    def listed(self, stream: Stream) -> list[Batch] | None:
        """The list of inboxes, if that is the stream and it was read already."""
        return self._list if stream is MAILBOX_LIST else None

    def kept(
        self, stream: Stream, batches: Iterator[Batch], mailbox: int | None = None
    ) -> Iterator[Batch]:
        """The batches without rows of other inboxes, also where the API has not filtered them; with
        `mailbox` the rows of this one alone."""
        mailboxes = self._wanted if mailbox is None else [mailbox]
        for batch in batches:
            yield replace(batch, rows=[row for row in batch.rows if _is_of(stream, row, mailboxes)])

    def holds_parent(self, parent: Stream, parent_id: int, tries: int) -> bool:
        """Whether a parent of which nothing but its id is known is of these inboxes; it is asked
        for in so many tries.

        Raises ApiError.
        """
        if not self.is_limited or not parent.mailbox_field:
            return True
        if parent.mailbox_field == "id":  # it is an inbox
            return parent_id in self._wanted
        try:
            row = self._client.get(f"{parent.path}/{parent_id}", tries=tries)
        except ApiError as error:
            if error.status != MERGED:
                raise
            return True  # its children are answered by 404
        return isinstance(row, dict) and _is_of(parent, row, self._wanted)


def mailbox_params(stream: Stream, mailbox: int | None) -> Params:
    """What to ask for the rows of one inbox with; of every inbox where it is None."""
    if mailbox is None or not stream.mailbox_filter:
        return {}
    return {stream.mailbox_filter.param: str(mailbox)}


def in_turn(parts: Sequence[Iterator[Batch]]) -> Iterator[Batch]:
    """The parts of one list, which is complete after the last of them."""
    for part in parts[:-1]:
        yield from partial_batches(part)
    yield from parts[-1]


def partial_batches(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same, so that no bookmark moves at their end."""
    for batch in batches:
        yield replace(batch, is_partial=True)


def _is_of(stream: Stream, row: Row, mailboxes: Collection[int]) -> bool:
    """Whether a row is of these inboxes, or of any where there are none; so is one that does not
    show its inbox."""
    mailbox = _id_of(stream, row)
    return not mailboxes or mailbox is None or mailbox in mailboxes


def _id_of(stream: Stream, row: Row) -> int | None:
    """The inbox of a row, None where the row does not say."""
    return whole_number(row.get(stream.mailbox_field)) if stream.mailbox_field else None


def _in_words(ids: Collection[int]) -> str:
    return ", ".join(map(str, ids))
