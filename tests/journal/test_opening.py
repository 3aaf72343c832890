"""K1: only a file that lies in the workspace is opened as a database; no other is changed."""

import os
import sqlite3

import pytest

from yoi.errors import TrustError
from yoi.folders import LeadsOut
from yoi.journal import opening
from yoi.journal.opening import open_database
from yoi.journal.owner import stamp

OWNER = "0" * 32


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ws" / ".yoi" / "state.db"


def opened(path, owner=OWNER):
    open_database(path, owner, 100).close()


def refused(path, owner=OWNER):
    with pytest.raises(TrustError) as caught:
        opened(path, owner)
    assert caught.value.code == "trust.foreign"
    return caught.value


@pytest.fixture
def made(path):
    path.parent.parent.mkdir()
    connection = open_database(path, OWNER, 100)
    stamp(connection, OWNER)
    connection.close()
    return path


def test_it_is_made_for_this_account_alone(made):
    assert (made.stat().st_mode & 0o777, made.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    opened(made)


def test_a_path_with_signs_that_a_uri_has_is_opened_as_it_is(tmp_path):
    path = tmp_path / "a?mode=ro#b%41 c" / ".yoi" / "state.db"
    opened(path)
    assert path.exists()


@pytest.mark.parametrize("owner", [OWNER, None])
@pytest.mark.parametrize("plant", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_opened(path, plant, owner):
    path.parent.mkdir(parents=True)
    plant(path)
    with pytest.raises((TrustError, OSError)):
        opened(path, owner)


@pytest.mark.parametrize("owner", [OWNER, None])
def test_a_second_name_of_another_file_is_not_written_to(path, tmp_path, owner):
    outside = tmp_path / "outside"
    outside.write_bytes(b"")
    outside.chmod(0o644)
    path.parent.mkdir(parents=True)
    os.link(outside, path)
    assert (
        refused(path, None).hint
        == f"give it one of its own: cp {path} {path}.own && mv {path}.own {path}"
    )
    refused(path, owner)
    assert (outside.read_bytes(), outside.stat().st_mode & 0o777) == (b"", 0o644)
    # What the hint says.
    outside.chmod(0o600)
    path.with_name("own").write_bytes(path.read_bytes())
    path.with_name("own").chmod(0o600)
    path.with_name("own").rename(path)
    opened(path, owner)


@pytest.mark.parametrize("log", ["-journal", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["link", "open", "fifo"])
def test_a_log_that_is_not_ours_beside_it_is_not_taken_in(made, log, kind, tmp_path):
    planted = made.with_name(made.name + log)
    if kind == "link":
        planted.symlink_to(tmp_path / "nowhere")
    elif kind == "fifo":
        os.mkfifo(planted, 0o600)
    else:
        planted.write_bytes(b"")
        planted.chmod(0o644)
    refused(made)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_can_write_to_holds_no_database_of_ours(made, mode, monkeypatch):
    if mode == 0o770:
        monkeypatch.setattr(os, "getegid", lambda: made.stat().st_gid + 1)
    made.parent.chmod(mode)
    assert refused(made).hint == f"look at it, then: chmod go-w {made.parent}"
    made.parent.chmod(0o700)
    opened(made)


def test_a_folder_that_leads_out_is_not_opened(path, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    path.parent.parent.mkdir()
    path.parent.symlink_to(outside)
    for owner in (OWNER, None):
        with pytest.raises(LeadsOut):
            opened(path, owner)
    assert list(outside.iterdir()) == []


def test_a_folder_swapped_in_the_very_moment_is_noticed_before_anything_is_done(
    made, tmp_path, monkeypatch
):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / made.name).write_bytes(b"")
    real = sqlite3.connect

    def connect(*args, **keywords):
        made.parent.rename(tmp_path / "ws" / "moved")
        made.parent.symlink_to(outside)
        return real(*args, **keywords)

    monkeypatch.setattr(opening.sqlite3, "connect", connect)
    assert "was swapped while it was opened" in refused(made, None).message
    assert [(one.name, one.read_bytes()) for one in outside.iterdir()] == [(made.name, b"")]
