"""How this Help Scout behaves: an option each; the defaults are what is documented or assumed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

# Documented: 25 conversations, 25 threads, 50 of nearly all else; reports as seen on live accounts.
PAGE_SIZES = {"conversations": 25, "threads": 25, "ratings": 100}
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

    # The rate limit, and how fast it is
    rate_limit: int = 100_000  # requests in any rate_window seconds
    rate_window: float = 60
    retry_after_header: str | None = "X-RateLimit-Retry-After"  # or "Retry-After", or None
    latency: float = 0  # seconds before each response
    index_lag: float = 0  # seconds until the lists show an edit
    clock_offset: float = 0  # seconds; moving it on ages tokens, index and the rate limit's window

    # The filters of the lists
    since_inclusive: bool = True  # modifiedSince=A finds what was modified at A
    until_inclusive: bool = True  # [* TO B] finds what was modified at B

    # Pages
    page_sizes: Mapping[str | None, int] = field(default_factory=PAGE_SIZES.copy)

    # Embedded threads
    embed: Literal["complete", "no_line_items", "cut_at_ten", "error_500"] = "complete"
    cut_chats: bool = True  # an embedded chat has only its newest thread

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


OPTIONS = get_type_hints(Habits)
CHOICES = {
    name: get_args(hint)
    for name, hint in OPTIONS.items()
    if getattr(hint, "__origin__", None) is Literal
}
