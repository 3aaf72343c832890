"""Permissions parse strictly and print themselves for people and for TOML."""

import pytest

from yoi.errors import PermissionMalformed
from yoi.permissions import Permission, PermissionKind


@pytest.mark.parametrize(
    ("table", "label"),
    [
        ({"kind": "surface", "surface": "tool"}, "surfaces.tool"),
        ({"kind": "tool", "name": "post"}, "tool.post"),
        ({"kind": "tool", "name": "пост/✓"}, "tool.пост/✓"),
        ({"kind": "tool_namespace", "namespace": "slack"}, "tool_namespace.slack"),
        ({"kind": "service", "name": "bot"}, "service.bot"),
        ({"kind": "ingress", "name": "events"}, "ingress.events"),
        ({"kind": "external_write"}, "external_write"),
        ({"kind": "host_api", "api": "websocket"}, "host_api.websocket"),
        ({"kind": "connection", "name": "gateway"}, "connection.gateway"),
    ],
)
def test_parses_each_kind(table, label):
    permission = Permission.parse(table)
    assert permission.label == label
    assert permission.to_table() == table
    assert permission.meaning.isprintable()


@pytest.mark.parametrize(
    ("table", "at"),
    [
        ("surface", "p"),
        (None, "p"),
        ({}, "p.kind"),
        ({"kind": "root"}, "p.kind"),
        ({"kind": ["tool"]}, "p.kind"),
        ({"kind": "tool"}, "p.name"),
        ({"kind": "tool", "name": "a", "x": 1}, "p.x"),
        ({"kind": "tool", "namespace": "a"}, "p.namespace"),
        ({"kind": "tool", "name": 7}, "p.name"),
        ({"kind": "tool", "name": ""}, "p.name"),
        ({"kind": "tool", "name": "a b"}, "p.name"),
        ({"kind": "tool", "name": "a\x1b[2J"}, "p.name"),
        ({"kind": "tool", "name": "a\n"}, "p.name"),
        ({"kind": "tool", "name": "a" * 129}, "p.name"),
        ({"kind": "tool", "name": "é" * 65}, "p.name"),
        ({"kind": "service", "name": ".a"}, "p.name"),
        ({"kind": "service", "name": "a."}, "p.name"),
        ({"kind": "service", "name": "é"}, "p.name"),
        ({"kind": "connection", "name": "a/b"}, "p.name"),
        ({"kind": "surface", "surface": "root"}, "p.surface"),
        ({"kind": "host_api", "api": "https"}, "p.api"),
        ({"kind": "host_api", "api": "fs"}, "p.api"),
        ({"kind": "external_write", "name": "x"}, "p.name"),
    ],
)
def test_refuses(table, at):
    with pytest.raises(PermissionMalformed) as caught:
        Permission.parse(table, "p")
    assert caught.value.code == "permission.malformed"
    assert caught.value.fields["at"] == at


@pytest.mark.parametrize(
    ("tool", "held"),
    [
        ("slack", True),
        ("slack.post", True),
        ("slack_post", True),
        ("slackbot", False),
        ("Slack.post", False),
        ("x.slack", False),
    ],
)
def test_a_namespace_ends_at_a_delimiter(tool, held):
    namespace = Permission(PermissionKind.TOOL_NAMESPACE, "slack")
    assert namespace.covers(Permission(PermissionKind.TOOL, tool)) is held
    assert not namespace.covers(Permission(PermissionKind.SERVICE, "slack"))
    assert namespace.broad


def test_a_tool_does_not_hold_its_namespace():
    tool = Permission(PermissionKind.TOOL, "slack")
    assert not tool.covers(Permission(PermissionKind.TOOL_NAMESPACE, "slack"))


def test_cannot_be_built_wrong():
    with pytest.raises(PermissionMalformed):
        Permission(PermissionKind.TOOL, "a b")
    with pytest.raises(PermissionMalformed):
        Permission(PermissionKind.EXTERNAL_WRITE, "x")


def test_labels_escape_what_a_screen_would_obey():
    label = Permission(PermissionKind.TOOL, "a\u202eb").label
    assert label == "tool.a\\u202eb"


def test_labels_show_what_no_screen_would():
    """Two names that look alike are told apart; emoji stay what they are."""
    label = Permission(PermissionKind.TOOL, "a\u3164b\u034f\ufe0f\u2764\ufe0f\U000e0101").label
    assert label == "tool.a\\u3164b\\u034f\\ufe0f\u2764\ufe0f\\U000e0101"
