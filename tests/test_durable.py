"""Files replaced in one step: whole or untouched, through no link, nothing left beside them."""

import os

import pytest

from yoi import durable
from yoi.durable import replace_file, write_beside
from yoi.folders import held


def test_a_link_is_replaced_and_never_written_through(tmp_path):
    (tmp_path / "target").write_bytes(b"of somebody else")
    (tmp_path / "file").symlink_to("target")
    replace_file(tmp_path / "file", b"new", 0o640)
    assert (tmp_path / "target").read_bytes() == b"of somebody else"
    found = (tmp_path / "file").lstat()
    assert (found.st_mode & 0o7777, (tmp_path / "file").read_bytes()) == (0o640, b"new")
    assert sorted(os.listdir(tmp_path)) == ["file", "target"]


@pytest.mark.parametrize("step", ["fsync", "fchmod", "replace"])
def test_a_step_that_fails_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, step):
    (tmp_path / "file").write_bytes(b"before")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, step, full)
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "file", b"after", 0o600)
    assert (tmp_path / "file").read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


def test_what_is_written_beside_is_open_to_its_mode_only(tmp_path):
    with held(tmp_path) as folder:
        beside = write_beside(folder, b"data", 0o600)
    assert os.listdir(tmp_path) == [beside]
    assert (tmp_path / beside).stat().st_mode & 0o777 == 0o600
