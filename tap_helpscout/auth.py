"""The life of the tokens.

An access token lives for two days or so and is kept in config.json, so that most runs ask for none.
A refresh token is worth more: it may die when it is used, and the response that holds its successor
comes once. It is spent only when config.json has just been proved replaceable, with other runs on
the same file held off. Without a refresh token the app's own credentials are enough (client
credentials grant), and then a config that cannot be written is no harm.

https://developer.helpscout.com/mailbox-api/overview/authentication
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from typing import Any, TypeGuard

from tap_helpscout.config import Config
from tap_helpscout.dates import datetime_or_none, format_datetime
from tap_helpscout.errors import ApiError, RetriableError, UnauthorizedError, credentials_advice
from tap_helpscout.files import ConfigError, read_json
from tap_helpscout.replacing import locked, replace_json
from tap_helpscout.transport import Transport

TOKEN_PATH = "/v2/oauth2/token"

# Our choice: room that new tokens may need on the disk, more than any response with tokens has.
SPARE_BYTES = 8192

# Our choice: another run holds the lock for one token request. After so many times the timeout of a
# request, and some seconds at least, that run is over or hangs.
SHORTEST_LOCK_DEADLINE = 5  # seconds
TIMEOUTS_PER_LOCK = 2


class Tokens:
    """The access token for all requests, renewed when it has died.

    `path` is the config file, which new tokens are written to. What runs within `unbroken` is not
    ended half-way by a signal. With `dev` the config's token is used, and no other is asked for.
    """

    def __init__(
        self,
        path: str,
        config: Config,
        dev: bool,
        transport: Transport,
        unbroken: AbstractContextManager[Any],
    ) -> None:
        self._path, self._config, self._dev = path, config, dev
        self._transport, self._unbroken = transport, unbroken
        self._lock = threading.Lock()
        self._token: str | None = None
        self._expires_at: datetime | None = None  # None where that is not known
        self._refused: str | None = None
        if dev:
            self._token = config.access_token
        else:
            self._adopt_if_alive(vars(config))

    def live_token(self) -> str:
        """The access token, a new one where the old has died; one thread at a time asks for it.

        Raises ConfigError, UnauthorizedError, ApiError, RetriableError.
        """
        with self._lock:
            if self._token and (self._dev or _is_alive(self._expires_at)):
                return self._token
            return self._renew()

    def in_words(self) -> str:
        """Which grant is used, and until when its token lives."""
        if self._dev:
            return "the access token of the config, which is not renewed"
        grant = "refresh token" if self._config.refresh_token else "client credentials"
        if not self._expires_at:
            return grant
        return f"{grant}; the token lives until {self._expires_at:%Y-%m-%d %H:%M} UTC"

    def refuse(self, token: str) -> bool:
        """Takes note that the API refuses a token; whether another can be had."""
        with self._lock:
            if token == self._token and not self._dev:
                self._refused, self._token = token, None
        return not self._dev

    def _renew(self) -> str:
        if self._config.refresh_token and _is_no_file(self._path):
            raise ConfigError(
                f"a refresh_token needs a config file that can be written, and {self._path} is a "
                "pipe: give the file itself to --config, or leave the refresh_token out if the "
                "account is your own"
            )
        deadline = TIMEOUTS_PER_LOCK * self._config.request_timeout
        # A refresh token's successor comes once: nothing is to end the run in between. `unbroken`
        # comes first: it may wait for a message that is being written, and meanwhile another run
        # may need the file's lock.
        unbroken = self._unbroken if self._config.refresh_token else contextlib.nullcontext()
        with unbroken, locked(self._path, max(deadline, SHORTEST_LOCK_DEADLINE)):
            document = self._read_again()
            if token := self._adopt_if_alive(document):
                return token
            # One that was added meanwhile is for the next run.
            refresh_token = _text(document, "refresh_token") if self._config.refresh_token else ""
            if refresh_token:
                self._transport.redactor.add(refresh_token)
                self._prove_that_it_can_be_saved(document)
            return self._keep(document, self._request_tokens(refresh_token))

    def _read_again(self) -> dict[str, Any]:
        """The config file as it is now: another run may have written new tokens to it."""
        if _is_no_file(self._path):
            return {}  # nor is anything saved in a pipe, and to open it again may take for ever
        try:
            return read_json(self._path, "config")
        except ConfigError:
            if self._config.refresh_token:
                raise
            return {}  # too little to be saved: the next run asks again

    def _prove_that_it_can_be_saved(self, document: dict[str, Any]) -> None:
        """Saves the config as it is, with room for new tokens: a refresh token is not spent where
        its successor would be lost."""
        self._save(
            document,
            "The refresh token was not used, because its successor could not be kept",
            SPARE_BYTES,
        )

    def _adopt_if_alive(self, document: Mapping[str, Any]) -> str | None:
        """Takes over the access token of a config if it lives, was not refused and is that of this
        app: a config that was copied, or given another app, still holds the token of the first."""
        token = _text(document, "access_token")
        expires_at = datetime_or_none(document.get("access_token_expires_at"))
        is_ours = _text(document, "access_token_client_id") in ("", self._config.client_id)
        if not (is_ours and token and token != self._refused and _is_alive(expires_at)):
            return None
        self._token, self._expires_at = token, expires_at
        self._transport.redactor.add(token)
        return token

    def _request_tokens(self, refresh_token: str) -> dict[str, Any]:
        """The response to a grant: of the refresh token, without one of the app's credentials."""
        grant = {"grant_type": "client_credentials"}
        if refresh_token:
            grant = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        grant["client_id"] = self._config.client_id
        grant["client_secret"] = self._config.client_secret
        try:
            # Numbers that no schema would take are read too: a response that is refused here is a
            # refresh token lost.
            body = self._transport.send("POST", TOKEN_PATH, data=grant, parse=json.loads)
        except RetriableError:
            raise
        except ApiError as error:
            if error.status in (None, 200):  # no answer, or none that can be read
                raise
            advice = credentials_advice(bool(refresh_token))
            raise UnauthorizedError(
                error.message,
                error.status,
                advice=advice,
                said=error.said,
                reference=error.reference,
            ) from None
        return body if isinstance(body, dict) else {}

    def _keep(self, document: dict[str, Any], response: Mapping[str, Any]) -> str:
        """Writes down what is sound of a response, and only then complains of what is not."""
        sent, refresh_token = response.get("access_token"), response.get("refresh_token")
        token = sent if _is_token(sent) else None
        if _is_token(refresh_token):
            document["refresh_token"] = refresh_token
        if token:
            self._token, self._expires_at = token, _expiry(response.get("expires_in"))
            document.update(
                access_token=token,
                access_token_expires_at=self._expires_at and format_datetime(self._expires_at),
                access_token_client_id=self._config.client_id,
            )
        for secret in (sent, refresh_token):
            self._transport.redactor.add(str(secret or ""))
        self._save(
            document,
            "The new tokens could not be kept: if the next run is refused, "
            "authorize the app again (README.md, OAuth)",
        )
        if refresh_token and not _is_token(refresh_token):
            kept = " The access token has been kept and serves until it expires." if token else ""
            raise UnauthorizedError(
                f"POST {TOKEN_PATH} answered with a refresh_token that is no text: the next one is "
                f"lost.{kept} If runs are refused then, authorize the app again (README.md, OAuth)"
            )
        if not token:
            raise RetriableError(f"POST {TOKEN_PATH} answered without an access_token")
        return token

    def _save(self, document: dict[str, Any], consequence: str, spare: int = 0) -> None:
        if "client_id" not in document:
            return
        try:
            replace_json(self._path, document, spare)
        except OSError as error:
            if not document.get("refresh_token"):
                return  # client credentials: the next run asks again
            raise ConfigError(
                f"cannot replace the config file {self._path}: {error.strerror}. {consequence}. "
                "Let the tap write the file and its folder (mount the folder, not the file "
                "alone), or use client credentials, which need no refresh_token"
            ) from error


def _is_no_file(path: str) -> bool:
    return os.path.exists(path) and not os.path.isfile(path)


def _text(document: Mapping[str, Any], name: str) -> str:
    # Stripped, as when it was checked.
    return str(document.get(name) or "").strip()


def _is_token(value: Any) -> TypeGuard[str]:
    """Whether it can be sent, and be read again by a next run."""
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def _expiry(expires_in: Any) -> datetime | None:
    """When a token dies; None where that is not known: then it is used until it is refused."""
    with contextlib.suppress(OverflowError, TypeError, ValueError):
        seconds = float(expires_in)
        if seconds > 0:
            return datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return None


def _is_alive(expires_at: datetime | None) -> bool:
    # No expiry known: it is tried, and a 401 tells.
    return expires_at is None or time.time() < expires_at.timestamp()
