"""P3: yoi.toml is edited with comments kept, in one step, or not at all."""

import fcntl
import os
import stat
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.errors import EnablementError, YoiError
from yoi.packages import EnabledEntry, Enablement
from yoi.packages.edits import remove_enablement, write_enablement
from yoi.permissions import PermissionSet
from yoi.types import Digest, InstanceName

DIGEST = Digest("sha256:" + "a" * 64)
OTHER = Digest("sha256:" + "b" * 64)
GRANTED = PermissionSet.parse(
    [{"kind": "connection", "name": "gateway"}, {"kind": "surface", "surface": "service"}],
    [
        {"scheme": "wss", "host": "a.example", "path_prefixes": ["/ws"]},
        {"scheme": "wss", "host": "*.b.example", "max_message_bytes": 4194304},
    ],
    [
        {"scheme": "https", "host": "a.example", "methods": ["GET"], "path_prefixes": ["/v1"]},
        {
            "name": "api",
            "scheme": "https",
            "host": "slack.com",
            "methods": ["POST"],
            "captures": [
                {"name": "url", "at": "/url"},
                {
                    "name": "token",
                    "at": "/token",
                    "into": {"connection": "gateway", "at": ["/d/token"]},
                    "rotates": "app",
                },
            ],
        },
    ],
    [
        {
            "name": "app",
            "description": 'App-level "token"',
            "request": "api",
            "at": ["/headers/authorization"],
            "secret": "slack-app",
        },
        {"name": "bot", "connection": "gateway", "at": ["/d/token", "/a~1b"], "secret": "bot"},
    ],
    memory_bytes=134217728,
)


def entry(name="echo", **changes):
    made = EnabledEntry(
        reference="project:echo",
        name=InstanceName(name),
        version="0.1.0",
        digest=DIGEST,
        config={"channel": "general", "nested": {"list": [1, {"a": 2.5}], "empty": []}},
        granted=GRANTED,
    )
    return replace(made, **changes)


def test_a_new_file_holds_exactly_the_entry(tmp_path):
    path = tmp_path / ".yoi" / "yoi.toml"
    write_enablement(path, entry())
    assert Enablement.load(path).entries == (entry(),)
    assert os.listdir(path.parent) == ["yoi.toml"]


def test_one_package_may_be_enabled_twice(tmp_path):
    path = tmp_path / "yoi.toml"
    write_enablement(path, entry())
    write_enablement(path, entry("second", granted=PermissionSet(), config={}))
    assert [one.name for one in Enablement.load(path).entries] == ["echo", "second"]
    assert path.read_text().count("\n\n[[plugins.enabled]]\n") == 1


COMMENTED = f"""# About this workspace
[serve] # ours
port = 1 # not yours

[[plugins.enabled]] # the first
# who: Ann
id = "project:echo"   # from the store
version = "0.1.0"
digest = "{DIGEST}" # checked by Ann
config = {{ a = 1 }}

[plugins.enabled.grants] # given on Monday
id = "project:echo"
version = "0.1.0"
digest = "{DIGEST}"
permissions = [
  # the socket
  {{ kind = "connection", name = "gateway" }}, # always on
]

[[plugins.enabled.grants.websocket]] # chat
scheme = "wss" # safe
host = "a.example"

# ---- below: Bob's ----
[[plugins.enabled]] # the second
id = "user:other"
version = "2"
digest = "{OTHER}"

# the end
[log]
level = "info" # quiet
"""


def comments(text):
    return [line.partition("#")[2].strip() for line in text.splitlines() if "#" in line]


def test_updating_keeps_every_comment_that_still_has_its_line(tmp_path):
    path = tmp_path / "yoi.toml"
    path.write_text(COMMENTED)
    before = Enablement.load(path)
    first = before.entries[0]
    changed = replace(first, digest=OTHER, version="0.2.0", config={})
    write_enablement(path, changed)
    after = path.read_text()
    assert comments(after) == comments(COMMENTED)
    assert Enablement.load(path).entries == (changed, before.entries[1])


def test_changing_the_targets_keeps_the_comments_about_the_next_entry(tmp_path):
    path = tmp_path / "yoi.toml"
    path.write_text(COMMENTED)
    write_enablement(path, entry())
    after = path.read_text()
    assert set(comments(COMMENTED)) - set(comments(after)) <= {
        "the socket",
        "always on",
        "chat",
        "safe",
    }
    assert after.index("below: Bob's") < after.index("the second")
    assert Enablement.load(path).find("echo") == entry()


def test_a_comment_about_a_secret_stays_while_other_things_change(tmp_path):
    path = tmp_path / "yoi.toml"
    write_enablement(path, entry())
    text = path.read_text()
    assert text.count("[[plugins.enabled.grants.secrets]]") == 2
    path.write_text(text.replace('secret = "slack-app"', 'secret = "slack-app" # Ann has it'))
    write_enablement(path, entry(version="0.2.0"))
    assert "# Ann has it" in path.read_text()
    assert Enablement.load(path).find("echo") == entry(version="0.2.0")


def test_a_granted_secret_says_which_one_of_the_store(tmp_path):
    """Without the store's name the entry is off and says so: nothing is guessed."""
    path = tmp_path / "yoi.toml"
    write_enablement(path, entry())
    path.write_text(path.read_text().replace('secret = "slack-app"\n', ""))
    found = Enablement.load(path)
    assert found.entries == ()
    assert "secrets[0].secret" in found.diagnostics[0].error.message


@pytest.mark.parametrize(("name", "gone"), [("echo", "the first"), ("other", "the second")])
def test_removing_leaves_everything_else_as_it_was(tmp_path, name, gone):
    path = tmp_path / "yoi.toml"
    path.write_text(COMMENTED)
    remove_enablement(path, name)
    after = path.read_text()
    assert Enablement.load(path).find(name) is None
    assert len(Enablement.load(path).entries) == 1
    assert gone not in after
    for kept in ("About this workspace", "ours", "not yours", "below: Bob's", "the end", "quiet"):
        assert kept in comments(after) or f"---- {kept} ----" in comments(after)
    assert tomllib.loads(after)["log"] == {"level": "info"}


def test_removing_the_last_entry_leaves_a_readable_file(tmp_path):
    path = tmp_path / "yoi.toml"
    write_enablement(path, entry())
    remove_enablement(path, "echo")
    assert Enablement.load(path).entries == ()
    write_enablement(path, entry())
    assert Enablement.load(path).entries == (entry(),)


def test_removing_what_is_not_there_changes_nothing(tmp_path):
    path = tmp_path / "yoi.toml"
    path.write_text(COMMENTED)
    with pytest.raises(EnablementError) as caught:
        remove_enablement(path, "nobody")
    assert caught.value.code == "enablement.missing"
    assert path.read_text() == COMMENTED


def test_the_mode_is_kept(tmp_path):
    path = tmp_path / "yoi.toml"
    path.write_text("")
    path.chmod(0o600)
    write_enablement(path, entry())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_not_written_through(tmp_path):
    target = tmp_path / "precious"
    target.write_text("# mine\n")
    path = tmp_path / "yoi.toml"
    path.symlink_to(target)
    with pytest.raises(EnablementError, match="symbolic link"):
        write_enablement(path, entry())
    assert target.read_text() == "# mine\n"
    assert path.is_symlink()


def test_a_planted_link_at_the_temporary_name_cannot_be_followed(tmp_path, monkeypatch):
    """Random names and exclusive creation: a failed replace leaves the old file and no litter."""
    path = tmp_path / "yoi.toml"
    path.write_text("# mine\n")

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(YoiError) as caught:
        write_enablement(path, entry())
    assert caught.value.code == "package.io"
    assert os.listdir(tmp_path) == ["yoi.toml"]
    assert path.read_text() == "# mine\n"


def test_two_edits_at_once_do_not_lose_one(tmp_path):
    path = tmp_path / "yoi.toml"
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(EnablementError, match="another command"):
            write_enablement(path, entry())
    finally:
        os.close(folder)
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "[[plugins.enabled]\n",
        "plugins = 1\n",
        "[plugins]\nenabled = 1\n",
        '[plugins]\nenabled = [{ id = "project:echo" }]\n',
        "[plugins]\nunknown = 1\n",
        '[[plugins.enabled]]\nid = "x"\n[b]\nc = 1\n[[plugins.enabled]]\nid = "y"\n',
    ],
)
def test_a_file_that_cannot_be_edited_stays_as_it_is(tmp_path, text):
    path = tmp_path / "yoi.toml"
    path.write_text(text)
    with pytest.raises(EnablementError):
        write_enablement(path, entry())
    assert path.read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        "[plugins]\n",
        "[plugins]\nenabled = []\n",
        "# only a comment",
        "[serve]\nport = 1",
        '[[plugins.enabled]]\nid = "broken"\n\n[other]\nx = 1\n',
        "[plugins] # ours\n\n[other]\nx = 1\n",
    ],
)
def test_files_of_many_shapes_can_be_edited(tmp_path, text):
    path = tmp_path / "yoi.toml"
    path.write_text(text)
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(EnablementError):
            write_enablement(path, entry())
        return
    write_enablement(path, entry())
    assert Enablement.load(path).find("echo") == entry()
    remove_enablement(path, "echo")
    after = tomllib.loads(path.read_text())
    assert after.get("other") == before.get("other")
    assert Enablement.load(path).find("echo") is None


def test_strangers_text_is_written_as_text(tmp_path):
    """A version or a setting cannot break out of its string and add a grant."""
    path = tmp_path / "yoi.toml"
    hostile = 'x"\n[[plugins.enabled]]\nid = "project:evil"\n# \u202e\x1b[2J'
    made = entry(version=hostile[:100], config={"a": hostile, 'k"\n]': [hostile]})
    write_enablement(path, made)
    assert Enablement.load(path).entries == (made,)


def test_what_toml_cannot_hold_is_refused(tmp_path):
    path = tmp_path / "yoi.toml"
    with pytest.raises(EnablementError, match="cannot be written as TOML"):
        write_enablement(path, entry(config={"a": None}))
    assert not path.exists()


NAMES = st.sampled_from(["a", "b", "c"])


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), NAMES, st.booleans(), st.booleans()),
            st.tuples(st.just("remove"), NAMES, st.none(), st.none()),
        ),
        max_size=8,
    )
)
def test_any_sequence_of_edits_says_what_was_meant(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("edits") / "yoi.toml"
    path.write_text("# top\n[serve] # s\nport = 1\n# tail\n")
    expected = {}
    for action, name, with_grants, with_config in steps:
        if action == "write":
            made = entry(
                name,
                granted=GRANTED if with_grants else PermissionSet(),
                config={"x": name} if with_config else {},
                surfaces=frozenset({"tool"}) if with_config else None,
            )
            write_enablement(path, made)
            expected[name] = made
        elif name in expected:
            remove_enablement(path, name)
            del expected[name]
    assert {one.name: one for one in Enablement.load(path).entries} == expected
    assert {"top", "s", "tail"} <= set(comments(path.read_text()))
