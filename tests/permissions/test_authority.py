"""Two keys (P4, P5): declared AND granted, with the lines that would allow what was denied."""

import tomllib

import hypothesis
import pytest
from hypothesis import strategies as st

from yoi.errors import PermissionDenied, UrlRefused
from yoi.limits import LIMITS, MIB
from yoi.permissions import Authority, Permission, PermissionKind, PermissionSet, Url
from yoi.permissions.reviews import review

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


def test_two_keys_need_not_be_the_same_target_but_both_must_name_the_url():
    asked = having(PULL, websocket=[GATEWAY])
    wide = having(PULL, websocket=[{"scheme": "*", "host": "*"}])
    assert Authority(asked, wide).websocket(URL).allowed
    assert not Authority(asked, wide).websocket(Url.parse("wss://evil.test/")).allowed


def test_requests_have_targets_of_their_own():
    api = {"kind": "host_api", "api": "request"}
    rule = {"scheme": "https", "host": "api.example.com", "methods": ["POST"]}
    both = having(api, PULL, request=[rule], websocket=[GATEWAY])
    url = Url.parse("https://api.example.com/x", ("https",))
    authority = Authority(both, both)
    assert authority.request("POST", url).allowed
    assert authority.request("post", url).allowed
    assert authority.request("POST", url).max_message_bytes == LIMITS.response_body_bytes
    narrow = having(api, request=[{**rule, "max_answer_bytes": 5}])
    assert Authority(both, narrow).request("POST", url).max_message_bytes == 5
    assert authority.request("GET", url).code == "denied.not_requested"
    assert authority.request("TRACE", url).code == "denied.unsupported"
    assert authority.request("POST", URL).code == "denied.unsupported"
    assert authority.websocket(url).code == "denied.unsupported"
    without = having(request=[rule])
    assert not Authority(without, without).request("POST", url).allowed


def test_the_message_bound_is_the_smaller_of_both_sides():
    def bound(asked, given):
        sides = [
            having(PULL, websocket=[{**GATEWAY, **({"max_message_bytes": n} if n else {})}])
            for n in (asked, given)
        ]
        return Authority(*sides).websocket(URL).max_message_bytes

    assert bound(None, None) == 1 * MIB
    assert bound(4 * MIB, None) == 1 * MIB
    assert bound(None, 4 * MIB) == 1 * MIB
    assert bound(4 * MIB, 2 * MIB) == 2 * MIB
    assert bound(1000, 2 * MIB) == 1000


@pytest.mark.parametrize(
    "text", ["ws://127.0.0.1/", "ws://localhost/", "ws://[::1]/", "ws://10.0.0.1/"]
)
def test_a_wide_target_does_not_reach_what_is_not_public(text):
    """P8: loopback and private addresses only when manifest and grant both say so."""
    url = Url.parse(text)
    wide = having(PULL, websocket=[{"scheme": "*", "host": "*"}])
    said = having(PULL, websocket=[{"scheme": "*", "host": "*", "addresses": "private"}])
    named = having(PULL, websocket=[{"scheme": "ws", "host": text[5:-1]}])
    for asked, given, allowed in (
        (wide, wide, False),
        (said, wide, False),
        (wide, said, False),
        (named, wide, False),
        (wide, named, False),
        (said, said, True),
        (named, said, True),
        (named, named, True),
    ):
        decision = Authority(asked, given).websocket(url)
        assert decision.allowed is allowed
        assert decision.private_addresses is allowed
        assert allowed or decision.code == "denied.address"


def test_no_grant_opens_the_unspecified_address():
    said = having(PULL, websocket=[{"scheme": "*", "host": "*", "addresses": "private"}])
    assert Authority(said, said).websocket(Url.parse("ws://0.0.0.0/")).code == "denied.address"


def manifest_from(hint):
    """Do what a hint says: return the permissions and targets it names."""
    lines = hint.splitlines()
    prefix = "add to permissions in plugin.toml: "
    items = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    block = [
        line for line in lines if line.startswith("[[") or (" = " in line and prefix not in line)
    ]
    document = tomllib.loads("\n".join([f"permissions = [{', '.join(items)}]", *block]))
    return PermissionSet.parse(**document)


@pytest.mark.parametrize(
    "text",
    [
        "wss://gateway.example.com/ws?token=hidden",
        "wss://bücher.example:8443/é;a='\"/b",
        "ws://[2606:4700::1111]/a//b",
        "wss://example.com/" + "a/" * 2000,
        "wss://example.com/" + "a" * 4000,
        "wss://example.com",
    ],
)
def test_doing_what_the_hint_says_allows_it(text):
    """P4: a denial prints the manifest lines that would allow it, and the command."""
    url = Url.parse(text)
    denied = Authority(PermissionSet(), PermissionSet(), plugin="project:bot").connection("gw", url)
    assert denied.code == "denied.not_requested"
    assert denied.hint.splitlines()[-1] == "yoi plugin enable project:bot"
    made = manifest_from(denied.hint)
    assert Authority(made, made).connection("gw", url).allowed
    assert len(made.websocket) == 1
    assert "hidden" not in denied.hint + denied.message


def test_a_tool_permission_hint_round_trips():
    wanted = Permission(PermissionKind.TOOL, 'po"st\\✓\u202e')
    denied = Authority(PermissionSet(), PermissionSet()).permission(wanted)
    with pytest.raises(PermissionDenied) as caught:
        denied.require()
    made = manifest_from(caught.value.hint)
    assert made.permissions == (wanted,)


def test_granted_but_not_asked_needs_the_manifest_only():
    given = having(CONNECTION, websocket=[GATEWAY])
    denied = Authority(PermissionSet(), given).connection("gateway", URL)
    assert "it is granted, but the manifest does not ask" in denied.message
    assert "yoi plugin enable" not in denied.hint


def test_asked_but_not_granted_needs_the_command_only():
    asked = having(CONNECTION, websocket=[GATEWAY])
    denied = Authority(asked, PermissionSet(), plugin="project:bot").connection("gateway", URL)
    assert denied.hint == "yoi plugin enable project:bot"


def test_a_connection_name_from_a_stranger_is_denied_not_raised():
    full = having(CONNECTION, websocket=[GATEWAY])
    decision = Authority(full, full).connection("gate\x1bway", URL)
    assert (decision.allowed, decision.code) == (False, "denied.not_requested")
    assert decision.message.isprintable()


def test_tools_follow_their_namespace_on_either_side():
    tool = Permission(PermissionKind.TOOL, "slack.post")
    named, space = having(tool.to_table()), having({"kind": "tool_namespace", "namespace": "slack"})
    assert Authority(named, space).permission(tool).allowed
    assert Authority(space, named).permission(tool).allowed
    assert not Authority(space, PermissionSet()).permission(tool).allowed


def test_answers_are_remembered_within_a_bound():
    full = having(PULL, websocket=[GATEWAY])
    authority = Authority(full, full)
    assert authority.websocket(URL) is authority.websocket(URL)
    for number in range(500):
        authority.websocket(Url.parse(f"wss://gateway.example.com/ws/{number}"))
    assert len(authority._answers) <= 64
    assert authority.websocket(URL).allowed


def test_other_grants_make_every_answer_and_the_review_anew():
    full = having(CONNECTION, PULL, websocket=[GATEWAY])
    authority = Authority(full, full)
    before = authority.review()
    assert authority.connection("gateway", URL).allowed
    assert authority.websocket(URL).allowed
    for granted in (PermissionSet(), having(PULL, websocket=[GATEWAY]), full):
        authority.regrant(granted)
        fresh = Authority(full, granted)
        assert authority.connection("gateway", URL) == fresh.connection("gateway", URL)
        assert authority.websocket(URL) == fresh.websocket(URL)
        assert (authority.review() == before) == (granted is full)


def test_require_returns_or_raises():
    full = having(PULL, websocket=[GATEWAY])
    assert Authority(full, full).websocket(URL).require().allowed
    with pytest.raises(PermissionDenied) as caught:
        Authority(full, PermissionSet()).websocket(URL).require()
    assert caught.value.code == "denied.not_granted"
    assert caught.value.hint.startswith("yoi plugin enable")


LITERALS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"),
    st.sampled_from(
        [
            "0.0.0.0", "224.0.0.1", "255.255.255.255", "[::]", "[ff02::1]", "[100::1]",
            "[::ffff:0.0.0.0]", "[::ffff:224.0.0.1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]",
            "[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[::ffff:0:10.0.0.1]", "169.254.169.254",
            "localhost", "example.com",
        ]
    ),
)  # fmt: skip
PATHS = st.text(st.sampled_from("/a.%2Fé;=@~"), max_size=12).map(lambda rest: "/" + rest)


@hypothesis.given(LITERALS, PATHS, st.sampled_from(["ws", "wss", "http", "https"]), st.booleans())
def test_every_url_gets_a_decision(host, path, scheme, granted):
    """0.0.0.0, multicast and unspecified literals included: a denial, never an exception."""
    try:
        url = Url.parse(f"{scheme}://{host}{path}", ("ws", "wss", "http", "https"))
    except UrlRefused:
        return
    anywhere = {"scheme": "*", "host": "*", "addresses": "private"}
    every = having(
        CONNECTION,
        PULL,
        {"kind": "host_api", "api": "request"},
        websocket=[anywhere],
        request=[{**anywhere, "methods": ["GET"]}],
    )
    authority = Authority(every, every) if granted else Authority(having(), having())
    for decision in (
        authority.websocket(url),
        authority.connection("gateway", url),
        authority.request("GET", url),
        authority.request("BREW", url),
    ):
        assert decision.allowed or decision.code
        assert granted or not decision.allowed


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "[::]", "[ff02::1]", "255.255.255.255"])
def test_a_literal_where_no_server_is_reached_is_denied_as_such(host):
    decision = Authority(having(), having()).websocket(Url.parse(f"ws://{host}/"))
    assert decision.code == "denied.address"
    assert decision.hint is None


def test_only_what_both_sides_call_idempotent_may_be_repeated():
    def api(idempotent):
        table = {"name": "api", "scheme": "https", "host": "api.example", "methods": ["POST"]}
        return PermissionSet.parse([], [], [{**table, "idempotent": idempotent}])

    for asked in (False, True):
        for given in (False, True):
            authority = Authority(api(asked), api(given))
            assert authority.may_repeat("api") is (asked and given)
            assert not authority.may_repeat("other")
    limits = review(api(True), api(False)).rows[0].explanation
    assert "not asked again where a crash leaves its end unknown" in limits
