"""What is made of responses and failures; what is sent, the tests through the command show."""

import json
import ssl

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.config import parse_config
from tap_helpscout.errors import ApiError, HelpScoutError, RetriableError, UnauthorizedError
from tap_helpscout.files import ConfigError
from tap_helpscout.responses import parse_json
from tap_helpscout.transport import Transport

SETTINGS = {"client_id": "a", "client_secret": "lamp-secret", "start_date": "2020-01-01"}


class Answering(requests.adapters.BaseAdapter):
    """Answers each request with what it has been given."""

    def __init__(self, content=b"{}", status=200, headers=None, error=None):
        super().__init__()
        self.content, self.status, self.error = content, status, error
        self.headers, self.sent = headers or {}, []

    def send(self, request, **kwargs):  # pylint: disable=arguments-differ
        self.sent.append((request, kwargs))
        if self.error:
            raise self.error
        response = requests.Response()
        response.status_code, response.headers = (
            self.status,
            requests.structures.CaseInsensitiveDict(),
        )
        response.headers.update(self.headers)
        response._content = self.content  # pylint: disable=protected-access
        response.request, response.url = request, request.url
        response.raw = None
        return response

    def close(self):
        pass


def transport(adapter, monkeypatch, **settings):
    """A transport whose requests come to this adapter."""
    monkeypatch.setattr("tap_helpscout.transport.DeadlineAdapter", lambda **_: adapter)
    monkeypatch.setattr("requests.sessions.extract_cookies_to_jar", lambda *_: None)
    return Transport(parse_config({**SETTINGS, **settings}, "config.json"))


@pytest.fixture(name="get")
def _get(monkeypatch):
    """Sends a GET that is answered so."""

    def get(*args, **kwargs):
        return transport(Answering(*args, **kwargs), monkeypatch).send("GET", "/v2/users")

    return get


def failure(get, *args, **kwargs):
    with pytest.raises(HelpScoutError) as caught:
        get(*args, **kwargs)
    return caught.value


def test_a_good_response_is_its_json(get):
    assert get(b'{"a": [1, 2.5, "x"]}') == {"a": [1, 2.5, "x"]}


@pytest.mark.parametrize(
    "status, kind",
    [
        (301, ApiError),
        (400, ApiError),
        (401, UnauthorizedError),
        (403, ApiError),
        (404, ApiError),
        (408, RetriableError),
        (429, RetriableError),
        (500, RetriableError),
        (503, RetriableError),
    ],
)
def test_each_status_has_its_error(get, status, kind):
    error = failure(get, b'{"message": "The lamps are out", "logRef": "r1"}', status)
    assert error.__class__ is kind and error.status == status and error.wait is None
    assert error.shareable.startswith(f"GET /v2/users answered {status} [reference r1]")
    assert str(error).startswith(f"{error.message} (The lamps are out) [reference r1]")
    assert error.said not in error.shareable
    assert bool(error.advice) == (status in (401, 403, 404))


@pytest.mark.parametrize("has_token, words", [(True, True), (False, False)])
def test_advice_speaks_of_a_refresh_token_only_where_there_is_one(monkeypatch, has_token, words):
    sender = transport(
        Answering(status=401), monkeypatch, refresh_token="refresh" if has_token else None
    )
    with pytest.raises(UnauthorizedError) as caught:
        sender.send("GET", "/v2/users")
    assert ("refresh_token" in str(caught.value)) == words


@pytest.mark.parametrize(
    "headers, wait",
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "7", "X-RateLimit-Retry-After": "3"}, 3),
        ({"Retry-After": "7", "X-RateLimit-Retry-After": "soon"}, 7),
        ({"Retry-After": "3601"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_what_the_response_says(get, headers, wait):
    assert failure(get, b"", 429, headers).wait == wait


@pytest.mark.parametrize(
    "header, limit",
    [
        ("400", 400),
        (" 60 ", 60),
        ("0x10", 200),
        ("1e9", 200),
        ("²", 200),
        ("9" * 5000, 200),
        ("0", 200),
        ("-1", 200),
        ("999999999", 200),
        ("", 200),
        (None, 200),
    ],
)
def test_the_limit_is_a_plain_number_or_unknown(monkeypatch, header, limit):
    headers = {"X-RateLimit-Limit-Minute": header} if header is not None else {}
    sender = transport(Answering(headers=headers), monkeypatch)
    sender.send("GET", "/v2/users")
    assert sender.limiter.limit == limit and sender.requests_sent == 1


@pytest.mark.parametrize(
    "body, is_error",
    [
        ({"message": "m", "logRef": "r"}, True),
        ({"message": "m", "error": "e"}, True),
        ({"message": "m"}, True),
        ({"message": "m", "logRef": "r", "_embedded": {"errors": []}}, True),
        ({"message": "m", "id": 7}, False),
        ({"message": "m", "logRef": "r", "detail": "d"}, True),
        ({"logRef": "r"}, False),
        ({"message": "m", "logRef": "r", "page": {}}, False),
        ({"message": "m", "logRef": "r", "_embedded": {}}, False),
        ({"message": "m", "error": "e", "results": []}, False),
        ([{"message": "m", "logRef": "r"}], False),
    ],
)
def test_an_error_is_one_though_the_status_says_200(get, body, is_error):
    content = json.dumps(body).encode()
    if is_error:
        error = failure(get, content)
        assert isinstance(error, RetriableError) and error.said.startswith("m")
        assert "answered 200 with an error" in error.message
    else:
        assert get(content) == body


@pytest.mark.parametrize("content", [b"", b"<html>", b"{", b"\xff", b'{"a": 1} x'])
def test_what_is_no_json_may_be_better_next_time(get, content):
    error = failure(get, content)
    assert isinstance(error, RetriableError) and "something that is not JSON" in str(error)


@pytest.mark.parametrize("content", [b"[1e400]", b"[NaN]", b"[-Infinity]", b"[" * 100_000])
def test_what_no_target_could_load_will_not_be_better(get, content):
    error = failure(get, content)
    assert error.__class__ is ApiError and error.status == 200


@pytest.mark.parametrize(
    "raised, kind, words",
    [
        (requests.ConnectionError("lost"), RetriableError, "ConnectionError lost"),
        (requests.Timeout("slow"), RetriableError, "no answer within request_timeout"),
        (requests.exceptions.InvalidProxyURL("//me:pw@x"), ApiError, "//***@x"),
        (OSError("no CA bundle lamp-secret"), ApiError, "no CA bundle ***"),
        (UnicodeError("label too long"), ApiError, "label too long"),
        (requests.exceptions.SSLError(ssl.SSLCertVerificationError("own")), RetriableError, "own"),
        (requests.exceptions.ChunkedEncodingError("a\nb"), RetriableError, r"a\nb"),
    ],
)
def test_each_failure_to_get_a_response_has_its_error(get, raised, kind, words):
    error = failure(get, error=raised)
    assert error.__class__ is kind and error.status is None
    assert str(error).startswith("GET /v2/users failed: ")
    assert words in str(error) and "(at https://api.helpscout.net)" in str(error)


def test_a_certificate_that_is_not_trusted_stays_so(get):
    raised = requests.exceptions.SSLError("wrapped")
    raised.__cause__ = ssl.SSLCertVerificationError("self-signed")
    error = failure(get, error=raised)
    assert error.__class__ is ApiError and "self-signed" in str(error)


def test_a_request_carries_its_token_and_no_redirect_is_followed(monkeypatch):
    adapter = Answering()
    sender = transport(adapter, monkeypatch)
    sender.send("GET", "/v2/users", params={"page": 2}, token="live")
    sender.send("POST", "/v2/oauth2/token", data={"grant_type": "client_credentials"})
    first, settings = adapter.sent[0]
    second, _ = adapter.sent[1]
    assert first.url == "https://api.helpscout.net/v2/users?page=2"
    assert first.headers["Authorization"] == "Bearer live" and settings["timeout"] == 60
    assert "Authorization" not in second.headers and second.body.startswith("grant_type=")
    assert first.headers["User-Agent"].startswith("tap-helpscout/")


@pytest.mark.parametrize("url", ["http://user:hunter2@", "http://", "http://[::1", "u:hunter2@h:x"])
def test_a_proxy_that_cannot_be_used_is_a_mistake_of_the_configuration(monkeypatch, url):
    monkeypatch.setenv("HTTPS_PROXY", url)
    monkeypatch.setenv("https_proxy", url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ConfigError, match="the proxy URL in the environment") as caught:
        transport(Answering(), monkeypatch)
    assert "hunter2" not in str(caught.value)


@given(st.binary())
def test_json_is_parsed_or_refused_with_a_value_error(content):
    try:
        parse_json(content)
    except ValueError:
        pass


def test_what_was_merely_being_handled_is_not_said_to_be_the_cause(get):
    lost = ConnectionResetError("reset by peer")
    lost.__context__ = StopIteration()
    raised = requests.ConnectionError("wrapped")
    raised.__cause__ = lost
    assert "ConnectionResetError reset by peer" in str(failure(get, error=raised))
