"""The authenticator: hosts, origins and tokens, each refused in every doubtful form."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.serving.admission import Refused
from yoi.serving.authenticator import Authenticator, asgi_headers
from yoi.serving.names import ListenerNames
from yoi.serving.principals import operator

NAMES = ListenerNames.of("127.0.0.1", 7717, secure=False, origins=["https://console.example.com"])
HOST = ("host", "localhost:7717")
GOOD = "yoi_good"
BEARER = ("authorization", f"Bearer {GOOD}")
UPGRADE = ("upgrade", "websocket")


def identify(presented):
    return operator() if presented == GOOD else None


DOOR = Authenticator(NAMES, identify)


def refusal(*headers):
    with pytest.raises(Refused) as caught:
        DOOR.admit(headers)
    return caught.value.status, caught.value.code


def protocols(*offers):
    return ("sec-websocket-protocol", ", ".join(offers))


@pytest.mark.parametrize(
    "host", ["localhost:7717", "127.0.0.1:7717", "[::1]:7717", "LOCALHOST:7717"]
)
def test_a_name_of_the_listener_is_let_in(host):
    assert DOOR.admit([("host", host), BEARER]) == operator()


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["localhost:7717", "localhost:7717"],
        ["localhost"],
        ["localhost:80"],
        ["localhost:07717"],
        ["localhost.:7717"],
        ["evil.example:7717"],
        ["localhost.evil.example:7717"],
        ["127.0.0.1.evil.example:7717"],
        ["evil.example@localhost:7717"],
        ["localhost:7717@evil.example"],
        ["localhost:7717, evil.example"],
        ["127.1:7717"],
        ["0x7f000001:7717"],
        ["0.0.0.0:7717"],
        ["[::ffff:127.0.0.1]:7717"],
        ["::1:7717"],
        ["localhost:7717/"],
        ["localhost:7717\0"],
        ["\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3:7717"],
        [""],
    ],
)
def test_another_host_is_refused_whatever_the_token(hosts):
    headers = [("host", host) for host in hosts]
    assert refusal(*headers, BEARER) == (403, "forbidden_host")


@pytest.mark.parametrize(
    "origin", ["http://localhost:7717", "http://127.0.0.1:7717", "https://console.example.com"]
)
def test_own_and_configured_origins_are_let_in(origin):
    assert DOOR.admit([HOST, BEARER, ("origin", origin)]) == operator()


@pytest.mark.parametrize(
    "origins",
    [
        ["null"],
        [""],
        ["http://localhost"],
        ["http://localhost:7718"],
        ["https://localhost:7717"],
        ["http://localhost:7717/"],
        ["http://localhost:7717.evil.example"],
        ["http://evil.example"],
        ["http://console.example.com"],
        ["https://console.example.com:443"],
        ["file://"],
        ["http://localhost:7717", "http://localhost:7717"],
    ],
)
def test_a_foreign_origin_is_refused_whatever_the_token(origins):
    headers = [("origin", origin) for origin in origins]
    assert refusal(HOST, BEARER, *headers) == (403, "forbidden_origin")


@pytest.mark.parametrize(
    "headers",
    [
        [BEARER],
        [("authorization", f"bearer {GOOD}")],
        [("authorization", f"  BEARER   {GOOD} ")],
        [UPGRADE, protocols("yoi.observe.v1", f"yoi.token.{GOOD}")],
        [UPGRADE, protocols("yoi.observe.v1"), protocols(f"yoi.token.{GOOD}")],
        [("upgrade", "h2c, WebSocket"), protocols(f"yoi.token.{GOOD}")],
        [BEARER, UPGRADE, protocols("yoi.observe.v1", f"yoi.token.{GOOD}")],
        [BEARER, UPGRADE, protocols("yoi.observe.v1")],
        [("yoi-token", GOOD)],
        [("yoi-token", GOOD), BEARER],
        # A proxy in front uses Authorization for itself:
        [("yoi-token", GOOD), ("authorization", "Basic eDp5")],
        [("yoi-token", GOOD), ("authorization", "Bearer eyJhbGciOi.J9")],
        [("yoi-token", GOOD), ("authorization", "Basic x"), ("authorization", "Negotiate y")],
        [UPGRADE, ("authorization", "Basic eDp5"), protocols(f"yoi.token.{GOOD}")],
    ],
)
def test_a_good_token_is_let_in(headers):
    assert DOOR.admit([HOST, *headers]) == operator()


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", GOOD)],
        [("authorization", f"Basic {GOOD}")],
        [("authorization", f"Bearer {GOOD} more")],
        [("authorization", f"Bearer {GOOD}, Bearer {GOOD}")],
        [("authorization", f"Bearer\t{GOOD}")],
        [("authorization", "Bearer yoi_wrong")],
        [("authorization", "Bearer " + "a" * 100_000)],
        [("authorization", "Bearer yoi_gööd")],
        [BEARER, BEARER],
        [protocols(f"yoi.token.{GOOD}")],
        [UPGRADE, protocols("yoi.observe.v1")],
        [UPGRADE, protocols("yoi.token.")],
        [UPGRADE, protocols(f"YOI.TOKEN.{GOOD}")],
        [UPGRADE, protocols(f"yoi.token.{GOOD}", f"yoi.token.{GOOD}")],
        [UPGRADE, protocols(f"yoi.token.{GOOD}", "yoi.token.other")],
        [UPGRADE, BEARER, protocols("yoi.token.other")],
        [("yoi-token", "")],
        [("yoi-token", "yoi_wrong")],
        [("yoi-token", GOOD), ("yoi-token", GOOD)],
        [("yoi-token", f"Bearer {GOOD}")],
        [("yoi-token", GOOD), ("authorization", "Bearer yoi_other")],
        [("yoi-token", GOOD), ("authorization", "Bearer yois_other")],
        [("yoi-token", "yoi_other"), BEARER],
        [("yoi-token", "theirs"), ("authorization", "Basic x")],
        [("yoi-token", GOOD), UPGRADE, protocols("yoi.token.other")],
        [BEARER, ("authorization", "Basic x")],
        [("cookie", f"token={GOOD}")],
        [("x-authorization", f"Bearer {GOOD}")],
    ],
)
def test_everything_else_is_one_answer(headers):
    assert refusal(HOST, *headers) == (401, "unauthorized")


def test_an_answer_repeats_nothing():
    for headers in (
        [("host", "marker-in-host"), BEARER],
        [HOST, ("origin", "http://marker-in-origin")],
        [HOST, ("authorization", "Bearer marker-in-token")],
    ):
        with pytest.raises(Refused) as caught:
            DOOR.admit(headers)
        assert "marker" not in str(caught.value) + repr(caught.value)


def test_source_is_checked_without_a_token():
    DOOR.check_source([HOST])
    with pytest.raises(Refused):
        DOOR.check_source([HOST, ("origin", "http://evil.example")])


HEADER = st.tuples(
    st.sampled_from(
        [
            "host",
            "origin",
            "authorization",
            "upgrade",
            "sec-websocket-protocol",
            "cookie",
            "yoi-token",
        ]
    ),
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(
            [
                "localhost:7717",
                "http://localhost:7717",
                f"Bearer {GOOD}",
                "websocket",
                f"yoi.token.{GOOD}",
                GOOD,
                "Bearer other",
                "Bearer yoi_other",
                "Basic x",
                "yoi.observe.v1, yoi.token.other",
            ]
        ),
    ),
)


@given(st.lists(HEADER, max_size=8))
def test_who_is_let_in_has_one_good_host_no_foreign_origin_and_one_token(headers):
    try:
        DOOR.admit(headers)
    except Refused as exc:
        answer = (exc.status, exc.code)
    else:
        answer = None
    assert answer in {
        None,
        (401, "unauthorized"),
        (403, "forbidden_host"),
        (403, "forbidden_origin"),
    }
    if answer is not None:
        return
    hosts = [value.strip().lower() for name, value in headers if name == "host"]
    assert len(hosts) == 1
    assert hosts[0] in NAMES.hosts
    assert all(
        value.strip().lower() in NAMES.origins for name, value in headers if name == "origin"
    )
    bearers = [value.split() for name, value in headers if name == "authorization"]
    assert all(words[-1:] == [GOOD] or "yoi_other" not in words for words in bearers)
    named = [value.strip() for name, value in headers if name == "yoi-token"]
    offered = [value for name, value in headers if "yoi.token." in value]
    if named or offered:
        assert set(named) <= {GOOD}
    else:
        assert all(words[0].lower() == "bearer" and words[-1] == GOOD for words in bearers)


@given(st.text(alphabet=string.printable, min_size=1, max_size=40))
def test_no_text_is_a_host_but_the_listeners(text):
    if text.strip(" \t").lower() not in NAMES.hosts:
        assert refusal(("host", text), BEARER) == (403, "forbidden_host")


def test_asgi_headers():
    raw = [(b"Host", b"localhost:7717"), (b"authorization", f"Bearer {GOOD}".encode())]
    assert DOOR.admit(asgi_headers(raw)) == operator()


# Names


@pytest.mark.parametrize(
    ("made", "hosts", "origins"),
    [
        (
            ListenerNames.of("127.0.0.1", 80, secure=False),
            {"localhost", "localhost:80", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:80"},
            {"http://localhost", "http://127.0.0.1", "http://[::1]"},
        ),
        (
            ListenerNames.of("::1", 443, secure=True),
            {"localhost", "localhost:443", "127.0.0.1", "127.0.0.1:443", "[::1]", "[::1]:443"},
            {"https://localhost", "https://127.0.0.1", "https://[::1]"},
        ),
        (ListenerNames.of("10.0.0.5", 8443, secure=True), {"10.0.0.5:8443"},
         {"https://10.0.0.5:8443"}),
        (ListenerNames.of("0.0.0.0", 8443, secure=True), set(), set()),
        (
            ListenerNames.of("0.0.0.0", 8443, secure=True, names=["yoi.example.com"]),
            {"yoi.example.com:8443", "yoi.example.com", "yoi.example.com:443"},
            {"https://yoi.example.com:8443", "https://yoi.example.com"},
        ),
        (
            ListenerNames.of("0.0.0.0", 443, secure=True, names=["YOI.example.com:9443", "[::2]"]),
            {"yoi.example.com:9443", "[::2]", "[::2]:443"},
            {"https://yoi.example.com:9443", "https://[::2]"},
        ),
    ],
)  # fmt: skip
def test_names_of_a_listener(made, hosts, origins):
    assert made.hosts == hosts
    assert made.origins == origins


def test_a_proxy_on_this_machine_may_speak_for_a_name():
    authenticator = Authenticator(
        ListenerNames.of("127.0.0.1", 7717, secure=False, names=["yoi.example.com"]), identify
    )
    authenticator.admit(
        [("host", "yoi.example.com"), ("origin", "https://yoi.example.com"), BEARER]
    )
    with pytest.raises(Refused):
        authenticator.admit([("host", "yoi.example.com.evil.example"), BEARER])
