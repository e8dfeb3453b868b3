"""The life of the tokens: what is kept of odd responses, and when a token is used."""

import contextlib
import json
from types import SimpleNamespace

import pytest

from tap_helpscout.auth import Tokens
from tap_helpscout.config import parse_config
from tap_helpscout.errors import RetriableError, UnauthorizedError

SETTINGS = {"client_id": "app", "client_secret": "b", "start_date": "2020-01-01"}
LATER = "2099-01-01T00:00:00Z"


@pytest.fixture(name="config")
def _config(tmp_path):
    """A config file: tokens(response) are those of an account that answers so, document() is what
    the file holds."""
    path = tmp_path / "config.json"

    def tokens(response, dev=False, **settings):
        path.write_text(json.dumps({**SETTINGS, **settings}))
        asked = []

        def send(_method, _path, *, data, parse):
            del parse
            asked.append(data)
            return response

        transport = SimpleNamespace(
            send=send, asked=asked, redactor=SimpleNamespace(add=lambda *_: None)
        )
        config = parse_config({**SETTINGS, **settings}, str(path), dev)
        made = Tokens(str(path), config, dev, transport, contextlib.nullcontext())
        return made, asked

    return SimpleNamespace(tokens=tokens, document=lambda: json.loads(path.read_text()))


@pytest.mark.parametrize("odd", [5, {"a": 1}, ["x"], True, "two\nlines", "größe"], ids=repr)
def test_a_refresh_token_that_is_no_text_is_said_when_the_rest_is_kept(config, odd):
    tokens, _ = config.tokens({"access_token": "live", "refresh_token": odd}, refresh_token="old")
    with pytest.raises(UnauthorizedError, match="a refresh_token that is no text"):
        tokens.live_token()
    kept = config.document()
    assert (kept["access_token"], kept["refresh_token"]) == ("live", "old")


@pytest.mark.parametrize("odd", [None, "", 0, False, [], ...], ids=repr)
def test_no_refresh_token_in_the_response_is_no_fault(config, odd):
    response = {"access_token": "live", **({} if odd is ... else {"refresh_token": odd})}
    tokens, asked = config.tokens(response, refresh_token="old")
    assert tokens.live_token() == "live"
    assert config.document()["refresh_token"] == asked[0]["refresh_token"] == "old"


@pytest.mark.parametrize("odd", [None, "", 7, [], "two\nlines", ...], ids=repr)
def test_a_response_without_an_access_token_loses_no_refresh_token(config, odd):
    response = {"refresh_token": "next", **({} if odd is ... else {"access_token": odd})}
    tokens, _ = config.tokens(response, refresh_token="old")
    with pytest.raises(RetriableError, match="without an access_token"):
        tokens.live_token()
    assert config.document()["refresh_token"] == "next"


@pytest.mark.parametrize("expires_in", [0, "0", -5, float("nan"), float("inf"), "soon", None, []])
def test_a_token_of_unknown_life_is_used_until_it_is_refused(config, expires_in):
    tokens, asked = config.tokens({"access_token": "live", "expires_in": expires_in})
    assert tokens.live_token() == tokens.live_token() == "live" and len(asked) == 1
    assert config.document()["access_token_expires_at"] is None
    assert tokens.refuse("live")
    tokens.live_token()
    assert len(asked) == 2


@pytest.mark.parametrize(
    "kept, is_used",
    [
        ({"access_token": "old"}, True),
        ({"access_token": "old", "access_token_expires_at": LATER}, True),
        ({"access_token": "old", "access_token_expires_at": "2020-01-01T00:00:00Z"}, False),
        ({"access_token": "old", "access_token_expires_at": "soon"}, True),
        ({"access_token": "old", "access_token_client_id": "app"}, True),
        ({"access_token": "old", "access_token_client_id": "another"}, False),
        ({"access_token": ""}, False),
    ],
    ids=str,
)
def test_a_token_of_the_config_is_used_while_it_may_live_and_is_this_apps(config, kept, is_used):
    tokens, asked = config.tokens({"access_token": "new"}, **kept)
    assert tokens.live_token() == ("old" if is_used else "new")
    assert bool(asked) != is_used


def test_with_dev_no_other_token_is_asked_for(config):
    tokens, asked = config.tokens({}, dev=True, access_token="theirs")
    assert tokens.live_token() == "theirs" and not tokens.refuse("theirs") and not asked
