"""`yoi plugin new | check | pack | list | show`."""

import json

import pytest
from tests.cli.packages import (
    BROAD,
    FORBIDDEN,
    GRANT,
    HOSTILE,
    MANIFEST,
    SOURCE,
    toml_text,
    write_plugin,
)

from yoi.testing.trusting import trust_workspace

FORMS = pytest.mark.parametrize("form", ["txt", "json"])


def flags(form):
    return ["--json"] if form == "json" else []


@FORMS
def test_check_of_a_sound_plugin(form, yoi, workspace, golden):
    """P2, P6: what it asks for in plain words, broad access apart; nothing is run."""
    write_plugin(workspace / "relay", MANIFEST + BROAD, SOURCE + "raise SystemExit('executed')\n")
    ran = yoi("plugin", "check", "relay", *flags(form))
    assert ran.status == 0
    golden(f"check-sound.{form}", ran.out)


@FORMS
def test_check_of_a_broken_source(form, yoi, workspace, golden):
    write_plugin(workspace / "relay", source="class Relay\n")
    ran = yoi("plugin", "check", "relay", *flags(form))
    assert ran.status == 1
    golden(f"check-broken.{form}", ran.out)


def test_check_of_an_unreadable_manifest_names_the_place(yoi, workspace):
    write_plugin(workspace / "relay", MANIFEST + "\nbogus_key = 1\n")
    ran = yoi("plugin", "check", "relay", "--json")
    answer = json.loads(ran.out)
    assert ran.status == 1
    assert (answer["status"], answer["package"]) == ("rejected", None)
    assert "bogus_key" in answer["diagnostics"][0]["message"]


def test_check_json_has_the_ancestors_keys(yoi, workspace):
    write_plugin(workspace / "relay")
    answer = json.loads(yoi("plugin", "check", "relay", "--json").out)
    assert {
        "command", "status", "input_path", "input_kind", "package", "diagnostics",
        "static_inspection", "safety", "next_steps",
    } <= answer.keys()  # fmt: skip
    assert all(answer["safety"].values())


@FORMS
def test_pack_says_what_it_left_out(form, yoi, workspace, golden):
    folder = write_plugin(workspace / "relay")
    (folder / ".env").write_text("TOKEN=1")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    ran = yoi("plugin", "pack", "relay", *flags(form))
    assert ran.status == 0
    golden(f"pack.{form}", ran.out)


def test_pack_never_overwrites_without_force(yoi, workspace):
    write_plugin(workspace / "relay")
    assert yoi("plugin", "pack", "relay").status == 0
    again = yoi("plugin", "pack", "relay")
    assert again.status == 1
    assert "hint: write over it with --force" in again.err
    assert yoi("plugin", "pack", "relay", "--force").status == 0


@pytest.mark.parametrize("template", ["websocket", "service", "tool"])
def test_new_makes_a_plugin_that_check_accepts(template, yoi, workspace):
    made = json.loads(yoi("plugin", "new", template, "mine", "--json").out)
    assert "plugin.toml" in made["files"]
    assert yoi("plugin", "check", "mine").status == 0


@FORMS
def test_new_says_what_it_made(form, yoi, workspace, golden):
    ran = yoi("plugin", "new", "websocket", "mine", *flags(form))
    golden(f"new.{form}", ran.out)


def test_new_refuses_a_folder_with_something_in_it(yoi, workspace):
    write_plugin(workspace / "mine")
    ran = yoi("plugin", "new", "tool", "mine")
    assert (ran.status, ran.out) == (1, "")
    assert "[package.exists]" in ran.err


def enabled(yoi, workspace, *more):
    write_plugin(workspace / "relay", MANIFEST + BROAD)
    (workspace / "grant.toml").write_text(GRANT)
    ran = yoi(
        "plugin", "enable", "./relay", "--grant", "grant.toml", "--yes", "-c", "channel=main", *more
    )
    assert ran.status == 0, ran.err
    return ran


@FORMS
def test_list(form, yoi, workspace, golden):
    """P7: one row per package and entry; the faults of each below."""
    enabled(yoi, workspace)
    store = workspace / ".yoi" / "plugins"
    (store / "torn.yoi-plugin").write_bytes(b"PK")
    file = workspace / ".yoi" / "yoi.toml"
    file.write_text(
        file.read_text()
        + '\n[[plugins.enabled]]\nid = "project:gone"\nversion = "1"\n'
        + f'digest = "sha256:{"0" * 64}"\n'
    )
    trust_workspace(workspace)
    ran = yoi("plugin", "list", *flags(form))
    assert ran.status == 0
    golden(f"list.{form}", ran.out)


@FORMS
def test_show_of_a_partial_grant(form, yoi, workspace, golden):
    """P4, P7: requested, granted, denied, partly covered, grant-only and broad, each as itself."""
    enabled(yoi, workspace)
    ran = yoi("plugin", "show", "relay", *flags(form))
    assert ran.status == 0
    golden(f"show.{form}", ran.out)


def test_show_of_a_folder_says_how_to_enable_it(yoi, workspace):
    write_plugin(workspace / "relay")
    assert "enable it: yoi plugin enable ./relay" in yoi("plugin", "show", "relay").out


def test_show_of_an_unknown_package_says_so(yoi, workspace):
    ran = yoi("plugin", "show", "relay")
    assert ran.status == 1
    assert "[package.missing]" in ran.err


def test_show_tells_two_instances_of_one_package_apart(yoi, workspace):
    enabled(yoi, workspace)
    enabled(yoi, workspace, "--as", "second")
    items = json.loads(yoi("plugin", "show", "relay", "--json").out)["items"]
    assert [item["instance"] for item in items] == ["relay", "second"]


def hostile_manifest():
    name = toml_text(HOSTILE)
    return (
        MANIFEST.replace('"Relay"', name)
        .replace('"1.2.0"', name)
        .replace('"Passes messages on."', name)
        .replace('"Posts a message"', name)
    )


@pytest.mark.parametrize("extra", [[], ["--json"]])
@pytest.mark.parametrize(
    "command",
    [
        ["check", "relay"],
        ["pack", "relay", "--force"],
        ["enable", "./relay", "--grant-requested", "--yes", "-c", "channel=" + HOSTILE],
        ["list"],
        ["show", "relay"],
        ["disable", "relay", "--yes"],
    ],
    ids=lambda command: command[0],
)
def test_no_strangers_text_reaches_a_terminal_raw(command, extra, yoi, workspace):
    folder = write_plugin(workspace / "relay", hostile_manifest())
    (folder / "\u202egnp.\x1b[2J").mkdir()
    (folder / ".\x1b[2J\u202e").write_text("x")
    if command[0] in ("list", "show", "disable"):
        yoi("plugin", "enable", "./relay", "--grant-requested", "--yes", "-c", "channel=main")
    ran = yoi("plugin", *command, *extra)
    for forbidden in FORBIDDEN:
        assert forbidden not in ran.out + ran.err


def test_a_hostile_path_is_escaped_in_errors(yoi, workspace):
    ran = yoi("plugin", "check", "nope\x1b[2J[red]\u202e.yoi-plugin")
    assert ran.status == 1
    assert "\\x1b[2J[red]\\u202e" in ran.out.replace("\n", "")
