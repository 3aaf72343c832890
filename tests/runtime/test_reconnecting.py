"""What makes a service dial again: a person, a restart, a changed secret."""

import pytest
from tests.runtime.fakes import Bench, FakeInstance

from yoi.connections import DialTarget
from yoi.errors import CaptureFailed, ConnectionFailure, ServiceError
from yoi.permissions import PermissionSet, Url
from yoi.protocol.ingress import EventKind
from yoi.protocol.outcomes import NO_COMMANDS
from yoi.protocol.session_commands import WebSocketOpen
from yoi.runtime.connection_commands import filled_target
from yoi.runtime.secret_injector import Filled

URL = Url.parse("wss://gateway.example.com/ws")


async def running(*instances, **options):
    bench = Bench(instances or [FakeInstance()], **options)
    await bench.service.start()
    bench.link.log.clear()
    return bench


async def test_a_person_dials_one_connection_or_all():
    bench = await running()
    assert bench.service.reconnect("gateway") == ["gateway"]
    assert bench.service.reconnect(None) == ["gateway"]
    assert bench.link.log == ["redial", "redial"]
    assert [entry.code for entry in bench.diagnostics][-1] == "notice.reconnect"


async def test_a_connection_that_is_not_declared_is_named_with_those_that_are():
    bench = await running()
    with pytest.raises(ConnectionFailure, match="there are: gateway") as refused:
        bench.service.reconnect("gatewya")
    assert refused.value.code == "connection.unknown"
    await bench.service.stop()
    with pytest.raises(ServiceError) as refused:
        bench.service.reconnect(None)
    assert refused.value.code == "service.not_running"


async def test_a_restart_is_a_persons_word():
    """After a fatal close code, `service restart` dials."""
    bench = await running(FakeInstance(), FakeInstance())
    await bench.service.restart()
    assert bench.link.log == ["revive person"]


async def test_only_a_secret_of_this_service_makes_it_dial():
    asked = PermissionSet.parse(
        secrets=[{"name": "token", "secret": "bot", "connection": "gateway", "at": ["/headers/x"]}]
    )
    bench = await running(asked=asked)
    bench.service.secrets_changed({"another"})
    assert bench.link.log == []
    bench.service.secrets_changed({"bot", "another"})
    assert bench.link.log == ["revive secret"]


def test_what_was_captured_stays_as_it_was_when_its_handle_is_gone():
    class Injector:
        expired = False

        def fill(self, document, insert, layout, *, connection):
            if self.expired:
                raise CaptureFailed("capture.handle", "expired")
            return Filled({**document, "headers": {"x-token": "v"}}, ("/headers/x-token",))

    injector = Injector()
    command = WebSocketOpen("gateway", URL.href, None, {"x-token": ""}, {}, ({"at": "/x"},))
    made = filled_target(command, DialTarget(URL), injector)
    injector.expired = True
    assert made.again() is made


async def test_the_plugin_hears_the_status_of_a_refused_upgrade():
    seen = []

    def listen(event):
        seen.append(event)
        return NO_COMMANDS

    bench = await running(FakeInstance(listen))
    refused = ConnectionFailure("connection.handshake", "answered 403", status=403)
    bench.link.adapter.failed(refused, 500.0)
    bench.link.adapter.failed(ConnectionFailure("connection.lost", "gone"), 500.0)
    await bench.settle()
    payloads = [event.payload for event in seen if event.kind is EventKind.ERROR]
    first, last = payloads[0], payloads[-1]
    assert (first["code"], first["status"]) == ("connection.handshake", 403)
    assert "status" not in last
