"""How this Help Scout behaves: an option each; the defaults are what is documented or assumed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

# Documented: 25 conversations, 25 threads, 50 of nearly all else; reports as seen on live accounts.
PAGE_SIZES: dict[str | None, int] = {"conversations": 25, "threads": 25, "ratings": 100}
OTHER_PAGE_SIZE = 50


@dataclass(eq=False, repr=False)
class Habits:
    """The options of a FakeHelpScout, which may be set at any time."""

    # The app, its user and its tokens
    client_id: str = "lamp-shop"
    client_secret: str = "lamp-shop-secret"
    token_lifetime: float = 172_800
    rotate: bool = True  # a refresh token dies when used, and the response has the next one
    inactive_user: bool = False
    plan: str = "plus"  # reports need "plus" or "pro"
    visible_mailboxes: Collection[int] | None = None  # to the app's user, if not all

    # The rate limit, and how fast it is
    rate_limit: int = 100_000  # requests in any rate_window seconds
    rate_window: float = 60
    retry_after_header: str | None = "X-RateLimit-Retry-After"  # or "Retry-After", or None
    latency: float = 0  # seconds before each response
    index_lag: float = 0  # seconds until the lists show an edit
    clock_offset: float = 0  # seconds; moving it on ages tokens, index and the rate limit's window

    # The lists, named as in `_embedded`, for which the habits of filters and totals hold
    habit_lists: Collection[str] = ("conversations", "customers")

    # Filters and order (of habit_lists)
    since_inclusive: bool = True  # modifiedSince=A finds what was modified at A
    from_inclusive: bool = True  # [A TO *] finds what was modified at A
    until_inclusive: bool = True  # [* TO B] finds what was modified at B
    since_ignored: bool = False
    since_ignored_beside_query: bool = False
    query_ignored_beside_since: bool = False
    query_start_ignored: bool = False  # [A TO B] is read as [* TO B]
    query_end_ignored: bool = False  # [A TO B] is read as [A TO *]
    query_works_until: int | None = None  # requests of a list with a query, counted since clear()
    # "everything": the query is ignored; "error" is a 500, "refused" a 400, "forbidden" a 403
    query_finds: Literal["range", "nothing", "everything", "error", "refused", "forbidden"] = (
        "range"
    )
    spam_query_finds: Literal["nothing", "everything"] | None = None  # of status=spam, if not alike
    sort_ignored: bool = False  # newest created first, customers by id, whatever is asked for
    status_all_has_spam: bool = True
    customers_mailbox_ignored: bool = False  # whatever habit_lists says

    # Totals (of habit_lists)
    # "none": the page object has none; "no_page": nor is there one; "stale": those of a minute ago
    # (of conversations, customers and threads), while the rows and links are as of now
    totals: Literal["exact", "none", "no_page", "stale"] = "exact"
    total_cap: int | None = None  # no total is larger, and no `next` leads further
    total_pages_is_one: bool = False  # beside a right `next` and totalElements

    # Pages (of all lists)
    page_sizes: Mapping[str | None, int] = field(default_factory=PAGE_SIZES.copy)
    past_the_end: Literal["empty", "404", "400", "last_page"] = "empty"
    depth_limit: int | None = None  # the page beyond which 400 is the response
    next_loops: bool = False  # the `next` of page 2 leads to page 1
    empty_embedded: Literal["absent", "object", "array"] = "absent"  # of an empty list: {}, []

    # Conversations and their threads
    shows_modified_at: bool = False  # conversations have a modifiedAt
    threads_404: bool = False  # to every list of threads
    embed: Literal[
        "complete",
        "no_line_items",
        "no_drafts",
        "no_hidden",
        "no_attachments",
        "cut_bodies",  # at 40 characters
        "cut_at_ten",  # threads
        "error_500",
    ] = "complete"
    cut_chats: bool = True  # an embedded chat has only its newest thread
    chat_threads_cut_anywhere: bool = False  # embedded, in e-mails too: bodies of 20 characters

    # The Date header: "right"; "-0000", right in a zone of that name; None, absent; else as it is
    date_header: str | None = "right"
    dates_wrong_for: int | None = None  # how many more responses have it so, if not all

    def set(self, page_size: int | None = None, **options: Any) -> None:
        """Set options by name; `page_size` is that of every list.

        Raises:
            TypeError: there is no option of that name.
            ValueError: the option has no such value.
        """
        if page_size:
            options["page_sizes"] = {None: page_size}
        for name, value in options.items():
            if name not in OPTIONS:
                raise TypeError(f"no such option: {name}")
            if value not in CHOICES.get(name, (value,)):
                raise ValueError(f"{name} is one of {CHOICES[name]}, not {value!r}")
            setattr(self, name, value)

    def page_size(self, name: str) -> int:
        """How many rows a page of this list has; a list is named as in `_embedded`."""
        return self.page_sizes.get(name) or self.page_sizes.get(None, OTHER_PAGE_SIZE)

    def of_list(self, name: str) -> "Habits":
        """What holds for the filters and totals of a list."""
        return self if name in self.habit_lists else DEFAULTS


DEFAULTS = Habits()
OPTIONS = get_type_hints(Habits)
CHOICES = {
    name: get_args(hint)
    for name, hint in OPTIONS.items()
    if getattr(hint, "__origin__", None) is Literal
}
