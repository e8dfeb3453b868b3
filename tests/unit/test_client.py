"""What the client puts together: an executor, the cure of a 401, the time of the run's start."""

import threading
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

from tap_helpscout.client import CLOCK_PATH, Client, SerialExecutor
from tap_helpscout.config import parse_config
from tap_helpscout.errors import ApiError, RetriableError, UnauthorizedError

START = datetime(2026, 6, 11, tzinfo=timezone.utc)
SETTINGS = {"client_id": "a", "client_secret": "b", "start_date": "2020-01-01", "retry_seconds": 0}


class Transport:
    """Answers as it is told, one after another, and notes the tokens that it was sent."""

    requests_sent = 7

    def __init__(self, *answers, tells_time=True):
        self.answers, self.tokens, self.paths = list(answers), [], []
        held = []
        self.limiter = SimpleNamespace(held=held, hold=held.append)
        self.clock = SimpleNamespace(latest=None)
        self._tells_time = tells_time

    def send(self, _method, path, *, params=None, token=None):
        del params
        self.paths.append(path)
        self.tokens.append(token)
        if self._tells_time:
            self.clock.latest = START
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Tokens:
    """Tokens that are numbered."""

    def __init__(self, can_renew=True):
        self.number, self.refused, self._can_renew = 1, [], can_renew

    def live_token(self):
        return f"token {self.number}"

    def refuse(self, token):
        self.refused.append(token)
        self.number += 1
        return self._can_renew


def client(transport, tokens=None, **settings):
    config = parse_config({**SETTINGS, **settings}, "config.json")
    return Client(config, transport, tokens or Tokens())


def test_a_serial_executor_runs_each_call_at_once_in_this_thread():
    ran = []
    executor = SerialExecutor()
    future = executor.submit(lambda value: ran.append(value) or threading.current_thread(), 5)
    assert ran == [5] and future.done() and future.result() is threading.current_thread()


def test_what_a_call_raises_comes_with_its_result():
    future = SerialExecutor().submit(int, "no number")
    with pytest.raises(ValueError, match="no number"):
        future.result()


@pytest.mark.parametrize("concurrency, depth", [(1, 0), (2, 2), (8, 8)])
def test_one_at_a_time_nothing_is_prefetched_and_no_thread_is_started(concurrency, depth):
    made = client(Transport(), concurrency=concurrency)
    assert made.prefetch_depth == depth
    thread = made.submit(threading.current_thread).result()
    assert (thread is threading.current_thread()) == (concurrency == 1)
    assert made.requests_sent == 7


def test_a_401_is_cured_once_with_a_new_token():
    transport, tokens = Transport(UnauthorizedError("dead", 401), {"a": 1}), Tokens()
    assert client(transport, tokens).get("/v2/users") == {"a": 1}
    assert transport.tokens == ["token 1", "token 2"] and tokens.refused == ["token 1"]


def test_a_401_that_no_new_token_cures_is_raised():
    transport = Transport(*[UnauthorizedError("dead", 401)] * 3)
    with pytest.raises(UnauthorizedError):
        client(transport).get("/v2/users")
    assert len(transport.tokens) == 2


def test_where_no_other_token_can_be_had_a_401_is_raised_at_once():
    transport = Transport(UnauthorizedError("dead", 401))
    with pytest.raises(UnauthorizedError):
        client(transport, Tokens(can_renew=False)).get("/v2/users")
    assert len(transport.tokens) == 1


@pytest.fixture(name="slept", autouse=True)
def _slept(monkeypatch):
    slept = []
    monkeypatch.setattr("backoff._sync.time.sleep", slept.append)
    return slept


@pytest.mark.parametrize("status, held", [(429, 1), (503, 0)])
def test_only_a_429_holds_all_requests(slept, status, held):
    transport = Transport(RetriableError("wait", status, 5), {})
    client(transport).get("/v2/users")
    assert len(slept) == 1 and slept[0] > 5
    assert transport.limiter.held == slept * held


def test_the_number_of_tries_is_the_callers():
    transport = Transport(*[RetriableError("no", 503)] * 20)
    with pytest.raises(RetriableError):
        client(transport, retry_seconds=10_000).get("/v2/users", tries=3)
    assert len(transport.paths) == 3


def test_the_runs_start_is_what_a_small_response_says():
    transport = Transport({})
    assert client(transport).run_start() == START and transport.paths == [CLOCK_PATH]


def test_it_is_told_by_an_error_too():
    assert client(Transport(ApiError("not for you", 403))).run_start() == START


def test_a_response_that_was_there_already_serves():
    transport = Transport()
    transport.clock.latest = START
    assert client(transport).run_start() == START and not transport.paths


def test_without_any_response_there_is_no_start():
    with pytest.raises(ApiError):
        client(Transport(ApiError("no network"), tells_time=False)).run_start()
