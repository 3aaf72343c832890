"""`PermissionSet`: one shape for manifest and grant, and its hash."""

import pytest

from yoi.errors import PermissionMalformed, UrlRefused
from yoi.limits import LIMITS
from yoi.permissions import PermissionSet, permission_hash

TOOL = {"kind": "tool", "name": "post"}
SOCKET = {"scheme": "wss", "host": "example.com"}
OTHER = {"scheme": "wss", "host": "other.test"}
REQUEST = {"scheme": "https", "host": "example.com", "methods": ["GET"]}


def test_parse_and_back():
    made = PermissionSet.parse([TOOL, TOOL], [SOCKET, {**SOCKET, "host": "EXAMPLE.com"}], [REQUEST])
    assert made.to_tables() == {
        "permissions": [TOOL],
        "websocket": [SOCKET],
        "request": [REQUEST],
        "secrets": [],
    }
    assert PermissionSet.parse(**made.to_tables()) == made
    assert PermissionSet.of(made.permissions, made.request + made.websocket) == made
    assert not made.empty
    assert PermissionSet().empty


@pytest.mark.parametrize(
    ("lists", "error", "at"),
    [
        ({"permissions": {}}, PermissionMalformed, "grants.permissions"),
        ({"permissions": None}, PermissionMalformed, "grants.permissions"),
        ({"permissions": [TOOL] * 65}, PermissionMalformed, "grants.permissions"),
        ({"permissions": [TOOL, 1]}, PermissionMalformed, "grants.permissions[1]"),
        ({"websocket": "x"}, PermissionMalformed, "grants.websocket"),
        ({"websocket": [SOCKET, {**SOCKET, "port": 0}]}, UrlRefused, "grants.websocket[1].port"),
        ({"request": [SOCKET]}, UrlRefused, "grants.request[0].scheme"),
    ],
)
def test_says_where(lists, error, at):
    with pytest.raises(error) as caught:
        PermissionSet.parse(**lists, at="grants")
    assert caught.value.fields["at"] == at


def test_hash_ignores_order_and_spelling_only():
    first = permission_hash(PermissionSet.parse([TOOL], [SOCKET, OTHER], [REQUEST]))
    again = permission_hash(
        PermissionSet.parse([TOOL], [OTHER, {**SOCKET, "host": "EXAMPLE.COM"}], [REQUEST])
    )
    assert first == again
    assert first.startswith("sha256:")
    different = [
        PermissionSet(),
        PermissionSet.parse([TOOL], [SOCKET], [REQUEST]),
        PermissionSet.parse([], [SOCKET, OTHER], [REQUEST]),
        PermissionSet.parse([TOOL], [{**SOCKET, "addresses": "private"}, OTHER], [REQUEST]),
        PermissionSet.parse([TOOL], [{**SOCKET, "path_prefixes": ["/x"]}, OTHER], [REQUEST]),
    ]
    assert len({first, *(permission_hash(one) for one in different)}) == 6


def test_memory_is_part_of_a_set():
    more = PermissionSet(memory_bytes=2 * LIMITS.guest_memory_bytes)
    assert PermissionSet.parse(**more.to_tables()) == more
    assert permission_hash(more) != permission_hash(PermissionSet())
    assert not more.empty
    with pytest.raises(PermissionMalformed) as caught:
        PermissionSet.parse(memory_bytes=LIMITS.guest_memory_max_bytes + 1, at="grants")
    assert caught.value.fields["at"] == "grants.memory_bytes"


def test_more_memory_is_wider_also_where_less_than_the_default_was_decided():
    less = PermissionSet(memory_bytes=LIMITS.guest_memory_bytes // 2)
    usual = PermissionSet()
    more = PermissionSet(memory_bytes=2 * LIMITS.guest_memory_bytes)
    assert usual.beyond(less).memory == LIMITS.guest_memory_bytes
    assert not usual.beyond(less).empty
    assert not less.covers(usual)
    assert more.covers(usual)
    assert usual.covers(less)
    assert more.within(less) == less
    assert more.within(usual) == usual
