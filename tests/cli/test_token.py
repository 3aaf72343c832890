"""`yoi token` makes, lists and revokes; a token is on one screen once, and nowhere else."""

import json

import pytest
from tests.canary import Canaries
from tests.redactors import NoRedaction
from tests.workers.test_tools import Plugins
from tests.workers.test_worker_set import NoSecrets

from yoi.journal.memory import MemoryJournal
from yoi.serving.keys import KeyStore, keys_file
from yoi.serving.principals import COMMANDS
from yoi.serving.tokens import TokenStore, tokens_file
from yoi.testing.clock import ManualClock
from yoi.testing.trusting import workspace_id
from yoi.workers.operations import WorkerOperations
from yoi.workers.worker_set import WorkerContext, WorkerSet


@pytest.fixture
def clock(monkeypatch):
    clock = ManualClock()
    monkeypatch.setattr("yoi.serving.tokens.SystemClock", lambda: clock)
    monkeypatch.setattr("yoi.cli.token._now", clock.wall)
    return clock


@pytest.fixture
def plain(monkeypatch):
    """What stands for chance."""
    monkeypatch.setattr("yoi.serving.tokens.secrets.token_bytes", lambda count: bytes(range(count)))


def test_create(yoi, workspace, golden, clock, plain):
    ran = yoi("token", "create", "alice", "--observe", "*/worker/*", "--observe", "here/service/s",
              "--redact", "thinking", "--redact", "tool-output", "--allow", "send",
              "--expires", "30d")  # fmt: skip
    assert ran.status == 0
    golden("token-create.txt", ran.out + "--\n" + ran.err)


def test_create_json(yoi, workspace, golden, clock, plain):
    ran = yoi("token", "create", "alice", "--expires", "12h", "--json")
    assert ran.err == ""
    golden("token-create.json", ran.out)


def test_list(yoi, workspace, golden, clock):
    yoi("token", "create", "alice", "--redact", "thinking", "--expires", "45m")
    clock.advance(3600)
    yoi("token", "create", "backend", "--upstream")
    yoi("token", "create", "prometheus", "--metrics", "--expires", "8w")
    golden("token-list.txt", yoi("token", "list").out)
    golden("token-list.json", yoi("token", "list", "--json").out)


def test_an_empty_list_says_what_to_do(yoi, workspace):
    assert "yoi token create NAME" in yoi("token", "list").out
    assert json.loads(yoi("token", "list", "--json").out) == {
        "command": "token list",
        "tokens": [],
    }


def test_the_printed_token_is_good_until_revoked(yoi, workspace, golden):
    token = yoi("token", "create", "alice").out.strip()
    store = TokenStore(tokens_file(workspace))
    store.reload()
    assert store.verify(token, 0).name == "alice"
    golden("token-revoke.json", yoi("token", "revoke", "alice", "--json").out)
    store.reload()
    assert store.verify(token, 0) is None
    ran = yoi("token", "revoke", "alice")
    assert (ran.status, "token.missing" in ran.err) == (1, True)


def test_a_token_is_shown_once(yoi, workspace):
    canaries = Canaries()
    first = yoi("token", "create", "alice")
    canaries.mark("alice", first.out.strip())
    assert first.out.count("yoi_") == 1
    screens = [
        first.err,
        *(yoi(*words) for words in (
            ("token", "list"),
            ("token", "list", "--json"),
            ("token", "create", "alice"),
            ("token", "revoke", "alice"),
        )),
    ]  # fmt: skip
    assert canaries.grep_everything(screens=screens, disk=workspace) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["a b"], "token.name"),
        (["x", "--observe", "everything"], "token.pattern"),
        (["x", "--redact", "secrets"], "token.value"),
        (["x", "--allow", "a b"], "token.value"),
        (["x", "--allow", "anything"], "token.value"),
        (["x", "--expires", "soon"], "token.value"),
        (["x", "--expires", "0d"], "token.value"),
        (["x", "--expires", "30"], "token.value"),
        (["x", "--expires", "99999w"], "token.value"),
        (["x", "--expires", "-1d"], "token.value"),
        (["x", "--expires", "\u0663d"], "token.value"),
        (["x", "--upstream", "--metrics"], "usage.arguments"),
        (["x", "--upstream", "--redact", "thinking"], "token.value"),
        (["x", "--metrics", "--observe", "*"], "token.value"),
    ],
)
def test_what_cannot_be_made(yoi, workspace, words, code):
    ran = yoi("token", "create", *words, "--json")
    assert json.loads(ran.out)["error"]["code"] == code
    assert not (workspace / ".yoi" / "tokens.toml").exists()


def test_an_unknown_command_is_refused_with_the_list_and_each_of_the_list_exists(yoi, workspace):
    ran = yoi("token", "create", "x", "--allow", "anything")
    assert "approve, cancel, compact, pause, resume, revoke, send" in ran.err
    worker_set = WorkerSet(
        WorkerContext(
            journal=MemoryJournal(),
            plugins=Plugins(),
            secrets=NoSecrets(),
            redactor=NoRedaction(),
            clock=ManualClock(),
        )
    )
    methods = WorkerOperations(worker_set, ManualClock()).methods
    assert {f"worker.{name}" for name in COMMANDS} <= set(methods)


def test_a_token_ends_by_itself_unless_that_is_said(yoi, workspace, clock):
    ended = json.loads(yoi("token", "create", "a", "--json").out)["expires_at"]
    assert ended.startswith("2026-04-01")  # 90 days
    lasting = yoi("token", "create", "b", "--expires", "never")
    assert "it ends: never" in lasting.err


def test_a_file_that_cannot_be_used_is_said(yoi, workspace):
    yoi("token", "create", "alice")
    tokens_file(workspace).chmod(0o644)
    ran = yoi("token", "list")
    assert ran.status == 1
    assert "token.file" in ran.err
    assert "chmod 600" in ran.err


def test_keys_are_made_anew_and_not_shown(yoi, workspace, golden):
    before = KeyStore(keys_file(workspace), owner=workspace_id(workspace)).load_or_create()
    ran = yoi("token", "rotate-keys", "--json")
    golden("token-rotate-keys.json", ran.out)
    after = KeyStore(keys_file(workspace)).load_or_create()
    assert after.session != before.session
    assert after.cursors[1:] == before.cursors
    assert yoi("token", "rotate-keys").status == 0
