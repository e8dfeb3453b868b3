"""The fork server of the tests: what it says of a run is of that run."""

import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.fork_server import exit_code


@pytest.fixture(name="ends")
def _ends():
    ours, theirs = socket.socketpair()
    ours.settimeout(2)  # a reply that is lost is an error, not a wait
    with ours, theirs:
        yield ours, theirs


def test_a_run_that_ends_before_its_pid_is_read_is_not_waited_for(ends):
    ours, server = ends
    server.sendall(b"4000001\n3\n4000002\n0\n")
    assert [exit_code(ours, timeout=0), exit_code(ours, timeout=0)] == [3, 0]


def test_a_run_that_takes_too_long_is_killed_and_leaves_no_reply_to_the_next(ends):
    ours, server = ends
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        server.sendall(f"{process.pid}\n".encode())
        ended = threading.Thread(target=lambda: server.sendall(f"{process.wait()}\n".encode()))
        ended.start()
        assert exit_code(ours, timeout=0.05) is None
        ended.join()
        assert process.returncode == -signal.SIGKILL
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)
