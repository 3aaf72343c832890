"""K1: whatever lies in the place of a file that the host trusts, a command ends with its code."""

import io
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from yoi.decisions.store import DecisionStore
from yoi.testing.trusting import trust_workspace

WORKER = '[[workers]]\nname = "t"\nmodel = "scripted"\nscript = [{ say = "x" }]\n'


def a_fifo(path, outside):
    os.mkfifo(path)


def a_folder(path, outside):
    path.mkdir()


def a_link_outside(path, outside):
    path.symlink_to(outside)


def a_link_to_nothing(path, outside):
    path.symlink_to(outside.with_name("nowhere"))


def a_loop(path, outside):
    path.symlink_to(path)


def a_socket(path, outside):
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def a_device(path, outside):
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def garbage(path, outside):
    path.write_bytes(b"\xff\0[[garbage" * 100)
    path.chmod(0o600)


def another_account(path, outside):
    path.write_bytes(outside.read_bytes())
    path.chmod(0o600)
    try:
        os.chown(path, 12345, 12345)
    except PermissionError:
        pytest.skip("only root gives files away")


KINDS = [
    a_fifo,
    a_folder,
    a_link_outside,
    a_link_to_nothing,
    a_loop,
    a_socket,
    a_device,
    garbage,
    another_account,
]
# Place, the command that reads it, the codes that it may end with.
PLACES = {
    "yoi.toml": (("trust", "--show"), {"enablement.malformed", "enablement.toml"}),
    "tokens.toml": (("token", "list"), {"token.file"}),
    "secrets.enc": (("secret", "list"), {"secret.io", "secret.tampered"}),
    "item.md": (("ticket", "show", "ITEM"), {"ticket.file", "ticket.utf8"}),
    "decided": (("trust", "--show"), {"trust.damaged"}),
}


@pytest.fixture
def made(yoi, workspace, monkeypatch, tmp_path):
    """Return where each file is, in a workspace that has all of them."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (workspace / ".yoi").mkdir()
    (workspace / ".yoi" / "yoi.toml").write_text(WORKER)
    trust_workspace(workspace)
    assert yoi("token", "create", "me", "--observe", "*/*/*").status == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("0123456789abcdefg"))
    assert yoi("secret", "set", "one", "--stdin").status == 0
    item = json.loads(yoi("ticket", "new", "a", "-m", "b", "--json").out)["ticket"]["id"]
    (decided,) = DecisionStore.of_account().folder.glob("*.json")
    below = workspace / ".yoi"
    places = {name: below / name for name in ("yoi.toml", "tokens.toml", "secrets.enc")}
    return {**places, "item.md": below / "tickets" / item / "item.md", "decided": decided}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("plant", KINDS)
def test_no_command_hangs_or_believes_it(plant, place, made, yoi, tmp_path):
    command, codes = PLACES[place]
    path = made[place]
    outside = tmp_path / "outside"
    outside.write_bytes(path.read_bytes())
    outside.chmod(0o600)
    before = outside.stat()
    path.unlink()
    plant(path, outside)
    words = [made["item.md"].parent.name if word == "ITEM" else word for word in command]
    ran = yoi(*words, "--json")
    if ran.status != 0:
        assert json.loads(ran.out or ran.err)["error"]["code"] in codes
    else:
        assert (place, plant) in MAY_PASS, ran.out
    # What a link leads to is neither changed nor made.
    assert (outside.stat().st_mtime_ns, outside.stat().st_mode) == (
        before.st_mtime_ns,
        before.st_mode,
    )
    assert not outside.with_name("nowhere").exists()


MAY_PASS = {
    # It opens with the account's key alone, whoever wrote it.
    ("secrets.enc", another_account),
    # Work items are text of strangers in any case.
    ("item.md", another_account),
}


@pytest.mark.parametrize("kind", [a_fifo, a_link_outside, a_link_to_nothing, a_loop, garbage])
def test_dot_yoi_itself_may_be_anything(kind, yoi, workspace, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "yoi.toml").write_text(WORKER)
    kind(workspace / ".yoi", outside)
    for command in (
        ("trust", "--show"),
        ("plugin", "list"),
        ("token", "list"),
        ("ticket", "list"),
        ("token", "create", "me", "--observe", "*/*/*"),
        ("ticket", "new", "a", "-m", "b"),
    ):
        ran = yoi(*command, "--json")
        if ran.status:
            code = json.loads(ran.out or ran.err)["error"]["code"]
            assert code != "usage.internal", (command, ran.err)
    assert [path.name for path in outside.iterdir()] == ["yoi.toml"]
    assert not outside.with_name("nowhere").exists()


@pytest.mark.parametrize("name", ["tickets", "plugins", "run"])
def test_a_folder_that_is_written_to_does_not_lead_out_of_the_workspace(
    name, yoi, workspace, tmp_path
):
    outside = tmp_path / "outside"
    outside.mkdir()
    (workspace / ".yoi").mkdir()
    (workspace / ".yoi" / name).symlink_to(outside)
    ran = yoi("ticket", "new", "a", "-m", "b", "--json")
    assert json.loads(ran.out or ran.err)["error"]["code"] == "trust.folder"
    assert list(outside.iterdir()) == []
    (workspace / ".yoi" / name).unlink()
    (workspace / "inside").mkdir()
    (workspace / ".yoi" / name).symlink_to(workspace / "inside")
    assert yoi("ticket", "new", "a", "-m", "b").status == 0


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_what_is_made_can_be_changed_by_no_other_account_whatever_the_umask(
    mask, workspace, tmp_path
):
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    for words in (
        ("plugin", "new", "tool", "adder"),
        ("plugin", "enable", "./adder", "--grant-requested", "--yes"),
        ("token", "create", "me", "--observe", "*/*/*"),
        ("secret", "set", "one", "--stdin"),
        ("ticket", "new", "a", "-m", "b"),
        ("trust", "--show"),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "yoi.cli", *words],
            cwd=workspace,
            env=environment,
            input=b"0123456789abcdefg",
            capture_output=True,
            umask=mask,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
    made = [
        path
        for root in (workspace / ".yoi", tmp_path / "state", tmp_path / "config")
        for path in [root, *root.rglob("*")]
    ]
    assert len(made) > 10
    assert [str(path) for path in made if path.stat().st_mode & 0o002] == []
