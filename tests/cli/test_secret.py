"""W9: `yoi secret` stores, lists and removes, and never prints a value."""

import io
import json
import subprocess
import sys

import pytest
from tests.canary import Canaries

from yoi.cli import secret_store
from yoi.testing.trusting import trust_workspace


@pytest.fixture(autouse=True)
def _own_config(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def piped(monkeypatch):
    def give(text):
        data = text if isinstance(text, bytes) else text.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def typed(monkeypatch):
    """A person at a terminal who types these, one after another, unseen."""

    def give(*texts):
        waiting = list(texts)
        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr(secret_store.getpass, "getpass", lambda _: waiting.pop(0))
        return waiting

    return give


def test_a_whole_life_without_a_value_on_any_screen(yoi, workspace, tmp_path, piped, typed):
    canaries = Canaries()
    piped(canaries.secret("app") + "\n")
    screens = [yoi("secret", "set", "slack-app", "--stdin")]
    typed(canaries.secret("bot"))
    screens.append(yoi("secret", "set", "slack-bot", "--json"))
    assert json.loads(screens[-1].out) == {
        "command": "secret set",
        "name": "slack-bot",
        "version": 2,
        "stored": True,
    }
    screens += [yoi("secret", "list"), yoi("secret", "list", "--json")]
    assert [one["name"] for one in json.loads(screens[-1].out)["secrets"]] == [
        "slack-app",
        "slack-bot",
    ]
    screens += [yoi("secret", "remove", "slack-app"), yoi("secret", "remove", "slack-app")]
    assert [ran.status for ran in screens] == [0, 0, 0, 0, 0, 1]
    assert "secret.missing" in screens[-1].err
    assert canaries.grep_everything(screens=screens, disk=tmp_path) == []


def test_stdin_loses_one_line_end_and_nothing_else(yoi, workspace, piped):
    from yoi.secrets import Settings, open_store

    for text in ("a\n\n", "  b  \r\n", "-----BEGIN\nKEY\n", "no end"):
        piped(text)
        assert yoi("secret", "set", "x", "--stdin").status == 0
        kept = open_store(workspace, Settings(), None).read("x").secret.reveal()
        assert kept == text.removesuffix("\n").removesuffix("\r")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "secret.malformed"),
        (b"\n", "secret.malformed"),
        (b"\xff\xfe", "usage.arguments"),
        (b"a\0b", "secret.malformed"),
        (b"x" * 20_000, "secret.bounds"),
    ],
)
def test_bad_values_are_refused(yoi, workspace, piped, data, code):
    piped(data)
    ran = yoi("secret", "set", "x", "--stdin", "--json")
    assert json.loads(ran.out)["error"]["code"] == code
    assert not (workspace / ".yoi").exists()


def test_a_bad_name_is_refused_before_anything_is_asked(yoi, workspace, typed):
    waiting = typed("a token")
    assert "secret.name" in yoi("secret", "set", "a b").err
    assert waiting == ["a token"]


def test_without_a_terminal_it_says_how(yoi, workspace, piped):
    piped("")
    ran = yoi("secret", "set", "app")
    assert ran.status == 2
    assert "--stdin" in ran.err


def test_a_passphrase_is_asked_for_on_the_terminal(yoi, workspace, typed):
    (workspace / ".yoi").mkdir()
    (workspace / ".yoi" / "yoi.toml").write_text('[secrets]\nunlock = "passphrase"\n')
    trust_workspace(workspace)
    typed("a value", "correct horse battery", "correct horse batterx")
    assert "differ" in yoi("secret", "set", "app").err
    typed("a value", "correct horse battery", "correct horse battery")
    assert yoi("secret", "set", "app").status == 0
    typed("not this one at all")
    assert "secret.wrong_key" in yoi("secret", "list").err
    typed("correct horse battery")
    assert "app" in yoi("secret", "list").out


def test_a_value_on_stdin_is_never_taken_for_the_passphrase(workspace, tmp_path):
    """Without a terminal to ask on, the store stays closed and stdin unread."""
    (workspace / ".yoi").mkdir()
    (workspace / ".yoi" / "yoi.toml").write_text('[secrets]\nunlock = "passphrase"\n')
    trust_workspace(workspace)
    ran = subprocess.run(
        [sys.executable, "-m", "yoi", "secret", "set", "app", "--stdin"],
        input="a value\n" + "and a second line that is long enough\n" * 2,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert "no terminal" in ran.stderr
    assert "second line" not in ran.stderr + ran.stdout
    assert not (workspace / ".yoi" / "secrets.enc").exists()
