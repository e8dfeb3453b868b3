"""Both grants when all goes well, and the token that config.json keeps for the next run."""

import os
import stat
import time
from datetime import datetime, timezone

import pytest

from tests.fake import stamp


def grants(fake):
    return [asked["grant_type"] for asked in fake.token_requests]


def seconds_from_now(seconds):
    return stamp(datetime.fromtimestamp(time.time() + seconds, timezone.utc))


@pytest.fixture(name="users")
def _users(tap):
    """Runs the tap for the users only; gives their number."""
    catalog = tap.select("users")
    return lambda: len(tap.good_run(catalog=catalog).records("users"))


def test_client_credentials_are_all_it_takes(tap, fake, users):
    assert users() == 8
    assert fake.token_requests == [
        {
            "grant_type": "client_credentials",
            "client_id": fake.client_id,
            "client_secret": fake.client_secret,
        }
    ]
    assert "refresh_token" not in tap.config
    asked, *others = fake.requests
    assert (asked.method, asked.path, asked.params) == ("POST", "/v2/oauth2/token", {})
    assert {other.headers["Authorization"] for other in others} == {
        f"Bearer {tap.config['access_token']}"
    }
    assert "Authorization" not in asked.headers


def test_a_refresh_token_is_used_when_there_is_one_and_its_successor_kept(tap, fake, users):
    old = fake.new_refresh_token()
    tap.configure(refresh_token=old)
    assert users() == 8
    assert fake.token_requests == [
        {
            "grant_type": "refresh_token",
            "refresh_token": old,
            "client_id": fake.client_id,
            "client_secret": fake.client_secret,
        }
    ]
    assert tap.config["refresh_token"] != old
    tap.configure(refresh_token=tap.config["refresh_token"])
    assert users() == 8 and grants(fake) == ["refresh_token"] * 2


def test_a_refresh_token_that_does_not_change_stays(tap, fake, users):
    fake.rotate = False
    tap.configure(refresh_token=fake.new_refresh_token())
    old = tap.config["refresh_token"]
    assert users() == 8 and tap.config["refresh_token"] == old


@pytest.mark.parametrize("refresh", [True, False])
def test_a_live_access_token_is_used_by_the_next_run(tap, fake, users, refresh):
    tap.configure(refresh_token=fake.new_refresh_token() if refresh else None)
    users()
    kept = tap.config
    assert (
        abs(
            datetime.fromisoformat(
                kept["access_token_expires_at"].replace("Z", "+00:00")
            ).timestamp()
            - time.time()
            - fake.token_lifetime
        )
        < 60
    )
    fake.clear()
    assert users() == 8 and grants(fake) == [] and tap.config == kept


@pytest.mark.parametrize("seconds, renewals", [(3600, 0), (None, 0), (-1, 1)])
def test_the_date_in_the_config_tells_whether_the_token_lives(tap, fake, users, seconds, renewals):
    tap.configure(
        access_token=fake.new_access_token(),
        access_token_expires_at=seconds and seconds_from_now(seconds),
    )
    assert users() == 8 and len(grants(fake)) == renewals


def test_a_token_that_the_api_refuses_is_renewed_once_and_the_run_goes_on(tap, fake, users):
    tap.configure(access_token="revoked", access_token_expires_at=seconds_from_now(3600))
    assert users() == 8
    assert grants(fake) == ["client_credentials"]
    assert [request.status for request in fake.requests].count(401) == 1


def test_the_config_is_replaced_whole_with_its_mode(tap, users):
    tap.config_path.chmod(0o640)
    inode = os.stat(tap.config_path).st_ino
    users()
    status = os.stat(tap.config_path)
    assert stat.S_IMODE(status.st_mode) == 0o640 and status.st_ino != inode
    assert sorted(os.listdir(tap.folder)) == ["catalog.json", "config.json"]
