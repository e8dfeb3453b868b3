"""Keeps secrets out of the log, and one message in one line of it."""

import re
import threading

HIDDEN = "***"

# What precedes the @ in a URL, as far as it can be told without parsing what may be no URL.
USER_INFO = re.compile(r"(?<=//)[^/@\s]*@")


class Redactor:
    """Hides the secrets that it has been given, also in the forms in which URLs and JSON have
    them."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, *secrets: str | None) -> None:
        """From now on these are hidden; empty ones are none."""
        with self._lock:
            self._secrets.update(secret for secret in secrets if secret)
            # The longest first, for one may be the beginning of another.
            forms = sorted(map(_any_form, self._secrets), key=len, reverse=True)
            self._pattern = re.compile("|".join(forms)) if forms else None

    def clean(self, text: object) -> str:
        """The text without secrets, and without line breaks and other control characters, which
        could pass for lines that the tap has written."""
        cleaned = str(text)
        if self._pattern:
            cleaned = self._pattern.sub(HIDDEN, cleaned)
        cleaned = USER_INFO.sub(f"{HIDDEN}@", cleaned)
        return printable(cleaned)


def printable(text: str) -> str:
    """The text with line breaks and other control characters escaped."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _any_form(secret: str) -> str:
    """A regular expression for a secret as it is, url-encoded, or within a string of JSON."""
    return "".join(map(_any_form_of_character, secret))


def _any_form_of_character(char: str) -> str:
    if char.isalnum() and char.isascii():
        return char
    encoded = "".join(f"%{byte:02X}" for byte in char.encode(errors="surrogatepass"))
    # As it is comes last, for it may be the beginning of the others: % of %25.
    forms = [re.escape(f"\\{char}"), rf"(?i:\\u{ord(char):04x})", f"(?i:{encoded})"]
    if char == " ":
        forms.append(r"\+")
    forms.append(re.escape(char))
    return f"(?:{'|'.join(forms)})"
