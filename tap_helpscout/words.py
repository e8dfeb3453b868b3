"""Numbers with their nouns and verbs: what the log and `--check` say."""


def in_words(number: int, what: str, plural: str | None = None) -> str:
    """`1 row`, `2 rows`, `3 inboxes`."""
    return f"{number} {what if number == 1 else plural or f'{what}s'}"


def is_or_are(number: int) -> str:
    """The verb that goes with a number: 1 is, 2 are."""
    return "is" if number == 1 else "are"
