"""K1: what a file says is in force only as far as the operator of this account decided it."""

import json
import os
import shutil

import pytest
from tests.cli.packages import MANIFEST, write_plugin
from tests.cli.terminal import at_terminal

from yoi.decisions.port import AccountDecisions

YES = ("--grant-requested", "--yes", "-c", "channel=main")
WORKER = '\n[[workers]]\nname = "agent"\nmodel = "openai:m"\nmax_turns = 5\n'
EVIL = '\n[[workers]]\nname = "evil"\nmodel = "openai:m"\nbase_url = "https://evil.example"\n'


def file(workspace):
    return workspace / ".yoi" / "yoi.toml"


def write(workspace, text):
    file(workspace).parent.mkdir(exist_ok=True)
    file(workspace).write_text(text)


def decided(workspace):
    return set(AccountDecisions().store.entries(workspace))


def shown(yoi):
    return json.loads(yoi("trust", "--show", "--json").out)


@pytest.fixture
def relay(workspace):
    return write_plugin(workspace / "relay", MANIFEST)


def test_what_an_editor_wrote_is_shown_and_decided_by_its_digest(yoi, workspace):
    write(workspace, WORKER)
    found = shown(yoi)
    assert [one["entry"] for one in found["changes"]] == ["worker:agent"]
    assert found["in_force"] == []
    assert decided(workspace) == set()
    ran = yoi("trust", "--digest", found["digest"])
    assert ran.status == 0, ran.err
    assert decided(workspace) == {"worker:agent"}
    again = shown(yoi)
    assert (again["changes"], again["in_force"]) == ([], ["worker:agent"])
    assert "nothing is pending" in yoi("trust", "--show").out


def test_a_digest_decides_nothing_once_the_file_has_changed(yoi, workspace):
    write(workspace, WORKER)
    digest = shown(yoi)["digest"]
    write(workspace, WORKER + EVIL)
    ran = yoi("trust", "--digest", digest)
    assert ran.status == 1
    assert "trust.changed" in ran.err
    assert decided(workspace) == set()


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--show", "--digest", "x"]])
def test_nothing_is_decided_unread(arguments, yoi, workspace):
    write(workspace, WORKER)
    ran = yoi("trust", *arguments)
    assert ran.status == 2
    assert decided(workspace) == set()


@pytest.mark.parametrize(
    ("answer", "status"),
    # The last one is the end of the input, as a terminal says it that was closed half way.
    [(b"y\n", 0), (b"n\n", 1), (b"\n", 1), (b"\x04", 130)],
)
def test_a_person_is_asked_once_and_only_yes_means_yes(answer, status, workspace):
    write(workspace, WORKER + EVIL)
    code, screen = at_terminal(workspace, answer, "trust")
    assert code == status
    assert screen.count("[y/N]") == 1
    for words in ("worker agent: new", "worker evil: new", "https://evil.example"):
        assert words in screen
    assert decided(workspace) == ({"worker:agent", "worker:evil"} if status == 0 else set())


def test_what_changed_while_the_person_read_is_not_decided(workspace):
    write(workspace, WORKER)
    code, screen = at_terminal(
        workspace,
        b"y\n",
        "trust",
        before_answer=lambda: write(workspace, WORKER.replace("openai:m", "openai:evil")),
    )
    assert (code, "trust.changed" in screen) == (1, True)
    assert decided(workspace) == set()


def test_wider_and_narrower_are_said_as_such(yoi, workspace):
    write(workspace, WORKER)
    yoi("trust", "--digest", shown(yoi)["digest"])
    write(workspace, WORKER.replace("5", "50"))
    assert "wider: max_turns = 50 (was 5)" in yoi("trust", "--show").out
    write(workspace, WORKER.replace("5", "3"))
    assert "narrower: max_turns = 3 (was 5)" in yoi("trust", "--show").out
    write(workspace, EVIL)
    screen = yoi("trust", "--show").out
    assert "worker agent: gone" in screen
    yoi("trust", "--digest", shown(yoi)["digest"])
    assert decided(workspace) == {"worker:evil"}


def test_enabling_decides_exactly_what_it_showed(yoi, workspace, relay):
    assert yoi("plugin", "enable", "./relay", *YES).status == 0
    assert decided(workspace) == {"plugin:relay"}
    assert shown(yoi)["changes"] == []


def test_enabling_one_plugin_blesses_nothing_that_a_pull_brought(yoi, workspace, relay):
    write(workspace, EVIL)
    assert yoi("plugin", "enable", "./relay", *YES).status == 0
    assert decided(workspace) == {"plugin:relay"}
    assert [one["entry"] for one in shown(yoi)["changes"]] == ["worker:evil"]


def test_enabling_takes_no_default_from_an_entry_that_nobody_decided(yoi, workspace, relay):
    yoi("plugin", "enable", "./relay", "--grant-requested", "--yes", "-c", "channel=evil")
    AccountDecisions().store.forget(workspace)
    ran = yoi("plugin", "enable", "./relay", "--grant-requested", "--yes")
    assert ran.status == 1, "the channel is required, and what stands in the file does not count"
    yoi("plugin", "enable", "./relay", *YES)
    assert yoi("plugin", "enable", "./relay", "--grant-requested", "--yes").status == 0


def test_a_clone_brings_no_grant(yoi, workspace, relay, tmp_path, monkeypatch):
    """And the review of what it brings is that of the plugin."""
    assert yoi("plugin", "enable", "./relay", *YES).status == 0
    clone = tmp_path / "clone"
    shutil.copytree(workspace / ".yoi", clone / ".yoi")
    monkeypatch.chdir(clone)
    assert decided(clone) == set()
    screen = yoi("trust", "--show").out
    assert "plugin relay: new" in screen
    assert "wss://gateway.example.com" in screen
    (item,) = json.loads(yoi("plugin", "list", "--json").out)["items"]
    assert item["status"] != "active", "what is pending is not shown as working"
    for command in (["plugin", "list"], ["plugin", "show", "relay"], ["doctor"]):
        ran = yoi(*command)
        assert "plugin relay" in ran.out + ran.err
        assert "yoi trust" in ran.out + ran.err


def test_disabling_withdraws_though_the_file_is_broken(yoi, workspace, relay):
    yoi("plugin", "enable", "./relay", *YES)
    write(workspace, "[[")
    ran = yoi("plugin", "disable", "relay", "--yes")
    assert ran.status == 0, ran.err
    assert "left as it is" in ran.err
    assert decided(workspace) == set()
    assert yoi("plugin", "disable", "relay", "--yes").status == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_disabling_withdraws_though_the_file_cannot_be_written(yoi, workspace, relay):
    yoi("plugin", "enable", "./relay", *YES)
    file(workspace).parent.chmod(0o500)
    try:
        assert yoi("plugin", "disable", "relay", "--yes").status == 0
    finally:
        file(workspace).parent.chmod(0o700)
    assert decided(workspace) == set()


def test_disabling_withdraws_though_the_file_is_a_link(yoi, workspace, relay):
    """Which is not written through."""
    yoi("plugin", "enable", "./relay", *YES)
    file(workspace).rename(workspace / "real.toml")
    file(workspace).symlink_to(workspace / "real.toml")
    assert yoi("plugin", "disable", "relay", "--yes").status == 0
    assert decided(workspace) == set()


def test_an_edit_that_fails_decides_nothing(yoi, workspace, relay):
    write(workspace, 'plugins.enabled = [{ id = "project:x" }]\n')
    ran = yoi("plugin", "enable", "./relay", *YES)
    assert ran.status == 1
    assert decided(workspace) == set()


def test_everything_can_be_forgotten(yoi, workspace):
    write(workspace, WORKER)
    yoi("trust", "--digest", shown(yoi)["digest"])
    assert json.loads(yoi("trust", "--forget", "--json").out)["forgotten"]
    assert decided(workspace) == set()
    assert not json.loads(yoi("trust", "--forget", "--json").out)["forgotten"]


def test_a_secret_store_that_a_stranger_chose_is_not_opened(yoi, workspace):
    """The stranger has its key, too."""
    write(workspace, '[secrets]\nkey_file = "committed.key"\n')
    ran = yoi("secret", "list")
    assert ran.status == 1
    assert "secret.settings" in ran.err
    assert "yoi trust" in ran.err
    assert not (workspace / "committed.key").exists()


@pytest.mark.parametrize(
    ("command", "digest"),
    [
        ("serve", "sha256:" + "0" * 64),
        ("serve", ""),  # a variable that is not set
        ("runtime", "sha256:" + "0" * 64),
        ("backend", "sha256:" + "0" * 64),
    ],
)
def test_a_digest_of_something_else_starts_nothing(command, digest, yoi, workspace):
    write(workspace, WORKER)
    ran = yoi(command, "--trust-digest", digest)
    assert ran.status == 1
    assert "trust.changed" in ran.err
    assert not (workspace / ".yoi" / "journal.db").exists()


def test_both_ways_at_once_are_a_usage_error(yoi, workspace):
    ran = yoi("serve", "--trust-digest", "x", "--trust-workspace")
    assert ran.status == 2


@pytest.mark.parametrize(
    "text",
    [
        '[[workers]]\nname = "a"\nmodel = "x:E"\nbase_url = "E"\n["E"]\na = "E"\n',
        '[[workers]]\nname = "E"\n"E" = "E"\n[observation]\nlisten = "E"\norigins = ["E"]\n',
        '[[plugins.enabled]]\nid = "project:x"\nname = "x"\nversion = "1"\ndigest = "E"\n'
        'config = { "E" = "E" }\n[[plugins.enabled.grants.websocket]]\nhost = "E"\n',
        '[[mcp.servers]]\nname = "E"\ncommand = ["E", "E"]\nenv = { "E" = "E" }\n',
    ],
)
def test_hostile_text_in_the_file_is_data_on_the_screen(text, yoi, workspace):
    """Nor can a name be one that nobody sees, or that looks like another one."""
    hostile = "a\\u001b[2J\\u202eb\\u3164\\u034f\\u200b\\ufe0f\\U000e0041\\r\\n"
    write(workspace, text.replace("E", hostile))
    for command in (("trust", "--show"), ("trust", "--show", "--json"), ("doctor",)):
        ran = yoi(*command)
        for char in "\x1b\r\u202e\u3164\u034f\u200b\ufe0f\U000e0041":
            assert char not in ran.out + ran.err, command
    screen = yoi("trust", "--show").out
    assert "\\u202eb\\u3164\\u034f\\u200b\\ufe0f\\U000e0041" in screen or "cannot be used" in screen


def test_what_is_too_long_to_be_shown_whole_is_said_before_it_is_decided(yoi, workspace):
    long = "x" * 5000
    write(
        workspace,
        f'{WORKER}\nbase_url = "https://a.example/{long}"\n'
        f'[[mcp.servers]]\nname = "files"\ncommand = ["sh", "-c", "{long}; evil"]\n',
    )
    screen = yoi("trust", "--show").out
    assert "evil" not in screen
    assert screen.count("more characters are not shown: read them in .yoi/yoi.toml first") >= 2


def test_planted_files_are_named_and_taken_over_by_one_command(yoi, workspace):
    from yoi.serving.tokens import TokenStore, tokens_file

    file(workspace).parent.mkdir(mode=0o700)
    TokenStore(tokens_file(workspace)).create("planted")
    ran = yoi("token", "list")
    assert ran.status == 1
    assert "yoi trust --adopt" in ran.err
    assert shown(yoi)["foreign"] == ["tokens.toml"]
    assert "tokens.toml" in yoi("trust", "--show").out
    ran = yoi("trust", "--digest", shown(yoi)["digest"])
    assert yoi("token", "list").status == 1, "deciding the file adopts nothing"
    ran = yoi("trust", "--adopt", "--digest", shown(yoi)["digest"], "--json")
    assert json.loads(ran.out)["adopted"] == ["tokens.toml"]
    assert "planted" in yoi("token", "list").out


def test_where_a_file_cannot_be_adopted_nothing_is_decided(yoi, workspace):
    file(workspace).parent.mkdir(mode=0o700)
    file(workspace).write_text(WORKER)
    planted = file(workspace).with_name("journal.db")
    planted.write_bytes(b"garbage" * 1000)
    planted.chmod(0o600)
    ran = yoi("trust", "--adopt", "--digest", shown(yoi)["digest"])
    assert ran.status == 1
    assert "mv " in ran.err
    assert "worker:agent" not in shown(yoi)["in_force"]
    planted.unlink()
    assert yoi("trust", "--adopt", "--digest", shown(yoi)["digest"]).status == 0


def test_a_person_is_asked_before_anything_is_adopted(yoi, workspace):
    from yoi.serving.tokens import TokenStore, tokens_file

    file(workspace).parent.mkdir(mode=0o700)
    TokenStore(tokens_file(workspace)).create("planted")
    assert at_terminal(workspace, b"n\n", "trust", "--adopt")[0] == 1
    assert yoi("token", "list").status == 1
    assert at_terminal(workspace, b"y\n", "trust", "--adopt")[0] == 0
    assert yoi("token", "list").status == 0


NEVER = """
import pathlib, sys
pathlib.Path({mark!r}).write_text("ran")
class Relay: pass
"""


@pytest.mark.parametrize(
    "command",
    [
        ["plugin", "list"],
        ["plugin", "show", "relay"],
        ["plugin", "check", "relay"],
        ["trust", "--show"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_looking_at_a_workspace_runs_nothing_of_its_plugins(
    command, yoi, workspace, relay, monkeypatch, tmp_path
):
    """P2: not in a sandbox, not in a child, and above all not in this process."""
    mark = tmp_path / "ran"
    (relay / "plugin.py").write_text(NEVER.format(mark=str(mark)))
    yoi("plugin", "enable", "./relay", *YES)

    from yoi.sandbox import Sandbox

    def never(*_, **__):
        raise AssertionError("a guest was loaded")

    monkeypatch.setattr(Sandbox, "load_python", never)
    monkeypatch.setattr(Sandbox, "load_component", never)
    monkeypatch.syspath_prepend(str(relay))
    ran = yoi(*command)
    assert "a guest was loaded" not in ran.out + ran.err
    assert not mark.exists()
