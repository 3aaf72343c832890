"""What the tests of this room share: a sink, settings, and hosts with short bounds."""

import asyncio
import dataclasses
import ipaddress
from dataclasses import dataclass, field

import pytest

try:
    import uvloop
except ImportError:
    uvloop = None

from yoi.connections import HostConnection, MachineNetwork, SocketConnector, SystemResolver
from yoi.limits import LIMITS
from yoi.permissions import Decision, TargetKind, Url, UrlTarget
from yoi.permissions.connection_settings import ConnectionSettings, Handshake, Open
from yoi.types import SystemClock

ALLOWED = Decision(allowed=True, private_addresses=True, max_message_bytes=1 << 20)

# Real time, but little of it: only what fails waits this long.
QUICK = dataclasses.replace(LIMITS, close_ms=300, connect_ms=3000, handshake_ms=3000, proxy_ms=2000)


@dataclass
class Sink:
    """Remembers every call as a tuple, and lets a test wait for one by its name."""

    calls: asyncio.Queue = field(default_factory=asyncio.Queue)
    seen: list = field(default_factory=list)
    on_text: object = None

    def _put(self, *call):
        self.seen.append(call)
        self.calls.put_nowait(call)

    def opened(self, session, subprotocol, address, reason):
        self._put("opened", session, subprotocol, address, reason)

    def text(self, session, text, size, in_reply_to=None):
        if in_reply_to is None:
            self._put("text", session, text, size)
        else:
            self._put("answer", session, text, in_reply_to)
        if self.on_text is not None:
            self.on_text(session, text)

    def once_taken(self, then):
        then()

    def binary(self, session, data):
        self._put("binary", session, data)

    def closed(self, session, code, reason, clean):
        self._put("closed", session, code, reason, clean)

    def gap(self, session, since_ms, until_ms, why):
        self._put("gap", session, since_ms, until_ms, why)

    def failed(self, error, retry_in_ms):
        self._put("failed", error, retry_in_ms)

    def reconnect_needed(self, session, why, attempt, retry_in_ms, fresh):
        self._put("needed", session, why, attempt, retry_in_ms, fresh)

    def notice(self, code, message, fields):
        self._put("notice", code, message, fields)

    async def next(self, name):
        """Return the next call of that name; calls before it are passed over."""
        async with asyncio.timeout(10):
            while True:
                call = await self.calls.get()
                if call[0] == name:
                    return call

    def names(self):
        return [call[0] for call in self.seen if call[0] != "notice"]


class FixedResolver:
    """Answers every name with the same addresses and counts the questions."""

    def __init__(self, *addresses):
        self.addresses = [ipaddress.ip_address(address) for address in addresses]
        self.asked = []
        self.network = MachineNetwork()

    def of(self, plugin):
        return self

    async def resolve(self, host, port):
        self.asked.append((host, port))
        return self.addresses


def allow(url):
    return ALLOWED


WIDE = UrlTarget.parse(
    {"scheme": "wss", "host": "*.example.com", "path_prefixes": ["/link"]}, TargetKind.WEBSOCKET
)
"""The target of a connection that the plugin opens."""


def at_server(url):
    """Return the target of everything at the server of `url`."""
    table = {"scheme": url.scheme, "host": url.bracketed_host, "port": url.port}
    return UrlTarget.parse(table, TargetKind.WEBSOCKET)


def settings_for(url, **changes):
    """Return settings; `url` None: the plugin opens. Handshake fields may be given beside them."""
    handshake = {
        key: changes.pop(key) for key in ("subprotocols", "headers", "origin") if key in changes
    }
    parsed = None if url is None else Url.parse(url)
    values = {
        "name": "gateway",
        "ingress": "events",
        "url": parsed,
        "target": WIDE if parsed is None else at_server(parsed),
        "open": Open.COMMAND if parsed is None else Open.START,
        "handshake": Handshake(**handshake),
        "backoff_first_ms": 1,
        "backoff_max_ms": 1,
    }
    return ConnectionSettings(**{**values, **changes})


def pytest_asyncio_loop_factories(config, item):
    """Run every test here on both loops: production uses uvloop, Windows asyncio's own."""
    factories = {"asyncio": asyncio.SelectorEventLoop}
    if uvloop is not None:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture
async def connect():
    """Return a function that starts a connection and yields (host, sink); all are closed after."""
    hosts = []

    def start(url, *, limits=QUICK, connector=None, resolver=None, sink=None, **changes):
        authorise = changes.pop("authorise", allow)
        certificate = changes.pop("certificate", lambda: None)
        sink = sink or Sink()
        host = HostConnection(
            settings_for(url, **changes),
            sink,
            authorise=authorise,
            clock=SystemClock(),
            rng=lambda: 0.5,
            connector=connector or SocketConnector(limits=limits),
            resolver=resolver or SystemResolver(limits),
            limits=limits,
            certificate=certificate,
        )
        hosts.append(host)
        host.start()
        return host, sink

    yield start
    for host in hosts:
        await host.close()
