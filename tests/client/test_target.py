"""What to watch and where: parsed once, shown nowhere."""

import pickle

import pytest

from yoi.client import Server, Target, trusting
from yoi.errors import ObserveError
from yoi.protocol.observation import Subject, SubjectKind
from yoi.types import Secret

TOKEN = Secret("t", "tok")


def runtime_of(url, kind=SubjectKind.WORKER, name="w"):
    return Target(Server(url, TOKEN), Subject(kind, name))


@pytest.mark.parametrize(
    ("made", "url"),
    [
        (runtime_of("http://h:1"), "ws://h:1/v1/workers/w/events/ws"),
        (runtime_of("https://h/", SubjectKind.SERVICE), "wss://h/v1/services/w/events/ws"),
        (runtime_of("ws://[::1]:80"), "ws://[::1]:80/v1/workers/w/events/ws"),
        (runtime_of("wss://h/a/b/"), "wss://h/a/b/v1/workers/w/events/ws"),
        (runtime_of("http://h", name="a/b?c#é"), "ws://h/v1/workers/a%2Fb%3Fc%23%C3%A9/events/ws"),
        (
            Target.worker("http://h", "w", token="t"),
            "ws://h/api/runtimes/local/workers/w/events/ws",
        ),
        (
            Target.service("http://h", "s", token=TOKEN, runtime_id="a/b"),
            "ws://h/api/runtimes/a%2Fb/services/s/events/ws",
        ),
    ],
)
def test_where_a_subject_is(made, url):
    assert made.websocket_url(None) == url
    assert made.websocket_url("c-_1") == url + "?cursor=c-_1"
    assert made.websocket_url("c&d", snapshot_always=True) == url + "?cursor=c%26d&snapshot=always"


@pytest.mark.parametrize(
    "url",
    [
        "", "h", "ftp://h", "http://", "http://:80", "http://u@h", "http://u:p@h", "http://h?x",
        "http://h#x", "http://h:0", "http://h:99999", "http://h:x", "http://é", "http://[::1",
        "http://h/ x", "http://h/\r\nHost: x",
    ],
)  # fmt: skip
def test_what_is_no_server_is_refused_without_being_shown(url):
    with pytest.raises(ObserveError) as caught:
        Server(url, TOKEN)
    assert caught.value.code == "observe.target"


@pytest.mark.parametrize("token", ["", "a b", "a\r\nb", "é"])
def test_what_is_no_token_is_refused_without_being_shown(token):
    with pytest.raises(ObserveError) as caught:
        Target.worker("http://h", "w", token=token)
    assert caught.value.message == "the token is empty or not plain ASCII"


def test_no_repr_shows_where_or_the_token():
    made = Target.worker("http://very-private-host:81", "w", token="tok")
    assert "very-private-host" not in repr(made)
    assert "tok" not in repr(made)
    with pytest.raises(TypeError):
        pickle.dumps(made)


@pytest.mark.parametrize(
    ("url", "host", "port", "secure"),
    [
        ("http://h", "h", 80, False),
        ("https://h", "h", 443, True),
        ("wss://[::1]:9", "::1", 9, True),
    ],
)
def test_the_parts_of_a_url(url, host, port, secure):
    server = Server(url, TOKEN)
    assert (server.host, server.port, server.secure) == (host, port, secure)


def test_certificates_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(ObserveError, match="No such file"):
        trusting(tmp_path / "gone.pem")
    (tmp_path / "bad.pem").write_text("x")
    with pytest.raises(ObserveError) as caught:
        trusting(tmp_path / "bad.pem")
    assert caught.value.code == "observe.tls"
    assert trusting().check_hostname
