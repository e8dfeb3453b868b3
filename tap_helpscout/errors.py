"""What goes wrong between the tap and Help Scout, named by what follows from it.

HelpScoutError           what is wrong, in words
  ├─ UnauthorizedError   the credentials are refused: nothing can be read, the run ends
  └─ ApiError            this request fails: another stream may go well
       └─ RetriableError    it may succeed next time: tried again, and raised in the end
"""

from tap_helpscout.redaction import printable

FORBIDDEN_ADVICE = (
    "The account's plan or the user's permissions do not include it: change them, or deselect the "
    "stream in the catalog"
)
MISSING_ADVICE = (
    "If that stays, Help Scout does not have it for this account: deselect the stream in the "
    "catalog"
)
# https://developer.helpscout.com/mailbox-api/overview/errors
ADVICE = {403: FORBIDDEN_ADVICE, 404: MISSING_ADVICE, 410: MISSING_ADVICE}


class HelpScoutError(Exception):
    """What is wrong between the tap and Help Scout, in words.

    `status` is that of the response, None where there was none. `wait` is how many seconds the
    response says to wait, None where it does not say. `advice` is what the user can do. `said` is
    what Help Scout says of it: in its own words, in which people may be named. `reference` is by
    what its support can find it.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        wait: float | None = None,
        advice: str = "",
        said: str = "",
        reference: str = "",
    ) -> None:
        # Ids of the account's rows are in it, with whatever they hold.
        self.message, self.said, self.reference = map(printable, (message, said, reference))
        self.status, self.wait, self.advice = status, wait, advice
        super().__init__(self._with_advice(self.in_full))

    @property
    def shareable(self) -> str:
        """The same without Help Scout's own words: for what may go into a bug report."""
        return self._with_advice(self.outline)

    @property
    def outline(self) -> str:
        """What happened, without those and without advice: for what is not to be mended."""
        return self._with_reference(self.message)

    @property
    def in_full(self) -> str:
        """What happened, with them and without advice."""
        words = f"{self.message} ({self.said})" if self.said else self.message
        return self._with_reference(words)

    def _with_reference(self, words: str) -> str:
        return f"{words} [reference {self.reference}]" if self.reference else words

    def _with_advice(self, words: str) -> str:
        return f"{words}. {self.advice}" if self.advice else words


class UnauthorizedError(HelpScoutError):
    """The credentials are refused: nothing can be read."""


class ApiError(HelpScoutError):
    """One request fails: another stream may go well."""


class RetriableError(ApiError):
    """No response, or one that may be better next time."""


def credentials_advice(has_refresh_token: bool) -> str:
    """What to do where the credentials are refused."""
    advice = (
        "Check client_id and client_secret against My Apps in Help Scout, and that the user who "
        "made the app is active and may use the API"
    )
    if has_refresh_token:
        advice += (
            ". The refresh_token must be the latest: it dies when it is used, and then only "
            "authorizing the app again helps"
        )
    return advice
