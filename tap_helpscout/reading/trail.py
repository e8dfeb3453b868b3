"""The trail of a list: which page follows the one that was read, and where it ends.

Help Scout's lists are paged by number, with a `next` link beside it:
https://github.com/helpscout/helpscout-api-php#pagination ("walk by the next link").
The count of pages is never taken for the end of a list: it may be capped or out of date.
"""

from tap_helpscout.reading.pages import Page, PageParams

MAX_IN_VAIN = 5  # our choice: where so many pages bring nothing, the list does not go on


class NextLinks:
    """The `next` links of the pages of a pass: where rows are not counted, they tell whether a page
    that was refused should have been there. They are believed if the first page has one, and no
    page with rows follows one without."""

    def __init__(self) -> None:
        self._are_reliable = False
        self._last: Page | None = None

    def add(self, page: Page) -> None:
        """Takes note of the next page that was read."""
        if self._last and not self._last.next and page.rows:
            self._are_reliable = False
        elif page.next and not self._last:
            self._are_reliable = True
        self._last = page

    @property
    def another_page_is_due(self) -> bool:
        """Whether a page must follow the last one, or may: unreliable links do not tell."""
        has_next = self._last is not None and self._last.next is not None
        return has_next or not self._are_reliable


class PageTrail:
    """Decides which page to ask for after the last one of a list that was read.

    A list ends with a page that is not full and has no `next` link. No page is asked for twice;
    past the end that was announced, none after one that has come before. After MAX_IN_VAIN pages in
    a row that have come before or are refused, none is: what is announced may be anything.
    """

    def __init__(self) -> None:
        self._asked: set[frozenset[tuple[str, str]]] = set()
        self._announced = 0
        self._full_size: int | None = None
        self._last: Page | None = None
        # A page is known by its first row.
        self._first_rows: set[int] = set()
        self._in_vain = 0

    def add(self, page: Page) -> None:
        """Takes note of the next page that was read."""
        self._asked.add(_as_key({"page": page.number}))
        self._announced = max(self._announced, page.pages or 0)
        first_row = hash(repr(page.rows[:1]))
        is_in_vain = page.refusal is not None or first_row in self._first_rows
        self._in_vain = self._in_vain + 1 if is_in_vain else 0
        self._first_rows.add(first_row)
        if self._full_size is None:
            self._full_size = page.size or len(page.rows)
        self._last = page

    @property
    def leads_nowhere(self) -> bool:
        """Whether the last pages brought nothing, so that those after them will not either."""
        return self._in_vain >= MAX_IN_VAIN

    def following(self) -> PageParams | None:
        """The parameters of the page to ask for now, None where the list has ended."""
        page = self._last
        if page is None or page.refusal or self.leads_nowhere:
            return None
        if self._in_vain and page.number > self._announced:
            return None
        candidates = [page.next] if page.next else []
        if self._is_full(page):
            candidates.append({"page": page.number + 1})
        for params in candidates:
            number = params.get("page")
            key = _as_key({"page": number} if number else params)
            if key not in self._asked:
                self._asked.add(key)
                return params
        return None

    def _is_full(self, page: Page) -> bool:
        if page.size is not None:
            return page.is_full
        # Reports do not say how long a page is: the first of several was full.
        return page.number > 1 and len(page.rows) >= (self._full_size or 1)


def _as_key(params: PageParams) -> frozenset[tuple[str, str]]:
    return frozenset((name, str(value)) for name, value in params.items())
