"""The `[mcp]` tables: what they take, and that nothing of another server is in force by itself."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.decisions.compare import compare
from yoi.display import printable
from yoi.mcp.names import model_name
from yoi.mcp.settings import McpSettings

DIGEST = "sha256:" + "0" * 64
DECIDED = {
    "servers": [
        {
            "name": "files",
            "command": ["server", "--read"],
            "environment": [{"name": "KEY", "secret": "key"}],
            "tools": [{"name": "read", "digest": DIGEST}, {"name": "list", "digest": DIGEST}],
        }
    ],
    "tools": [{"plugin": "chat", "tool": "reply", "approval": "ask"}],
    "events": [{"plugin": "chat"}],
}


def edited(**values):
    made = copy.deepcopy(DECIDED)
    made["servers"][0].update(values)
    return made


def in_force(file):
    found = compare("mcp", DECIDED, file)
    return McpSettings.read({"mcp": found.in_force or {}}), [c.turn.value for c in found.changes]


@pytest.mark.parametrize(
    "edit",
    [
        {"command": ["server", "--write"]},
        {"environment": [{"name": "KEY", "secret": "another"}]},
        {"url": "https://mcp.example.com/mcp"},
    ],
)
def test_another_command_secret_or_place_waits_for_a_decision(edit):
    settings, turns = in_force(edited(**edit))
    assert settings.servers == ()
    assert turns == ["changed"]
    assert settings.tools  # the rest goes on


def test_another_digest_and_another_tool_wait_and_a_missing_one_is_gone():
    other = "sha256:" + "1" * 64
    settings, turns = in_force(
        edited(tools=[{"name": "read", "digest": other}, {"name": "write", "digest": DIGEST}])
    )
    assert settings.servers[0].tools == {}
    assert sorted(turns) == ["changed", "gone", "new"]


def test_clients_are_not_given_more_by_an_edit():
    wider = copy.deepcopy(DECIDED)
    wider["tools"][0]["approval"] = "auto"
    wider["tools"].append({"plugin": "chat", "tool": "delete"})
    wider["events"].append({"plugin": "bank"})
    settings, turns = in_force(wider)
    assert [(one.name, one.approval) for one in settings.tools] == [("reply", "ask")]
    assert settings.events == ("chat",)
    assert sorted(turns) == ["new", "new", "wider"]


@pytest.mark.parametrize(
    ("server", "at"),
    [
        ({"name": "a"}, "mcp.servers[0].command"),
        ({"name": "a", "command": []}, "mcp.servers[0].command"),
        ({"name": "a", "command": ["a\0b"]}, "mcp.servers[0].command"),
        ({"name": "a", "command": ["a"], "url": "https://a.example/"}, "mcp.servers[0].command"),
        ({"name": "a", "url": "ftp://a.example/"}, "mcp.servers[0].url"),
        ({"name": "a", "url": "https://u:p@a.example/"}, "mcp.servers[0].url"),
        (
            {"name": "a", "command": ["a"], "environment": [{"name": "A=B", "secret": "s"}]},
            "mcp.servers[0].environment[0].name",
        ),
        (
            {"name": "a", "url": "http://a.example/", "headers": [{"name": "X", "secret": "s"}]},
            "mcp.servers[0].url",
        ),
        (
            {
                "name": "a",
                "url": "https://a.example/",
                "headers": [{"name": "Host", "secret": "s"}],
            },
            "mcp.servers[0].headers[0].name",
        ),
        (
            {"name": "a", "command": ["a"], "tools": [{"name": "t", "digest": "sha256:1"}]},
            "mcp.servers[0].tools[0].digest",
        ),
    ],
)
def test_what_no_server_can_be_is_refused_with_its_place(server, at):
    (fault,) = McpSettings.read({"mcp": {"servers": [server]}}).faults
    assert (fault.name, fault.at, fault.error.fields["at"]) == ("a", "mcp.servers[0]", at)
    assert "u:p" not in str(fault.error)


def test_a_table_with_a_fault_is_off_and_the_others_count():
    good = {"name": "good", "command": ["a"]}
    read = McpSettings.read(
        {
            "mcp": {
                "servers": [good, {"name": "bad"}, 5, {"name": "bad", "command": ["b"]}],
                "tools": [
                    {"plugin": "chat", "tool": "reply"},
                    {"plugin": "chat", "tool": "send", "name": "1"},
                    {"plugin": "one", "tool": "same"},
                    {"plugin": "other", "tool": "same"},
                ],
                "events": [{"plugin": "chat"}, {"plugin": "bank"}, {"plugin": "bank"}, {}],
                "server": [],
            }
        }
    )
    # Of two servers called "bad" either may be meant, though only one of them is well-formed.
    assert [one.name for one in read.servers] == ["good"]
    assert [one.name for one in read.tools] == ["reply"]
    assert read.events == ("chat",)
    assert [one.name for one in read.faults] == [
        "mcp.server",
        "bad",
        "mcp.servers[2]",
        "mcp.tools[1]",
        "mcp.tools[3]",
        "mcp.events[3]",
        "mcp.events[2]",
    ]
    for whole in (5, [], "x"):
        (fault,) = McpSettings.read({"mcp": whole}).faults
        assert fault.name == "mcp"


def test_a_model_knows_each_tool_by_a_name_that_providers_take():
    assert model_name("files", "read_file") == "files_read_file"
    odd, other = model_name("files", "read file"), model_name("files", "read/file")
    assert odd != other
    assert len({model_name("f", "x" * 100), model_name("f", "x" * 101)}) == 2
    assert all(len(one) <= 64 for one in (odd, model_name("f", "x" * 128)))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "command", "url", "tools", "plugin", "tool", "digest", "headers"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(["servers", "tools", "events", "x"]), _VALUES) | _VALUES)
def test_whatever_the_tables_hold_each_is_used_or_told(table):
    read = McpSettings.read({"mcp": table})
    for fault in read.faults:
        for shown in (fault.words, fault.name):
            assert printable(shown, 4096) == shown
    if not read.faults:
        used = (read.servers, read.tools, read.events)
        written = (table.get(key, ()) for key in ("servers", "tools", "events"))
        assert [len(one) for one in used] == [len(one) for one in written]
