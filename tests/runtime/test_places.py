"""N6, W9: a secret in a path, in basic authorisation and as a part of a message; never shown."""

import base64

import pytest

from yoi.core.captures import HandleTable
from yoi.errors import InsertionError, PermissionDenied, SecretError
from yoi.permissions import Authority, PermissionSet, Url
from yoi.protocol.fields import Fields
from yoi.protocol.session_commands import WebSocketOpen, parse_session_payload
from yoi.runtime.connection_commands import _target
from yoi.runtime.secret_injector import SecretInjector
from yoi.runtime.service_requests import ServiceRequests
from yoi.testing import ManualClock
from yoi.types import Secret

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
PERMISSIONS = [
    {"kind": "connection", "name": "irc"},
    {"kind": "host_api", "api": "request"},
]
API = {
    "name": "api",
    "scheme": "https",
    "host": "api.example.com",
    "methods": ["GET", "POST"],
}
USES = [
    {
        "name": "bot",
        "request": "api",
        "at": [{"at": "/path/0", "after": "bot"}, "/basic/password", "/basic/user"],
    },
    {
        "name": "bot",
        "connection": "irc",
        "at": [{"at": "/1", "after": "PASS oauth:"}, {"at": "/path/1", "after": ""}],
    },
]


class Store:
    def __init__(self, value):
        self.value = value

    def secret(self, name):
        return Secret(name, self.value)

    get = secret


def injector(value=TOKEN):
    asked = PermissionSet.parse(PERMISSIONS, [], [API], USES)
    authority = Authority(asked, asked.granting({"bot": "stored"}), plugin="mine")
    return SecretInjector("mine", authority, Store(value), HandleTable(), ManualClock())


def prepared(value=TOKEN, **payload):
    filler = injector(value)
    requests = ServiceRequests("mine", filler._standing.authority, filler, None, None)
    command = parse_session_payload(
        "request", {"target": "api", "method": "POST", "path": "/-/sendMessage", **payload}
    )
    return requests.prepare(command, "c1")


def in_path(prefix="bot", at="/path/0"):
    return {"at": at, "secret": "bot", "prefix": prefix}


def test_a_path_is_sent_with_the_value_and_shown_without():
    sent = prepared(insert=[in_path()])
    assert sent.url.request_target == f"/bot{TOKEN}/sendMessage"
    assert sent.url.display == "https://api.example.com/…/sendMessage"
    assert sent.target_url.display == "https://api.example.com/…/sendMessage"
    assert sent.inserted_elsewhere
    assert sent.carries_inserted
    assert TOKEN not in repr(sent)
    assert TOKEN not in str(sent.url)


@pytest.mark.parametrize(
    ("value", "written"), [("a b?#%;", "a%20b%3F%23%25;"), ("é", "%C3%A9"), ("a:b@c", "a:b@c")]
)
def test_what_no_path_holds_is_encoded(value, written):
    assert prepared(value, insert=[in_path()]).url.path == f"/bot{written}/sendMessage"


@pytest.mark.parametrize("value", ["../x", "a/b", "a\\b", "a\r\nHost: x", "a\u2028b", ""])
def test_a_value_that_would_leave_its_segment_is_refused(value):
    with pytest.raises(SecretError) as caught:
        prepared(value, insert=[in_path()])
    assert caught.value.code == "secret.malformed"
    assert not value or value not in caught.value.message


@pytest.mark.parametrize("value", [".", "..", "%2e%2e"])
def test_no_value_makes_a_dot_segment(value):
    asked = PermissionSet.parse(
        PERMISSIONS,
        [],
        [API],
        [{"name": "bot", "request": "api", "at": [{"at": "/path/0", "after": ""}]}],
    )
    authority = Authority(asked, asked.granting({"bot": "stored"}))
    filler = SecretInjector("mine", authority, Store(value), HandleTable(), ManualClock())
    requests = ServiceRequests("mine", authority, filler, None, None)
    command = parse_session_payload(
        "request",
        {"target": "api", "method": "GET", "path": "/-/x", "insert": [in_path("")]},
    )
    with pytest.raises(InsertionError) as caught:
        requests.prepare(command, "c1")
    assert caught.value.code == "insert.place"


@pytest.mark.parametrize("prefix", ["", "chat", "bot/"])
def test_the_text_before_is_the_granted_one(prefix):
    with pytest.raises(PermissionDenied) as caught:
        prepared(insert=[in_path(prefix)])
    assert caught.value.code == "denied.secret_place"


@pytest.mark.parametrize("path", ["sendMessage", "/"])
def test_a_segment_that_is_not_there_is_no_place(path):
    with pytest.raises(InsertionError) as caught:
        prepared(path=path, insert=[{**in_path(), "at": "/path/3"}])
    assert caught.value.code == "insert.place"


def test_basic_authorisation_is_made_by_the_host():
    sent = prepared(
        path="/x",
        basic={"user": "acct", "password": None},
        insert=[{"at": "/basic/password", "secret": "bot"}],
    )
    value = base64.b64encode(f"acct:{TOKEN}".encode()).decode()
    assert ("Authorization", f"Basic {value}") in [
        (name.title(), value) for name, value in sent.headers
    ]
    assert "authorization" in sent.inserted_headers


@pytest.mark.parametrize(
    ("basic", "insert"),
    [
        ({"user": "a:b", "password": "x"}, []),
        ({"user": "a", "password": None}, []),
        ({"user": "a\n", "password": "x"}, []),
        ({"user": None, "password": "x"}, [{"at": "/basic/user", "secret": "bot"}]),
    ],
)
def test_basic_that_would_be_read_otherwise_is_refused(basic, insert):
    with pytest.raises(InsertionError) as caught:
        prepared(path="/x", basic=basic, insert=insert)
    assert caught.value.code == "insert.place"


def fill(parts, insert):
    fields = Fields("websocket_send", {"parts": parts, "insert": insert})
    message = fields.message()
    from yoi.core.insertion import Layout
    from yoi.protocol.parts import joined

    filled = injector().fill(message.document, message.insert, Layout.PARTS, connection="irc")
    return joined(filled.document)


WHOLE = {"at": "/1", "secret": "bot"}


def test_a_whole_part_is_filled_after_its_text():
    assert fill(["PASS oauth:", None, "\r\n"], [WHOLE]) == f"PASS oauth:{TOKEN}\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        ["PRIVMSG #all :", None],
        ["PASS oauth:x", None],
        [{"a": 1}, None],
        ["PASS oauth:", None, "\r\nPRIVMSG #all :", None],
    ],
)
def test_a_token_is_never_sent_where_it_would_be_published(parts):
    insert = [
        {"at": f"/{index}", "secret": "bot"} for index, one in enumerate(parts) if one is None
    ]
    with pytest.raises(PermissionDenied) as caught:
        fill(parts, insert)
    assert caught.value.code == "denied.secret_place"


def test_a_handshake_path_is_filled_and_hidden():
    own = Url.parse("wss://irc.example.com/ws/-?v=1")
    command = parse_session_payload(
        "websocket_open", {"connection": "irc", "insert": [in_path("", "/path/1")]}
    )
    assert isinstance(command, WebSocketOpen)
    target = _target(command, own, injector())
    assert target.url.request_target == f"/ws/{TOKEN}?v=1"
    assert TOKEN not in target.shown
    assert target.shown.endswith("/ws/…?…")
    assert TOKEN not in target.hide(f"404 for /ws/{TOKEN}")
    assert target.again().url == target.url
