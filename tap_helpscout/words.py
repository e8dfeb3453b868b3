"""Words that many messages have: numbers with their nouns and verbs, what was probably meant."""

import difflib
from collections.abc import Container, Iterable


def in_words(number: int, what: str, plural: str | None = None) -> str:
    """`1 row`, `2 rows`, `3 inboxes`."""
    return f"{number} {what if number == 1 else plural or f'{what}s'}"


def is_or_are(number: int) -> str:
    """The verb that goes with a number: 1 is, 2 are."""
    return "is" if number == 1 else "are"


def did_you_mean(
    name: str, names: Iterable[str], taken: Container[str] = (), similarity: float = 0.6
) -> str:
    """The end of a sentence on a name that is unknown: `; did you mean users?`, or nothing. Of one
    that is `taken` it is said that it stands beside the unknown one. `similarity`, from 0 to 1, is
    how close a name must be."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=similarity)
    if not close:
        return ""
    return f"; did you mean {close[0]}{', which is there too' if close[0] in taken else ''}?"
