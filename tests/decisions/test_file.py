"""K1: a yoi.toml that others could have written, or that is not the workspace's, is refused."""

import os

import pytest

from yoi.decisions.file import look, operator_file, read_file
from yoi.errors import EnablementError
from yoi.limits import LIMITS

WORKER = '[[workers]]\nname = "agent"\nmodel = "openai:m"\n'


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "w"
    (folder / ".yoi").mkdir(parents=True)
    operator_file(folder).write_text(WORKER)
    return folder


def test_a_file_that_is_not_there_says_nothing(tmp_path):
    assert read_file(tmp_path).entries == {}


def test_what_it_says(workspace):
    assert set(read_file(workspace).entries) == {"worker:agent"}
    assert read_file(workspace).digest.startswith("sha256:")


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o646])
def test_a_file_that_everybody_may_write_is_refused(workspace, mode):
    operator_file(workspace).chmod(mode)
    with pytest.raises(EnablementError, match="written by other accounts") as caught:
        read_file(workspace)
    assert "chmod go-w" in caught.value.hint


def test_a_group_of_its_own_is_no_other_account(workspace, monkeypatch):
    operator_file(workspace).chmod(0o664)
    read_file(workspace)
    monkeypatch.setattr(os, "getegid", lambda: os.stat(workspace).st_gid + 1)
    with pytest.raises(EnablementError, match="written by other accounts"):
        read_file(workspace)


def test_a_file_of_another_account_is_refused(workspace, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if os.stat(operator_file(workspace)).st_uid == 0:
        # Of root, who can do everything anyway; as an orchestrator's mounts are.
        read_file(workspace)
    else:
        with pytest.raises(EnablementError, match="belongs to another account"):
            read_file(workspace)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_that_was_given_to_another_account_is_refused(workspace):
    os.chown(operator_file(workspace), 12345, -1)
    with pytest.raises(EnablementError, match="belongs to another account"):
        read_file(workspace)


def test_links_inside_the_workspace_are_followed_and_others_refused(workspace, tmp_path):
    file = operator_file(workspace)
    (file.parent / "..v1").mkdir()
    file.rename(file.parent / "..v1" / "yoi.toml")
    (file.parent / "..data").symlink_to("..v1")
    file.symlink_to("..data/yoi.toml")
    assert set(read_file(workspace).entries) == {"worker:agent"}
    file.unlink()
    (tmp_path / "elsewhere.toml").write_text(WORKER)
    file.symlink_to(tmp_path / "elsewhere.toml")
    with pytest.raises(EnablementError, match="leads out of the workspace"):
        read_file(workspace)


def test_a_fifo_a_loop_and_too_much_are_faults_and_no_wait(workspace):
    file = operator_file(workspace)
    file.write_bytes(b"#" * (LIMITS.operator_config_bytes + 1))
    assert look(workspace, lambda _: None)[0].fault is not None
    file.unlink()
    os.mkfifo(file)
    assert look(workspace, lambda _: None)[0].fault is not None
    file.unlink()
    file.symlink_to("yoi.toml")
    assert look(workspace, lambda _: None)[0].fault is not None


def test_a_document_that_is_not_usable_as_a_whole_is_a_fault(workspace):
    def refuse(document):
        raise EnablementError("enablement.malformed", "no")

    reading, file = look(workspace, refuse)
    assert reading.fault.message == "no"
    assert reading.content == WORKER.encode()
    assert file.entries == {}
