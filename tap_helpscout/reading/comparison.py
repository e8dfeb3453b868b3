"""The comparison of the children that came embedded in a parent with the listed ones."""

from tap_helpscout.dates import datetime_or_none
from tap_helpscout.reading.embeds import EmbedVerifier
from tap_helpscout.streams import Row
from tap_helpscout.transform import to_snake_case


class Comparison:
    """Takes the listed children one by one, and tells the verifier in the end."""

    def __init__(self, verifier: EmbedVerifier, parent: Row) -> None:
        self._verifier, self._parent = verifier, parent
        self._children = verifier.embedded(parent)
        self._left = {child.get("id"): child for child in self._children}
        self._added = 0
        self._changed = 0
        self._is_conclusive = True

    def add(self, row: Row) -> None:
        """Takes a listed child."""
        child = self._left.pop(row.get("id"), None)
        self._is_conclusive = self._is_conclusive and not self._came_after_run_start(row)
        if child is None:
            self._added += 1
        # Compared without links, which may name the page that they came with: in snake_case, as
        # they are written, there are none.
        elif child != row and to_snake_case(child) != to_snake_case(row):
            self._changed += 1

    @property
    def shows_a_difference(self) -> bool:
        """Whether what was embedded is not what was listed so far."""
        return self._is_conclusive and bool(self._added or self._changed or self._left)

    def finish(self) -> None:
        """All listed children were taken: tells the verifier, unless a child was added since the
        run began, for it may have come between the two requests."""
        if not self._is_conclusive:
            return
        if self.shows_a_difference:
            self._verifier.differed(
                self._parent,
                f"{self._added} more in the list, {len(self._left)} fewer, {self._changed} changed",
            )
        else:
            self._verifier.matched(self._children)

    def _came_after_run_start(self, row: Row) -> bool:
        created = datetime_or_none(row.get("createdAt"))
        start = self._verifier.run_start
        return created is not None and start is not None and created >= start
