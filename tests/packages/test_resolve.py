"""P3: nothing runs until the exact package is enabled; any change puts it off again."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.errors import EnablementError
from yoi.limits import LIMITS
from yoi.packages import Enablement, PackageInventory, difference, resolve
from yoi.permissions import Permission, PermissionKind, PermissionSet
from yoi.types import InstanceName


def only_code(resolution):
    assert resolution.plugins == ()
    (diagnosis,) = resolution.diagnostics
    return diagnosis.error.code


def test_an_enabled_package_resolves_with_its_config_and_authority(workspace):
    package = workspace.write()
    workspace.enable(package)
    (plugin,) = workspace.resolve().plugins
    assert (plugin.name, plugin.reference) == ("echo", "project:echo")
    assert plugin.config == {"word": "hello"}
    assert plugin.surfaces == {"tool", "service", "ingress", "wasm"}
    connection = package.manifest.connections[0]
    assert plugin.authority.connection(connection.name, connection.url).allowed


def test_a_package_in_the_store_is_not_enabled_by_itself(workspace):
    workspace.write()
    resolution = workspace.resolve()
    assert resolution.plugins == ()
    assert resolution.diagnostics == ()


def test_two_keys(workspace):
    """P4: granted but not requested, and requested but not granted, are both refused."""
    package = workspace.write()
    elsewhere = PermissionSet.parse([], [{"scheme": "wss", "host": "other.example"}])
    workspace.enable(package, granted=elsewhere)
    (plugin,) = workspace.resolve().plugins
    connection = package.manifest.connections[0]
    assert not plugin.authority.connection(connection.name, connection.url).allowed
    assert not plugin.authority.permission(Permission(PermissionKind.SERVICE, "chat")).allowed


def test_a_changed_package_is_off_until_it_is_reviewed(workspace):
    workspace.enable(workspace.write())
    changed = workspace.write(plugin="class Echo:\n    evil = True\n")
    resolution = workspace.resolve()
    assert only_code(resolution) == "enablement.digest"
    hint = resolution.diagnostics[0].error.hint
    assert "yoi plugin enable project:echo" in hint
    assert "what changed" in hint
    workspace.enable(changed)
    assert len(workspace.resolve().plugins) == 1


@pytest.mark.parametrize(
    ("name", "words"), [("echo", "project:echo"), ("second", "project:echo --as second")]
)
def test_what_is_denied_names_the_command_for_this_very_entry(workspace, name, words):
    """P5: enabling the package under its own name would not help another instance."""
    workspace.enable(workspace.write(), name=name, granted=PermissionSet())
    (plugin,) = workspace.resolve().plugins
    denied = plugin.authority.permission(Permission(PermissionKind.SERVICE, "chat"))
    assert denied.hint.splitlines()[-1] == f"yoi plugin enable {words}"


def test_one_package_runs_twice_under_two_names(workspace):
    package = workspace.write()
    workspace.enable(package, config={"word": "a"})
    workspace.enable(package, name="second", config={"word": "b"}, granted=PermissionSet())
    plugins = workspace.resolve().plugins
    assert [(one.name, one.config["word"]) for one in plugins] == [("echo", "a"), ("second", "b")]
    assert plugins[0].authority is not plugins[1].authority


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": "0.2.0"}, "enablement.version"),
        ({"surfaces": frozenset({"hook"})}, "enablement.surface"),
        ({"config": {"word": 1}}, "config.value"),
        ({"config": {"wrod": "x"}}, "config.value"),
        ({"reference": "user:echo"}, "enablement.missing"),
    ],
)
def test_what_does_not_fit_the_package_is_off(workspace, changes, code):
    workspace.enable(workspace.write(), **changes)
    assert only_code(workspace.resolve()) == code


def test_an_unreadable_package_says_why(workspace):
    workspace.enable(workspace.write())
    (workspace.store.path / "echo.yoi-plugin").write_bytes(b"junk")
    resolution = workspace.resolve()
    assert only_code(resolution) == "enablement.missing"
    assert "end record" in resolution.diagnostics[0].error.message


def test_one_bad_entry_does_not_take_the_others_with_it(workspace):
    workspace.enable(workspace.write())
    text = workspace.config.read_text()
    workspace.config.write_text(text + '\n[[plugins.enabled]]\nid = "echo"\n')
    resolution = workspace.resolve()
    assert len(resolution.plugins) == 1
    (diagnosis,) = resolution.diagnostics
    assert diagnosis.error.fields["at"] == "plugins.enabled[1].id"


def test_a_defect_of_ours_in_one_entry_does_not_take_the_others_with_it(workspace, monkeypatch):
    package = workspace.write()
    workspace.enable(package)
    workspace.enable(package, name=InstanceName("other"))
    resolution = sys.modules[resolve.__module__]
    real = resolution.resolve_entry

    def broken(inventory, entry):
        if entry.name == "echo":
            raise KeyError("x")
        return real(inventory, entry)

    monkeypatch.setattr(resolution, "resolve_entry", broken)
    resolved = workspace.resolve()
    assert [plugin.name for plugin in resolved.plugins] == ["other"]
    assert [(one.name, one.error.code) for one in resolved.diagnostics] == [
        ("echo", "usage.internal")
    ]


def enabled(workspace, **changes):
    """Return what loading a yoi.toml says whose one entry is written by hand."""
    digest = "sha256:" + "a" * 64
    rows = {
        "id": '"project:echo"',
        "version": '"1"',
        "digest": f'"{digest}"',
        "grants": f'{{ id = "project:echo", version = "1", digest = "{digest}" }}',
    } | changes
    text = "[[plugins.enabled]]\n" + "".join(
        f"{key} = {value}\n" for key, value in rows.items() if value
    )
    workspace.config.parent.mkdir(exist_ok=True)
    workspace.config.write_text(text)
    return Enablement.load(workspace.config)


def test_the_hand_written_entry_is_sound(workspace):
    assert enabled(workspace).diagnostics == ()


def bound_to(**changes):
    """Return grants that are bound to another package than the entry."""
    identity = {"id": "project:echo", "version": "1", "digest": "sha256:" + "a" * 64} | changes
    return "{ " + ", ".join(f'{key} = "{value}"' for key, value in identity.items()) + " }"


@pytest.mark.parametrize(
    ("changes", "code", "at"),
    [
        ({"id": '"echo"'}, "enablement.malformed", "id"),
        ({"id": '"dir:echo"'}, "enablement.malformed", "id"),
        ({"id": '"project:../x"'}, "enablement.malformed", "id"),
        ({"digest": ""}, "enablement.malformed", "digest"),
        ({"digest": '"sha256:AA"'}, "enablement.malformed", "digest"),
        ({"version": ""}, "enablement.malformed", "version"),
        ({"nmae": '"x"'}, "enablement.malformed", "nmae"),
        ({"name": '"a b"'}, "enablement.malformed", "name"),
        ({"surfaces": '["tools"]'}, "enablement.malformed", "surfaces[0]"),
        ({"config": "[]"}, "enablement.malformed", "config"),
        ({"grants": "{}"}, "enablement.malformed", "grants.id"),
        ({"grants": "{ fs = [] }"}, "enablement.malformed", "grants.fs"),
        ({"grants": bound_to(id="project:other")}, "enablement.grant", "grants.id"),
        (
            {"grants": bound_to(version="2")},
            "enablement.grant",
            "grants.version",
        ),
    ],
)
def test_entries_that_are_not_as_they_must_be(workspace, changes, code, at):
    loaded = enabled(workspace, **changes)
    assert loaded.entries == ()
    (diagnosis,) = loaded.diagnostics
    assert diagnosis.error.code == code
    assert diagnosis.error.fields["at"] == f"plugins.enabled[0].{at}"


def test_grants_for_another_digest_are_not_taken_over(workspace):
    grants = f'{{ id = "project:echo", version = "1", digest = "sha256:{"b" * 64}" }}'
    loaded = enabled(workspace, grants=grants)
    assert loaded.entries == ()
    assert loaded.diagnostics[0].error.code == "enablement.grant"


def test_a_bad_target_in_a_grant_disables_the_entry(workspace):
    digest = "sha256:" + "a" * 64
    grants = f'{{ id = "project:echo", version = "1", digest = "{digest}", '
    loaded = enabled(workspace, grants=grants + 'websocket = [{ scheme = "wss", host = "a b" }] }')
    error = loaded.diagnostics[0].error
    assert isinstance(error, EnablementError)
    assert error.fields["at"] == "plugins.enabled[0].grants.websocket[0].host"


def test_two_entries_with_one_name_are_both_off(workspace):
    enabled(workspace)
    workspace.config.write_text(workspace.config.read_text() * 2)
    loaded = Enablement.load(workspace.config)
    assert loaded.entries == ()
    assert loaded.diagnostics[0].error.code == "enablement.duplicate"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[plugins\n", "enablement.toml"),
        ("plugins = 3\n", "enablement.malformed"),
        ("[plugins]\nresolved = []\n", "enablement.malformed"),
        ("[plugins]\nenabled = {}\n", "enablement.malformed"),
        ("# " + "x" * LIMITS.operator_config_bytes, "enablement.malformed"),
    ],
)
def test_files_that_cannot_be_read_as_a_whole(workspace, text, code):
    workspace.config.parent.mkdir()
    workspace.config.write_text(text)
    with pytest.raises(EnablementError) as caught:
        Enablement.load(workspace.config)
    assert caught.value.code == code


def test_no_file_enables_nothing_and_other_tables_are_not_ours(workspace):
    assert Enablement.load(workspace.config).entries == ()
    workspace.config.parent.mkdir()
    workspace.config.write_text("[serve]\nanything = { at = 'all' }\n")
    assert Enablement.load(workspace.config).entries == ()


@settings(max_examples=100)
@given(st.binary(max_size=60), st.integers(0, 400))
def test_noise_in_the_file_never_enables_more(tmp_path_factory, noise, at):
    digest = b"sha256:" + b"a" * 64
    sound = b'[[plugins.enabled]]\nid = "project:echo"\nversion = "1"\ndigest = "' + digest + b'"\n'
    path = tmp_path_factory.getbasetemp() / "noise.toml"
    try:
        loaded = Enablement.parse(sound[:at] + noise + sound[at:], path)
    except EnablementError:
        return
    assert all(one.granted.empty for one in loaded.entries)
    assert resolve(PackageInventory((), ()), loaded).plugins == ()


def test_the_difference_names_what_is_new_and_what_is_gone():
    old = PermissionSet.parse(
        [{"kind": "tool", "name": "a"}, {"kind": "tool", "name": "b"}],
        [{"scheme": "wss", "host": "a.example", "path_prefixes": ["/ws"]}],
    )
    new = PermissionSet.parse(
        [{"kind": "tool", "name": "b"}, {"kind": "external_write"}],
        [{"scheme": "wss", "host": "*", "path_prefixes": ["/ws"]}],
    )
    found = difference(old, new)
    assert found.to_json() == {
        "added": ["external_write", "websocket wss://* /ws"],
        "removed": ["tool.a", "websocket wss://a.example /ws"],
    }
    assert found.kept.permissions == (Permission(PermissionKind.TOOL, "b"),)
    assert difference(new, new).same
