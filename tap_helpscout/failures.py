"""Failures: what each way in which a request can fail is called, and what is said of it."""

import http.client
import json
import ssl
from collections.abc import Callable
from typing import Any

import requests
import urllib3

from tap_helpscout.adapter import ResponseTooSlow
from tap_helpscout.errors import (
    ADVICE,
    ApiError,
    HelpScoutError,
    RetriableError,
    UnauthorizedError,
    credentials_advice,
)
from tap_helpscout.redaction import Redactor
from tap_helpscout.responses import body_or_none, error_details, is_error, told_wait

# What is wrong with the URL of the API or of a proxy stays wrong.
LASTING = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)

# documented: 429 (https://developer.helpscout.com/mailbox-api/overview/rate-limiting);
# by HTTP: the server waited too long for the request, and has not acted on it
RETRIABLE_STATUSES = (408, 429)

# Our choice: enough for the longest message with its details, and not for a page of HTML
LONGEST_WORDS = 1000

# What a failed request may be raised from.
NETWORK_ERRORS = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)


class Failures:
    """Makes errors of failed requests; no secret of the `redactor` is in their words."""

    def __init__(self, redactor: Redactor, api_url: str, has_refresh_token: bool) -> None:
        self._redactor, self._api_url = redactor, api_url
        self._has_refresh_token = has_refresh_token

    def no_response(self, what: str, error: Exception) -> ApiError:
        """What is raised where there is no whole response."""
        is_lasting = (
            not isinstance(error, requests.RequestException)
            or isinstance(error, LASTING)
            or isinstance(_root(error), ssl.SSLCertVerificationError)
        )
        reason = self._redactor.clean(_reason(error))
        kind = ApiError if is_lasting else RetriableError
        return kind(f"{what} failed: {reason} (at {self._api_url})")

    def refusal(self, what: str, response: requests.Response) -> HelpScoutError:
        """What is raised for a response that is not 200.

        https://developer.helpscout.com/mailbox-api/overview/errors
        """
        status = response.status_code
        body = body_or_none(response)
        said = self._said(body) or self._redactor.clean(response.reason or "")[:LONGEST_WORDS]
        kind: type[HelpScoutError] = ApiError
        wait, advice = None, ADVICE.get(status, "")
        if status in RETRIABLE_STATUSES or status >= 500:
            kind, wait = RetriableError, told_wait(response)
        elif status == 401:
            kind = UnauthorizedError
            advice = credentials_advice(self._has_refresh_token)
        reference = self._reference(response, body)
        return kind(f"{what} answered {status}", status, wait, advice, said, reference)

    def body(self, what: str, response: requests.Response, parse: Callable[[bytes], Any]) -> Any:
        """The JSON of a response that is 200. Raises ApiError or RetriableError where it is none,
        or tells of an error."""
        try:
            body = parse(response.content)
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise RetriableError(
                f"{what} answered 200 with something that is not JSON", 200
            ) from None
        except RecursionError:
            raise ApiError(
                f"{what} answered 200 with JSON that is nested too deeply", 200
            ) from None
        except ValueError as error:
            reason = self._redactor.clean(error)
            raise ApiError(f"{what} answered 200 with unusable JSON: {reason}", 200) from None
        if is_error(body):
            raise RetriableError(
                f"{what} answered 200 with an error",
                200,
                said=self._said(body),
                reference=self._reference(response, body),
            )
        return body

    def _said(self, body: Any) -> str:
        """What the API says of an error.

        https://developer.helpscout.com/mailbox-api/overview/errors
        """
        if not isinstance(body, dict):
            return ""
        parts = [body.get(key) for key in ("message", "error", "error_description")]
        words = ": ".join(str(part) for part in parts + error_details(body) if part)
        return self._redactor.clean(words)[:LONGEST_WORDS]

    def _reference(self, response: requests.Response, body: Any) -> str:
        """By what Help Scout's support can find an error."""
        reference = response.headers.get("Correlation-Id")
        if isinstance(body, dict):
            reference = body.get("logRef") or reference
        return self._redactor.clean(reference or "")[:LONGEST_WORDS]


def _reason(error: BaseException) -> str:
    """The root of a connection error: what requests wraps around it repeats the URL."""
    root = _root(error)
    if isinstance(root, ResponseTooSlow):
        return str(root)
    if isinstance(error, requests.Timeout):
        return "no answer within request_timeout"
    return f"{type(root).__name__} {root}".strip()


def _root(error: BaseException) -> BaseException:
    """What a network error was raised from in the end. An error that was merely being handled when
    it was raised is no cause of it."""
    cause = error.__cause__ or error.__context__
    while isinstance(cause, NETWORK_ERRORS):
        error, cause = cause, cause.__cause__ or cause.__context__
    return error
