"""The life of the tokens.

An access token lives for two days or so and is kept in config.json, so that most runs ask for none.
A refresh token is worth more: it may die when it is used, and the answer that holds its successor
comes once. It is spent only when config.json has just been proved replaceable, with other runs on
the same file held off. Without a refresh token the app's own credentials are enough (client
credentials grant), and then a config that cannot be written is no harm.
"""

import contextlib
import threading
import time
from datetime import datetime, timedelta, timezone

from requests.auth import AuthBase

from tap_helpscout import config as config_file
from tap_helpscout.config import ConfigError
from tap_helpscout.transform import format_moment, moment_or_none

SPARE_BYTES = 8192  # more than any answer with tokens


class Auth(AuthBase):
    """Puts a live token on each request; `exchange` turns a grant into the API's answer, and what
    runs within `unbroken` is not ended half-way."""

    def __init__(self, path, config, dev, exchange, unbroken):
        self._path, self._config, self._dev, self._exchange = path, config, dev, exchange
        self._unbroken = unbroken
        self._lock = threading.Lock()
        self._token = self._expires_at = self._refused = None
        self.secrets = {config.client_secret, config.refresh_token, config.access_token} - {None}
        if dev:
            self._token = config.access_token
        else:
            self._take(vars(config))

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.live_token()}"
        return request

    def live_token(self):
        """The access token, a new one where the old is dead; only one thread asks for it."""
        with self._lock:
            if not (self._dev or _is_alive(self._token, self._expires_at)):
                self._renew()
            return self._token

    def refuse(self, header):
        """The API took this Authorization header for dead; whether another can be had."""
        with self._lock:
            if header == f"Bearer {self._token}" and not self._dev:
                self._refused, self._token = self._token, None
        return not self._dev

    def _renew(self):
        # A refresh token's successor comes once: nothing is to end the run in between.
        unbroken = self._unbroken if self._config.refresh_token else contextlib.nullcontext()
        with unbroken, config_file.locked(self._path):
            document = self._reread()
            if self._take(document):
                return
            grant = {
                "client_id": self._config.client_id,
                "client_secret": self._config.client_secret,
            }
            refresh_token = _text(document, "refresh_token")
            if refresh_token:
                self.secrets.add(refresh_token)
                self._save(
                    document,
                    "The refresh token was not used, because its successor could not be kept",
                    SPARE_BYTES,
                )
                grant.update(grant_type="refresh_token", refresh_token=refresh_token)
            else:
                grant.update(grant_type="client_credentials")
            self._keep(document, self._exchange(grant))

    def _reread(self):
        # Another run may have written new tokens since this one started.
        try:
            return config_file.read_json(self._path, "config")
        except ConfigError:
            if self._config.refresh_token:
                raise
            return {}  # too little to be saved: the next run asks again

    def _take(self, document):
        """Uses the access token in the config, if it lives and is that of this app: a config that
        was copied, or given another app, still holds the token of the first."""
        token, expires_at = (
            _text(document, "access_token"),
            moment_or_none(document.get("access_token_expires_at")),
        )
        is_ours = _text(document, "access_token_client_id") in ("", self._config.client_id)
        if not is_ours or token == self._refused or not _is_alive(token, expires_at):
            return False
        self._token, self._expires_at = token, expires_at
        self.secrets.add(token)
        return True

    def _keep(self, document, answer):
        self._token, self._expires_at = answer["access_token"], None
        with contextlib.suppress(OverflowError, TypeError, ValueError):  # unknown, then
            self._expires_at = datetime.now(timezone.utc) + timedelta(
                seconds=float(answer.get("expires_in"))
            )
        document.update(
            access_token=self._token,
            access_token_expires_at=self._expires_at and format_moment(self._expires_at),
            access_token_client_id=self._config.client_id,
        )
        if answer.get("refresh_token"):
            document["refresh_token"] = answer["refresh_token"]
        self.secrets.update({self._token, document.get("refresh_token")} - {None, ""})
        self._save(
            document,
            "The new tokens could not be kept: if the next run is refused, "
            "authorize the app again (README.md, OAuth)",
        )

    def _save(self, document, consequence, spare=0):
        if "client_id" not in document:
            return
        try:
            config_file.save(self._path, document, spare)
        except OSError as error:
            if not document.get("refresh_token"):
                return  # client credentials: the next run asks again
            raise ConfigError(
                f"cannot replace the config file {self._path}: {error.strerror}. {consequence}. "
                "Let the tap write the file and its folder (mount the folder, not the file "
                "alone), or use client credentials, which need no refresh_token"
            ) from error


def _text(document, name):
    # Stripped, as when it was checked.
    return str(document.get(name) or "").strip()


def _is_alive(token, expires_at):
    # No expiry known: it is tried, and a 401 tells.
    return bool(token) and (expires_at is None or time.time() < expires_at.timestamp())
