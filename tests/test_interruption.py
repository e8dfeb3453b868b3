"""Pulled plugs: killed, told to end, or with nobody there to read, the tap loses nothing.

`make chaos` kills at many more points: CHAOS times. A failed test prints its seed, and SEED=... in
the environment repeats it.
"""

import array
import fcntl
import itertools
import json
import os
import random
import signal
import termios
import time

import pytest

from tests.conftest import PAGE_SIZES, Run, Tap
from tests.fake import FakeHelpScout, build
from tests.target import Target

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
TIMES = int(os.environ.get("CHAOS", "1"))


def until(happened, seconds=20):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def killed(tap, state, lines, catalog=None):
    """What was read of a run that was killed after so many lines."""
    with tap.start(state=state, catalog=catalog) as process:
        read = list(itertools.islice(process.stdout, lines))
        process.kill()
    return Run(None, b"".join(read).decode(), "")


def survive(tap, fake, rng, kills):
    """What a target has in the end of runs killed after so many lines each, and one that ends."""
    target, source = Target(), sum(fake.truth_counts().values())
    for _ in range(kills):
        target.load(killed(tap, target.state, rng.randint(1, source // 2)))
    target.load(tap.good_run(state=target.state))
    return target


@pytest.fixture(name="rng")
def _rng():
    seed = int(os.environ.get("SEED") or random.randrange(10**9))
    print(f"SEED={seed}")
    return random.Random(seed)


@pytest.mark.parametrize("_", range(TIMES))
def test_killed_at_any_line_and_resumed_the_tap_brings_every_row(tmp_path, rng, _):
    pages = {**PAGE_SIZES, None: rng.choice((2, 4, 9))}
    with FakeHelpScout(build(100, customers=60, seed=rng.random()), page_sizes=pages) as fake:
        tap = Tap(fake, tmp_path)
        tap.configure(concurrency=rng.choice((1, 4, 8)))
        target = survive(tap, fake, rng, kills=rng.randint(1, 8))
        assert not target.lacks(fake)


@pytest.mark.parametrize("_", range(TIMES))
def test_being_killed_costs_less_than_reading_everything_again(tmp_path, rng, _):
    # No bulk edit in so small an account: windows of some 40 rows.
    pages = {**PAGE_SIZES, None: 3}
    with FakeHelpScout(build(199, seed=rng.random()), page_sizes=pages) as fake:
        target = survive(Tap(fake, tmp_path), fake, rng, kills=3)
        assert not target.lacks(fake)
        assert target.emitted < 2 * sum(fake.truth_counts().values())


def test_killed_over_and_over_the_tap_still_gets_forward(tmp_path):
    """Each time at the third new checkpoint, for two go by where there is nothing new."""
    with FakeHelpScout(build(60, customers=40), page_size=2) as fake:
        tap, target, stopped = Tap(fake, tmp_path), Target(), fake.now()
        fake.now = lambda: stopped  # else each second that a run takes is new to every stream
        for _ in range(20):
            with tap.start(state=target.state) as process:
                lines, bookmarks = [], [(target.state or {}).get("bookmarks", {})]
                while len(bookmarks) < 4 and (line := process.stdout.readline()):
                    lines.append(line)
                    state = json.loads(line).get("value", {}).get("bookmarks", bookmarks[-1])
                    bookmarks += [state] if state != bookmarks[-1] else []
                process.kill()
            target.load(Run(None, b"".join(lines).decode(), ""))
            if "customers" in target.state["bookmarks"] and not target.lacks(fake):
                break
        assert not target.lacks(fake)


@pytest.mark.parametrize("stream, rows", [("conversations", 500), ("customers", 1000)])
def test_checkpoints_come_often(tmp_path, stream, rows):
    with FakeHelpScout(build(2500, customers=4000)) as fake:
        tap = Tap(fake, tmp_path)
        run = tap.good_run(catalog=tap.select(stream))
    kinds = [message["type"] for message in run.messages]
    stretches = [len(list(group)) for kind, group in itertools.groupby(kinds) if kind == "RECORD"]
    assert sum(stretches) == {"conversations": 2500, "customers": 4000}[stream]
    assert max(stretches) <= rows


def waits_to_retry(fake):
    step = fake.fault(503, path="/v2/mailboxes", times=None)
    return lambda: step.hits >= 3  # the next pause is 2 seconds at least


def waits_as_told(fake):
    step = fake.fault(
        429, path="/v2/mailboxes", times=None, headers={"X-RateLimit-Retry-After": "60"}
    )
    return lambda: step.hits


def waits_as_told_for_a_token(fake):
    step = fake.fault(503, path="oauth2", times=None, headers={"Retry-After": "60"})
    return lambda: step.hits


def waits_for_the_rate_limiter(fake):
    fake.rate_limit = 8
    return lambda: len(fake.requests) == 4  # half of what the tap may send is sent at once


def waits_for_an_answer(fake):
    step = fake.fault("silent", path="/v2/mailboxes", times=None, seconds=60)
    return lambda: step.hits


def waits_for_a_token_that_can_be_had_again(fake):
    step = fake.fault("silent", path="oauth2", times=None, seconds=60)
    return lambda: step.hits


@pytest.mark.parametrize(
    "situation, signum, concurrency",
    [
        (waits_to_retry, signal.SIGTERM, 1),
        (waits_as_told, signal.SIGINT, 4),
        (waits_as_told_for_a_token, signal.SIGTERM, 4),
        (waits_for_the_rate_limiter, signal.SIGINT, 1),
        (waits_for_the_rate_limiter, signal.SIGTERM, 4),
        (waits_for_an_answer, signal.SIGTERM, 1),
        (waits_for_an_answer, signal.SIGINT, 4),
        (waits_for_a_token_that_can_be_had_again, signal.SIGINT, 4),
    ],
)
def test_a_signal_ends_the_run_within_seconds_even_while_it(
    tap, fake, situation, signum, concurrency
):
    """So early that nobody need read stdout meanwhile: it fits into the pipe."""
    tap.configure(concurrency=concurrency, retry_seconds=300)
    ready = situation(fake)
    with tap.start() as process:
        until(ready)
        time.sleep(0.3)  # for the answer to arrive and the wait to begin
        process.send_signal(signum)
        assert_ends(process, 128 + signum)


def assert_ends(process, code):
    """The process ends within seconds and with this code; every line is whole, none is a trace."""
    stdout, log = (text.decode() for text in process.communicate(timeout=4))
    assert process.returncode == code, log
    assert "Traceback" not in log
    assert not stdout or stdout.endswith("\n")
    return [json.loads(line) for line in stdout.splitlines()], log


@pytest.mark.parametrize("signum, concurrency", [*zip(SIGNALS, (1, 4, 1, 4))])
def test_a_signal_in_the_middle_of_the_rows_leaves_whole_lines(tap, fake, signum, concurrency):
    tap.configure(concurrency=concurrency)
    asked = random.randrange(5, 60)
    print(f"signal after {asked} requests")
    with tap.start() as process:
        fake.before(lambda _: process.send_signal(signum), skip=asked)
        messages, log = assert_ends(process, 128 + signum)
    is_resumed = any(message.get("value", {}).get("bookmarks") for message in messages)
    last_words = "the next run begins at the last state"
    if not is_resumed:
        last_words = "before there was a new state; the next run begins where this did"
    assert messages and f"CRITICAL ended by {signum.name}" in log and last_words in log


def test_a_check_that_is_ended_says_nothing_of_states(tap, fake):
    step = fake.fault("silent", path="/v2/mailboxes", times=None, seconds=60)
    with tap.start("--check") as process:
        until(lambda: step.hits)
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=20)
    assert log.decode().splitlines()[-1] == "CRITICAL ended by SIGINT"


def test_before_there_is_a_state_no_word_is_said_of_one(tap, fake):
    step = fake.fault("silent", path="/v2/mailboxes", times=None, seconds=60)
    with tap.start() as process:
        until(lambda: step.hits)
        process.send_signal(signal.SIGINT)
        messages, log = assert_ends(process, 130)
    assert not [message for message in messages if message.get("value", {}).get("bookmarks")]
    assert "before there was a new state; the next run begins where this did" in log
    assert "last state" not in log


@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_is_ignored_when_the_run_begins_stays_ignored(tap, fake, signum):
    """As nohup has it."""
    fake.before(lambda _: process.send_signal(signum), path="/v2/customers")
    with tap.start(preexec_fn=lambda: signal.signal(signum, signal.SIG_IGN)) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_signals_that_come_in_a_bunch_are_as_good_as_one(tap, fake):
    """As when a terminal tells all of a pipeline, and the runner passes it on."""

    def bunch(_):
        for _ in range(40):
            for signum in (signal.SIGINT, signal.SIGTERM):
                process.send_signal(signum)
            time.sleep(0.005)

    fake.before(bunch, path="/v2/customers")
    with tap.start() as process:
        stdout, log = process.communicate(timeout=20)
    assert process.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert b"Traceback" not in log and stdout.endswith(b"\n")


def test_a_run_ended_by_a_signal_is_resumed_without_a_gap(tap, fake):
    target = Target()
    for asked in (20, 30, 40):
        with tap.start(state=target.state) as process:
            fake.before(lambda _, process=process: process.terminate(), skip=asked)
            stdout, log = process.communicate(timeout=20)
        target.load(Run(process.returncode, stdout.decode(), log.decode()))
    target.load(tap.good_run(state=target.state))
    assert not target.lacks(fake)


def fill(process):
    """Waits until a pipe that nobody reads is full, and the tap within a line that has no room."""
    waiting, before = array.array("i", [0]), -1
    while waiting[0] != before or waiting[0] < 20_000:  # of 65,536, or less: it has pages
        before = waiting[0]
        time.sleep(0.7)
        fcntl.ioctl(process.stdout, termios.FIONREAD, waiting)


def test_a_signal_ends_a_run_that_nobody_reads(tap):
    signum = signal.SIGTERM
    with tap.start() as process:
        fill(process)
        process.send_signal(signum)
        try:
            assert process.wait(timeout=10) == 128 + signum
        finally:
            process.kill()
        # What did not fit into the pipe is cut, and only that.
        whole, _, _ = process.stdout.read().rpartition(b"\n")
        assert [json.loads(line) for line in whole.splitlines()]
        assert b"Traceback" not in process.stderr.read()


def test_signals_that_go_on_put_the_end_off_no_longer(tap):
    with tap.start() as process:
        fill(process)
        began = time.monotonic()
        while process.poll() is None and time.monotonic() < began + 10:
            process.terminate()
            time.sleep(0.2)
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM


def test_a_line_that_was_waited_for_is_the_last_though_none_follows_for_long(tap, fake):
    """The signal comes within the last row of a page, and the next page takes its time."""
    tap.configure(concurrency=1)
    fake.page_sizes = {**fake.page_sizes, "workflows": 2}
    fake.touch_row("workflows", fake.tables["workflows"][1]["id"], name="Lamp " * 100_000)
    fake.before(lambda _: time.sleep(8), path="/v2/workflows.*page=2")
    with tap.start(catalog=tap.select("workflows")) as process:
        fill(process)
        process.terminate()
        time.sleep(1)
        assert_ends(process, 128 + signal.SIGTERM)


def test_a_reader_that_is_only_slow_gets_whole_lines_after_a_signal(tap, fake):
    first = min(fake.conversation_ids, key=fake.modified)
    # Longer than a pipe: the signal comes within the line.
    fake.touch(first, at=fake.modified(first), preview="Lamp " * 100_000)
    with tap.start(env={"PYTHONUNBUFFERED": "1"}) as process:
        fill(process)
        process.terminate()
        time.sleep(1)
        assert_ends(process, 128 + signal.SIGTERM)


def test_a_target_that_dies_ends_the_run_quietly(tap):
    with tap.start() as process:
        for _ in range(20):
            process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=10) == 1
        log = process.stderr.read().decode()
    assert "the target has closed the pipe" in log
    assert "Traceback" not in log and "BrokenPipe" not in log
