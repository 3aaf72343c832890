"""K3: the path of a captured URL is a credential: it stands in no status, error, hint or repr."""

from urllib.parse import unquote

import pytest
from tests.connections.conftest import ALLOWED
from tests.connections.world import World

from yoi.connections import DialTarget
from yoi.core.redaction import Masker
from yoi.errors import ConnectionFailure, PermissionDenied
from yoi.permissions import Decision, Url
from yoi.types import Secret

PATH = "THE-PATH-IS-THE-SECRET-0123456789"
VALUE = "xoxb-0123456789-abcdef"


def captured(path=f"/link/{PATH}"):
    return DialTarget(Url.parse(f"wss://wss.example.com{path}"), once=True)


@pytest.mark.parametrize("path", [f"/link/{PATH}", f"/{'x' * 300}/{PATH}", f"/a%20b/{PATH}%C3%A9"])
def test_only_the_origin_is_shown(path):
    target = captured(path)
    assert target.shown == "wss://wss.example.com/…"
    last = target.url.path.rpartition("/")[2]
    text = f"{target.url.display} and {target.url.path} and {last} and {unquote(last)}"
    assert PATH not in target.hide(text)
    assert "xxxxx" not in target.hide(text)


def test_what_was_put_in_is_hidden_in_each_form_and_no_part_of_it_is_left():
    url = Url.parse("wss://wss.example.com/link?key=a%2Bsecret+value&short=a%2Bsecret")
    target = DialTarget(url, inserted=(("authorization", f"Bearer {VALUE}"),))
    said = f"no {VALUE}, not Bearer {VALUE}, nor a+secret value or a%2Bsecret+value or a+secret!"
    hidden = "no …, not …, nor … or … or …!"
    assert target.hide(said) == hidden


def test_a_url_of_the_plugins_own_is_shown_with_its_path():
    target = DialTarget(Url.parse("wss://wss.example.com/link?a=b"))
    assert target.shown == "wss://wss.example.com/link?…"


async def test_a_dial_that_fails_or_is_refused_does_not_show_it():
    denied = Decision(
        allowed=False,
        code="denied.not_requested",
        message=f"wss://wss.example.com/link/{PATH} is outside the target",
        hint=f'path_prefixes = ["/link/{PATH}"]',
    )
    answers = [ALLOWED, ALLOWED, denied]
    world = World(None, authorise=lambda url: answers.pop(0))
    world.host.start()
    world.host.open(captured())
    problem = ConnectionFailure("connection.refused", f"{captured().url.display}: no", url=PATH)
    (await world.connector.dialled()).answer.set_exception(problem)
    await world.sink.next("failed")
    with pytest.raises(PermissionDenied) as refused:
        world.host.open(captured())
    shown = f"{refused.value!r} {refused.value.hint} {world.sink.seen!r} {world.host.status()!r}"
    shown += "".join(repr(call[1].fields) for call in world.sink.seen if call[0] == "failed")
    assert PATH not in shown
    assert "wss.example.com/…" in shown
    await world.shut()


async def test_the_url_of_a_connection_is_shown_without_a_secret_that_stands_in_it():
    world = World(None, masker=lambda: Masker([Secret("bot", PATH)]))
    world.host.start()
    world.host.open(DialTarget(Url.parse(f"wss://wss.example.com/link/{PATH}")))
    await world.connector.dialled()
    assert world.host.status().url == "wss://wss.example.com/link/[masked]"
    await world.shut()


async def test_what_a_server_says_of_a_session_is_masked_before_status_and_sink_have_it():
    world = World(masker=lambda: Masker([Secret("bot", VALUE)]), subprotocols=[f"v1.{VALUE}"])
    world.host.start()
    socket = await world.open(f"v1.{VALUE}")
    assert world.host.status().subprotocol == "v1.[masked]"
    socket.peer_closes(4004, f"bad token {VALUE}")
    await world.sink.next("closed")
    await world.settle()
    world.timers.advance(61)
    problem = ConnectionFailure("connection.handshake", f"it says {VALUE}", header=VALUE)
    (await world.connector.dialled()).answer.set_exception(problem)
    (_, error, _) = await world.sink.next("failed")
    assert (error.message, error.fields) == ("it says [masked]", {"header": "[masked]"})
    status = world.host.status()
    assert status.close_reason == "bad token [masked]"
    assert status.last_error == "it says [masked]"
    assert VALUE not in repr(world.sink.seen)
    await world.shut()
