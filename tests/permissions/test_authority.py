"""Two keys (P4, P5): declared AND granted, with the lines that would allow what was denied."""

from yoi.permissions import Authority, PermissionSet, Url

GATEWAY = {"scheme": "wss", "host": "gateway.example.com", "path_prefixes": ["/ws"]}
CONNECTION = {"kind": "connection", "name": "gateway"}
PULL = {"kind": "host_api", "api": "websocket"}
URL = Url.parse("wss://gateway.example.com/ws?token=hidden")


def having(*permissions, websocket=(), request=()):
    return PermissionSet.parse(list(permissions), list(websocket), list(request))


def test_connection_needs_both_keys():
    full = having(CONNECTION, websocket=[GATEWAY])
    assert Authority(full, full).connection("gateway", URL).allowed
    for asked, given, code in (
        (full, PermissionSet(), "denied.not_granted"),
        (PermissionSet(), full, "denied.not_requested"),
        (PermissionSet(), PermissionSet(), "denied.not_requested"),
        (full, having(CONNECTION), "denied.not_granted"),
        (full, having(websocket=[GATEWAY]), "denied.not_granted"),
        (having(CONNECTION), full, "denied.not_requested"),
        (having(websocket=[GATEWAY]), full, "denied.not_requested"),
    ):
        decision = Authority(asked, given).connection("gateway", URL)
        assert (decision.allowed, decision.code) == (False, code)


def test_pull_grant_does_not_authorise_a_standing_connection():
    pull = having(PULL, websocket=[GATEWAY])
    authority = Authority(pull, pull)
    assert authority.websocket(URL).allowed
    assert not authority.connection("gateway", URL).allowed


def test_standing_connection_does_not_authorise_the_pull_api():
    standing = having(CONNECTION, websocket=[GATEWAY])
    authority = Authority(standing, standing)
    assert authority.connection("gateway", URL).allowed
    assert not authority.websocket(URL).allowed
    assert not authority.connection("other", URL).allowed
