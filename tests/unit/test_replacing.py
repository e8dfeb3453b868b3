"""How a JSON file is replaced, and other runs held off meanwhile."""

import errno
import fcntl
import json
import os
import stat
import time

import pytest

from tap_helpscout import replacing
from tap_helpscout.files import ConfigError
from tap_helpscout.replacing import locked, replace_json


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "config.json"


def test_a_file_is_replaced_with_its_mode_and_leaves_nothing_behind(path):
    path.write_text("{}")
    path.chmod(0o640)
    replace_json(str(path), {"a": "größe"}, spare=5000)
    assert json.loads(path.read_text()) == {"a": "größe"} and path.stat().st_size < 100
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(path.parent) == ["config.json"]


def test_nobody_else_can_read_it_while_it_is_written(path, monkeypatch):
    path.write_text("{}")
    path.chmod(0o644)
    modes, fchmod = [], os.fchmod

    def spy(descriptor, mode):
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fchmod(descriptor, mode)

    monkeypatch.setattr(replacing.os, "fchmod", spy)
    replace_json(str(path), {"a": 1})
    assert modes == [0o600]


def test_a_link_is_followed_to_the_file_that_it_names(path, tmp_path):
    path.write_text("{}")
    link = tmp_path / "link.json"
    link.symlink_to(path)
    replace_json(str(link), {"a": 1})
    assert link.is_symlink() and json.loads(path.read_text()) == {"a": 1}


def test_what_stands_in_the_way_is_neither_followed_nor_overwritten(path, tmp_path, monkeypatch):
    path.write_text("{}")
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    monkeypatch.setattr(replacing.secrets, "token_hex", lambda _: "known")
    temporary = tmp_path / "config.json.known.tmp"
    for stand in (lambda: temporary.symlink_to(theirs), lambda: temporary.write_text("theirs")):
        stand()
        with pytest.raises(FileExistsError):
            replace_json(str(path), {"a": 1})
        assert temporary.read_text() == theirs.read_text() == "theirs"
        assert path.read_text() == "{}"
        temporary.unlink()


def test_the_temporary_name_cannot_be_known(path, monkeypatch):
    path.write_text("{}")
    names, replace = [], os.replace
    monkeypatch.setattr(replacing.os, "replace", lambda a, b: (names.append(a), replace(a, b)))
    for number in range(3):
        replace_json(str(path), {"a": number})
    assert len(set(names)) == 3 and all(len(name) > len(str(path)) + 16 for name in names)


def test_where_the_disk_is_full_the_old_file_stays_and_nothing_else(path, monkeypatch):
    path.write_text("{}")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(replacing.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_json(str(path), {"a": 1})
    assert path.read_text() == "{}" and os.listdir(path.parent) == ["config.json"]


def test_a_read_only_file_is_not_replaced(path):
    path.write_text("{}")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="read-only"):
        replace_json(str(path), {"a": 1})


# -- locked ----------------------------------------------------------------------------------------


@pytest.fixture(name="held")
def _held(path):
    """The path, with its folder locked by somebody else."""
    folder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    yield path
    os.close(folder)


def test_a_lock_is_on_the_folder_and_free_again_afterwards(path):
    folder = os.open(path.parent, os.O_RDONLY)
    with locked(str(path), 0):
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(folder)


def test_a_lock_that_is_held_is_waited_for_until_the_deadline(held):
    began = time.monotonic()
    with pytest.raises(ConfigError, match="held the lock on the folder"):
        with locked(str(held), 0.3):
            raise AssertionError
    assert time.monotonic() - began >= 0.3


def test_a_lock_that_is_released_meanwhile_is_taken(path, monkeypatch):
    folder, waits, entered = os.open(path.parent, os.O_RDONLY), [], []
    fcntl.flock(folder, fcntl.LOCK_EX)

    def release(seconds):
        waits.append(seconds)
        fcntl.flock(folder, fcntl.LOCK_UN)

    monkeypatch.setattr(replacing.time, "sleep", release)
    with locked(str(path), 60):
        entered.append(True)
    os.close(folder)
    assert entered and len(waits) == 1


def test_a_long_wait_for_a_lock_is_said_once(held, monkeypatch, caplog):
    caplog.set_level("INFO")
    now = [0.0]
    monkeypatch.setattr(replacing.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(replacing.time, "sleep", lambda _: now.__setitem__(0, now[0] + 1))
    with pytest.raises(ConfigError, match="for 120 s"):
        with locked(str(held), 120):
            raise AssertionError
    assert now[0] == 121
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"waiting for another process, which holds the lock on {held.parent}"


def test_where_there_are_no_locks_there_is_no_waiting(path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(replacing.fcntl, "flock", unsupported)
    with locked(str(path), 0):
        pass
    with locked("/no/such/folder/config.json", 0):
        pass
