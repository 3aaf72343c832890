"""`yoi plugin enable` and `disable`: what is asked, what is written, and what never is."""

import json
import tomllib

import pytest
from tests.cli.packages import BROAD, GRANT, MANIFEST, write_plugin
from tests.cli.terminal import at_terminal

YES = ("--grant-requested", "--yes", "-c", "channel=main")


@pytest.fixture
def relay(workspace):
    return write_plugin(workspace / "relay", MANIFEST + BROAD)


def configuration(workspace):
    return workspace / ".yoi" / "yoi.toml"


def entries(workspace):
    return tomllib.loads(configuration(workspace).read_text())["plugins"]["enabled"]


@pytest.mark.parametrize("form", ["txt", "json"])
def test_what_is_shown_before_a_grant(form, yoi, workspace, relay, golden):
    """P5, P6: the review in plain words, broad access in a block of its own."""
    extra = ["--json"] if form == "json" else []
    ran = yoi("plugin", "enable", "./relay", *YES, *extra)
    assert ran.status == 0
    golden(f"enable.{form}", ran.out)


def test_what_will_not_run_is_said_before_the_question(yoi, workspace, relay):
    """A checker that `enable` does not ask says yes to what cannot run."""
    code = relay / "plugin.py"
    code.write_text("import requests\n" + code.read_text())
    ran = yoi("plugin", "enable", "./relay", *YES)
    assert ran.status == 0
    said = ran.out.partition("enabled relay")[0]
    assert "What will probably not run:" in said
    assert "plugin.py, line 1" in said
    assert "next: yoi plugin check ./relay" in said or f"check {relay}" in said
    ran = yoi("plugin", "enable", "./relay", *YES, "--json")
    assert [one["code"] for one in json.loads(ran.out)["diagnostics"]] == ["package.source"]


def test_the_entry_is_bound_to_the_exact_package(yoi, workspace, relay):
    """P3: id, version and digest, in the entry and again in its grants."""
    yoi("plugin", "enable", "./relay", *YES)
    (entry,) = entries(workspace)
    shown = json.loads(yoi("plugin", "show", "relay", "--json").out)["items"][0]
    assert shown["status"] == "active"
    for bound in (entry, entry["grants"]):
        assert (bound["id"], bound["version"]) == ("project:relay", "1.2.0")
        assert bound["digest"] == shown["digest"]
    assert entry["config"] == {"channel": "main"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--yes"],
        ["--grant-requested"],
        [],
        ["--json"],
        ["--json", "--grant-requested"],
        ["--yes", "--grant-requested", "--grant", "g.toml"],
        ["--yes", "--grant-requested", "--config", "nonsense"],
        ["--yes", "--grant-requested", "--as", "../up"],
        ["--yes", "--grant-requested", "--workspace", "nowhere"],
    ],
)
def test_what_could_approve_unread_is_a_usage_error(arguments, yoi, workspace, relay):
    ran = yoi("plugin", "enable", "./relay", "-c", "channel=main", *arguments)
    assert ran.status == 2
    assert not (workspace / ".yoi").exists()


def test_without_a_terminal_the_flags_are_named(yoi, workspace, relay):
    ran = yoi("plugin", "enable", "./relay", "-c", "channel=main")
    assert "--yes" in ran.err
    assert "--grant-requested" in ran.err
    assert "--grant FILE" in ran.err


def test_a_config_that_does_not_fit_writes_nothing(yoi, workspace, relay):
    for values in ([], ["-c", "channel=x", "-c", "limit=much"], ["-c", "channel=x", "-c", "y=1"]):
        ran = yoi("plugin", "enable", "./relay", "--grant-requested", "--yes", *values)
        assert ran.status == 1
        assert "[config.value]" in ran.err
    assert not (workspace / ".yoi").exists()


def test_values_take_the_type_that_the_schema_says(yoi, workspace, relay):
    yoi("plugin", "enable", "./relay", "--grant-requested", "--yes", "-c", "channel=5", "-c",
        "limit=5")  # fmt: skip
    assert entries(workspace)[0]["config"] == {"channel": "5", "limit": 5}


@pytest.mark.parametrize(
    ("name", "text"), [("c.toml", 'channel = "main"\nlimit = 3\n'),
                       ("c.json", '{"channel": "main", "limit": 3}')]
)  # fmt: skip
def test_values_from_a_file_come_before_those_on_the_line(name, text, yoi, workspace, relay):
    (workspace / name).write_text(text)
    yoi("plugin", "enable", "./relay", "--grant-requested", "--yes", "--config-file", name, "-c",
        "limit=4")  # fmt: skip
    assert entries(workspace)[0]["config"] == {"channel": "main", "limit": 4}


def test_a_broken_package_is_not_enabled(yoi, workspace):
    write_plugin(workspace / "relay", source="class Relay\n")
    ran = yoi("plugin", "enable", "./relay", *YES)
    assert ran.status == 1
    assert not (workspace / ".yoi").exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("permissions = 5", "enablement.malformed"),
        ("bogus = 1", "enablement.malformed"),
        ("= nope", "enablement.toml"),
        ('[[websocket]]\nscheme = "gopher"\nhost = "x"', "enablement.malformed"),
    ],
)
def test_a_grant_file_that_cannot_be_read_grants_nothing(text, code, yoi, workspace, relay):
    (workspace / "g.toml").write_text(text)
    ran = yoi("plugin", "enable", "./relay", "--grant", "g.toml", "--yes", "-c", "channel=main")
    assert ran.status == 1
    assert f"[{code}]" in ran.err
    assert not (workspace / ".yoi").exists()


def test_comments_in_the_configuration_stay(yoi, workspace, relay):
    configuration(workspace).parent.mkdir()
    configuration(workspace).write_text("# mine, keep it\n[other]\nkey = 1  # and this\n")
    yoi("plugin", "enable", "./relay", *YES)
    yoi("plugin", "disable", "relay", "--yes")
    text = configuration(workspace).read_text()
    assert "# mine, keep it" in text
    assert "# and this" in text


def test_a_changed_package_shows_what_changed(yoi, workspace, relay, golden):
    """P3: the review of a changed package shows the difference, and old grants do not carry."""
    (workspace / "g.toml").write_text(GRANT)
    yoi("plugin", "enable", "./relay", "--grant", "g.toml", "--yes", "-c", "channel=main")
    write_plugin(relay, MANIFEST.replace('"chat"', '"talk"').replace("1.2.0", "1.3.0"))
    ran = yoi("plugin", "enable", "./relay", "--grant-requested", "--yes")
    assert ran.status == 0
    golden("enable-changed.txt", ran.out)
    assert entries(workspace)[0]["version"] == "1.3.0"
    assert entries(workspace)[0]["config"] == {"channel": "main"}


def test_a_folder_may_be_named_without_a_slash(yoi, workspace, relay):
    """What `new` made under a name is enabled and shown by that name, until a store has it."""
    assert yoi("plugin", "show", "relay").status == 0
    assert yoi("plugin", "enable", "relay", *YES).status == 0
    assert entries(workspace)[0]["id"] == "project:relay"


def test_a_store_comes_before_a_folder_and_the_person_is_told(yoi, workspace, relay):
    yoi("plugin", "enable", "relay", *YES)
    same = yoi("plugin", "enable", "relay", *YES)
    assert "not the folder" not in same.err
    write_plugin(relay, MANIFEST.replace("1.2.0", "1.3.0"))
    stale = yoi("plugin", "enable", "relay", *YES)
    assert "yoi plugin enable ./relay" in stale.err
    assert entries(workspace)[0]["version"] == "1.2.0"


def test_a_running_host_is_told(yoi, workspace, relay, serving):
    calls = []

    async def reload(params):
        calls.append("reload")
        return {"started": ["relay"], "stopped": [], "restarted": []}

    with serving(workspace, {"host.reload": reload}):
        ran = yoi("plugin", "enable", "./relay", *YES)
    assert calls == ["reload"]
    assert "the running host started: relay" in ran.out


def test_a_host_that_cannot_reload_is_reported(yoi, workspace, relay, serving):
    with serving(workspace, {}):
        ran = yoi("plugin", "enable", "./relay", *YES, "--json")
    assert ran.status == 0
    assert json.loads(ran.out)["host"]["error"]["code"] == "control.refused"


@pytest.mark.parametrize("form", ["txt", "json"])
def test_disable_says_what_will_close(form, yoi, workspace, relay, serving, golden):
    async def status(params):
        return {"lifecycle": "running", "connections": [{"name": "gateway\x1b[2J"}]}

    async def reload(params):
        return {"started": [], "stopped": ["relay"], "restarted": []}

    yoi("plugin", "enable", "./relay", *YES)
    with serving(workspace, {"service.status": status, "host.reload": reload}):
        extra = ["--json"] if form == "json" else []
        ran = yoi("plugin", "disable", "relay", "--yes", *extra)
    assert ran.status == 0
    golden(f"disable.{form}", ran.err + ran.out)


def test_disable_of_something_running_asks(yoi, workspace, relay, serving):
    async def status(params):
        return {"lifecycle": "running", "connections": []}

    yoi("plugin", "enable", "./relay", *YES)
    with serving(workspace, {"service.status": status}):
        ran = yoi("plugin", "disable", "relay")
    assert ran.status == 2
    assert "--yes" in ran.err
    assert entries(workspace)


def test_disable_drops_the_entry(yoi, workspace, relay):
    yoi("plugin", "enable", "./relay", *YES)
    ran = yoi("plugin", "disable", "relay", "--yes", "--json")
    assert json.loads(ran.out)["instance"] == "relay"
    assert tomllib.loads(configuration(workspace).read_text()).get("plugins", {}) in (
        {},
        {"enabled": []},
    )
    again = yoi("plugin", "disable", "relay", "--yes")
    assert again.status == 1
    assert "[enablement.missing]" in again.err
    assert "faulty" not in again.err, "one error, and no word about what did not happen"


@pytest.mark.parametrize(
    ("answer", "written"),
    [(b"y\n", True), (b"n\n", False), (b"\n", False), (b"\x04", False)],
)
def test_a_person_is_asked_and_only_yes_means_yes(answer, written, workspace, relay):
    """P3: nothing is written before the answer, and nothing at all after a no."""
    status, screen = at_terminal(
        workspace, answer, "plugin", "enable", "./relay", "-c", "channel=main"
    )
    assert "BROAD ACCESS" in screen
    assert (status == 0) is written
    assert configuration(workspace).exists() is written
    assert (workspace / ".yoi" / "plugins" / "relay.yoi-plugin").exists() is written
    assert "\x1b[" in screen, "a terminal gets colours"


def test_what_was_reviewed_is_enabled_whatever_its_folder_holds_by_then(
    yoi, workspace, relay, monkeypatch
):
    """What lands in the store must be what was reviewed."""
    from yoi import packages

    real = packages.store_package

    def edited_meanwhile(package, store):
        write_plugin(relay, MANIFEST.replace("1.2.0", "9.9.9"))
        return real(package, store)

    monkeypatch.setattr(packages, "store_package", edited_meanwhile)
    assert yoi("plugin", "enable", "./relay", *YES).status == 0
    (entry,) = entries(workspace)
    stored = packages.read_package(workspace / ".yoi" / "plugins" / "relay.yoi-plugin")
    assert (entry["version"], entry["digest"]) == ("1.2.0", stored.digest)


SECRETS = """
[[request]]
name = "api"
scheme = "https"
host = "slack.com"
methods = ["POST"]
path_prefixes = ["/api"]

[[secrets]]
name = "app"
description = "App-level token (xapp-...)"
request = "api"
at = ["/headers/authorization"]
"""


@pytest.fixture
def asking(workspace):
    return write_plugin(workspace / "relay", MANIFEST + SECRETS)


def test_no_secret_is_granted_unless_it_is_named(yoi, workspace, asking):
    """W9: asking for a secret gets none; the review says how to give one."""
    ran = yoi("plugin", "enable", "./relay", *YES)
    assert ran.status == 0
    assert "--secret app=STORE_NAME" in ran.out
    assert "secrets" not in entries(workspace)[0]["grants"]


def test_a_named_secret_is_granted_in_plain_words_and_kept(yoi, workspace, asking):
    ran = yoi("plugin", "enable", "./relay", *YES, "--secret", "app=slack-app", "--json")
    words = "puts your secret slack-app into /headers/authorization of requests to slack.com/api"
    assert words in [row["explanation"] for row in json.loads(ran.out)["review"]["rows"]]
    granted = entries(workspace)[0]["grants"]["secrets"]
    assert [one["secret"] for one in granted] == ["slack-app"]
    write_plugin(asking, MANIFEST.replace("1.2.0", "1.3.0") + SECRETS)
    assert yoi("plugin", "enable", "./relay", *YES).status == 0
    assert entries(workspace)[0]["grants"]["secrets"] == granted


@pytest.mark.parametrize("pair", ["app", "app=", "=x", "other=x", "app=../x", "app=a b"])
def test_a_secret_that_means_nothing_is_refused(pair, yoi, workspace, asking):
    ran = yoi("plugin", "enable", "./relay", *YES, "--secret", pair)
    assert ran.status == 2
    assert not configuration(workspace).exists()


def test_a_grant_file_names_its_secrets(yoi, workspace, asking):
    (workspace / "g.toml").write_text(SECRETS)
    arguments = ("plugin", "enable", "./relay", "--grant", "g.toml", "--yes", "-c", "channel=main")
    assert "which secret of the store" in yoi(*arguments).err
    (workspace / "g.toml").write_text(SECRETS + 'secret = "slack-app"\n')
    assert yoi(*arguments).status == 0
    assert entries(workspace)[0]["grants"]["secrets"][0]["secret"] == "slack-app"
    assert yoi(*arguments, "--secret", "app=x").status == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["plugin", "enable", "./nothing"], "package.io", "nothing: no such file"),
        (["plugin", "enable", "./relay"], "config.value", "config.channel"),
        (["plugin", "enable", "./relay", "--as=-x"], "usage.arguments", "'-x' cannot name"),
        (
            ["plugin", "enable", "./relay", "-c", "channel=a", "--grant", "no"],
            "enablement.malformed",
            "no",
        ),
        (["plugin", "dev", "./nothing"], "usage.arguments", "nothing is not a folder"),
        (["plugin", "dev", "./relay", "-c", "nonsense"], "usage.arguments", "nonsense"),
        (["plugin", "update", "--dir", "./nothing"], "package.io", "nothing/plugin.toml"),
        (["mcp", "approve", "-x"], "usage.arguments", "-x"),
        (["ticket", "comment", "none"], "ticket.id", "none"),
        (["ticket", "review", "none", "maybe"], "usage.arguments", "maybe"),
        (["ticket", "new", "\x00"], "ticket.value", "a title"),
        (["secret", "set", "a b"], "secret.name", "a b"),
        (["trust", "-w", "./nothing"], "usage.arguments", "nothing is not a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_wrong_with_the_input_is_said_before_a_terminal_is_missed(
    arguments, code, words, yoi, workspace, relay
):
    ran = yoi(*arguments)
    assert f"[{code}]" in ran.err
    assert words in ran.err
    assert "terminal" not in ran.err
