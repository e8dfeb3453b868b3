"""A fork server: runs of the command without its imports, which take longer than most tests' runs.

A process that has imported the tap, as the command does, is copied for each run: fork without exec.
The copy has its own arguments, environment, folder and files, and calls what the command calls. The
runs that a test starts, wraps or gives an environment of its own are real processes all the same;
with FORK_SERVER=0, as in CI, every run is one.
"""

import atexit
import contextlib
import gc
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = 2  # that are handed over with each request: stdout, stderr


class ForkServer:
    """The process, started by the first run; it ends with this one."""

    def __init__(self, env):
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with  # ends with us
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._connection, self._env = ours, env
        atexit.register(self._end)

    def _end(self):
        self._connection.close()
        self._process.wait()

    def fits(self, env):
        """Whether a copy could not know that it began in another environment: Python and the C
        library read theirs once."""
        names = {name for name in {*env, *self._env} if name.startswith(("PYTHON", "LC_", "LANG"))}
        return all(env.get(name) == self._env.get(name) for name in names)

    def run(self, command, env, timeout):
        """Does what subprocess.run does for the command, whose first word is not used."""
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            request = json.dumps({"argv": command, "env": env, "cwd": os.getcwd()}) + "\n"
            files = [stdout.fileno(), stderr.fileno()]
            socket.send_fds(self._connection, [b"!"], files)
            self._connection.sendall(request.encode())
            code = exit_code(self._connection, timeout)
            if code is None:
                raise subprocess.TimeoutExpired(command, timeout)
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(command, code, stdout.read(), stderr.read())


def exit_code(connection, timeout):
    """The exit code of the copy whose two replies come next; None if it had to be ended."""
    # Without a buffer: select sees the second reply also where both came at once.
    with connection.makefile("rb", buffering=0) as replies:
        pid = int(replies.readline())
        in_time, _, _ = select.select([connection], [], [], timeout)
        if not in_time:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.kill(pid, signal.SIGKILL)
        code = int(replies.readline())
    return code if in_time else None


def serve(connection):
    """Makes a copy for each request, tells its pid, and in the end its exit code."""
    import tap_helpscout  # pylint: disable=import-outside-toplevel  # so that it is imported here

    gc.freeze()  # else each copy's collector writes to all that they share, which copies it
    requests = connection.makefile("r")
    while True:
        mark, files, _, _ = socket.recv_fds(connection, 1, FILES)
        if not mark:
            return
        request = json.loads(requests.readline())
        pid = os.fork()
        if not pid:
            become(request, files, connection)
            tap_helpscout.main()
        for file in files:
            os.close(file)
        connection.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def become(request, files, connection):
    """Makes this copy as if it had been started so."""
    connection.close()
    for number, file in enumerate(files, 1):
        os.dup2(file, number)
        os.close(file)
    sys.argv = request["argv"]
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    random.seed()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
